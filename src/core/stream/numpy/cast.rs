//! float64 to an element type as `ndarray.astype` converts.
//!
//! float32 and float16 round once, straight from float64; bfloat16 and the 8-bit floats of
//! ml_dtypes go by way of float32 and so round twice. All roundings are to nearest even. What is
//! too large becomes infinity, or NaN where the type has no infinity.

use crate::element::{F8E4M3Fn, F8E5M2, bf16, f16};

/// An element type that values of the numpy stream are converted to.
pub(super) trait Cast: Copy + Send + Sync {
    /// `value` as `astype` gives it.
    fn cast(value: f64) -> Self;
}

impl Cast for f64 {
    #[inline(always)]
    fn cast(value: f64) -> Self {
        value
    }
}

impl Cast for f32 {
    #[inline(always)]
    fn cast(value: f64) -> Self {
        value as f32
    }
}

impl Cast for bf16 {
    #[inline(always)]
    fn cast(value: f64) -> Self {
        let bits = (value as f32).to_bits();
        if bits & 0x7fff_ffff > 0x7f80_0000 {
            return bf16::from_bits((bits >> 16 & 0x8000 | 0x7fc0) as u16);
        }
        bf16::from_bits(((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16)
    }
}

/// The magnitude of a float with `MANTISSA` bits after the point and exponent bias `BIAS`, as an
/// integer that runs on past the largest finite one, and the sign.
#[inline(always)]
fn round<const MANTISSA: u32, const BIAS: i32>(value: f64) -> (u64, bool) {
    let magnitude = value.abs();
    let bits = magnitude.to_bits();
    let dropped = 52 - MANTISSA;
    // The normal numbers: round the mantissa, then move the exponent.
    let normal = (bits + ((1 << (dropped - 1)) - 1) + (bits >> dropped & 1)) >> dropped;
    let normal = normal.wrapping_sub(((1023 - BIAS) as u64) << MANTISSA);
    // The others are multiples of 2^(1 - BIAS - MANTISSA): adding 2^52 times that rounds to one.
    let anchor = ((1023 + 52 + 1 - BIAS - MANTISSA as i32) as u64) << 52;
    let subnormal = (magnitude + f64::from_bits(anchor)).to_bits().wrapping_sub(anchor);
    let smallest_normal = ((1023 + 1 - BIAS) as u64) << 52;
    (if bits < smallest_normal { subnormal } else { normal }, value.is_sign_negative())
}

impl Cast for f16 {
    #[inline(always)]
    fn cast(value: f64) -> Self {
        let (magnitude, negative) = round::<10, 15>(value);
        let magnitude = if value.is_nan() { 0x7e00 } else { magnitude.min(0x7c00) };
        f16::from_bits(magnitude as u16 | u16::from(negative) << 15)
    }
}

impl Cast for F8E5M2 {
    #[inline(always)]
    fn cast(value: f64) -> Self {
        let (magnitude, negative) = round::<2, 15>(f64::from(value as f32));
        let magnitude = if value.is_nan() { 0x7e } else { magnitude.min(0x7c) };
        Self(magnitude as u8 | u8::from(negative) << 7)
    }
}

impl Cast for F8E4M3Fn {
    #[inline(always)]
    fn cast(value: f64) -> Self {
        let (magnitude, negative) = round::<3, 7>(f64::from(value as f32));
        let magnitude = if value.is_nan() { 0x7f } else { magnitude.min(0x7f) };
        Self(magnitude as u8 | u8::from(negative) << 7)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finite_value_is_itself_and_every_midpoint_goes_to_even() {
        for bits in 0..0x7bff_u16 {
            let [x, y] = [bits, bits + 1].map(|bits| f16::from_bits(bits).to_f64());
            assert_eq!(f16::cast(-x).to_bits(), bits | 0x8000);
            let (middle, even) = ((x + y) / 2.0, bits + (bits & 1));
            assert_eq!(f16::cast(middle).to_bits(), even);
            assert_eq!(f16::cast(middle.next_down()).to_bits(), bits);
            assert_eq!(f16::cast(middle.next_up()).to_bits(), bits + 1);
        }
        assert_eq!(f16::cast(65519.999).to_bits(), 0x7bff);
        assert_eq!(f16::cast(65520.0).to_bits(), 0x7c00);
        assert_eq!(f16::cast(f64::NEG_INFINITY).to_bits(), 0xfc00);
        assert!(f16::cast(f64::NAN).is_nan() && bf16::cast(f64::NAN).is_nan());
    }

    #[test]
    fn bfloat16_rounds_twice() {
        // 1 + 2^-8 + 2^-40: once rounded it goes up; float32 first makes it a tie.
        assert_eq!(bf16::cast(1.0 + 2f64.powi(-8) + 2f64.powi(-40)).to_f64(), 1.0);
        assert_eq!(bf16::cast(f64::from(f32::MAX)).to_bits(), 0x7f80);
    }

    #[test]
    fn eight_bits_saturate_as_ml_dtypes_does() {
        assert_eq!(F8E4M3Fn::cast(464.0).0, 0x7e);
        assert_eq!(F8E4M3Fn::cast(464.1).0, 0x7f);
        assert_eq!(F8E4M3Fn::cast(f64::NEG_INFINITY).0, 0xff);
        assert_eq!(F8E5M2::cast(61439.0).0, 0x7b);
        assert_eq!(F8E5M2::cast(61440.0).0, 0x7c);
        assert_eq!(F8E5M2::cast(f64::NAN).0 & 0x7f, 0x7e);
        assert_eq!(F8E4M3Fn::cast(-0.001).0, 0x81);
        assert_eq!(F8E4M3Fn::cast(-0.0009).0, 0x80);
    }
}
