//! Filling from engines whose words are functions of their number.
//!
//! ```text
//! plan            a tensor that a sampler makes of an engine's words
//! random_access   any block into any layout, from runs of consecutive elements
//! fill            a run of elements, from the words of blocks and a sampler
//! sampler         what turns words into values
//! store           rounding values to an element type, and writing them
//! ```

pub(crate) mod fill;
pub(crate) mod plan;
pub(crate) mod random_access;
pub(crate) mod sampler;
pub(crate) mod store;
#[cfg(test)]
mod tests;
