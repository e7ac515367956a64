//! Normal values of the jax stream in float32: `sqrt(2) * erf_inv(u)` of a uniform u in (-1, 1).
//!
//! As `jax.random.normal`: u is made of 23 bits, so there are 2^23 values; the farthest lie 5.42
//! standard deviations out. Consumes one word an element. Stability: Exact.

use super::affine::{self, Affine};
use super::erf_inv::erf_inv;
use super::uniform::uniform;
use crate::simd::Simd;
use crate::stream::counter::sampler::{Group, Sampler};

/// The largest number below 1, whose negative is the least u.
const BELOW_ONE: f32 = 1.0f32.next_down();
/// What u spans, from there to 1, as float32 rounds it.
const RANGE: f32 = 1.0 + BELOW_ONE;
/// Vectors that are transformed together.
pub(super) const STEP: usize = 2;

/// `z * stddev + mean`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Normal(pub(super) Affine);

impl Sampler<f32> for Normal {
    const HOLDS: bool = false;

    type Splat<S: Simd> = affine::Splat<S>;

    #[inline(always)]
    fn splat<S: Simd>(&self, simd: S) -> affine::Splat<S> {
        self.0.splat(simd)
    }

    #[inline(always)]
    fn sample<S: Simd>(simd: S, affine: affine::Splat<S>, words: Group<S::U64>) -> Group<S::F32> {
        let (low, range) = (simd.splat_f32(-BELOW_ONE), simd.splat_f32(RANGE));
        let mut values = uniform(simd, low, range, words);
        for values in values.as_flattened_mut().as_chunks_mut::<STEP>().0 {
            *values = erf_inv(simd, *values);
            for z in values {
                *z = simd.mul_f32(*z, simd.splat_f32(std::f32::consts::SQRT_2));
            }
        }
        affine::apply(simd, affine, values)
    }
}
