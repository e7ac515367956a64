//! Bit generators: one published algorithm a file.

pub mod philox;
