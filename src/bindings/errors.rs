//! The one place where core errors become Python exceptions.

use pyo3::PyErr;
use pyo3::exceptions::{
    PyIndexError, PyKeyboardInterrupt, PyMemoryError, PyOverflowError, PyRuntimeError, PyValueError,
};
use seedbed_core::error::Error;

/// The exception that tells Python of `error`. `pending` is what a signal handler raised, which
/// is why a call that was interrupted stopped.
pub(crate) fn to_exception(error: Error, pending: Option<PyErr>) -> PyErr {
    let message = error.to_string();
    match error {
        Error::Value { .. } => PyValueError::new_err(message),
        Error::Overflow { .. } => PyOverflowError::new_err(message),
        Error::Index { .. } => PyIndexError::new_err(message),
        Error::OutOfMemory { .. } => PyMemoryError::new_err(message),
        // As Python's `threading` says it.
        Error::NoThreads { .. } => PyRuntimeError::new_err(message),
        Error::Interrupted => pending.unwrap_or_else(|| PyKeyboardInterrupt::new_err(message)),
    }
}
