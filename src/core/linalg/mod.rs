//! Orthogonal matrices from Householder reflectors.
//!
//! ```text
//! orthogonal   the random orthogonal matrix of a stream of normals
//! qr           Q of a given matrix
//!   reflectors   made of normals, with their norms and Gram matrices
//!   form         their product, written out
//!     product      products on blocks: dot, solve, update
//!       tile         a part of a product that fits the registers
//!   panels       where reflectors are kept
//!   workspace    memory for them
//!   output       writing rows of the result to the caller's memory
//!   definition   the sizes that fix the order of sums
//!   normals      where the Gaussian matrix comes from
//! ```
//!
//! The definition (`docs/streams.md`) fixes the order of every sum, so that the result has the same
//! bits whatever the threads, the shapes of tiles and the instruction set.

pub mod definition;
mod form;
pub mod normals;
pub mod orthogonal;
mod output;
mod panels;
pub mod product;
pub mod qr;
mod reflectors;
mod tile;
mod workspace;
