//! Where values go: the caller's `out`, if its memory may be written, or a new array.

use numpy::{PyArrayDescr, PyUntypedArray};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyCapsule, PyMemoryView};

use crate::buffers::{Fresh, Lent, Offer, Space, Unfit};
use crate::dlpack;
use crate::text::{text, tuple};

/// Memory to be filled.
pub(crate) enum Output<'py> {
    /// A new array.
    Fresh(Fresh<'py>),
    /// The caller's.
    Lent(Lent<'py>),
}

impl<'py> Output<'py> {
    /// The memory of `out`, or of a new array if `None`, for items of `descriptor`.
    ///
    /// # Errors
    /// As [`lent`] and [`Fresh::new`].
    pub(crate) fn new(
        out: Option<&Bound<'py, PyAny>>,
        shape: Vec<usize>,
        descriptor: Bound<'py, PyArrayDescr>,
    ) -> PyResult<Self> {
        match out {
            None => Fresh::new(shape, descriptor).map(Self::Fresh),
            Some(out) => lent(out, &shape, descriptor).map(Self::Lent),
        }
    }

    /// The memory.
    pub(crate) fn space(&mut self) -> Space<'_> {
        match self {
            Self::Fresh(fresh) => fresh.space(),
            Self::Lent(lent) => lent.space(),
        }
    }

    /// What the call returns, once it is filled: `out` itself, where given.
    pub(crate) fn finish(
        self,
        py: Python<'py>,
        out: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match (self, out) {
            (Self::Lent(_), Some(out)) => Ok(out.clone()),
            (output, _) => output.into_array(py),
        }
    }

    /// An array over the memory, for NumPy to fill.
    pub(crate) fn into_array(self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Self::Fresh(fresh) => fresh.into_array(py),
            Self::Lent(lent) => lent.into_array(),
        }
    }
}

/// The memory of `out`, if it is writable and has this shape and dtype.
///
/// # Errors
/// `TypeError` for what lends no memory on the CPU and for another dtype, as NumPy; `ValueError`
/// for memory that is read-only, misaligned, overlaps itself, has another shape or was released.
fn lent<'py>(
    out: &Bound<'py, PyAny>,
    shape: &[usize],
    descriptor: Bound<'py, PyArrayDescr>,
) -> PyResult<Lent<'py>> {
    let offer = match out.cast::<PyUntypedArray>() {
        Ok(array) => Offer::of_array(array)?,
        Err(_) => foreign(out)?,
    };
    let fits = offer.shape() == shape;
    let wanted = descriptor.clone();
    let (offer, unfit) = match offer.accept(descriptor) {
        Ok(lent) if fits => return Ok(lent),
        Ok(lent) => (lent.into_offer(), None),
        Err((offer, unfit)) => (offer, Some(unfit)),
    };
    Err(match unfit {
        Some(Unfit::ReadOnly) => {
            PyValueError::new_err("`out` must be writable. Received: a read-only array")
        }
        Some(Unfit::Dtype) => PyTypeError::new_err(format!(
            "`out` must have the dtype {}. Received: an array of dtype {}",
            text(&wanted),
            offer.descriptor().map_or_else(str::to_owned, |descriptor| text(descriptor)),
        )),
        _ if !fits => PyValueError::new_err(format!(
            "`out` must have the shape {}. Received: an array of shape {}",
            tuple(shape),
            tuple(offer.shape()),
        )),
        Some(Unfit::Misaligned) => PyValueError::new_err(
            "`out` must have its elements aligned in memory. Received: a misaligned array",
        ),
        Some(Unfit::Overlapping) | None => PyValueError::new_err(format!(
            "`out` must not have elements that share memory. Received: an array of shape {} and \
             strides {:?}",
            tuple(offer.shape()),
            offer.strides(),
        )),
    })
}

/// Memory offered by the buffer protocol or else by DLPack.
fn foreign<'py>(out: &Bound<'py, PyAny>) -> PyResult<Offer<'py>> {
    let py = out.py();
    let refuse = |why: &str| {
        PyTypeError::new_err(format!(
            "`out` must be a NumPy array or lend memory on the CPU through the buffer protocol or \
             DLPack{why}. Received: an object of type {}",
            out.get_type(),
        ))
    };
    match PyMemoryView::from(out) {
        Ok(memory) => {
            let array = py.import("numpy")?.call_method1("asarray", (memory,))?;
            return Offer::of_array(array.cast::<PyUntypedArray>()?);
        }
        Err(error) if error.is_instance_of::<PyValueError>(py) => {
            return Err(PyValueError::new_err(format!(
                "`out` must not have been released. Received: {}",
                error.value(py)
            )));
        }
        Err(_) => {}
    }
    if out.getattr("requires_grad").is_ok_and(|flag| flag.is_truthy().unwrap_or(false)) {
        return Err(PyTypeError::new_err(format!(
            "`out` must not require a gradient: pass `out.detach()`, which shares its memory. \
             Received: an object of type {}",
            out.get_type(),
        )));
    }
    let Ok(device) = out.call_method0("__dlpack_device__") else { return Err(refuse("")) };
    // The first of the pair is an integer or an enumeration.
    let device = device.get_item(0).and_then(|kind| kind.call_method0("__index__")?.extract());
    let device: i32 = device.map_err(|_| refuse(""))?;
    if device != dlpack::CPU {
        return Err(refuse(&format!(", not on DLPack device {device}")));
    }
    let offer = || {
        let arguments = [("max_version", (1, 1))].into_py_dict(py)?;
        let capsule = match out.call_method("__dlpack__", (), Some(&arguments)) {
            // Without the argument only the older form can come, which gets a better message.
            Err(error) if error.is_instance_of::<PyTypeError>(py) => {
                out.call_method0("__dlpack__")?
            }
            result => result?,
        };
        Offer::of_capsule(capsule.cast_into::<PyCapsule>()?)
    };
    offer().map_err(|error| refuse(&format!(" ({})", error.value(py))))
}
