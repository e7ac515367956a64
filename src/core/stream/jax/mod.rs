//! The stream of Keras' JAX backend on the CPU: element e of a tensor is a function of the seed, the
//! call and e alone.
//!
//! Engine: [`crate::rng::threefry`]. The key is Keras' seed state, (seed, call); the counter is e.
//! All elements have random access. Stability: Exact; reference `keras.random` and
//! `keras.initializers` of Keras 3.15 with jax and jaxlib 0.9.0 to 0.10.2 on x86-64 with FMA,
//! `jax_enable_x64` off. docs/streams.md is the definition.

use super::counter::plan::SamplerPlan;
use super::counter::sampler::Sampler;
use super::plan::{Key, Plan, Stream};
use crate::distribution::{Distribution, Values};
use crate::element::{DType, F8E4M3Fn, F8E5M2, bf16, f16};
use crate::error::Error;
use crate::linalg;
use crate::rng::threefry::ThreefryWords;

mod affine;
mod double;
mod erf_inv;
mod narrow;
mod normal;
mod orthogonal;
#[cfg(test)]
mod tests;
mod truncated_normal;
mod uniform;

use affine::Affine;
use double::factor;
use narrow::{Narrow, TablePlan};
use normal::Normal;
use orthogonal::OrthogonalPlan;
use truncated_normal::TruncatedNormal;
use uniform::Uniform;

/// Where Keras truncates, in standard deviations.
const CUT: f64 = 2.0;

/// The stream of Keras' JAX backend.
#[derive(Debug)]
pub(super) struct Jax;

impl Stream for Jax {
    fn id(&self) -> &'static str {
        "jax"
    }

    fn plan(
        &self,
        values: &Values,
        key: Key,
        shape: &[usize],
        dtype: DType,
    ) -> Result<Box<dyn Plan>, Error> {
        let words = words(key)?;
        match *values {
            Values::Independent(distribution) => plan(distribution, words, dtype),
            Values::Orthogonal { gain } => {
                if !matches!(dtype, DType::F32 | DType::F64) {
                    return Err(orthogonal::refused(dtype));
                }
                let cost = linalg::orthogonal::cost(gain, shape)?;
                let standard = Distribution::Normal { mean: 0.0, stddev: 1.0 };
                let gaussian = plan(standard, words, dtype)?;
                Ok(Box::new(OrthogonalPlan { gaussian, gain, cost }))
            }
        }
    }
}

/// A plan for independent values.
fn plan(
    distribution: Distribution,
    words: ThreefryWords<false>,
    dtype: DType,
) -> Result<Box<dyn Plan>, Error> {
    if let Distribution::TruncatedNormal { lower, upper, .. } = distribution
        && (lower, upper) != (-CUT, CUT)
    {
        let received = format!("{lower:?}, upper={upper:?}");
        return Err(Error::value(
            "lower",
            "must be -2.0, and `upper` 2.0, on this stream",
            received,
        ));
    }
    Ok(match dtype {
        DType::F32 => single(distribution, words),
        DType::F64 => return double(distribution, ThreefryWords { key: words.key }),
        DType::F16 => narrow::<f16>(distribution, words),
        DType::BF16 => narrow::<bf16>(distribution, words),
        DType::F8E4M3Fn => narrow::<F8E4M3Fn>(distribution, words),
        DType::F8E5M2 => narrow::<F8E5M2>(distribution, words),
    })
}

/// The words that JAX makes of Keras' two.
fn words(key: Key) -> Result<ThreefryWords<false>, Error> {
    let seed = u32::try_from(key.seed)
        .map_err(|_| Error::overflow("seed", "must be below 2**32 on this stream", key.seed))?;
    Ok(ThreefryWords { key: [seed, key.draw] })
}

/// A plan for float32 values.
fn single(distribution: Distribution, words: ThreefryWords<false>) -> Box<dyn Plan> {
    match distribution {
        Distribution::Uniform { low, high } => {
            planned(Uniform::new(low as f32, high as f32), words)
        }
        Distribution::Normal { mean, stddev } => {
            planned(Normal(Affine::new(mean as f32, stddev as f32)), words)
        }
        Distribution::TruncatedNormal { mean, stddev, .. } => {
            planned(TruncatedNormal(Affine::new(mean as f32, stddev as f32)), words)
        }
    }
}

fn planned<D: Sampler<f32> + 'static>(sampler: D, words: ThreefryWords<false>) -> Box<dyn Plan> {
    Box::new(SamplerPlan::<f32, _, _>::new(sampler, words, None))
}

/// A plan for float64 values.
fn double(distribution: Distribution, words: ThreefryWords<true>) -> Result<Box<dyn Plan>, Error> {
    fn planned<D: Sampler<f64> + 'static>(
        sampler: D,
        words: ThreefryWords<true>,
    ) -> Result<Box<dyn Plan>, Error> {
        Ok(Box::new(SamplerPlan::<f64, _, _>::new(sampler, words, None)))
    }
    match distribution {
        Distribution::Uniform { low, high } => {
            let (low, high) = (factor("minval", low)?, factor("maxval", high)?);
            let range = factor("maxval - minval", high - low)?;
            planned(double::Uniform { low, range }, words)
        }
        Distribution::Normal { mean, stddev } => {
            let (mean, stddev) = (factor("mean", mean)?, factor("stddev", stddev)?);
            planned(double::Normal { mean, stddev }, words)
        }
        Distribution::TruncatedNormal { mean, stddev, .. } => {
            let (mean, stddev) = (factor("mean", mean)?, factor("stddev", stddev)?);
            planned(double::TruncatedNormal { mean, stddev }, words)
        }
    }
}

/// A plan for values of 16 or 8 bits.
fn narrow<E: Narrow>(distribution: Distribution, words: ThreefryWords<false>) -> Box<dyn Plan> {
    let table = match distribution {
        Distribution::Uniform { low, high } => narrow::uniform::<E>(low, high),
        Distribution::Normal { mean, stddev } => narrow::normal(mean, stddev),
        Distribution::TruncatedNormal { mean, stddev, .. } => {
            narrow::truncated_normal(mean, stddev)
        }
    };
    Box::new(TablePlan { table, words })
}
