//! The extension module `seedbed._core`: parse, enter, return.
//!
//! `stream` and `draw` are the classes that draw, `constants` the functions for what is not drawn,
//! `moments` what looks at values that are stored.
//! `parse`, `dtypes`, `index` and `output` turn Python's arguments into the core's, or refuse them;
//! `buffers` holds the memory, and all unsafe code, `dlpack` the words for other people's; `enter`
//! runs the core away from the interpreter; `errors` turns its refusals into exceptions, in which
//! `text` shows what was received.

use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyDict, PyTuple};
use seedbed_core::init::variance_scaling;
use seedbed_core::simd;

mod buffers;
mod constants;
mod dlpack;
mod draw;
mod dtypes;
mod enter;
mod errors;
mod index;
mod moments;
mod output;
mod parse;
mod stream;
mod text;
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
    seedbed_core::stream::ALL.iter().map(|stream| stream.id()).collect()
}

/// What `function()` returns when floating-point numbers round to nearest and subnormal ones are
/// kept, whatever other libraries have set in this thread.
#[pyfunction]
fn with_standard_floats<'py>(function: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let _environment = simd::FloatEnvironment::standard();
    function.call0()
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
    module.add("MAX_DIMENSIONS", parse::MAX_DIMENSIONS)?;
    module.add("MODES", PyTuple::new(module.py(), parse::MODES.map(|(name, _)| name))?)?;
    module.add("DISTRIBUTIONS", PyTuple::new(module.py(), parse::LAWS.map(|(name, _)| name))?)?;
    module.add("TRUNCATED_STDDEV", variance_scaling::TRUNCATED_STDDEV)?;
    module.add_class::<draw::Draw>()?;
    module.add_class::<stream::Stream>()?;
    module.add_function(wrap_pyfunction!(stream::compute_fans, module)?)?;
    module.add_function(wrap_pyfunction!(constants::standardize_shape, module)?)?;
    module.add_function(wrap_pyfunction!(constants::filled, module)?)?;
    module.add_function(wrap_pyfunction!(constants::memory, module)?)?;
    module.add_function(wrap_pyfunction!(moments::moments, module)?)?;
    module.add_function(wrap_pyfunction!(threads::set_num_threads, module)?)?;
    module.add_function(wrap_pyfunction!(threads::get_num_threads, module)?)?;
    module.add_function(wrap_pyfunction!(with_standard_floats, module)?)?;
    module.add_function(wrap_pyfunction!(isa, module)?)?;
    module.add_function(wrap_pyfunction!(available_isas, module)?)?;
    module.add_function(wrap_pyfunction!(streams, module)?)?;
    module.add_function(wrap_pyfunction!(build_info, module)?)
}
