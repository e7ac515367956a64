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
    /// Spreads the parameters.
    fn splat<S: Simd>(&self, simd: S) -> Self::Splat<S>;
    /// Transforms two vectors of blocks.
    fn sample<S: Simd>(
        simd: S,
        parameters: Self::Splat<S>,
        words: [[S::U64; 2]; 2],
    ) -> [L::Vector<S>; 4];
}

/// The closed interval that values are held in, its ends numbers of the element type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds {
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Bounds {
    /// `self`, unless values that never leave `range` stay inside of themselves. A bound of 0
    /// gives its sign to zeros, so such a one must not be reached.
    pub(crate) fn needed_by(self, range: Self) -> Option<Self> {
        let inside = |low: f64, high: f64| low < high || low == high && low != 0.0;
        let idle = inside(self.low, range.low) && inside(range.high, self.high);
        (!idle).then_some(self)
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

/// The words of two vectors of blocks in natural order.
#[inline(always)]
pub(crate) fn in_order<S: Simd>(simd: S, [p, q]: [[S::U64; 2]; 2]) -> [S::U64; 4] {
    let (a, b) = simd.interleave_u64(p[0], p[1]);
    let (c, d) = simd.interleave_u64(q[0], q[1]);
    [a, b, c, d]
}

/// Horner's rule for K polynomials at K points, side by side: to `start` come, from the last on,
/// the coefficients `rest`, as many of each polynomial, and every step rounds.
#[inline(always)]
pub(crate) fn horner_f32<S: Simd, const K: usize>(
    simd: S,
    start: [S::F32; K],
    rest: [&[f32]; K],
    x: [S::F32; K],
) -> [S::F32; K] {
    let mut sums = start;
    let mut i = rest[0].len();
    while i > 0 {
        i -= 1;
        for k in 0..K {
            sums[k] = simd.add_f32(simd.mul_f32(sums[k], x[k]), simd.splat_f32(rest[k][i]));
        }
        sums = simd.in_step_f32(sums);
    }
    sums
}

/// [`horner_f32`] in float64.
#[inline(always)]
pub(crate) fn horner_f64<S: Simd, const K: usize>(
    simd: S,
    start: [S::F64; K],
    rest: [&[f64]; K],
    x: [S::F64; K],
) -> [S::F64; K] {
    let mut sums = start;
    let mut i = rest[0].len();
    while i > 0 {
        i -= 1;
        for k in 0..K {
            sums[k] = simd.add_f64(simd.mul_f64(sums[k], x[k]), simd.splat_f64(rest[k][i]));
        }
        sums = simd.in_step_f64(sums);
    }
    sums
}
