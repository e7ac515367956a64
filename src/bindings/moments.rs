//! What `seedbed inspect` measures of stored values.

use numpy::PyReadonlyArray1;
use pyo3::prelude::*;
use seedbed_core::moments::Moments;
use seedbed_core::simd::FloatEnvironment;

use crate::dtypes;

/// Count, mean, sum of squared deviations, least and greatest of the finite values that little-endian
/// `stored` holds, and how many are 0, not a number, infinite.
///
/// # Errors
/// `ValueError` for a dtype that is not one of random values, and for bytes that are not
/// contiguous.
#[pyfunction]
#[pyo3(signature = (stored, dtype))]
pub(crate) fn moments<'py>(
    py: Python<'py>,
    stored: PyReadonlyArray1<'py, u8>,
    dtype: &Bound<'py, PyAny>,
) -> PyResult<(u64, f64, f64, f64, f64, u64, u64, u64)> {
    let dtype = dtypes::parse(dtype)?;
    let bytes = stored.as_slice()?;
    let Moments { count, mean, squares, low, high, zeros, nan, inf } = py.detach(|| {
        let _environment = FloatEnvironment::standard();
        Moments::of(bytes, dtype)
    });
    Ok((count, mean, squares, low, high, zeros, nan, inf))
}
