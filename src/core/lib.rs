//! Random streams, samplers, fans and orthogonal matrices, filling memory that the caller owns.
//!
//! Layers, each importing only from those below it:
//!
//! ```text
//! init          fans, the scales that follow from them, and constants
//! stream        seeds to tensors: plans, samplers, and how they fill memory
//! linalg        orthogonal matrices
//! rng, pages    bit generators; memory fresh from the system
//! parallel      threads, and how a call is stopped
//! simd          vectors of numbers
//! moments       what stored values look like
//! element, block, distribution, error
//! ```

pub mod block;
pub mod distribution;
pub mod element;
pub mod error;
pub mod init;
pub mod linalg;
pub mod moments;
mod pages;
pub mod parallel;
pub mod rng;
pub mod simd;
pub mod stream;
