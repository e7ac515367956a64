//! The caller's `out`: what may be written to, and why the rest may not.

use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyMemoryView;
use seedbed_core::element::DType;

use crate::dtypes;
use crate::parse::text;

/// DLPack's number for memory that the CPU addresses (`kDLCPU` in dlpack.h).
const DLPACK_CPU: i32 = 1;

/// An array that may be filled: writable, aligned, of the dtype in native byte order, no two
/// elements sharing memory. Only [`parse`] makes one.
pub(crate) struct Lent<'py> {
    array: Bound<'py, PyUntypedArray>,
    dtype: DType,
}

impl<'py> Lent<'py> {
    /// The array.
    pub(crate) fn array(&self) -> &Bound<'py, PyUntypedArray> {
        &self.array
    }

    /// Its dtype.
    pub(crate) fn dtype(&self) -> DType {
        self.dtype
    }
}

/// The array over `out`'s own memory, if it is writable and has this shape and dtype.
///
/// # Errors
/// `TypeError` for what lends no memory on the CPU and for another dtype, as NumPy; `ValueError`
/// for memory that is read-only, misaligned, overlaps itself, has another shape or was released.
pub(crate) fn parse<'py>(
    out: &Bound<'py, PyAny>,
    shape: &[usize],
    dtype: DType,
) -> PyResult<Lent<'py>> {
    let array = match out.cast::<PyUntypedArray>() {
        Ok(array) => array.clone(),
        Err(_) => view(out)?,
    };
    let py = out.py();
    if !array.getattr("flags")?.getattr("writeable")?.extract::<bool>()? {
        return Err(PyValueError::new_err("`out` must be writable. Received: a read-only array"));
    }
    if !array.dtype().is_equiv_to(dtypes::descriptor(py, dtype)?) {
        return Err(PyTypeError::new_err(format!(
            "`out` must have the dtype {}. Received: an array of dtype {}",
            dtype.name(),
            text(&array.dtype()),
        )));
    }
    if array.shape() != shape {
        return Err(PyValueError::new_err(format!(
            "`out` must have the shape {}. Received: an array of shape {}",
            tuple(shape),
            tuple(array.shape()),
        )));
    }
    let size = dtype.size() as isize;
    if !array.is_aligned() || array.strides().iter().any(|stride| stride % size != 0) {
        return Err(PyValueError::new_err(
            "`out` must have its elements aligned in memory. Received: a misaligned array",
        ));
    }
    if overlaps(array.shape(), array.strides(), dtype.size()) {
        return Err(PyValueError::new_err(format!(
            "`out` must not have elements that share memory. Received: an array of shape {} and \
             strides {:?}",
            tuple(array.shape()),
            array.strides(),
        )));
    }
    Ok(Lent { array, dtype })
}

/// An array over the memory that `out` exports.
fn view<'py>(out: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyUntypedArray>> {
    let numpy = out.py().import("numpy")?;
    let refuse = |why: &str| {
        PyTypeError::new_err(format!(
            "`out` must be a NumPy array or lend memory on the CPU through the buffer protocol or \
             DLPack{why}. Received: out={} (of type {})",
            text(out),
            out.get_type(),
        ))
    };
    let array = match PyMemoryView::from(out) {
        Ok(memory) => numpy.call_method1("asarray", (memory,))?,
        Err(error) if error.is_instance_of::<PyValueError>(out.py()) => {
            return Err(PyValueError::new_err(format!(
                "`out` must not have been released. Received: {}",
                error.value(out.py())
            )));
        }
        Err(_) => {
            let Ok(device) = out.call_method0("__dlpack_device__") else {
                return Err(refuse(""));
            };
            let (device, _): (i32, i32) = device.extract().map_err(|_| refuse(""))?;
            if device != DLPACK_CPU {
                return Err(refuse(&format!(", not on DLPack device {device}")));
            }
            numpy
                .call_method1("from_dlpack", (out,))
                .map_err(|error| refuse(&format!(" ({})", error.value(out.py()))))?
        }
    };
    Ok(array.cast_into::<PyUntypedArray>()?)
}

/// Whether two elements may share memory. Exact for every array that slicing, transposing and
/// reshaping make: the axes, from the shortest stride to the longest, must each step over all
/// that the ones before them span. Nested any other way, strides are taken to overlap.
fn overlaps(shape: &[usize], strides: &[isize], size: usize) -> bool {
    if shape.contains(&0) {
        return false;
    }
    let mut axes: Vec<(usize, usize)> = shape
        .iter()
        .zip(strides)
        .filter(|&(&len, _)| len > 1)
        .map(|(&len, stride)| (stride.unsigned_abs(), len))
        .collect();
    axes.sort_unstable();
    let mut span = size;
    axes.iter().any(|&(stride, len)| {
        let overlaps = stride < span;
        span = span.saturating_add(stride.saturating_mul(len - 1));
        overlaps
    })
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
