//! Normal values of the jax stream within two standard deviations, in float32: `sqrt(2) *
//! erf_inv(u)` of a uniform u between the values of erf at the bounds.
//!
//! As `jax.random.truncated_normal`: u is made of 23 bits. Consumes one word an element.
//! Stability: Exact.

use super::affine::{self, Affine};
use super::erf_inv::erf_inv_central;
use super::normal::STEP;
use super::uniform::uniform;
use crate::simd::Simd;
use crate::stream::counter::sampler::{Group, Sampler};

/// erf(sqrt(2)) as XLA computes it.
const ERF_BOUND: f32 = f32::from_bits(0x3f74_5a18);
/// The largest number below 2, where values are held.
const BELOW_TWO: f32 = 2.0f32.next_down();

/// `z * stddev + mean`; with `TINY` subnormal numbers may come up.
#[derive(Clone, Copy, Debug)]
pub(super) struct TruncatedNormal<const TINY: bool>(pub(super) Affine);

impl<const TINY: bool> Sampler<f32> for TruncatedNormal<TINY> {
    type Splat<S: Simd> = [S::F32; 2];

    #[inline(always)]
    fn splat<S: Simd>(&self, simd: S) -> [S::F32; 2] {
        self.0.splat::<S, TINY>(simd)
    }

    #[inline(always)]
    fn sample<S: Simd>(simd: S, affine: [S::F32; 2], words: Group<S::U64>) -> Group<S::F32> {
        let (low, range) = (simd.splat_f32(-ERF_BOUND), simd.splat_f32(2.0 * ERF_BOUND));
        let mut values = uniform(simd, low, range, words);
        for u in values.as_flattened_mut().as_chunks_mut::<STEP>().0 {
            *u = erf_inv_central(simd, *u);
            for z in u {
                *z = simd.mul_f32(*z, simd.splat_f32(std::f32::consts::SQRT_2));
                *z = simd.max_f32(*z, simd.splat_f32(-BELOW_TWO));
                *z = simd.min_f32(*z, simd.splat_f32(BELOW_TWO));
                *z = affine::apply::<S, TINY>(simd, affine, *z);
            }
        }
        values
    }
}
