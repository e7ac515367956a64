"""Specifications: the TOML file that describes a model for `seedbed init`.

`reader` turns the file into a model of `model`; `identifier` is the part of it that understands
`init`; `error` says what is wrong, and where.
"""
