//! What initializers compute before they draw: fans and scales.
