"""Checkpoints: the file format, reading, writing and comparing.

`format` says what a file holds and where, `shards` which file holds what, `index` what the index
of several files says. `writer` has tensors filled and written, `publish` puts one file in its place
when it is whole, `directory` a whole set of them, `store` and `remote` are where that can be.
`reader` reads headers and indices (`json_members` is how), `pieces` cuts tensors into runs of
bytes, `compare` says whether values are right, and a `finding` is what is wrong. Imports go down.
"""
