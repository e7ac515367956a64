//! Values that are not drawn: one value everywhere, and memory for those that NumPy computes.

use numpy::{PyArrayDescr, PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PySlice, PyTuple};
use seedbed_core::block::Axis;
use seedbed_core::init::constant::fill_constant;

use crate::enter::enter;
use crate::output::Output;
use crate::text::{text, tuple};
use crate::{index, parse};

type Argument<'a, 'py> = &'a Bound<'py, PyAny>;

/// A tensor's shape as a tuple of Python integers, of a size that an array can have.
#[pyfunction]
pub(crate) fn standardize_shape<'py>(shape: Argument<'_, 'py>) -> PyResult<Bound<'py, PyTuple>> {
    let sizes = parse::shape(shape)?;
    index::block(None, &sizes)?;
    PyTuple::new(shape.py(), sizes)
}

/// The block `index` of a tensor that is `value`, an array without axes, everywhere: written into
/// `out` or a new array.
#[pyfunction]
#[pyo3(signature = (shape, value, index=None, out=None))]
pub(crate) fn filled<'py>(
    py: Python<'py>,
    shape: Argument<'_, 'py>,
    value: &Bound<'py, PyUntypedArray>,
    index: Option<Argument<'_, 'py>>,
    out: Option<Argument<'_, 'py>>,
) -> PyResult<Bound<'py, PyAny>> {
    if value.ndim() != 0 {
        return Err(PyTypeError::new_err(format!(
            "`value` must have no axes. Received: an array of shape {}",
            tuple(value.shape())
        )));
    }
    let bytes: Vec<u8> = value.call_method0("tobytes")?.extract()?;
    let (block, kept) = index::block(index, &parse::shape(shape)?)?;
    let mut output = Output::new(out, kept, value.dtype())?;
    let Some(items) = output.space().items() else {
        return Err(PyTypeError::new_err(format!(
            "`value` must be a number or a boolean. Received: an array of dtype {}",
            text(&value.dtype())
        )));
    };
    enter(py, block.len(), |exec| fill_constant(&bytes, items, exec))?;
    output.finish(py, out)
}

/// Memory for the block `index` of a tensor, that of `out` or new, as an array for NumPy to fill,
/// and the slices that take the block from the whole tensor. The array's shape lacks the axes
/// that integers took, the slices do not.
#[pyfunction]
#[pyo3(signature = (shape, dtype, index=None, out=None))]
pub(crate) fn memory<'py>(
    py: Python<'py>,
    shape: Argument<'_, 'py>,
    dtype: &Bound<'py, PyArrayDescr>,
    index: Option<Argument<'_, 'py>>,
    out: Option<Argument<'_, 'py>>,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
    let (block, kept) = index::block(index, &parse::shape(shape)?)?;
    if dtype.has_object() {
        return Err(PyTypeError::new_err(format!(
            "`dtype` must be of numbers or booleans. Received: dtype={}",
            text(dtype)
        )));
    }
    let slices: Vec<_> =
        block.axes().iter().map(|&axis| slice(py, axis)).collect::<Result<_, _>>()?;
    Ok((Output::new(out, kept, dtype.clone())?.into_array(py)?, PyTuple::new(py, slices)?))
}

/// The slice that takes the coordinates of `axis`.
fn slice(py: Python<'_>, Axis { start, step, len }: Axis) -> PyResult<Bound<'_, PyAny>> {
    let stop = start as isize + step * len as isize;
    // A negative end would count from the end of the axis.
    let stop = (stop >= 0).then_some(stop);
    let slice = py.get_type::<PySlice>();
    if len == 0 { slice.call1((0, 0)) } else { slice.call1((start, stop, step)) }
}
