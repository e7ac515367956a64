//! The stream of Keras' TensorFlow backend.
//!
//! Method: seed and call number, scrambled by one block of Philox4x32-10, are the key and the upper
//! half of the counter of another; uniform values are low bits of words, normal ones are Box and
//! Muller's with the C library's logarithm, sine and cosine, truncated ones are redrawn in groups of
//! one block. Every operation of the scaling rounds to the element type, as TensorFlow's does.
//!
//! A value consumes one word, two where it is a float64; a truncated one on average 1.17 times that.
//! All elements have random access: a group of truncated values has 256 words for each.
//!
//! Stability: Exact(`keras.random` and `keras.initializers`, Keras 3.15, on TensorFlow 2.21, CPU,
//! eager or in a `tf.function` that XLA does not compile, glibc 2.28 to 2.43). float64 normals call
//! the logarithm, sine and cosine of this machine's C library, as TensorFlow does: they are exact
//! beside a TensorFlow on the same machine. Which NaN a NaN is, is not promised. Orthogonal: the
//! Gaussian exactly, its QR factor to rounding.

use super::counter::fill::fill;
use super::counter::random_access::fill_block;
use super::counter::sampler::Sampler;
use super::plan::{Key, Plan, Stream};
use crate::block::Block;
use crate::distribution::{Distribution, Values};
use crate::element::{DType, OutMut, bf16, f16};
use crate::error::{Error, shown};
use crate::linalg;
use crate::parallel::Exec;
use crate::rng::philox::{self, PhiloxWords};
use crate::simd::{Lane, lend};

mod normal;
mod orthogonal;
mod scale;
#[cfg(test)]
mod tests;
mod truncated_normal;
mod uniform;

use normal::Normal;
use scale::{Affine, Computed, Scaled};
use truncated_normal::TruncatedPlan;
use uniform::Unit;

/// The stream of Keras' TensorFlow backend.
#[derive(Debug)]
pub(super) struct TensorFlow;

/// Keras takes both words of a state, signed integers, modulo this.
const STATE_END: i64 = (1 << 31) - 2;

/// The key of the block that scrambles a state.
const SCRAMBLING_KEY: [u32; 2] = [0x3ec8_f720, 0x0246_1e29];

/// Where Keras truncates, in standard deviations.
const TWO_SIGMA: f64 = 2.0;

/// The words of a tensor.
fn words(key: Key) -> PhiloxWords {
    let [seed, draw] =
        [key.seed as i64, key.draw.into()].map(|word: i64| word.rem_euclid(STATE_END) as u32);
    let [key0, key1, counter2, counter3] = philox::block(SCRAMBLING_KEY, [seed, 0, draw, 0]);
    PhiloxWords { key: [key0, key1], counter: [counter2, counter3] }
}

impl Stream for TensorFlow {
    fn id(&self) -> &'static str {
        "tensorflow"
    }

    fn plan(
        &self,
        values: &Values,
        key: Key,
        shape: &[usize],
        dtype: DType,
    ) -> Result<Box<dyn Plan>, Error> {
        let words = words(key);
        match *values {
            Values::Independent(distribution) => match dtype {
                DType::F16 => plan::<f16>(&distribution, words),
                DType::BF16 => plan::<bf16>(&distribution, words),
                DType::F32 => plan::<f32>(&distribution, words),
                DType::F64 => plan::<f64>(&distribution, words),
                DType::F8E4M3Fn | DType::F8E5M2 => {
                    let rule = "must be float16, bfloat16, float32 or float64 on this stream";
                    Err(Error::value("dtype", rule, dtype.name()))
                }
            },
            Values::Orthogonal { gain } => {
                let cost = linalg::orthogonal::cost(gain, shape)?;
                let standard = Distribution::Normal { mean: 0.0, stddev: 1.0 };
                let gaussian = match dtype {
                    DType::F16 => plan::<f16>(&standard, words)?,
                    DType::F32 => plan::<f32>(&standard, words)?,
                    DType::F64 => plan::<f64>(&standard, words)?,
                    DType::BF16 | DType::F8E4M3Fn | DType::F8E5M2 => {
                        let rule = "must be float16, float32 or float64 on this stream";
                        return Err(Error::value("dtype", rule, dtype.name()));
                    }
                };
                Ok(Box::new(OrthogonalPlan { gaussian, gain, cost }))
            }
        }
    }
}

/// A plan for independent elements of type `E`.
fn plan<E: Computed>(
    distribution: &Distribution,
    words: PhiloxWords,
) -> Result<Box<dyn Plan>, Error>
where
    Unit<E>: Sampler<E::Lane>,
    Normal<E>: Sampler<E::Lane>,
    Normal<E::Lane>: Sampler<E::Lane>,
{
    Ok(match *distribution {
        Distribution::Uniform { low, high } => {
            let [low, high] = [bound::<E>("minval", low)?, bound::<E>("maxval", high)?];
            scaled(Unit::<E>::NEW, Affine::<E>::between(low, high), words)
        }
        Distribution::Normal { mean, stddev } => scaled(
            Normal::<E>::NEW,
            Affine::<E>::new(E::constant(stddev), E::constant(mean)),
            words,
        ),
        Distribution::TruncatedNormal { mean, stddev, lower, upper } => {
            if (lower, upper) != (-TWO_SIGMA, TWO_SIGMA) {
                let rule = "must be -2, and `upper` 2, on this stream";
                return Err(Error::value("lower", rule, format!("{lower:?}, upper={upper:?}")));
            }
            let affine = Affine::<E>::new(E::constant(stddev), E::constant(mean));
            Box::new(TruncatedPlan { affine, words })
        }
    })
}

/// A bound of a uniform distribution as `tf.cast` makes it of a number of Python, by way of float32.
fn bound<E: Computed>(argument: &'static str, x: f64) -> Result<E::Lane, Error> {
    let single = x as f32;
    if single.is_infinite() && x.is_finite() {
        return Err(Error::value(argument, "must be within the range of float32", shown(x)));
    }
    // The cast takes subnormal numbers as 0.
    let normal = if single.is_subnormal() { 0f32.copysign(single) } else { single };
    Ok(E::constant(normal.into()))
}

/// A plan for the values of a sampler, scaled.
fn scaled<E: Computed, D: Sampler<E::Lane> + 'static>(
    standard: D,
    affine: Affine<E>,
    words: PhiloxWords,
) -> Box<dyn Plan> {
    if affine.may_underflow() {
        let standard = Scaled { standard, affine: Affine::IDENTITY };
        return Box::new(UnderflowPlan { standard, affine, words });
    }
    Box::new(ScaledPlan { sampler: Scaled { standard, affine }, words })
}

/// A plan for values that are scaled as they are drawn.
struct ScaledPlan<E: Computed, D> {
    sampler: Scaled<E, D>,
    words: PhiloxWords,
}

impl<E: Computed, D: Sampler<E::Lane>> Plan for ScaledPlan<E, D> {
    fn cost(&self, block: &Block) -> usize {
        block.len()
    }

    fn fill(&self, block: &Block, out: OutMut<'_>, exec: &Exec<'_>) -> Result<(), Error> {
        fill_block(block, E::of(out)?, exec, |first, to| {
            fill::<E, _>(self.sampler, self.words, None, first, to);
        })
    }
}

/// A plan for values that may be subnormal, which TensorFlow takes for zeros: they are scaled one
/// by one.
struct UnderflowPlan<E: Computed, D> {
    standard: Scaled<E, D>,
    affine: Affine<E>,
    words: PhiloxWords,
}

impl<E: Computed, D: Sampler<E::Lane>> Plan for UnderflowPlan<E, D> {
    fn cost(&self, block: &Block) -> usize {
        block.len()
    }

    fn fill(&self, block: &Block, out: OutMut<'_>, exec: &Exec<'_>) -> Result<(), Error> {
        fill_block(block, E::of(out)?, exec, |first, to| {
            let mut values = [E::rounded(E::Lane::ZERO); 256];
            let mut first = first;
            for to in to.chunks_mut(values.len()) {
                let values = &mut values[..to.len()];
                fill::<E, _>(self.standard, self.words, None, first, lend(values));
                for (to, value) in to.iter_mut().zip(values) {
                    to.write(self.affine.without_subnormals(*value));
                }
                first += to.len() as u64;
            }
        })
    }
}

/// A plan for Q of the tensor's Gaussian.
struct OrthogonalPlan {
    gaussian: Box<dyn Plan>,
    gain: f64,
    cost: usize,
}

impl Plan for OrthogonalPlan {
    fn cost(&self, _block: &Block) -> usize {
        self.cost
    }

    fn fill(&self, block: &Block, out: OutMut<'_>, exec: &Exec<'_>) -> Result<(), Error> {
        orthogonal::fill(self.gain, block, out, exec, |block, to| {
            self.gaussian.fill(block, to, exec)
        })
    }
}
