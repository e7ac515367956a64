//! The types that samplers compute in, as lanes of vectors.

use crate::simd::Simd;

/// float32 or float64: what a dtype's values are computed in.
pub(crate) trait Lane: Copy + Send + Sync + 'static {
    /// Elements that one Philox block of four words makes.
    const PER_BLOCK: usize;
    /// A vector of them.
    type Vector<S: Simd>: Copy;
    /// Every lane `x`, which must be a number of this type.
    fn splat<S: Simd>(simd: S, x: f64) -> Self::Vector<S>;
    /// `a` held between `low` and `high`.
    fn hold<S: Simd>(
        simd: S,
        a: Self::Vector<S>,
        low: Self::Vector<S>,
        high: Self::Vector<S>,
    ) -> Self::Vector<S>;
}

impl Lane for f32 {
    const PER_BLOCK: usize = 4;
    type Vector<S: Simd> = S::F32;
    #[inline(always)]
    fn splat<S: Simd>(simd: S, x: f64) -> S::F32 {
        simd.splat_f32(x as f32)
    }
    #[inline(always)]
    fn hold<S: Simd>(simd: S, a: S::F32, low: S::F32, high: S::F32) -> S::F32 {
        simd.max_f32(simd.min_f32(a, high), low)
    }
}

impl Lane for f64 {
    const PER_BLOCK: usize = 2;
    type Vector<S: Simd> = S::F64;
    #[inline(always)]
    fn splat<S: Simd>(simd: S, x: f64) -> S::F64 {
        simd.splat_f64(x)
    }
    #[inline(always)]
    fn hold<S: Simd>(simd: S, a: S::F64, low: S::F64, high: S::F64) -> S::F64 {
        simd.max_f64(simd.min_f64(a, high), low)
    }
}
