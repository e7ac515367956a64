//! Random streams, samplers, fans and orthogonal matrices, filling memory that the caller owns.
//!
//! Layers, each importing only from those after it: [`stream`] and [`init`], [`dist`] and
//! [`linalg`], [`rng`] and [`simd`], `pages`, [`parallel`] and [`block`], [`element`] and
//! [`error`].

pub mod block;
pub mod dist;
pub mod element;
pub mod error;
pub mod init;
pub mod linalg;
mod pages;
pub mod parallel;
pub mod rng;
pub mod simd;
pub mod stream;
