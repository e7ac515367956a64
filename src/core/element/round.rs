//! Rounding one number to an element type.
//!
//! [`Round`] rounds once, to nearest even. [`Astype`] is NumPy's conversion of float64: once for
//! float16 and float32, by way of float32 (so twice) for the types of ml_dtypes. In both, a number
//! beyond the largest finite one becomes infinity, or NaN where the type has no infinity.
//!
//! Kernels round whole vectors by operations of their own, which the tests compare with these.

use super::{F8E4M3Fn, F8E5M2, bf16, f16};

/// An element type that numbers of type `T` are rounded to.
pub trait Round<T>: Copy + Send + Sync + 'static {
    /// The element nearest to `x`, the even one of two that are equally near.
    fn rounded(x: T) -> Self;
}

/// An element type that NumPy converts float64 to.
pub trait Astype: Copy + Send + Sync + 'static {
    /// What `ndarray.astype` makes of `x`.
    fn astype(x: f64) -> Self;
}

macro_rules! round {
    ($($from:ty => $to:ty: |$x:ident| $value:expr;)*) => {$(
        impl Round<$from> for $to {
            #[inline(always)]
            fn rounded($x: $from) -> Self {
                $value
            }
        }
    )*};
}
round! {
    f32 => f32: |x| x;
    f64 => f64: |x| x;
    f64 => f32: |x| x as f32;
    f32 => f16: |x| f16::from_f32(x);
    f64 => f16: |x| {
        // `f16::from_f64` may go by way of float32.
        let magnitude = if x.is_nan() { 0x7e00 } else { magnitude::<10, 15>(x).min(0x7c00) };
        f16::from_bits(magnitude as u16 | u16::from(x.is_sign_negative()) << 15)
    };
    f32 => bf16: |x| {
        let bits = x.to_bits();
        let rounded = if x.is_nan() { bits & 1 << 31 | 0x7fc0 << 16 } else { bits + half_unit(bits) };
        bf16::from_bits((rounded >> 16) as u16)
    };
    f32 => F8E4M3Fn: |x| {
        let magnitude = if x.is_nan() { 0x7f } else { magnitude::<3, 7>(x.into()).min(0x7f) };
        Self(magnitude as u8 | u8::from(x.is_sign_negative()) << 7)
    };
    f32 => F8E5M2: |x| {
        let magnitude = if x.is_nan() { 0x7e } else { magnitude::<2, 15>(x.into()).min(0x7c) };
        Self(magnitude as u8 | u8::from(x.is_sign_negative()) << 7)
    };
}

/// What makes cutting off the lower 16 `bits` round to nearest even, when it is added before.
#[inline(always)]
fn half_unit(bits: u32) -> u32 {
    0x7fff + (bits >> 16 & 1)
}

/// The bits of |`x`|, rounded to a format with `MANTISSA` stored bits of the significand and the
/// exponent bias `BIAS`. They go on counting past the largest finite number of the format.
#[inline(always)]
fn magnitude<const MANTISSA: u32, const BIAS: i32>(x: f64) -> u64 {
    let magnitude = x.abs();
    let bits = magnitude.to_bits();
    let dropped = 52 - MANTISSA;
    // Normal numbers: round the significand, where a carry moves the exponent, then exchange the
    // bias.
    let normal = (bits + ((1 << (dropped - 1)) - 1) + (bits >> dropped & 1)) >> dropped;
    let normal = normal.wrapping_sub(((1023 - BIAS) as u64) << MANTISSA);
    // Subnormal numbers are multiples of 2^(1 - BIAS - MANTISSA). The float64 addition of 2^52
    // times that rounds to such a multiple and leaves it in the low bits.
    let anchor = ((1023 + 52 + 1 - BIAS - MANTISSA as i32) as u64) << 52;
    let subnormal = (magnitude + f64::from_bits(anchor)).to_bits().wrapping_sub(anchor);
    let smallest_normal = ((1023 + 1 - BIAS) as u64) << 52;
    if bits < smallest_normal { subnormal } else { normal }
}

impl F8E4M3Fn {
    /// The nearest value, ties to even; NaN past 464, half a unit above the largest finite one.
    pub fn from_f32(x: f32) -> Self {
        Self::rounded(x)
    }
}

impl F8E5M2 {
    /// The nearest value, ties to even; infinity from 61440 on, half a unit above the largest
    /// finite one.
    pub fn from_f32(x: f32) -> Self {
        Self::rounded(x)
    }
}

macro_rules! astype {
    ($($to:ty: |$x:ident| $value:expr;)*) => {$(
        impl Astype for $to {
            #[inline(always)]
            fn astype($x: f64) -> Self {
                Self::rounded($value)
            }
        }
    )*};
}
astype! {
    f64: |x| x;
    f32: |x| x;
    f16: |x| x;
    bf16: |x| x as f32;
    F8E4M3Fn: |x| x as f32;
    F8E5M2: |x| x as f32;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_float16_is_itself_and_every_midpoint_goes_to_even() {
        for bits in 0..0x7bff_u16 {
            let [x, y] = [bits, bits + 1].map(|bits| f16::from_bits(bits).to_f64());
            assert_eq!(f16::astype(-x).to_bits(), bits | 0x8000);
            let (middle, even) = ((x + y) / 2.0, bits + (bits & 1));
            assert_eq!(f16::astype(middle).to_bits(), even);
            assert_eq!(f16::astype(middle.next_down()).to_bits(), bits);
            assert_eq!(f16::astype(middle.next_up()).to_bits(), bits + 1);
        }
        assert_eq!(f16::astype(65519.999).to_bits(), 0x7bff);
        assert_eq!(f16::astype(65520.0).to_bits(), 0x7c00);
        assert_eq!(f16::astype(f64::NEG_INFINITY).to_bits(), 0xfc00);
        assert!(f16::astype(f64::NAN).is_nan() && bf16::astype(f64::NAN).is_nan());
    }

    #[test]
    fn bfloat16_is_the_upper_half_of_a_float32_rounded() {
        for bits in 0..0x7f80_u16 {
            for low in [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff] {
                let x = f32::from_bits(u32::from(bits) << 16 | low);
                assert_eq!(<bf16 as Round<f32>>::rounded(x), bf16::from_f32(x));
                assert_eq!(<bf16 as Round<f32>>::rounded(-x), bf16::from_f32(-x));
            }
        }
        // The sign of a NaN is kept, its payload is not.
        assert_eq!(bf16::rounded(f32::from_bits(0xffff_1234)).to_bits(), 0xffc0);
    }

    #[test]
    fn bfloat16_rounds_twice_by_astype() {
        // 1 + 2^-8 + 2^-40: once rounded it goes up; float32 first makes it a tie.
        assert_eq!(bf16::astype(1.0 + 2f64.powi(-8) + 2f64.powi(-40)).to_f64(), 1.0);
        assert_eq!(bf16::astype(f64::from(f32::MAX)).to_bits(), 0x7f80);
    }

    /// Rounding by division, which is exact for powers of two, as the definitions say it.
    #[test]
    fn eight_bit_floats_are_the_nearest() {
        fn divided<const MANTISSA: i32, const BIAS: i32>(x: f32) -> u8 {
            let magnitude = f64::from(x.abs());
            let exponent = ((magnitude.to_bits() >> 52) as i32 - 1023).max(1 - BIAS);
            let unit = 2f64.powi(exponent - MANTISSA);
            let multiple = (magnitude / unit).round_ties_even() as i32;
            (((exponent + BIAS - 1) << MANTISSA) + multiple) as u8 | u8::from(x < 0.0) << 7
        }
        let near = |bits: u32| [bits - 1, bits, bits + 1].map(f32::from_bits);
        for x in (1..0x4780u32).flat_map(|upper| near(upper << 16)) {
            if x <= 448.0 {
                assert_eq!(F8E4M3Fn::from_f32(x).0, divided::<3, 7>(x), "{x}");
                assert_eq!(F8E4M3Fn::from_f32(-x).0, divided::<3, 7>(-x), "{x}");
            }
            assert_eq!(F8E5M2::from_f32(x).0, divided::<2, 15>(x), "{x}");
        }
    }

    /// As `ml_dtypes` converts.
    #[test]
    fn eight_bit_floats_overflow_to_nan_and_infinity() {
        let x = [448.0, 464.0, 464.1, -1e30, f32::INFINITY, f32::NAN];
        assert_eq!(x.map(|x| F8E4M3Fn::from_f32(x).0), [0x7e, 0x7e, 0x7f, 0xff, 0x7f, 0x7f]);
        let x = [57344.0, 61439.0, 61440.0, -1e30, f32::INFINITY, f32::NAN];
        assert_eq!(x.map(|x| F8E5M2::from_f32(x).0), [0x7b, 0x7b, 0x7c, 0xfc, 0x7c, 0x7e]);
        let x = [-0.001, -0.0009, 464.1, f64::NEG_INFINITY];
        assert_eq!(x.map(|x| F8E4M3Fn::astype(x).0), [0x81, 0x80, 0x7f, 0xff]);
        assert_eq!(F8E5M2::astype(f64::NAN).0 & 0x7f, 0x7e);
    }
}
