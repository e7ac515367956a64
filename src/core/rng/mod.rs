//! Bit generators, one published algorithm in a file.

pub mod mt19937;
pub mod pcg64;
pub mod philox;
pub mod seed_sequence;
pub mod threefry;
pub(crate) mod words;
