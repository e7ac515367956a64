//! Orthogonal matrices from Householder reflectors.
//!
//! ```text
//! orthogonal   the native stream's matrix: what users ask for      qr   Q of a given matrix
//!   reflectors   drawn from normals, scaled, Gram matrices
//!   form         the product of the reflectors, written out
//!     product      the three products on blocks: dot, solve, update
//!       tile         the micro-kernel
//!   panels       where reflectors are kept
//!   workspace    memory for them
//!   output       the caller's memory as a tall matrix
//!   definition   the sizes that fix the order of sums
//!   normals      where the Gaussian matrix comes from
//! ```
//!
//! The native definition (frozen, `docs/streams.md`) fixes the order of every sum, so that
//! threads, tile shapes and instruction sets never show in a bit of the result.

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
