//! NumPy's basic indexing, applied to a shape.

use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyEllipsis, PySlice, PySliceMethods, PyTuple};
use seedbed_core::block::{Axis, Block};

use crate::errors::to_exception;
use crate::text::text;

/// The block that `index` takes from a tensor of shape `shape`, all of it if `None`, and the shape
/// of the result, which lacks the axes that integers took.
///
/// # Errors
/// As [`coordinates`]; `ValueError` for a shape of too many elements.
pub(crate) fn block(
    index: Option<&Bound<'_, PyAny>>,
    shape: &[usize],
) -> PyResult<(Block, Vec<usize>)> {
    let (block, kept) = match index {
        None => (Block::whole(shape), shape.to_vec()),
        Some(index) => {
            let (axes, kept) = coordinates(index, shape)?;
            (Block::new(shape.to_vec(), axes), kept)
        }
    };
    Ok((block.map_err(|error| to_exception(error, None))?, kept))
}

/// The coordinates that `index`, a slice, integer or Ellipsis or a tuple of them, takes along each
/// axis of a tensor of shape `shape`, and the lengths of the axes that remain.
///
/// # Errors
/// `IndexError` for too many entries, integers out of range and entries of other types;
/// `ValueError` for a step of 0; `TypeError` for slices of anything but integers.
fn coordinates(index: &Bound<'_, PyAny>, shape: &[usize]) -> PyResult<(Vec<Axis>, Vec<usize>)> {
    let entries: Vec<Bound<'_, PyAny>> = match index.cast::<PyTuple>() {
        Ok(tuple) => tuple.iter().collect(),
        Err(_) => vec![index.clone()],
    };
    let ellipses = entries.iter().filter(|entry| entry.is_instance_of::<PyEllipsis>()).count();
    let named = entries.len() - ellipses;
    if ellipses > 1 {
        return Err(refuse(index, "can only have a single ellipsis ('...')"));
    }
    if named > shape.len() {
        let rule = format!(
            "has too many entries: the tensor is {}-dimensional, but {named} were indexed",
            shape.len()
        );
        return Err(refuse(index, &rule));
    }
    let mut axes = Vec::with_capacity(shape.len());
    let mut kept = Vec::with_capacity(shape.len());
    let take_whole = |axes: &mut Vec<Axis>, kept: &mut Vec<usize>, count| {
        for _ in 0..count {
            let len = shape[axes.len()];
            axes.push(Axis { start: 0, step: 1, len });
            kept.push(len);
        }
    };
    for entry in &entries {
        if entry.is_instance_of::<PyEllipsis>() {
            take_whole(&mut axes, &mut kept, shape.len() - named);
            continue;
        }
        let at = axes.len();
        let extent = shape[at];
        if let Ok(slice) = entry.cast::<PySlice>() {
            // Shapes were parsed as `isize`.
            let taken = slice.indices(extent as isize)?;
            let axis = match taken.slicelength {
                0 => Axis { start: 0, step: 1, len: 0 },
                1 => Axis { start: taken.start as usize, step: 1, len: 1 },
                len => Axis { start: taken.start as usize, step: taken.step, len },
            };
            axes.push(axis);
            kept.push(axis.len);
            continue;
        }
        if entry.is_instance_of::<PyBool>() {
            return Err(unsupported(index));
        }
        let Ok(number) = entry.call_method0("__index__") else { return Err(unsupported(index)) };
        let start = number
            .extract::<isize>()
            .ok()
            .map(|number| if number < 0 { number + extent as isize } else { number })
            .and_then(|number| usize::try_from(number).ok())
            .filter(|&number| number < extent);
        let Some(start) = start else {
            let rule =
                format!("{} is out of bounds for axis {at} with size {extent}", text(&number));
            return Err(refuse(index, &rule));
        };
        axes.push(Axis { start, step: 1, len: 1 });
    }
    let rest = shape.len() - axes.len();
    take_whole(&mut axes, &mut kept, rest);
    Ok((axes, kept))
}

fn unsupported(index: &Bound<'_, PyAny>) -> PyErr {
    refuse(index, "must hold only integers, slices (`:`) and ellipsis (`...`)")
}

fn refuse(index: &Bound<'_, PyAny>, rule: &str) -> PyErr {
    PyIndexError::new_err(format!("`index` {rule}. Received: index={}", text(index)))
}
