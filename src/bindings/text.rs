//! How messages show what was received.

use pyo3::prelude::*;

/// Characters of what was received that a message shows.
const MAX_SHOWN: usize = 300;

/// What `str` gives, also for objects whose `__str__` fails, cut where it gets long.
pub(crate) fn text(object: &Bound<'_, PyAny>) -> String {
    let mut text = object.to_string();
    if let Some((end, _)) = text.char_indices().nth(MAX_SHOWN) {
        text.truncate(end);
        text.push_str("...");
    }
    text
}

/// A shape as Python prints it.
pub(crate) fn tuple(shape: &[usize]) -> String {
    match shape {
        [len] => format!("({len},)"),
        shape => {
            let sizes: Vec<_> = shape.iter().map(usize::to_string).collect();
            format!("({})", sizes.join(", "))
        }
    }
}
