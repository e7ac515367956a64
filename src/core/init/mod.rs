//! What initializers compute before they draw, fans and scales, and constants.

pub mod constant;
mod fans;
pub mod variance_scaling;

pub use fans::compute_fans;
