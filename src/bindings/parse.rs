//! Python arguments turned into the core's vocabulary; the only place where strings are compared.
//!
//! Shapes follow `keras.backend.standardize_shape`: any iterable of integers, `ValueError` for
//! anything else. Booleans, which Keras takes for 0 and 1, are refused as well.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyList, PyString, PyTuple};
use seedbed_core::block::Block;
use seedbed_core::element::DType;
use seedbed_core::init::variance_scaling::{FanMode, Law};
use seedbed_core::stream::{self, Key, Stream};

use crate::errors::to_exception;
use crate::{dtypes, index};

/// The most dimensions an array can have (`NPY_MAXDIMS` of NumPy 2).
const MOST_DIMENSIONS: usize = 64;

/// How many characters of what was received an error shows.
const LONGEST: usize = 300;

/// Which numbers are wanted, as the arguments that every fill has describe them.
pub(crate) struct Request {
    /// The shape of the whole tensor.
    pub(crate) global: Vec<usize>,
    /// The shape of the result.
    pub(crate) shape: Vec<usize>,
    pub(crate) block: Block,
    pub(crate) dtype: DType,
    pub(crate) key: Key,
    pub(crate) stream: &'static dyn Stream,
}

impl Request {
    /// # Errors
    /// Those of [`shape`], [`dtypes::parse`], [`index::parse`], and `ValueError` for an unknown
    /// stream.
    pub(crate) fn new(
        shape: &Bound<'_, PyAny>,
        dtype: &Bound<'_, PyAny>,
        seed: u64,
        draw: u32,
        stream: &str,
        index: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let refuse = |error| to_exception(error, None);
        let global = self::shape(shape)?;
        let dtype = dtypes::parse(dtype)?;
        let stream = stream::by_id(stream).map_err(refuse)?;
        let (block, shape) = match index {
            None => (Block::whole(&global).map_err(refuse)?, global.clone()),
            Some(index) => {
                let (axes, shape) = index::parse(index, &global)?;
                (Block::new(global.clone(), axes).map_err(refuse)?, shape)
            }
        };
        Ok(Self { global, shape, block, dtype, key: Key { seed, draw }, stream })
    }
}

/// A tensor's shape.
///
/// # Errors
/// `ValueError` if `from` is not an iterable of integers >= 0 that fit an `isize`, or has more of
/// them than an array can have dimensions.
pub(crate) fn shape(from: &Bound<'_, PyAny>) -> PyResult<Vec<usize>> {
    let mut shape = Vec::new();
    let mut push = |entry: Bound<'_, PyAny>| {
        if shape.len() == MOST_DIMENSIONS {
            return Err(PyValueError::new_err(format!(
                "`shape` must have at most {MOST_DIMENSIONS} dimensions. Received: shape={}",
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
        let entries = (!from.is_instance_of::<PyString>()).then(|| from.try_iter());
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

/// The fan mode called `name`.
///
/// # Errors
/// `ValueError` that lists the names.
pub(crate) fn mode(name: &str) -> PyResult<FanMode> {
    match name {
        "fan_in" => Ok(FanMode::In),
        "fan_out" => Ok(FanMode::Out),
        "fan_avg" => Ok(FanMode::Average),
        _ => Err(PyValueError::new_err(format!(
            "`mode` must be one of 'fan_in', 'fan_out', 'fan_avg'. Received: mode='{name}'"
        ))),
    }
}

/// The distribution of variance scaling called `name`; "normal" is short for the truncated one.
///
/// # Errors
/// `ValueError` that lists the names.
pub(crate) fn law(name: &str) -> PyResult<Law> {
    match name {
        "normal" | "truncated_normal" => Ok(Law::TruncatedNormal),
        "untruncated_normal" => Ok(Law::UntruncatedNormal),
        "uniform" => Ok(Law::Uniform),
        _ => Err(PyValueError::new_err(format!(
            "`distribution` must be one of 'uniform', 'truncated_normal', 'untruncated_normal'. \
             Received: distribution='{name}'"
        ))),
    }
}

/// What `str` gives, also for objects whose `__str__` fails, cut where it gets long.
pub(crate) fn text(object: &Bound<'_, PyAny>) -> String {
    let mut text = object.to_string();
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push_str("...");
    }
    text
}
