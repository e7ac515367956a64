//! A tensor that is ready to be drawn, as Python holds it.

use std::borrow::Cow;

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use seedbed_core::block::Block;
use seedbed_core::distribution::{Distribution, Values};
use seedbed_core::element::DType;
use seedbed_core::error::Error;
use seedbed_core::simd::FloatEnvironment;
use seedbed_core::stream::{Key, Plan, Stream};

use crate::enter::enter;
use crate::output::Output;
use crate::text::tuple;
use crate::{dtypes, index};

/// A tensor of random values, ready to be drawn: any block of it, as often as asked, from any
/// thread. It holds parameters, no values.
#[pyclass(frozen, module = "seedbed._core")]
pub(crate) struct Draw {
    plan: Box<dyn Plan>,
    stream: &'static dyn Stream,
    values: Values,
    key: Key,
    whole: Block,
    dtype: DType,
    fans: Option<(f64, f64)>,
}

impl Draw {
    /// Checks and resolves what `stream` needs to draw `values`. `fans` are those that the
    /// parameters were computed from.
    ///
    /// # Errors
    /// Those of the stream's plan.
    pub(crate) fn new(
        stream: &'static dyn Stream,
        values: Values,
        key: Key,
        shape: Vec<usize>,
        dtype: DType,
        fans: Option<(f64, f64)>,
    ) -> Result<Self, Error> {
        // Scales and bounds decide bits as well.
        let _environment = FloatEnvironment::standard();
        let plan = stream.plan(&values, key, &shape, dtype)?;
        let whole = Block::whole(&shape)?;
        Ok(Self { plan, stream, values, key, whole, dtype, fans })
    }
}

#[pymethods]
impl Draw {
    /// The block `index`, written into `out` or a new array.
    #[pyo3(signature = (index=None, out=None))]
    fn draw<'py>(
        &self,
        py: Python<'py>,
        index: Option<&Bound<'py, PyAny>>,
        out: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (block, kept) = match index {
            None => (Cow::Borrowed(&self.whole), self.whole.shape().to_vec()),
            Some(_) => {
                let (block, kept) = index::block(index, self.whole.shape())?;
                (Cow::Owned(block), kept)
            }
        };
        let mut output = Output::new(out, kept, dtypes::descriptor(py, self.dtype)?.clone())?;
        let space = output.space().numbers(self.dtype).expect("the descriptor is the dtype's");
        enter(py, self.plan.cost(&block), |exec| self.plan.fill(&block, space, exec))?;
        output.finish(py, out)
    }

    /// The shape of the whole tensor.
    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.whole.shape())
    }

    /// The dtype of the values, a `numpy.dtype`.
    #[getter]
    fn dtype<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(dtypes::descriptor(py, self.dtype)?.clone().into_any())
    }

    /// The seed.
    #[getter]
    fn seed(&self) -> u64 {
        self.key.seed
    }

    /// Which call on a seed generator this was; 0 for a plain seed.
    #[getter]
    fn call(&self) -> u32 {
        self.key.draw
    }

    /// The name of the stream.
    #[getter]
    fn stream(&self) -> &'static str {
        self.stream.id()
    }

    /// (fan_in, fan_out) of the tensor, None where they play no part.
    #[getter]
    fn fans(&self) -> Option<(u128, u128)> {
        self.fans.map(|(fan_in, fan_out)| (fan_in as u128, fan_out as u128))
    }

    fn __repr__(&self) -> String {
        let values = match self.values {
            Values::Independent(Distribution::Uniform { low, high }) => {
                format!("uniform on [{low:?}, {high:?})")
            }
            Values::Independent(Distribution::Normal { mean, stddev }) => {
                format!("normal, mean {mean:?}, stddev {stddev:?}")
            }
            Values::Independent(Distribution::TruncatedNormal { mean, stddev, lower, upper }) => {
                format!(
                    "normal in [{lower:?}, {upper:?}] deviations, mean {mean:?}, stddev {stddev:?}"
                )
            }
            Values::Orthogonal { gain } => format!("orthogonal, gain {gain:?}"),
        };
        let call =
            if self.key.draw == 0 { String::new() } else { format!(", call {}", self.key.draw) };
        format!(
            "<Draw {}, {}, {values}, stream '{}', seed {}{call}>",
            tuple(self.whole.shape()),
            self.dtype.name(),
            self.stream.id(),
            self.key.seed,
        )
    }
}
