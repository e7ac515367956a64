//! Logarithm, sine and cosine of torch's kernel for AVX2, bit for bit.
//!
//! The polynomials and the reduction of the argument are those of Cephes (S. L. Moshier), in the
//! form of `avx_mathfun.h` (J. Pommier, G. Garberoglio). Where a multiplication is fused with an
//! addition is the choice of the compiler that built torch, and matters to the last bit. Written
//! for numbers of 24 bits, the only ones that occur; the test goes through all of them.

#![allow(clippy::excessive_precision, reason = "the digits of the source")]

use crate::simd::Simd;

/// The functions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Functions;

/// log(1 + m) = m - m^2 / 2 + m^3 P(m) for 1 + m in [sqrt(1/2), sqrt(2)).
const LOG: [f32; 9] = [
    7.0376836292e-2,
    -1.1514610310e-1,
    1.1676998740e-1,
    -1.2420140846e-1,
    1.4249322787e-1,
    -1.6668057665e-1,
    2.0000714765e-1,
    -2.4999993993e-1,
    3.3333331174e-1,
];
/// The logarithm of 2 in two parts, the first of few bits.
const LOG_TWO: [f32; 2] = [0.693359375, -2.12194440e-4];
/// Bits of sqrt(1/2), where the octaves begin.
const SQRT_HALF: u32 = 0x3f35_04f3;

/// sin(x) = x + x^3 S(x^2) on [-pi/4, pi/4].
const SIN: [f32; 3] = [-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1];
/// cos(x) = 1 - x^2 / 2 + x^4 C(x^2) on [-pi/4, pi/4].
const COS: [f32; 3] = [2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2];
/// -pi/4 in three parts, the first two of few bits.
const EIGHTH_TURN: [f32; 3] = [-0.78515625, -2.4187564849853515625e-4, -3.77489497744594108e-8];

impl super::normal::Functions for Functions {
    const FUSED: bool = true;

    #[inline(always)]
    fn log<S: Simd, const P: usize>(simd: S, x: [S::F32; P]) -> [S::F32; P] {
        let zero = simd.splat_f32(0.0);
        let [mut exponent, mut m, mut square] = [[zero; P]; 3];
        for i in 0..P {
            let octaves = simd.sub_u32(simd.bits_f32(x[i]), simd.splat_u32(SQRT_HALF));
            let fraction = simd.and_u32(octaves, simd.splat_u32(0x007f_ffff));
            // The exponent times 2^23, which is exact, as is the product with 2^-23.
            let whole = simd.i32_to_f32(simd.sub_u32(octaves, fraction));
            exponent[i] = simd.mul_f32(whole, simd.splat_f32(1.0 / (1 << 23) as f32));
            let number = simd.from_bits_f32(simd.add_u32(fraction, simd.splat_u32(SQRT_HALF)));
            m[i] = simd.sub_f32(number, simd.splat_f32(1.0));
            square[i] = simd.mul_f32(m[i], m[i]);
        }
        let mut y = [simd.splat_f32(LOG[0]); P];
        for coefficient in &LOG[1..] {
            for i in 0..P {
                y[i] = simd.mul_add_f32(y[i], m[i], simd.splat_f32(*coefficient));
            }
        }
        for i in 0..P {
            let low = simd.mul_f32(exponent[i], simd.splat_f32(LOG_TWO[1]));
            let cube = simd.mul_add_f32(simd.mul_f32(m[i], y[i]), square[i], low);
            let rest = simd.mul_add_f32(square[i], simd.splat_f32(-0.5), cube);
            let sum = simd.add_f32(m[i], rest);
            y[i] = simd.mul_add_f32(exponent[i], simd.splat_f32(LOG_TWO[0]), sum);
        }
        y
    }

    #[inline(always)]
    fn sin_cos<S: Simd, const P: usize>(simd: S, bits: [S::U32; P]) -> [[S::F32; 2]; P] {
        /// 2 pi / 2^24.
        const STEP: f32 = std::f32::consts::TAU / (1 << 24) as f32;
        let zero = simd.splat_f32(0.0);
        let [mut x, mut square] = [[zero; P]; 2];
        let mut quarter = [simd.splat_u32(0); P];
        for i in 0..P {
            // torch finds the nearest quarter turn from the product of the angle and 4 / pi, cut
            // off. For all numbers of 24 bits this is the same.
            let eighth = simd.splat_u32(1 << 21);
            quarter[i] = simd.shr_u32::<22>(simd.add_u32(bits[i], eighth));
            let eighths = simd.i32_to_f32(simd.add_u32(quarter[i], quarter[i]));
            let mut rest = simd.mul_f32(simd.i32_to_f32(bits[i]), simd.splat_f32(STEP));
            for part in EIGHTH_TURN {
                rest = simd.mul_add_f32(eighths, simd.splat_f32(part), rest);
            }
            x[i] = rest;
            square[i] = simd.mul_f32(rest, rest);
        }
        let mut cos = [simd.splat_f32(COS[0]); P];
        let mut sin = [simd.splat_f32(SIN[0]); P];
        for k in 1..3 {
            for i in 0..P {
                cos[i] = simd.mul_add_f32(cos[i], square[i], simd.splat_f32(COS[k]));
                sin[i] = simd.mul_add_f32(sin[i], square[i], simd.splat_f32(SIN[k]));
            }
        }
        let mut values = [[zero; 2]; P];
        for i in 0..P {
            let half = simd.mul_f32(square[i], simd.splat_f32(-0.5));
            let tail = simd.mul_add_f32(square[i], simd.mul_f32(square[i], cos[i]), half);
            let cos = simd.bits_f32(simd.add_f32(tail, simd.splat_f32(1.0)));
            let sin = simd.bits_f32(simd.mul_add_f32(x[i], simd.mul_f32(square[i], sin[i]), x[i]));
            let odd = simd.shl_u32::<31>(quarter[i]);
            let none = simd.splat_u32(0);
            let [s, c] =
                [simd.select_lt_i32(odd, none, cos, sin), simd.select_lt_i32(odd, none, sin, cos)];
            // The sine is negative in quarters 2 and 3, the cosine in 1 and 2.
            let sign = simd.splat_u32(1 << 31);
            let later = simd.add_u32(quarter[i], simd.splat_u32(1));
            let sin_sign = simd.and_u32(simd.shl_u32::<30>(quarter[i]), sign);
            let cos_sign = simd.and_u32(simd.shl_u32::<30>(later), sign);
            values[i] = [
                simd.from_bits_f32(simd.xor_u32(s, sin_sign)),
                simd.from_bits_f32(simd.xor_u32(c, cos_sign)),
            ];
        }
        values
    }
}
