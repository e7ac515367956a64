//! Bit generators: one published algorithm a file.
