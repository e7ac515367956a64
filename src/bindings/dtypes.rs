//! NumPy's dtype objects of the element types that the core draws.

use numpy::{PyArrayDescr, PyArrayDescrMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;
use seedbed_core::element::DType;

use crate::text::text;

static DESCRIPTORS: PyOnceLock<[Py<PyArrayDescr>; DType::ALL.len()]> = PyOnceLock::new();

fn descriptors(py: Python<'_>) -> PyResult<&[Py<PyArrayDescr>; DType::ALL.len()]> {
    DESCRIPTORS.get_or_try_init(py, || {
        let ml_dtypes = py.import("ml_dtypes")?;
        let descriptor = |dtype: DType| {
            let descriptor = match dtype {
                DType::F16 | DType::F32 | DType::F64 => PyArrayDescr::new(py, dtype.name())?,
                DType::BF16 | DType::F8E4M3Fn | DType::F8E5M2 => {
                    PyArrayDescr::new(py, ml_dtypes.getattr(dtype.name())?)?
                }
            };
            Ok::<_, PyErr>(descriptor.unbind())
        };
        let [a, b, c, d, e, f] = DType::ALL;
        Ok([
            descriptor(a)?,
            descriptor(b)?,
            descriptor(c)?,
            descriptor(d)?,
            descriptor(e)?,
            descriptor(f)?,
        ])
    })
}

/// NumPy's object for `dtype`.
pub(crate) fn descriptor<'py>(
    py: Python<'py>,
    dtype: DType,
) -> PyResult<&'py Bound<'py, PyArrayDescr>> {
    // The definition's order is that of `DType::ALL`.
    Ok(descriptors(py)?[dtype as usize].bind(py))
}

/// NumPy's object for the dtype that NumPy or ml_dtypes call `name`.
pub(crate) fn named<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyArrayDescr>> {
    let ours = DType::ALL.into_iter().find(|dtype| dtype.name() == name);
    ours.map_or_else(|| PyArrayDescr::new(py, name), |dtype| descriptor(py, dtype).cloned())
}

/// The dtype of random values that `from`, a name or a `numpy.dtype`, stands for.
///
/// # Errors
/// `ValueError` that lists the dtypes of random values.
pub(crate) fn parse(from: &Bound<'_, PyAny>) -> PyResult<DType> {
    let descriptors = descriptors(from.py())?;
    // NumPy's own dtype objects are singletons.
    if let Some(at) = descriptors.iter().position(|descriptor| descriptor.is(from)) {
        return Ok(DType::ALL[at]);
    }
    let found = if let Ok(name) = from.cast::<PyString>() {
        let name = name.to_cow()?;
        DType::ALL.into_iter().find(|dtype| dtype.name() == name)
    } else if let Ok(descriptor) = from.cast::<PyArrayDescr>() {
        let same = |known: &Py<PyArrayDescr>| known.bind(from.py()).is_equiv_to(descriptor);
        descriptors.iter().position(same).map(|at| DType::ALL[at])
    } else {
        None
    };
    found.ok_or_else(|| {
        let known: Vec<_> = DType::ALL.iter().map(|dtype| dtype.name()).collect();
        PyValueError::new_err(format!(
            "`dtype` must be one of {}. Received: dtype={}",
            known.join(", "),
            text(from),
        ))
    })
}
