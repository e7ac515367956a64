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
use crate::element::DType;
use crate::error::Error;
use crate::rng::threefry::ThreefryWords;

mod affine;
mod erf_inv;
mod normal;
mod truncated_normal;
mod uniform;

use affine::Affine;

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
        _shape: &[usize],
        dtype: DType,
    ) -> Result<Box<dyn Plan>, Error> {
        let words = words(key)?;
        Ok(match *values {
            Values::Independent(d) if dtype == DType::F32 => single(d, words)?,
            _ => todo!(),
        })
    }
}

/// The words that JAX makes of Keras' two.
fn words(key: Key) -> Result<ThreefryWords, Error> {
    let seed = u32::try_from(key.seed)
        .map_err(|_| Error::overflow("seed", "must be below 2**32 on this stream", key.seed))?;
    Ok(ThreefryWords { key: [seed, key.draw] })
}

/// A plan for float32 values.
fn single(d: Distribution, words: ThreefryWords) -> Result<Box<dyn Plan>, Error> {
    Ok(match d {
        Distribution::Uniform { low, high } => {
            let (low, high) = (affine::flushed(low as f32), affine::flushed(high as f32));
            let range = affine::flushed(high - low);
            if affine::is_tiny(range) {
                planned(uniform::Uniform::<true>::new(low, range), words)
            } else {
                planned(uniform::Uniform::<false>::new(low, range), words)
            }
        }
        Distribution::Normal { mean, stddev } => {
            let affine = Affine::new(mean as f32, stddev as f32);
            if affine.is_tiny() {
                planned(normal::Normal::<true>(affine), words)
            } else {
                planned(normal::Normal::<false>(affine), words)
            }
        }
        Distribution::TruncatedNormal { mean, stddev, lower, upper } => {
            if (lower, upper) != (-2.0, 2.0) {
                let received = format!("{lower}, upper={upper}");
                return Err(Error::value("lower", "must be -2.0 and `upper` 2.0 on this stream", received));
            }
            let affine = Affine::new(mean as f32, stddev as f32);
            if affine.is_tiny() {
                planned(truncated_normal::TruncatedNormal::<true>(affine), words)
            } else {
                planned(truncated_normal::TruncatedNormal::<false>(affine), words)
            }
        }
    })
}

fn planned<D: Sampler<f32> + 'static>(sampler: D, words: ThreefryWords) -> Box<dyn Plan> {
    Box::new(SamplerPlan::<f32, _, _>::new(sampler, words, None))
}
