//! A stream as Python holds it: what it is asked for becomes a [`Draw`].

use pyo3::prelude::*;
use seedbed_core::distribution::{Distribution, Values};
use seedbed_core::error::Error;
use seedbed_core::init::{self, variance_scaling};
use seedbed_core::simd::FloatEnvironment;
use seedbed_core::stream::{self, Key};

use crate::draw::Draw;
use crate::errors::to_exception;
use crate::{dtypes, parse};

type Argument<'a, 'py> = &'a Bound<'py, PyAny>;

/// A named source of tensors. Every method takes the tensor's shape, its dtype and the key
/// `(seed, call)`, then what its distribution needs.
#[pyclass(frozen, module = "seedbed._core")]
pub(crate) struct Stream(&'static dyn stream::Stream);

impl Stream {
    fn draw(
        &self,
        values: Values,
        shape: Argument<'_, '_>,
        dtype: Argument<'_, '_>,
        (seed, draw): (u64, u32),
    ) -> PyResult<Draw> {
        let (shape, dtype) = (parse::shape(shape)?, dtypes::parse(dtype)?);
        Draw::new(self.0, values, Key { seed, draw }, shape, dtype, None)
            .map_err(|error| to_exception(error, None))
    }
}

#[pymethods]
impl Stream {
    #[new]
    fn new(name: &str) -> PyResult<Self> {
        stream::by_id(name).map(Self).map_err(|error| to_exception(error, None))
    }

    /// The name users select it by.
    #[getter]
    fn name(&self) -> &'static str {
        self.0.id()
    }

    /// Uniform values on [low, high).
    fn uniform(
        &self,
        shape: Argument<'_, '_>,
        dtype: Argument<'_, '_>,
        key: (u64, u32),
        low: Argument<'_, '_>,
        high: Argument<'_, '_>,
    ) -> PyResult<Draw> {
        let low = parse::number("minval", low)?;
        let high = parse::number("maxval", high)?;
        self.draw(Values::Independent(Distribution::Uniform { low, high }), shape, dtype, key)
    }

    /// Normal values.
    fn normal(
        &self,
        shape: Argument<'_, '_>,
        dtype: Argument<'_, '_>,
        key: (u64, u32),
        mean: Argument<'_, '_>,
        stddev: Argument<'_, '_>,
    ) -> PyResult<Draw> {
        let mean = parse::number("mean", mean)?;
        let stddev = parse::number("stddev", stddev)?;
        self.draw(Values::Independent(Distribution::Normal { mean, stddev }), shape, dtype, key)
    }

    /// Normal values within `lower` and `upper` standard deviations of the mean.
    #[allow(clippy::too_many_arguments, reason = "four of them are the distribution's")]
    fn truncated_normal(
        &self,
        shape: Argument<'_, '_>,
        dtype: Argument<'_, '_>,
        key: (u64, u32),
        mean: Argument<'_, '_>,
        stddev: Argument<'_, '_>,
        lower: Argument<'_, '_>,
        upper: Argument<'_, '_>,
    ) -> PyResult<Draw> {
        let mean = parse::number("mean", mean)?;
        let stddev = parse::number("stddev", stddev)?;
        let lower = parse::number("lower", lower)?;
        let upper = parse::number("upper", upper)?;
        let distribution = Distribution::TruncatedNormal { mean, stddev, lower, upper };
        self.draw(Values::Independent(distribution), shape, dtype, key)
    }

    /// Values whose variance is `scale` over a fan of the tensor.
    #[allow(clippy::too_many_arguments, reason = "five of them are the scheme's")]
    fn variance_scaling(
        &self,
        shape: Argument<'_, '_>,
        dtype: Argument<'_, '_>,
        key: (u64, u32),
        scale: Argument<'_, '_>,
        mode: &str,
        distribution: &str,
        input_axes: Option<Argument<'_, '_>>,
        output_axes: Option<Argument<'_, '_>>,
    ) -> PyResult<Draw> {
        let (shape, dtype) = (parse::shape(shape)?, dtypes::parse(dtype)?);
        let scale = parse::number("scale", scale)?;
        let (mode, law) = (parse::mode(mode)?, parse::law(distribution)?);
        let fans = fans_of(&shape, input_axes, output_axes)?;
        let distribution = {
            // The variance decides bits as well.
            let _environment = FloatEnvironment::standard();
            variance_scaling::distribution(scale, mode, law, fans)
                .map_err(|error| to_exception(error, None))?
        };
        let (values, (seed, draw)) = (Values::Independent(distribution), key);
        Draw::new(self.0, values, Key { seed, draw }, shape, dtype, Some(fans)).map_err(|error| {
            // The parameter that overflows follows from the scale, which is what the caller knows.
            let error = match error {
                Error::Overflow { .. } => {
                    let rule = format!("must keep the values within the range of {}", dtype.name());
                    Error::overflow("scale", rule, format!("{scale:?}"))
                }
                error => error,
            };
            to_exception(error, None)
        })
    }

    /// An orthogonal matrix times `gain`.
    fn orthogonal(
        &self,
        shape: Argument<'_, '_>,
        dtype: Argument<'_, '_>,
        key: (u64, u32),
        gain: Argument<'_, '_>,
    ) -> PyResult<Draw> {
        let gain = parse::number("gain", gain)?;
        self.draw(Values::Orthogonal { gain }, shape, dtype, key)
    }

    fn __repr__(&self) -> String {
        format!("Stream('{}')", self.0.id())
    }
}

/// The number of connections into and out of a unit: (fan_in, fan_out).
#[pyfunction]
#[pyo3(signature = (shape, input_axes=None, output_axes=None))]
pub(crate) fn compute_fans(
    shape: Argument<'_, '_>,
    input_axes: Option<Argument<'_, '_>>,
    output_axes: Option<Argument<'_, '_>>,
) -> PyResult<(u128, u128)> {
    let (fan_in, fan_out) = fans_of(&parse::shape(shape)?, input_axes, output_axes)?;
    Ok((fan_in as u128, fan_out as u128))
}

fn fans_of(
    shape: &[usize],
    input_axes: Option<Argument<'_, '_>>,
    output_axes: Option<Argument<'_, '_>>,
) -> PyResult<(f64, f64)> {
    let input_axes = parse::axes("input_axes", input_axes)?;
    let output_axes = parse::axes("output_axes", output_axes)?;
    init::compute_fans(shape, input_axes.as_deref(), output_axes.as_deref())
        .map_err(|error| to_exception(error, None))
}
