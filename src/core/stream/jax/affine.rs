//! `z * stddev + mean` as JAX computes it: two operations, each rounded, and what is below the normal
//! numbers is zero.
//!
//! XLA runs kernels in the processor's mode that takes subnormal numbers for zero and flushes them to
//! it, keeping the sign. Here nothing depends on modes. Factors below [`TINY`] are scaled up by
//! [`SCALE`], so that products are normal numbers; those that were not to be are found by their
//! size and become zero. Other factors make no subnormal number of what it can be multiplied with.

use crate::simd::Simd;
use crate::stream::counter::sampler::Group;

/// 2^-70. Factors are 0 or at least 2^-24, and numbers of float32 that differ, differ by at least
/// 2^-23 of the larger one: above this, products and sums are 0 or at least 2^-125.
const TINY: f32 = f32::from_bits((127 - 70) << 23);
/// 2^64.
pub(super) const SCALE: f32 = f32::from_bits((127 + 64) << 23);

/// Whether subnormal numbers may follow from the factor `x`.
pub(super) fn is_tiny(x: f32) -> bool {
    x != 0.0 && x.abs() < TINY
}

/// `x`, or zero if it is subnormal.
pub(super) fn flushed(x: f32) -> f32 {
    if x.is_subnormal() { 0.0f32.copysign(x) } else { x }
}

/// The parameters of `z * stddev + mean`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Affine {
    mean: f32,
    stddev: f32,
}

impl Affine {
    pub(super) fn new(mean: f32, stddev: f32) -> Self {
        Self { mean: flushed(mean), stddev: flushed(stddev) }
    }

    /// What [`apply`] takes.
    #[inline(always)]
    pub(super) fn splat<S: Simd>(&self, simd: S) -> Splat<S> {
        let tiny = is_tiny(self.stddev);
        let stddev = if tiny { self.stddev * SCALE } else { self.stddev };
        Splat { mean: simd.splat_f32(self.mean), stddev: simd.splat_f32(stddev), tiny }
    }
}

/// [`Affine`] in every lane.
#[derive(Clone, Copy)]
pub(super) struct Splat<S: Simd> {
    mean: S::F32,
    /// Scaled up if `tiny`.
    stddev: S::F32,
    /// Whether subnormal numbers may come up.
    tiny: bool,
}

/// `z * stddev + mean` of a group.
#[inline(always)]
pub(super) fn apply<S: Simd>(simd: S, affine: Splat<S>, z: Group<S::F32>) -> Group<S::F32> {
    let mut values = z;
    for value in values.as_flattened_mut() {
        *value = simd.mul_f32(*value, affine.stddev);
        if affine.tiny {
            *value = scaled_down(simd, *value);
        }
        *value = simd.add_f32(*value, affine.mean);
        if affine.tiny {
            // The sum is exact where it is subnormal.
            *value = zero_below(simd, *value, f32::MIN_POSITIVE);
        }
    }
    values
}

/// `x / SCALE`, which is zero where it would be subnormal.
#[inline(always)]
pub(super) fn scaled_down<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    let kept = zero_below(simd, x, f32::MIN_POSITIVE * SCALE);
    simd.mul_f32(kept, simd.splat_f32(1.0 / SCALE))
}

/// `x`, or the zero of its sign where `|x| < bound`.
#[inline(always)]
fn zero_below<S: Simd>(simd: S, x: S::F32, bound: f32) -> S::F32 {
    let bits = simd.bits_f32(x);
    let magnitude = simd.and_u32(bits, simd.splat_u32(0x7fff_ffff));
    let zero = simd.and_u32(bits, simd.splat_u32(1 << 31));
    let bound = simd.splat_u32(bound.to_bits());
    simd.from_bits_f32(simd.select_lt_i32(magnitude, bound, zero, bits))
}
