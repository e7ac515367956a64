//! Rounding computed values to an element type and writing them.
//!
//! Narrow types get the float32 value rounded once, to nearest even, in registers. Values must
//! already be held within the type's finite range.

use std::mem::MaybeUninit;

use crate::element::{Element, F8E4M3Fn, F8E5M2, bf16, f16};
use crate::simd::{Lane, Simd, as_bits};

/// An element type that vectors of its [`Lane`] can be written as.
pub(crate) trait Store: Element {
    /// What its values are computed in.
    type Lane: Lane;
    /// Rounds two vectors and writes their lanes, in order, to the front of `to`.
    fn store<S: Simd>(
        simd: S,
        values: [<Self::Lane as Lane>::Vector<S>; 2],
        to: &mut [MaybeUninit<Self>],
    );
}

impl Store for f32 {
    type Lane = f32;
    #[inline(always)]
    fn store<S: Simd>(simd: S, [a, b]: [S::F32; 2], to: &mut [MaybeUninit<f32>]) {
        simd.store_f32(a, to);
        simd.store_f32(b, &mut to[S::LANES..]);
    }
}

impl Store for f64 {
    type Lane = f64;
    #[inline(always)]
    fn store<S: Simd>(simd: S, [a, b]: [S::F64; 2], to: &mut [MaybeUninit<f64>]) {
        simd.store_f64(a, to);
        simd.store_f64(b, &mut to[S::LANES / 2..]);
    }
}

impl Store for f16 {
    type Lane = f32;
    #[inline(always)]
    fn store<S: Simd>(simd: S, [a, b]: [S::F32; 2], to: &mut [MaybeUninit<f16>]) {
        simd.store_u16(simd.f32_to_f16_bits(a), simd.f32_to_f16_bits(b), as_bits(to));
    }
}

impl Store for bf16 {
    type Lane = f32;
    #[inline(always)]
    fn store<S: Simd>(simd: S, [a, b]: [S::F32; 2], to: &mut [MaybeUninit<bf16>]) {
        let a = round_up::<S, 16>(simd, simd.bits_f32(a));
        let b = round_up::<S, 16>(simd, simd.bits_f32(b));
        simd.store_high_u16(a, b, as_bits(to));
    }
}

impl Store for F8E4M3Fn {
    type Lane = f32;
    #[inline(always)]
    fn store<S: Simd>(simd: S, [a, b]: [S::F32; 2], to: &mut [MaybeUninit<Self>]) {
        let (a, b) = (narrow_bits::<S, 3, 20, 7>(simd, a), narrow_bits::<S, 3, 20, 7>(simd, b));
        simd.store_u8(a, b, as_bits(to));
    }
}

impl Store for F8E5M2 {
    type Lane = f32;
    #[inline(always)]
    fn store<S: Simd>(simd: S, [a, b]: [S::F32; 2], to: &mut [MaybeUninit<Self>]) {
        let (a, b) = (narrow_bits::<S, 2, 21, 15>(simd, a), narrow_bits::<S, 2, 21, 15>(simd, b));
        simd.store_u8(a, b, as_bits(to));
    }
}

/// `bits` plus what makes cutting off the low `DROP` bits round to nearest even.
#[inline(always)]
fn round_up<S: Simd, const DROP: u32>(simd: S, bits: S::U32) -> S::U32 {
    let odd = simd.and_u32(simd.shr_u32::<DROP>(bits), simd.splat_u32(1));
    simd.add_u32(bits, simd.add_u32(odd, simd.splat_u32((1 << (DROP - 1)) - 1)))
}

/// The bits of the 8-bit floats nearest to each lane, ties to even. The format has a sign, an
/// exponent biased by `BIAS`, and a significand of `MANTISSA` bits; `DROP` is 23 - `MANTISSA`.
#[inline(always)]
fn narrow_bits<S: Simd, const MANTISSA: u32, const DROP: u32, const BIAS: u32>(
    simd: S,
    a: S::F32,
) -> S::U32 {
    let bits = simd.bits_f32(a);
    let sign = simd.shl_u32::<7>(simd.shr_u32::<31>(bits));
    let magnitude = simd.and_u32(bits, simd.splat_u32(0x7fff_ffff));
    // Normal results: round the significand, where a carry moves the exponent, then exchange the
    // bias.
    let normal = simd.sub_u32(
        simd.shr_u32::<DROP>(round_up::<S, DROP>(simd, magnitude)),
        simd.splat_u32((127 - BIAS) << MANTISSA),
    );
    // Subnormal results are multiples of the format's smallest number. Adding the power of two
    // whose unit in the last place is that number rounds to such a multiple and leaves it in the
    // low bits.
    let unit = simd.splat_u32((127 + 24 - BIAS - MANTISSA) << 23);
    let sum = simd.add_f32(simd.from_bits_f32(magnitude), simd.from_bits_f32(unit));
    let subnormal = simd.sub_u32(simd.bits_f32(sum), unit);
    let smallest_normal = simd.splat_u32((128 - BIAS) << 23);
    simd.or_u32(sign, simd.select_lt_i32(magnitude, smallest_normal, subnormal, normal))
}
