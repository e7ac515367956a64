//! What all samplers of the native stream have in common.

use super::format::Format;
use super::lane::Lane;
use crate::simd::Simd;

/// A transform of random words to values of type `L`, element by element.
///
/// `words` are words (0, 1) and (2, 3) of the blocks in the lanes; the result is the values of
/// the same blocks in natural order.
pub(crate) trait Sampler<L: Lane>: Copy + Send + Sync {
    /// The parameters in every lane.
    type Splat<S: Simd>: Copy;
    /// Bounds of all values, before they are held in others or rounded to an element type.
    fn range(&self) -> Bounds;
    /// Spreads the parameters.
    fn splat<S: Simd>(&self, simd: S) -> Self::Splat<S>;
    /// Transforms one vector of blocks.
    fn sample<S: Simd>(
        simd: S,
        parameters: Self::Splat<S>,
        words: [S::U64; 2],
    ) -> [L::Vector<S>; 2];
}

/// The closed interval that values are held in, its ends numbers of the element type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds {
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Bounds {
    /// Every number.
    pub(crate) const NONE: Self = Self { low: f64::NEG_INFINITY, high: f64::INFINITY };

    /// Whether no number within `self` lies outside of `other`.
    pub(crate) fn lie_within(self, other: Self) -> bool {
        other.low <= self.low && self.high <= other.high
    }

    /// `[low, high]`, or, where no number of `format` lies between, the one nearest to `fallback`.
    pub(crate) fn or_nearest(format: Format, low: f64, high: f64, fallback: f64) -> Self {
        if low <= high {
            Self { low, high }
        } else {
            let nearest = format.nearest(fallback);
            Self { low: nearest, high: nearest }
        }
    }
}

/// The upper 52 bits of each lane as the fraction of a float64 in [1, 2).
#[inline(always)]
pub(crate) fn one_to_two<S: Simd>(simd: S, words: S::U64) -> S::F64 {
    simd.from_bits_f64(simd.or_u64(simd.shr_u64::<12>(words), simd.splat_u64(1f64.to_bits())))
}

/// `coefficients[0] + x * (coefficients[1] + ...)` by Horner's rule, rounding every step.
#[inline(always)]
pub(crate) fn horner_f32<S: Simd, const N: usize>(
    simd: S,
    coefficients: &[f32; N],
    x: S::F32,
) -> S::F32 {
    let mut sum = simd.splat_f32(coefficients[N - 1]);
    let mut i = N - 1;
    while i > 0 {
        i -= 1;
        sum = simd.add_f32(simd.mul_f32(sum, x), simd.splat_f32(coefficients[i]));
    }
    sum
}

/// [`horner_f32`] in float64.
#[inline(always)]
pub(crate) fn horner_f64<S: Simd, const N: usize>(
    simd: S,
    coefficients: &[f64; N],
    x: S::F64,
) -> S::F64 {
    let mut sum = simd.splat_f64(coefficients[N - 1]);
    let mut i = N - 1;
    while i > 0 {
        i -= 1;
        sum = simd.add_f64(simd.mul_f64(sum, x), simd.splat_f64(coefficients[i]));
    }
    sum
}
