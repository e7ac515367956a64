//! How messages show what was received.

use pyo3::prelude::*;

/// Characters of what was received that a message shows.
const MAX_SHOWN: usize = 300;

/// Characters that it shows of what should be one number.
const MAX_DIGITS: usize = 40;

/// What `str` gives, also for objects whose `__str__` fails, cut where it gets long.
pub(crate) fn text(object: &Bound<'_, PyAny>) -> String {
    cut(object, MAX_SHOWN)
}

/// As [`text`], for what should be one number and may have hundreds of digits.
pub(crate) fn start(object: &Bound<'_, PyAny>) -> String {
    cut(object, MAX_DIGITS)
}

fn cut(object: &Bound<'_, PyAny>, max: usize) -> String {
    let mut text = object.to_string();
    if let Some((end, _)) = text.char_indices().nth(max) {
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
