"""Checkpoints: the file format, and writing.

`format` says what a file holds and where, `writer` has the tensors filled and written into one, and
`publish` puts a file in its place only when it is whole. Imports go down: `writer` uses the other
two, which use nothing here.
"""
