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

/// `z * stddev + mean`.
#[derive(Clone, Copy, Debug)]
pub(super) struct TruncatedNormal(pub(super) Affine);

impl Sampler<f32> for TruncatedNormal {
    const HOLDS: bool = false;

    type Splat<S: Simd> = affine::Splat<S>;

    #[inline(always)]
    fn splat<S: Simd>(&self, simd: S) -> affine::Splat<S> {
        self.0.splat(simd)
    }

    #[inline(always)]
    fn sample<S: Simd>(simd: S, affine: affine::Splat<S>, words: Group<S::U64>) -> Group<S::F32> {
        let (low, range) = (simd.splat_f32(-ERF_BOUND), simd.splat_f32(2.0 * ERF_BOUND));
        let mut values = uniform(simd, low, range, words);
        for values in values.as_flattened_mut().as_chunks_mut::<STEP>().0 {
            *values = erf_inv_central(simd, *values);
            for z in values {
                *z = simd.mul_f32(*z, simd.splat_f32(std::f32::consts::SQRT_2));
                *z = simd.max_f32(*z, simd.splat_f32(-BELOW_TWO));
                *z = simd.min_f32(*z, simd.splat_f32(BELOW_TWO));
            }
        }
        affine::apply(simd, affine, values)
    }
}
