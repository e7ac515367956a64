//! Python arguments turned into the core's vocabulary; the only place where strings are compared.
//!
//! Shapes follow `keras.backend.standardize_shape`: any iterable of integers, `ValueError` for
//! anything else. Booleans, which Keras takes for 0 and 1, are refused as well.

use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString, PyTuple};
use seedbed_core::init::variance_scaling::{FanMode, Law};

use crate::text::{start, text};

/// The most dimensions an array can have (`NPY_MAXDIMS` of NumPy 2).
pub(crate) const MAX_DIMENSIONS: usize = 64;

/// A tensor's shape.
///
/// # Errors
/// `ValueError` if `from` is not an iterable of integers >= 0 that fit an `isize`, or has more of
/// them than an array can have dimensions.
pub(crate) fn shape(from: &Bound<'_, PyAny>) -> PyResult<Vec<usize>> {
    let mut shape = Vec::new();
    let mut push = |entry: Bound<'_, PyAny>| {
        if shape.len() == MAX_DIMENSIONS {
            return Err(PyValueError::new_err(format!(
                "`shape` must have at most {MAX_DIMENSIONS} dimensions. Received: shape={}",
                text(from)
            )));
        }
        shape.push(dimension(&entry, from)?);
        Ok(())
    };
    if let Ok(tuple) = from.cast::<PyTuple>() {
        tuple.iter().try_for_each(push)?;
    } else if let Ok(list) = from.cast::<PyList>() {
        list.iter().try_for_each(push)?;
    } else {
        // What can be iterated over but has no order, or an order that is not that of axes.
        let unordered = from.is_instance_of::<PyString>()
            || from.is_instance_of::<PySet>()
            || from.is_instance_of::<PyFrozenSet>()
            || from.is_instance_of::<PyDict>();
        let entries = (!unordered).then(|| from.try_iter());
        let Some(Ok(entries)) = entries else {
            let received = text(from);
            return Err(PyValueError::new_err(format!(
                "Cannot convert '{received}' to a shape. `shape` must be a tuple or list of \
                 integers. Received: shape={received}"
            )));
        };
        for entry in entries {
            push(entry?)?;
        }
    }
    Ok(shape)
}

fn dimension(entry: &Bound<'_, PyAny>, shape: &Bound<'_, PyAny>) -> PyResult<usize> {
    let cannot = |why: String| {
        let received = text(shape);
        PyValueError::new_err(format!(
            "Cannot convert '{received}' to a shape. {why} `shape` must hold integers from 0 to \
             2**63-1. Received: shape={received}"
        ))
    };
    let refused = entry.is_instance_of::<PyBool>()
        || entry.is_instance_of::<PyFloat>()
        || entry.is_instance_of::<PyString>();
    // `isize` goes through `__index__`: NumPy's integers pass, its floats and booleans do not.
    match entry.extract::<isize>() {
        Ok(size) if !refused => usize::try_from(size)
            .map_err(|_| cannot("Negative dimensions are not allowed.".to_owned())),
        _ => {
            let kind = entry.get_type().to_string();
            Err(cannot(format!("Found invalid dimension '{}' of type '{kind}'.", text(entry))))
        }
    }
}

/// `from` as a Python integer.
///
/// # Errors
/// `TypeError` naming `argument` if it is a boolean or has no `__index__`.
pub(crate) fn integer<'py>(
    argument: &str,
    from: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyInt>> {
    let exact = (!from.is_instance_of::<PyBool>())
        .then(|| from.call_method0("__index__").ok())
        .flatten()
        .and_then(|index| index.cast_into::<PyInt>().ok());
    exact.ok_or_else(|| {
        PyTypeError::new_err(format!(
            "`{argument}` must be an integer. Received: {argument}={} (of type {})",
            text(from),
            from.get_type(),
        ))
    })
}

/// A real number.
///
/// # Errors
/// `TypeError` and `OverflowError` naming `argument`.
pub(crate) fn number(argument: &str, from: &Bound<'_, PyAny>) -> PyResult<f64> {
    from.extract::<f64>().map_err(|error| {
        let received =
            || format!("Received: {argument}={} (of type {})", start(from), from.get_type());
        if error.is_instance_of::<PyOverflowError>(from.py()) {
            let rule = format!("`{argument}` must be within the range of float64.");
            PyOverflowError::new_err(format!("{rule} {}", received()))
        } else {
            PyTypeError::new_err(format!("`{argument}` must be a real number. {}", received()))
        }
    })
}

/// The axes that fans count, as any iterable of integers.
///
/// # Errors
/// `TypeError` naming `argument`.
pub(crate) fn axes(
    argument: &str,
    from: Option<&Bound<'_, PyAny>>,
) -> PyResult<Option<Vec<isize>>> {
    let Some(from) = from else { return Ok(None) };
    let collect = || from.try_iter()?.map(|axis| axis?.extract::<isize>()).collect();
    let axes: PyResult<Vec<isize>> = collect();
    axes.map(Some).map_err(|_| {
        PyTypeError::new_err(format!(
            "`{argument}` must be a list of integers. Received: {argument}={}",
            text(from)
        ))
    })
}

/// The fan modes by their names.
pub(crate) const MODES: [(&str, FanMode); 3] =
    [("fan_in", FanMode::In), ("fan_out", FanMode::Out), ("fan_avg", FanMode::Average)];

/// The distributions of variance scaling by their names.
pub(crate) const LAWS: [(&str, Law); 3] = [
    ("uniform", Law::Uniform),
    ("truncated_normal", Law::TruncatedNormal),
    ("untruncated_normal", Law::UntruncatedNormal),
];

/// The fan mode called `name`.
///
/// # Errors
/// `ValueError` that lists the names.
pub(crate) fn mode(name: &str) -> PyResult<FanMode> {
    choice("mode", &MODES, name)
}

/// The distribution of variance scaling called `name`.
///
/// # Errors
/// `ValueError` that lists the names.
pub(crate) fn law(name: &str) -> PyResult<Law> {
    choice("distribution", &LAWS, name)
}

fn choice<T: Copy>(argument: &str, choices: &[(&str, T)], name: &str) -> PyResult<T> {
    let found = choices.iter().find(|(known, _)| *known == name);
    found.map(|&(_, choice)| choice).ok_or_else(|| {
        let known: Vec<_> = choices.iter().map(|(known, _)| format!("'{known}'")).collect();
        PyValueError::new_err(format!(
            "`{argument}` must be one of {}. Received: {argument}='{name}'",
            known.join(", ")
        ))
    })
}
