//! Uniform values on [low, high).
//!
//! float32: the upper 24 bits k of a word give `k * scale + low`; float64: the upper 52 bits of
//! two words give `(k / 2^52) * range + low`. Multiplication and addition round separately. Scale
//! and range are chosen so that the value of the largest k is below `high`; so all values are.
//! Consumes one word an element (two for float64). Stability: Stable.

use crate::element::format::Format;
use crate::simd::Simd;
use crate::stream::counter::sampler::{
    Bounds, GROUP, Group, Sampler, from_octave, in_order, pairs_in_order,
};

/// `value(k) = k * scale + low`, for the float32 lattice of k = 0 .. 2^24-1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UniformF32 {
    scale: f32,
    low: f32,
}

/// `value(u) = u * range + low`, for the float64 lattice of u = 0 .. 1-2^-52.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UniformF64 {
    range: f64,
    low: f64,
}

/// The lowest and the highest number of `format` in [low, high), or, if there is none, the number
/// nearest to `low`, twice.
pub(crate) fn support(format: Format, low: f64, high: f64) -> Bounds {
    Bounds::or_nearest(format, format.ceil(low), format.floor(high.next_down()), low)
}

impl UniformF32 {
    /// Values in [low, high), held within `bounds`, the support in float32.
    pub(crate) fn new(low: f64, high: f64, bounds: Bounds) -> Self {
        const MAX_K: f32 = ((1u32 << 24) - 1) as f32;
        let first = bounds.low as f32;
        let last = bounds.high as f32;
        let reaches = |scale: f32| MAX_K * scale + first > last;
        let mut scale = ((high - low) / f64::from(1u32 << 24)) as f32;
        if reaches(scale) {
            scale = ((f64::from(last) - f64::from(first)) / f64::from(MAX_K)) as f32;
            while reaches(scale) {
                scale = scale.next_down();
            }
        }
        Self { scale, low: first }
    }
}

impl UniformF64 {
    /// Values in [low, high), held within `bounds`, the support in float64.
    pub(crate) fn new(low: f64, high: f64, bounds: Bounds) -> Self {
        const MAX_U: f64 = 1.0 - f64::EPSILON;
        let reaches = |range: f64| MAX_U * range + bounds.low > bounds.high;
        let mut range = high - low;
        if reaches(range) {
            range = bounds.high - bounds.low;
            while reaches(range) {
                range = range.next_down();
            }
        }
        Self { range, low: bounds.low }
    }
}

impl Sampler<f32> for UniformF32 {
    type Splat<S: Simd> = [S::F32; 2];

    #[inline(always)]
    fn splat<S: Simd>(&self, simd: S) -> [S::F32; 2] {
        [simd.splat_f32(self.scale), simd.splat_f32(self.low)]
    }

    #[inline(always)]
    fn sample<S: Simd>(simd: S, [scale, low]: [S::F32; 2], words: Group<S::U64>) -> Group<S::F32> {
        let mut values = [[low; 2]; GROUP];
        for (value, words) in values.as_flattened_mut().iter_mut().zip(words.as_flattened()) {
            let k = simd.i32_to_f32(simd.shr_u32::<8>(simd.u64_as_u32(*words)));
            *value = simd.add_f32(simd.mul_f32(k, scale), low);
        }
        in_order(simd, values)
    }
}

impl Sampler<f64> for UniformF64 {
    type Splat<S: Simd> = [S::F64; 2];

    #[inline(always)]
    fn splat<S: Simd>(&self, simd: S) -> [S::F64; 2] {
        [simd.splat_f64(self.range), simd.splat_f64(self.low)]
    }

    #[inline(always)]
    fn sample<S: Simd>(simd: S, [range, low]: [S::F64; 2], words: Group<S::U64>) -> Group<S::F64> {
        let words = pairs_in_order(simd, words);
        let mut values = [[low; 2]; GROUP];
        for (value, words) in values.as_flattened_mut().iter_mut().zip(words.as_flattened()) {
            let u = simd.sub_f64(from_octave(simd, 1.0, *words), simd.splat_f64(1.0));
            *value = simd.add_f64(simd.mul_f64(u, range), low);
        }
        values
    }
}
