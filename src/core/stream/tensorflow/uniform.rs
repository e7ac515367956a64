//! Uniform values on [0, 1): the low bits of a word are the significand of a number on [1, 2), from
//! which 1 is subtracted. float64: of two words, of which the first has the upper bits.

use std::marker::PhantomData;

use crate::element::{bf16, f16};
use crate::simd::Simd;
use crate::stream::counter::sampler::{GROUP, Group, Sampler, in_order};

/// The standard uniform distribution, in the lattice of `E`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unit<E>(PhantomData<fn() -> E>);

impl<E> Unit<E> {
    pub(super) const NEW: Self = Self(PhantomData);
}

/// The number on [0, 1) that the low bits of each lane make, `BITS` of them.
#[inline(always)]
pub(super) fn unit_f32<S: Simd, const BITS: u32>(simd: S, words: S::U32) -> S::F32 {
    let one = simd.splat_f32(1.0);
    let fraction = simd.and_u32(words, simd.splat_u32((1 << BITS) - 1));
    let octave = match BITS {
        7 => simd.shl_u32::<16>(fraction),
        10 => simd.shl_u32::<13>(fraction),
        _ => fraction,
    };
    simd.sub_f32(simd.from_bits_f32(simd.or_u32(octave, simd.bits_f32(one))), one)
}

macro_rules! unit {
    ($($t:ty, $bits:literal;)*) => {$(
        impl Sampler<f32> for Unit<$t> {
            const HOLDS: bool = false;
            type Splat<S: Simd> = ();

            #[inline(always)]
            fn splat<S: Simd>(&self, _simd: S) {}

            #[inline(always)]
            fn sample<S: Simd>(simd: S, _: (), words: Group<S::U64>) -> Group<S::F32> {
                let mut values = [[simd.splat_f32(0.0); 2]; GROUP];
                for (value, words) in
                    values.as_flattened_mut().iter_mut().zip(words.as_flattened())
                {
                    *value = unit_f32::<S, $bits>(simd, simd.u64_as_u32(*words));
                }
                in_order(simd, values)
            }
        }
    )*};
}
unit! {
    f32, 23;
    f16, 10;
    bf16, 7;
}

/// The numbers on [0, 1) made of the even and the odd words of a vector of blocks: those of each
/// block's first two words, and those of its last two.
#[inline(always)]
pub(super) fn unit_f64<S: Simd>(simd: S, [even, odd]: [S::U64; 2]) -> [S::F64; 2] {
    let one = simd.splat_f64(1.0);
    let mut pairs = [one; 2];
    for (pair, words) in
        pairs.iter_mut().zip([simd.low_halves(odd, even), simd.high_halves(odd, even)])
    {
        let fraction = simd.and_u64(words, simd.splat_u64((1 << 52) - 1));
        let octave = simd.or_u64(fraction, simd.bits_f64(one));
        *pair = simd.sub_f64(simd.from_bits_f64(octave), one);
    }
    pairs
}

impl Sampler<f64> for Unit<f64> {
    const HOLDS: bool = false;
    type Splat<S: Simd> = ();

    #[inline(always)]
    fn splat<S: Simd>(&self, _simd: S) {}

    #[inline(always)]
    fn sample<S: Simd>(simd: S, _: (), words: Group<S::U64>) -> Group<S::F64> {
        let mut values = [[simd.splat_f64(0.0); 2]; GROUP];
        for (values, words) in values.iter_mut().zip(words) {
            let [first, second] = unit_f64(simd, words);
            let (first, second) = simd.interleave_f64(first, second);
            *values = [first, second];
        }
        values
    }
}
