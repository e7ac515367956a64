//! What samplers have in common: how values are made of words, a page of values at a time.

use std::mem::MaybeUninit;

use crate::element::round::Round;
use crate::element::{Element, bf16, f16};
use crate::rng::mt19937::temper_lanes;
use crate::simd::Simd;
use crate::stream::counter::store::Store;

/// Values of a page of those computed in float32: a multiple of what any instruction set makes
/// at a time.
pub(super) const VALUES: usize = 1280;

/// The largest number of words that a page takes.
pub(super) const MAX_WORDS: usize = 4 * VALUES;

/// Words in a block of torch's `normal`, as many as values.
pub(super) const LANES: usize = 16;

/// The most 32-bit lanes of a vector.
pub(super) const MAX_LANES: usize = 16;

/// Pairs of vectors of words that normal values are made of at a time.
pub(super) const PAIRS: usize = 2;

/// The most values that are made at a time: two of a pair's lanes.
pub(super) const MAX_STEP: usize = PAIRS * 2 * MAX_LANES;

/// How the elements of a tensor are made of the words of the generator.
///
/// All but some of the last elements are made in pages: `VALUES` elements of `WORDS` words, the
/// first of the first words and so on.
pub(super) trait Sampler: Copy + Send + Sync {
    /// The type of the elements.
    type Element: Element;
    /// Elements of a page.
    const VALUES: usize;
    /// Words of a page.
    const WORDS: usize;
    /// What an element costs, in elements of the native stream.
    const COST: usize = 1;

    /// How the last elements of a tensor of `len` elements are made.
    fn ending(&self, len: u64) -> Ending;

    /// Writes the first elements of a page to the whole of `out`. Part of a kernel.
    ///
    /// `words` are untempered. They are those of the page as far as the elements need them,
    /// and memory for at least as many words as a page has.
    fn sample<S: Simd>(self, simd: S, words: &[u32], out: &mut [MaybeUninit<Self::Element>]);

    /// All elements of a tensor of which torch makes the values one by one. `words` are untempered.
    fn sample_few(&self, words: &[u32], out: &mut [MaybeUninit<Self::Element>]) {
        let _ = (words, out);
    }
}

/// How the last elements of a tensor are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Like all others.
    None,
    /// The last elements, as many as a block has, of the block of words that begins with this one.
    Block {
        /// The number of the first word.
        word: u64,
        /// The number of elements.
        len: u64,
    },
    /// All elements one by one, by [`Sampler::sample_few`].
    Few,
}

impl Ending {
    /// That of `torch.normal` for `len` values computed in float32 for elements `E`, each
    /// element taking `values` of them.
    pub(super) fn of_normal<E: Element>(len: u64, values: u64) -> Self {
        let lanes = LANES as u64;
        let all = len * values;
        if all < lanes {
            Self::Few
        } else if all.is_multiple_of(lanes) {
            Self::None
        } else {
            // float32 takes words for the incomplete block, which is made again; the 16-bit types
            // do not.
            let word = if size_of::<E>() == 4 { all } else { all - all % lanes };
            Self::Block { word, len: lanes / values }
        }
    }
}

/// An element type whose values are computed in float32.
pub(super) trait Single: Store<Lane = f32> + Round<f32> {
    /// The numbers of the type that are nearest to the lanes, even ones of two.
    fn nearest<S: Simd>(simd: S, a: S::F32) -> S::F32;
    /// The number as a float32.
    fn widened(self) -> f32;
}

impl Single for f32 {
    #[inline(always)]
    fn nearest<S: Simd>(_simd: S, a: S::F32) -> S::F32 {
        a
    }
    fn widened(self) -> f32 {
        self
    }
}

impl Single for bf16 {
    #[inline(always)]
    fn nearest<S: Simd>(simd: S, a: S::F32) -> S::F32 {
        simd.from_bits_f32(rounded_off::<S, 16>(simd, simd.bits_f32(a)))
    }
    fn widened(self) -> f32 {
        self.to_f32()
    }
}

impl Single for f16 {
    #[inline(always)]
    fn nearest<S: Simd>(simd: S, a: S::F32) -> S::F32 {
        let bits = simd.bits_f32(a);
        let sign = simd.and_u32(bits, simd.splat_u32(1 << 31));
        let magnitude = simd.xor_u32(bits, sign);
        let normal = rounded_off::<S, 13>(simd, magnitude);
        // The unit in the last place of 0.5 is 2^-24, float16's smallest number.
        let half = simd.splat_f32(0.5);
        let sum = simd.add_f32(simd.from_bits_f32(magnitude), half);
        let subnormal = simd.bits_f32(simd.sub_f32(sum, half));
        let smallest_normal = simd.splat_u32((2.0f32.powi(-14)).to_bits());
        let finite = simd.select_lt_i32(magnitude, smallest_normal, subnormal, normal);
        // Half a unit above the largest finite number, from where on everything is infinite.
        let infinite = simd.splat_u32(65520f32.to_bits());
        let infinity = simd.splat_u32(f32::INFINITY.to_bits());
        let number = simd.select_lt_i32(magnitude, infinite, finite, infinity);
        let rounded = simd.select_lt_i32(infinity, magnitude, magnitude, number);
        simd.from_bits_f32(simd.or_u32(rounded, sign))
    }
    fn widened(self) -> f32 {
        self.to_f32()
    }
}

/// `bits` without the low `DROP` ones, rounded to nearest even.
#[inline(always)]
fn rounded_off<S: Simd, const DROP: u32>(simd: S, bits: S::U32) -> S::U32 {
    let odd = simd.and_u32(simd.shr_u32::<DROP>(bits), simd.splat_u32(1));
    let half = simd.add_u32(odd, simd.splat_u32((1 << (DROP - 1)) - 1));
    simd.and_u32(simd.add_u32(bits, half), simd.splat_u32(u32::MAX << DROP))
}

/// `x * factor + shift` as torch computes it for a tensor and two numbers: in float32, the result
/// of either operation rounded to the element type, whose `shift` is a number of that type and
/// whose `factor` is not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Affine {
    factor: f32,
    shift: f32,
}

impl Affine {
    pub(super) fn new<E: Single>(factor: f64, shift: f64) -> Self {
        Self { factor: number(factor), shift: E::rounded(number(shift)).widened() }
    }

    /// `self` of every lane; those of `a` are numbers of the type.
    #[inline(always)]
    pub(super) fn apply<S: Simd, E: Single>(self, simd: S, a: S::F32) -> S::F32 {
        let product = E::nearest(simd, simd.mul_f32(a, simd.splat_f32(self.factor)));
        E::nearest(simd, simd.add_f32(product, simd.splat_f32(self.shift)))
    }

    /// `self` of one number of the type.
    pub(super) fn apply_to<E: Single>(self, a: E) -> E {
        let product: E = E::rounded(a.widened() * self.factor);
        E::rounded(product.widened() + self.shift)
    }
}

/// The nearest float32, and one pattern for all NaNs.
pub(super) fn number(x: f64) -> f32 {
    if x.is_nan() { f32::NAN } else { x as f32 }
}

/// 24 bits of the lanes, tempered, as numbers of 24 bits.
#[inline(always)]
pub(super) fn low_bits<S: Simd>(simd: S, words: S::U32) -> S::U32 {
    simd.and_u32(temper_lanes(simd, words), simd.splat_u32(0x00ff_ffff))
}

/// Numbers of 24 bits as floats in [0, 1).
#[inline(always)]
pub(super) fn unit<S: Simd>(simd: S, bits: S::U32) -> S::F32 {
    simd.mul_f32(simd.i32_to_f32(bits), simd.splat_f32(1.0 / (1 << 24) as f32))
}

/// Evaluates an expression again and again, until `out` is written: for the place `at` of the next
/// values, how many of them are wanted, and memory `to` for `size` of them.
macro_rules! in_steps {
    ($out:ident, $size:expr, |$at:ident, $to:ident, $len:ident| $step:expr) => {{
        let size = $size;
        // Of the last values only a part may be wanted.
        let mut edge = [MaybeUninit::uninit(); crate::stream::torch::sampler::MAX_STEP];
        let mut $at = 0;
        while $at < $out.len() {
            let $len = size.min($out.len() - $at);
            let whole = $len == size;
            let $to = if whole { &mut $out[$at..$at + size] } else { &mut edge[..size] };
            $step;
            if !whole {
                $out[$at..].copy_from_slice(&edge[..$len]);
            }
            $at += $len;
        }
    }};
}
pub(super) use in_steps;
const _: () = assert!(VALUES.is_multiple_of(MAX_STEP));
