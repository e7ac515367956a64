//! The caller's `out`: what may be written to, and why the rest may not.

use numpy::{PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyCapsule, PyMemoryView};
use seedbed_core::element::DType;

use crate::buffers::Loan;
use crate::parse::text;
use crate::{dlpack, dtypes};

/// Memory that may be filled: writable, aligned, of the dtype in native byte order, no two elements
/// at the same place. Only [`parse`] makes one.
pub(crate) struct Lent<'py> {
    loan: Loan<'py>,
    dtype: DType,
}

impl<'py> Lent<'py> {
    /// The memory.
    pub(crate) fn loan(&self) -> &Loan<'py> {
        &self.loan
    }

    /// The dtype of its elements.
    pub(crate) fn dtype(&self) -> DType {
        self.dtype
    }
}

/// What an object says of the memory it lends.
struct Offer<'py> {
    loan: Loan<'py>,
    writable: bool,
    /// One of ours, or the name of another.
    dtype: Result<DType, String>,
}

/// The memory of `out`, if it is writable and has this shape and dtype.
///
/// # Errors
/// `TypeError` for what lends no memory on the CPU and for another dtype, as NumPy; `ValueError`
/// for memory that is read-only, misaligned, overlaps itself, has another shape or was released.
pub(crate) fn parse<'py>(
    out: &Bound<'py, PyAny>,
    shape: &[usize],
    dtype: DType,
) -> PyResult<Lent<'py>> {
    let Offer { loan, writable, dtype: found } = match out.cast::<PyUntypedArray>() {
        Ok(array) => array_offer(array)?,
        Err(_) => foreign_offer(out)?,
    };
    if !writable {
        return Err(PyValueError::new_err("`out` must be writable. Received: a read-only array"));
    }
    if found != Ok(dtype) {
        return Err(PyTypeError::new_err(format!(
            "`out` must have the dtype {}. Received: an array of dtype {}",
            dtype.name(),
            found.map_or_else(|name| name, |dtype| dtype.name().to_owned()),
        )));
    }
    if loan.shape() != shape {
        return Err(PyValueError::new_err(format!(
            "`out` must have the shape {}. Received: an array of shape {}",
            tuple(shape),
            tuple(loan.shape()),
        )));
    }
    if !loan.is_aligned_to(dtype.size()) {
        return Err(PyValueError::new_err(
            "`out` must have its elements aligned in memory. Received: a misaligned array",
        ));
    }
    if overlaps(loan.shape(), loan.strides(), dtype.size()) {
        return Err(PyValueError::new_err(format!(
            "`out` must not have elements that share memory. Received: an array of shape {} and \
             strides {:?}",
            tuple(loan.shape()),
            loan.strides(),
        )));
    }
    Ok(Lent { loan, dtype })
}

fn array_offer<'py>(array: &Bound<'py, PyUntypedArray>) -> PyResult<Offer<'py>> {
    let descriptor = array.dtype();
    Ok(Offer {
        loan: Loan::of_array(array),
        writable: array.getattr("flags")?.getattr("writeable")?.extract()?,
        dtype: dtypes::of(&descriptor)?.ok_or_else(|| text(&descriptor)),
    })
}

/// Memory lent by the buffer protocol or else by DLPack.
fn foreign_offer<'py>(out: &Bound<'py, PyAny>) -> PyResult<Offer<'py>> {
    let py = out.py();
    let refuse = |why: &str| {
        PyTypeError::new_err(format!(
            "`out` must be a NumPy array or lend memory on the CPU through the buffer protocol or \
             DLPack{why}. Received: out={} (of type {})",
            text(out),
            out.get_type(),
        ))
    };
    match PyMemoryView::from(out) {
        Ok(memory) => {
            let array = py.import("numpy")?.call_method1("asarray", (memory,))?;
            return array_offer(array.cast::<PyUntypedArray>()?);
        }
        Err(error) if error.is_instance_of::<PyValueError>(py) => {
            return Err(PyValueError::new_err(format!(
                "`out` must not have been released. Received: {}",
                error.value(py)
            )));
        }
        Err(_) => {}
    }
    let Ok(device) = out.call_method0("__dlpack_device__") else { return Err(refuse("")) };
    // The first of the pair is an integer or an enumeration.
    let device = device.get_item(0).and_then(|kind| kind.call_method0("__index__")?.extract());
    let device: i32 = device.map_err(|_| refuse(""))?;
    if device != dlpack::CPU {
        return Err(refuse(&format!(", not on DLPack device {device}")));
    }
    let lend = || {
        let arguments = [("max_version", (1, 1))].into_py_dict(py)?;
        let capsule = match out.call_method("__dlpack__", (), Some(&arguments)) {
            // Without the argument only the older form can come, which gets a better message.
            Err(error) if error.is_instance_of::<PyTypeError>(py) => {
                out.call_method0("__dlpack__")?
            }
            result => result?,
        };
        Loan::of_capsule(capsule.cast_into::<PyCapsule>()?)
    };
    let (loan, dtype, writable) =
        lend().map_err(|error| refuse(&format!(" ({})", error.value(py))))?;
    Ok(Offer { loan, writable, dtype: dtype.ok_or_else(|| "another kind".to_owned()) })
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
