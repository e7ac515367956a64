//! Portable Rust: vectors are arrays of one 128-bit group, lanes are loops.

use std::array::from_fn;
use std::mem::MaybeUninit;

use super::operations::Simd;
use crate::element::f16;
use crate::element::round::Round;

/// The instruction set that every machine has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scalar;

macro_rules! lanewise {
    ($($name:ident($($arg:ident),+): $lane:ty, $n:literal => $value:expr;)*) => {$(
        #[inline(always)]
        fn $name(self, $($arg: [$lane; $n]),+) -> [$lane; $n] {
            from_fn(|i| {
                $(let $arg = $arg[i];)+
                $value
            })
        }
    )*};
}

impl Simd for Scalar {
    const LANES: usize = 4;
    const UNROLL: usize = 1;
    type F32 = [f32; 4];
    type U32 = [u32; 4];
    type F64 = [f64; 2];
    type U64 = [u64; 2];

    lanewise! {
        add_f32(a, b): f32, 4 => a + b;
        sub_f32(a, b): f32, 4 => a - b;
        mul_f32(a, b): f32, 4 => a * b;
        div_f32(a, b): f32, 4 => a / b;
        sqrt_f32(a): f32, 4 => a.sqrt();
        min_f32(a, b): f32, 4 => if a < b { a } else { b };
        max_f32(a, b): f32, 4 => if a > b { a } else { b };
        mul_add_f32(a, b, c): f32, 4 => a.mul_add(b, c);
        and_u32(a, b): u32, 4 => a & b;
        or_u32(a, b): u32, 4 => a | b;
        xor_u32(a, b): u32, 4 => a ^ b;
        add_u32(a, b): u32, 4 => a.wrapping_add(b);
        sub_u32(a, b): u32, 4 => a.wrapping_sub(b);
        select_lt_i32(a, b, x, y): u32, 4 => if (a as i32) < b as i32 { x } else { y };
        and_u64(a, b): u64, 2 => a & b;
        or_u64(a, b): u64, 2 => a | b;
        xor_u64(a, b): u64, 2 => a ^ b;
        add_u64(a, b): u64, 2 => a.wrapping_add(b);
        sub_u64(a, b): u64, 2 => a.wrapping_sub(b);
        mul_low_u64(a, b): u64, 2 => (a & 0xffff_ffff) * (b & 0xffff_ffff);
        low_halves(a, b): u64, 2 => a & 0xffff_ffff | b << 32;
        high_halves(a, b): u64, 2 => a >> 32 | b >> 32 << 32;
        add_f64(a, b): f64, 2 => a + b;
        sub_f64(a, b): f64, 2 => a - b;
        mul_f64(a, b): f64, 2 => a * b;
        div_f64(a, b): f64, 2 => a / b;
        sqrt_f64(a): f64, 2 => a.sqrt();
        min_f64(a, b): f64, 2 => if a < b { a } else { b };
        max_f64(a, b): f64, 2 => if a > b { a } else { b };
        mul_add_f64(a, b, c): f64, 2 => a.mul_add(b, c);
    }

    #[inline(always)]
    fn splat_f32(self, x: f32) -> [f32; 4] {
        [x; 4]
    }
    #[inline(always)]
    fn splat_u32(self, x: u32) -> [u32; 4] {
        [x; 4]
    }
    #[inline(always)]
    fn splat_f64(self, x: f64) -> [f64; 2] {
        [x; 2]
    }
    #[inline(always)]
    fn splat_u64(self, x: u64) -> [u64; 2] {
        [x; 2]
    }

    #[inline(always)]
    fn bits_f32(self, a: [f32; 4]) -> [u32; 4] {
        a.map(f32::to_bits)
    }
    #[inline(always)]
    fn from_bits_f32(self, a: [u32; 4]) -> [f32; 4] {
        a.map(f32::from_bits)
    }
    #[inline(always)]
    fn i32_to_f32(self, a: [u32; 4]) -> [f32; 4] {
        a.map(|x| x as i32 as f32)
    }
    #[inline(always)]
    fn load_f32(self, from: &[f32]) -> [f32; 4] {
        from_fn(|i| from[i])
    }
    #[inline(always)]
    fn store_f32(self, a: [f32; 4], to: &mut [MaybeUninit<f32>]) {
        store(&a, to, |x| x);
    }

    #[inline(always)]
    fn shl_u32<const N: u32>(self, a: [u32; 4]) -> [u32; 4] {
        a.map(|x| x << N)
    }
    #[inline(always)]
    fn shr_u32<const N: u32>(self, a: [u32; 4]) -> [u32; 4] {
        a.map(|x| x >> N)
    }
    #[inline(always)]
    fn all_lt_i32(self, a: [u32; 4], b: [u32; 4]) -> bool {
        a.into_iter().zip(b).all(|(a, b)| (a as i32) < b as i32)
    }
    #[inline(always)]
    fn interleave_f32(self, a: [f32; 4], b: [f32; 4]) -> ([f32; 4], [f32; 4]) {
        ([a[0], b[0], a[1], b[1]], [a[2], b[2], a[3], b[3]])
    }
    #[inline(always)]
    fn store_u16(self, a: [u32; 4], b: [u32; 4], to: &mut [MaybeUninit<u16>]) {
        store(&a, to, |x| x as u16);
        store(&b, &mut to[4..], |x| x as u16);
    }
    #[inline(always)]
    fn store_u8(self, a: [u32; 4], b: [u32; 4], to: &mut [MaybeUninit<u8>]) {
        store([a, b].as_flattened(), to, |x| x as u8);
    }
    #[inline(always)]
    fn f32_to_f16_bits(self, a: [f32; 4]) -> [u32; 4] {
        a.map(|x| u32::from(f16::rounded(x).to_bits()))
    }

    #[inline(always)]
    fn shl_u64<const N: u32>(self, a: [u64; 2]) -> [u64; 2] {
        a.map(|x| x << N)
    }
    #[inline(always)]
    fn shr_u64<const N: u32>(self, a: [u64; 2]) -> [u64; 2] {
        a.map(|x| x >> N)
    }
    #[inline(always)]
    fn block_numbers(self) -> [u64; 2] {
        [0, 1]
    }
    #[inline(always)]
    fn interleave_u64(self, a: [u64; 2], b: [u64; 2]) -> ([u64; 2], [u64; 2]) {
        ([a[0], b[0]], [a[1], b[1]])
    }
    #[inline(always)]
    fn u32_as_u64(self, a: [u32; 4]) -> [u64; 2] {
        let lane = |low, high| u64::from(low) | u64::from(high) << 32;
        [lane(a[0], a[1]), lane(a[2], a[3])]
    }
    #[inline(always)]
    fn u64_as_u32(self, a: [u64; 2]) -> [u32; 4] {
        [a[0] as u32, (a[0] >> 32) as u32, a[1] as u32, (a[1] >> 32) as u32]
    }

    #[inline(always)]
    fn bits_f64(self, a: [f64; 2]) -> [u64; 2] {
        a.map(f64::to_bits)
    }
    #[inline(always)]
    fn from_bits_f64(self, a: [u64; 2]) -> [f64; 2] {
        a.map(f64::from_bits)
    }
    #[inline(always)]
    fn load_f64(self, from: &[f64]) -> [f64; 2] {
        from_fn(|i| from[i])
    }
    #[inline(always)]
    fn store_f64(self, a: [f64; 2], to: &mut [MaybeUninit<f64>]) {
        store(&a, to, |x| x);
    }
}

#[inline(always)]
fn store<T: Copy, U>(from: &[T], to: &mut [MaybeUninit<U>], convert: impl Fn(T) -> U) {
    for (to, &from) in to[..from.len()].iter_mut().zip(from) {
        to.write(convert(from));
    }
}
