//! What samplers have in common.

use crate::element::format::Format;
use crate::simd::{Lane, Simd};

/// Vectors of blocks that are transformed together: enough that the processor always finds
/// independent work, and few enough to fit its registers, or nearly.
pub(crate) const GROUP: usize = 4;

/// Elements computed in `L` that one block of four 32-bit words makes.
pub(crate) const fn per_block<L: Lane>() -> usize {
    4 * size_of::<u32>() / size_of::<L>()
}

/// Two vectors for each vector of blocks in a group.
pub(crate) type Group<V> = [[V; 2]; GROUP];

/// A transform of random words to values computed in `L`, element by element.
///
/// `words` are the even and the odd words of vectors of blocks, as
/// [`crate::rng::words::WordBlocks`] gives them. The result is the values of the same blocks in
/// natural order.
pub(crate) trait Sampler<L: Lane>: Copy + Send + Sync {
    /// Whether values may have to be held within bounds afterwards. Where not, no code is made that
    /// does it.
    const HOLDS: bool = true;
    /// The parameters in every lane.
    type Splat<S: Simd>: Copy;
    /// Spreads the parameters to all lanes.
    fn splat<S: Simd>(&self, simd: S) -> Self::Splat<S>;
    /// Transforms a group.
    fn sample<S: Simd>(
        simd: S,
        parameters: Self::Splat<S>,
        words: Group<S::U64>,
    ) -> Group<L::Vector<S>>;
}

/// The closed interval that values are held in, its ends numbers of the element type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds {
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Bounds {
    /// `Some(self)` if values in `range` could leave these bounds and so must be clamped. A
    /// reachable bound of 0 counts: clamping also sets the zero's sign.
    pub(crate) fn needed_by(self, range: Self) -> Option<Self> {
        let inside = |low: f64, high: f64| low < high || low == high && low != 0.0;
        let idle = inside(self.low, range.low) && inside(range.high, self.high);
        (!idle).then_some(self)
    }

    /// `[low, high]`; or, where `low` is above `high`, the number of `format` nearest to
    /// `fallback`, twice.
    pub(crate) fn or_nearest(format: Format, low: f64, high: f64, fallback: f64) -> Self {
        if low <= high {
            Self { low, high }
        } else {
            let nearest = format.nearest(fallback);
            Self { low: nearest, high: nearest }
        }
    }
}

/// Floats from `octave`, a power of two, to twice that: the upper 52 bits of a word are the
/// fraction.
#[inline(always)]
pub(crate) fn from_octave<S: Simd>(simd: S, octave: f64, words: S::U64) -> S::F64 {
    simd.from_bits_f64(simd.or_u64(simd.shr_u64::<12>(words), simd.splat_u64(octave.to_bits())))
}

/// The values made of the even and of the odd words of vectors of blocks, in natural order.
#[inline(always)]
pub(crate) fn in_order<S: Simd>(simd: S, values: Group<S::F32>) -> Group<S::F32> {
    let mut ordered = values;
    for [a, b] in &mut ordered {
        (*a, *b) = simd.interleave_f32(*a, *b);
    }
    ordered
}

/// The words (0, 1) and (2, 3) of vectors of blocks, in natural order.
#[inline(always)]
pub(crate) fn pairs_in_order<S: Simd>(simd: S, words: Group<S::U64>) -> Group<S::U64> {
    let mut pairs = words;
    for [a, b] in &mut pairs {
        let x = simd.from_bits_f32(simd.u64_as_u32(*a));
        let y = simd.from_bits_f32(simd.u64_as_u32(*b));
        let (x, y) = simd.interleave_f32(x, y);
        (*a, *b) = (simd.u32_as_u64(simd.bits_f32(x)), simd.u32_as_u64(simd.bits_f32(y)));
    }
    pairs
}

/// Horner's rule at each of `x`. It begins with `start` and takes the coefficients `rest` from the
/// last to the first; product and sum round separately.
#[inline(always)]
pub(crate) fn horner_f32<S: Simd, const N: usize>(
    simd: S,
    start: [S::F32; N],
    rest: &[f32],
    x: [S::F32; N],
) -> [S::F32; N] {
    let mut sums = start;
    for coefficient in rest.iter().rev() {
        for (sum, x) in sums.iter_mut().zip(x) {
            *sum = simd.add_f32(simd.mul_f32(*sum, x), simd.splat_f32(*coefficient));
        }
    }
    sums
}

/// [`horner_f32`] in float64.
#[inline(always)]
pub(crate) fn horner_f64<S: Simd, const N: usize>(
    simd: S,
    start: [S::F64; N],
    rest: &[f64],
    x: [S::F64; N],
) -> [S::F64; N] {
    let mut sums = start;
    for coefficient in rest.iter().rev() {
        for (sum, x) in sums.iter_mut().zip(x) {
            *sum = simd.add_f64(simd.mul_f64(*sum, x), simd.splat_f64(*coefficient));
        }
        sums = simd.in_step_f64(sums);
    }
    sums
}
