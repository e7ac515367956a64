//! The extension module `seedbed._core`: parse, enter, return.
//!
//! `parse`, `dtypes`, `index` and `output` turn Python's arguments into the core's, or refuse them;
//! `buffers` holds the memory, and all unsafe code, `dlpack` the words for other people's; `enter`
//! runs the core away from the interpreter; `errors` turns its refusals into exceptions.

use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyDict};
use seedbed_core::{simd, stream};

mod buffers;
mod dlpack;
mod dtypes;
mod enter;
mod errors;
mod fills;
mod index;
mod output;
mod parse;
mod threads;

/// The environment variable that holds the instruction set down.
const ISA_VARIABLE: &str = "SEEDBED_ISA";

/// The instruction set in use.
#[pyfunction]
fn isa() -> &'static str {
    simd::isa().name()
}

/// The instruction sets that this machine has, the best last.
#[pyfunction]
fn available_isas() -> Vec<&'static str> {
    simd::Isa::available().into_iter().map(simd::Isa::name).collect()
}

/// The names of the streams, the default first.
#[pyfunction]
fn streams() -> Vec<&'static str> {
    stream::ALL.iter().map(|stream| stream.id()).collect()
}

/// What the extension was built with: compiler, target and profile.
#[pyfunction]
fn build_info(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    [
        ("compiler", env!("SEEDBED_RUSTC")),
        ("target", env!("SEEDBED_TARGET")),
        ("profile", env!("SEEDBED_PROFILE")),
    ]
    .into_py_dict(py)
}

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let name = std::env::var_os(ISA_VARIABLE).filter(|name| !name.is_empty());
    let name = name.as_ref().map(|name| name.to_string_lossy());
    simd::select(name.as_deref()).map_err(|error| errors::to_exception(error, None))?;
    threads::configure(module.py())?;

    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_function(wrap_pyfunction!(fills::fill_uniform, module)?)?;
    module.add_function(wrap_pyfunction!(fills::fill_normal, module)?)?;
    module.add_function(wrap_pyfunction!(fills::fill_truncated_normal, module)?)?;
    module.add_function(wrap_pyfunction!(fills::fill_variance_scaling, module)?)?;
    module.add_function(wrap_pyfunction!(fills::fill_orthogonal, module)?)?;
    module.add_function(wrap_pyfunction!(fills::compute_fans, module)?)?;
    module.add_function(wrap_pyfunction!(threads::set_num_threads, module)?)?;
    module.add_function(wrap_pyfunction!(threads::get_num_threads, module)?)?;
    module.add_function(wrap_pyfunction!(isa, module)?)?;
    module.add_function(wrap_pyfunction!(available_isas, module)?)?;
    module.add_function(wrap_pyfunction!(streams, module)?)?;
    module.add_function(wrap_pyfunction!(build_info, module)?)
}
