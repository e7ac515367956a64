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

/// `z * stddev + mean`; with `TINY` subnormal numbers may come up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Normal<const TINY: bool>(pub(super) Affine);

impl<const TINY: bool> Sampler<f32> for Normal<TINY> {
    type Splat<S: Simd> = [S::F32; 2];

    #[inline(always)]
    fn splat<S: Simd>(&self, simd: S) -> [S::F32; 2] {
        self.0.splat::<S, TINY>(simd)
    }

    #[inline(always)]
    fn sample<S: Simd>(simd: S, affine: [S::F32; 2], words: Group<S::U64>) -> Group<S::F32> {
        let (low, range) = (simd.splat_f32(-BELOW_ONE), simd.splat_f32(RANGE));
        let mut values = uniform(simd, low, range, words);
        for u in values.as_flattened_mut().as_chunks_mut::<STEP>().0 {
            *u = erf_inv(simd, *u);
            for z in u {
                *z = simd.mul_f32(*z, simd.splat_f32(std::f32::consts::SQRT_2));
                *z = affine::apply::<S, TINY>(simd, affine, *z);
            }
        }
        values
    }
}
