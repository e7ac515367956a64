//! Uniform values of the jax stream in float32: 23 bits of a word are the fraction of a number in
//! [1, 2); that number less 1 is multiplied and added in one fused operation.
//!
//! As `jax.random.uniform`, which takes the larger of the result and the lower bound; where the
//! bounds are in the wrong order that is the lower bound. Consumes one word an element.
//! Stability: Exact.

use super::affine::{SCALE, flushed, is_tiny, scaled_down};
use crate::simd::Simd;
use crate::stream::counter::sampler::{GROUP, Group, Sampler, in_order};

/// Values of `[low, low + range)`, both scaled up if `tiny`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Uniform {
    low: f32,
    range: f32,
    /// Whether subnormal numbers may come up.
    tiny: bool,
}

impl Uniform {
    pub(super) fn new(low: f32, high: f32) -> Self {
        let (low, high) = (flushed(low), flushed(high));
        let range = flushed(high - low);
        let tiny = is_tiny(range);
        let scale = if tiny { SCALE } else { 1.0 };
        Self { low: low * scale, range: range * scale, tiny }
    }
}

/// Multiples of 2^-23 in [0, 1): the upper bits of words.
#[inline(always)]
fn fractions<S: Simd>(simd: S, words: S::U64) -> S::F32 {
    let fraction = simd.shr_u32::<9>(simd.u64_as_u32(words));
    let octave = simd.or_u32(fraction, simd.splat_u32(1f32.to_bits()));
    simd.sub_f32(simd.from_bits_f32(octave), simd.splat_f32(1.0))
}

/// `fraction * range + low` of a group's words, in natural order.
#[inline(always)]
pub(super) fn uniform<S: Simd>(
    simd: S,
    low: S::F32,
    range: S::F32,
    words: Group<S::U64>,
) -> Group<S::F32> {
    let mut values = [[low; 2]; GROUP];
    for (value, words) in values.as_flattened_mut().iter_mut().zip(words.as_flattened()) {
        *value = simd.mul_add_f32(fractions(simd, *words), range, low);
    }
    in_order(simd, values)
}

/// [`Uniform`] in every lane.
#[derive(Clone, Copy)]
pub(super) struct Splat<S: Simd> {
    low: S::F32,
    range: S::F32,
    tiny: bool,
}

impl Sampler<f32> for Uniform {
    const HOLDS: bool = false;

    type Splat<S: Simd> = Splat<S>;

    #[inline(always)]
    fn splat<S: Simd>(&self, simd: S) -> Splat<S> {
        Splat { low: simd.splat_f32(self.low), range: simd.splat_f32(self.range), tiny: self.tiny }
    }

    #[inline(always)]
    fn sample<S: Simd>(simd: S, parameters: Splat<S>, words: Group<S::U64>) -> Group<S::F32> {
        let Splat { low, range, tiny } = parameters;
        let mut values = uniform(simd, low, range, words);
        for value in values.as_flattened_mut() {
            // NaN stays: it is not below anything.
            *value = simd.max_f32(low, *value);
            if tiny {
                *value = scaled_down(simd, *value);
            }
        }
        values
    }
}
