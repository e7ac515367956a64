//! What initializers compute before they draw: fans and scales.

mod fans;

pub use fans::compute_fans;
