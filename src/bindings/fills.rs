//! The functions that fill, one a distribution: parse, enter, return.
#![allow(clippy::too_many_arguments, reason = "the signatures are Python's, which has keywords")]

use pyo3::prelude::*;
use seedbed_core::dist::Distribution;
use seedbed_core::element::OutMut;
use seedbed_core::error::Error;
use seedbed_core::init::{self, variance_scaling};
use seedbed_core::parallel::Exec;
use seedbed_core::simd::FloatEnvironment;

use crate::buffers::{self, Fresh};
use crate::enter::enter;
use crate::errors::to_exception;
use crate::output;
use crate::parse::{self, Request};

type Argument<'a, 'py> = &'a Bound<'py, PyAny>;

/// Fills `out`, or a new array, with what `work` writes, and returns it.
fn fill<'py>(
    py: Python<'py>,
    request: &Request,
    out: Option<Argument<'_, 'py>>,
    elements: usize,
    work: impl FnOnce(OutMut<'_>, &Exec<'_>) -> Result<(), Error> + Send,
) -> PyResult<Bound<'py, PyAny>> {
    match out {
        None => {
            let mut fresh = Fresh::new(request.shape.clone(), request.dtype)?;
            let view = fresh.view();
            enter(py, elements, |exec| work(view, exec))?;
            fresh.into_array(py)
        }
        Some(out) => {
            let lent = output::parse(out, &request.shape, request.dtype)?;
            let view = buffers::lent(&lent);
            enter(py, elements, |exec| work(view, exec))?;
            Ok(out.clone())
        }
    }
}

/// Fills with samples of `distribution`.
fn sample<'py>(
    py: Python<'py>,
    request: &Request,
    distribution: &Distribution,
    out: Option<Argument<'_, 'py>>,
) -> PyResult<Bound<'py, PyAny>> {
    let Request { stream, key, block, .. } = request;
    fill(py, request, out, stream.reach(block), |view, exec| {
        stream.fill(distribution, *key, block, view, exec)
    })
}

/// Uniform samples of [low, high).
#[pyfunction]
#[pyo3(signature = (shape, low, high, dtype, seed, draw, stream, index=None, out=None))]
pub(crate) fn fill_uniform<'py>(
    py: Python<'py>,
    shape: Argument<'_, 'py>,
    low: f64,
    high: f64,
    dtype: Argument<'_, 'py>,
    seed: u64,
    draw: u32,
    stream: &str,
    index: Option<Argument<'_, 'py>>,
    out: Option<Argument<'_, 'py>>,
) -> PyResult<Bound<'py, PyAny>> {
    let request = Request::new(shape, dtype, seed, draw, stream, index)?;
    sample(py, &request, &Distribution::Uniform { low, high }, out)
}

/// Normal samples.
#[pyfunction]
#[pyo3(signature = (shape, mean, stddev, dtype, seed, draw, stream, index=None, out=None))]
pub(crate) fn fill_normal<'py>(
    py: Python<'py>,
    shape: Argument<'_, 'py>,
    mean: f64,
    stddev: f64,
    dtype: Argument<'_, 'py>,
    seed: u64,
    draw: u32,
    stream: &str,
    index: Option<Argument<'_, 'py>>,
    out: Option<Argument<'_, 'py>>,
) -> PyResult<Bound<'py, PyAny>> {
    let request = Request::new(shape, dtype, seed, draw, stream, index)?;
    sample(py, &request, &Distribution::Normal { mean, stddev }, out)
}

/// Normal samples within `lower` and `upper` standard deviations of the mean.
#[pyfunction]
#[pyo3(signature = (
    shape, mean, stddev, lower, upper, dtype, seed, draw, stream, index=None, out=None
))]
pub(crate) fn fill_truncated_normal<'py>(
    py: Python<'py>,
    shape: Argument<'_, 'py>,
    mean: f64,
    stddev: f64,
    lower: f64,
    upper: f64,
    dtype: Argument<'_, 'py>,
    seed: u64,
    draw: u32,
    stream: &str,
    index: Option<Argument<'_, 'py>>,
    out: Option<Argument<'_, 'py>>,
) -> PyResult<Bound<'py, PyAny>> {
    let request = Request::new(shape, dtype, seed, draw, stream, index)?;
    sample(py, &request, &Distribution::TruncatedNormal { mean, stddev, lower, upper }, out)
}

/// Samples whose variance is `scale` over a fan of the global shape.
#[pyfunction]
#[pyo3(signature = (
    shape, scale, mode, distribution, input_axes, output_axes, dtype, seed, draw, stream,
    index=None, out=None
))]
pub(crate) fn fill_variance_scaling<'py>(
    py: Python<'py>,
    shape: Argument<'_, 'py>,
    scale: f64,
    mode: &str,
    distribution: &str,
    input_axes: Option<Argument<'_, 'py>>,
    output_axes: Option<Argument<'_, 'py>>,
    dtype: Argument<'_, 'py>,
    seed: u64,
    draw: u32,
    stream: &str,
    index: Option<Argument<'_, 'py>>,
    out: Option<Argument<'_, 'py>>,
) -> PyResult<Bound<'py, PyAny>> {
    let request = Request::new(shape, dtype, seed, draw, stream, index)?;
    let (mode, law) = (parse::mode(mode)?, parse::law(distribution)?);
    let fans = fans_of(&request.global, input_axes, output_axes)?;
    // The variance decides bits as well.
    let _environment = FloatEnvironment::standard();
    let distribution = variance_scaling::distribution(scale, mode, law, fans)
        .map_err(|error| to_exception(error, None))?;
    sample(py, &request, &distribution, out)
}

/// An orthogonal matrix times `gain`.
#[pyfunction]
#[pyo3(signature = (shape, gain, dtype, seed, draw, stream, index=None, out=None))]
pub(crate) fn fill_orthogonal<'py>(
    py: Python<'py>,
    shape: Argument<'_, 'py>,
    gain: f64,
    dtype: Argument<'_, 'py>,
    seed: u64,
    draw: u32,
    stream: &str,
    index: Option<Argument<'_, 'py>>,
    out: Option<Argument<'_, 'py>>,
) -> PyResult<Bound<'py, PyAny>> {
    let request = Request::new(shape, dtype, seed, draw, stream, index)?;
    let Request { stream, key, block, global, .. } = &request;
    // The matrix is made whole, whatever is taken of it. Beside being drawn, each element passes
    // through as many products as the shorter side is long, a hundred of which cost a draw.
    let columns = global.last().copied().unwrap_or(1);
    let rows = global.iter().rev().skip(1).product::<usize>();
    let elements = rows.saturating_mul(columns).saturating_mul(1 + rows.min(columns) / 100);
    fill(py, &request, out, elements, |view, exec| {
        stream.fill_orthogonal(gain, *key, block, view, exec)
    })
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
