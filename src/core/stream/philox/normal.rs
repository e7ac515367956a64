//! Normal values by the method of Box and Muller (Ann. Math. Statist. 29 (1958) 610).
//!
//! Elements 2p and 2p+1 share their two words: the first gives the radius sqrt(-2 ln u), the
//! second an angle; the cosine is element 2p, the sine 2p+1. Logarithm, sine and cosine are
//! minimax polynomials over one octave and one quadrant. float32: 31 bits of u, tail to 6.66
//! standard deviations; float64: 52 bits, 8.49. Stability: Stable.

use crate::simd::Simd;
use crate::stream::counter::sampler::{
    Bounds, GROUP, Group, Sampler, from_octave, horner_f32, horner_f64,
};

/// `mean + stddev * z` in float32.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NormalF32 {
    pub(crate) mean: f32,
    pub(crate) stddev: f32,
}

/// `mean + stddev * z` in float64.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NormalF64 {
    pub(crate) mean: f64,
    pub(crate) stddev: f64,
}

/// The largest |z| in any precision, rounded up: sqrt(-2 ln 2^-52) is 8.49.
pub(crate) const MAX_DEVIATIONS: f64 = 8.5;

/// R in -2 ln(1 + f) = f (-2 + f (1 + f R(f))) on [sqrt(1/2) - 1, sqrt(2) - 1], which gives the
/// logarithm to 2^-21.9 of itself.
const LOG_F32: [f32; 6] =
    [-0.6666849, 0.49966535, -0.39849007, 0.34274253, -0.32048762, 0.20383465];
/// sin(pi/2 a) = a S(a^2) on [-1, 1], to 2^-24.8.
const SIN_F32: [f32; 5] = [1.5707964, -0.6459638, 0.079689674, -0.0046737734, 0.00015148484];
/// cos(pi/2 a) = (1 - a^2) C(a^2) on [-1, 1], to 2^-25.
const COS_F32: [f32; 5] = [1.0, -0.2337005, 0.01996858, -0.000893503, 2.3583849e-05];
/// -2 ln 2 / 2^23, for exponents as they stand in a float32, above 23 bits of fraction.
const LOG_TWO_F32: f32 = -1.3862944 / (1 << 23) as f32;
/// Bits of sqrt(1/2) in float32, where the octaves begin.
const SQRT_HALF_F32: u32 = 0x3f35_04f3;

/// L in ln((1 + z) / (1 - z)) = z (2 + z^2 L(z^2)), |z| <= 3 - 2 sqrt(2), to 2^-64.
const LOG_F64: [f64; 8] = [
    0.6666666666666666,
    0.4000000000000088,
    0.28571428570803614,
    0.22222222391713917,
    0.18181795640132906,
    0.15386239702814658,
    0.13268773138656886,
    0.13086626147840102,
];
/// sin(pi/2 a) = a S(a^2) on [-1, 1], to 2^-61.
#[expect(
    clippy::approx_constant,
    reason = "a fitted coefficient; that it rounds to pi/2 is a result"
)]
const SIN_F64: [f64; 9] = [
    1.5707963267948966,
    -0.6459640975062462,
    0.07969262624616565,
    -0.004681754135304255,
    0.0001604411847130916,
    -3.5988430204672576e-06,
    5.6921364280986254e-08,
    -6.684416831856085e-10,
    5.87297574479995e-12,
];
/// cos(pi/2 a) = (1 - a^2) C(a^2) on [-1, 1], to 2^-65.
const COS_F64: [f64; 9] = [
    1.0,
    -0.23370055013616983,
    0.019968957764878077,
    -0.0008945229984736444,
    2.473727635883673e-05,
    -4.647659915952978e-07,
    6.321440904258357e-09,
    -6.510529156797684e-11,
    5.10846968542241e-13,
];
/// -2 ln 2.
const LOG_TWO_F64: f64 = -1.3862943611198906;
/// Bits of sqrt(1/2) in float64.
const SQRT_HALF_F64: u64 = 0x3fe6_a09e_667f_3bcd;

impl NormalF32 {
    /// Bounds of all values, roundings included, for the largest |z| is well below
    /// [`MAX_DEVIATIONS`].
    pub(crate) fn range(&self) -> Bounds {
        let reach = MAX_DEVIATIONS * f64::from(self.stddev);
        Bounds { low: f64::from(self.mean) - reach, high: f64::from(self.mean) + reach }
    }
}

impl Sampler<f32> for NormalF32 {
    type Splat<S: Simd> = [S::F32; 2];

    #[inline(always)]
    fn splat<S: Simd>(&self, simd: S) -> [S::F32; 2] {
        [simd.splat_f32(self.stddev), simd.splat_f32(self.mean)]
    }

    #[inline(always)]
    fn sample<S: Simd>(
        simd: S,
        [stddev, mean]: [S::F32; 2],
        words: Group<S::U64>,
    ) -> Group<S::F32> {
        let one = simd.splat_f32(1.0);
        let [mut exponent, mut f, mut a, mut square] = [[mean; GROUP]; 4];
        let mut side = [simd.splat_u32(0); GROUP];
        for i in 0..GROUP {
            let [radius_word, angle_word] = words[i];
            let radius_word = simd.u64_as_u32(radius_word);
            let angle_word = simd.u64_as_u32(angle_word);

            // n + 1/2 in (0, 2^31]: u scaled by 2^31, which only shifts the exponent.
            let n = simd.i32_to_f32(simd.shr_u32::<1>(radius_word));
            let n = simd.bits_f32(simd.add_f32(n, simd.splat_f32(0.5)));
            let octaves = simd.sub_u32(n, simd.splat_u32(SQRT_HALF_F32 + (31 << 23)));
            let fraction = simd.and_u32(octaves, simd.splat_u32(0x7f_ffff));
            // The exponent times 2^23, which needs no shift: [`LOG_TWO_F32`] is divided by it.
            exponent[i] = simd.i32_to_f32(simd.sub_u32(octaves, fraction));
            let m = simd.add_u32(fraction, simd.splat_u32(SQRT_HALF_F32));
            f[i] = simd.sub_f32(simd.from_bits_f32(m), one);

            // The angle in quarter turns, a in (-1, 1): an odd integer scaled by 2^-31, never 0.
            let odd = simd.or_u32(simd.add_u32(angle_word, angle_word), simd.splat_u32(1));
            let odd = simd.bits_f32(simd.i32_to_f32(odd));
            a[i] = simd.from_bits_f32(simd.sub_u32(odd, simd.splat_u32(31 << 23)));
            square[i] = simd.mul_f32(a[i], a[i]);
            // The uppermost bit of the word, which `a` does not have, says which half of the
            // circle.
            side[i] = simd.and_u32(angle_word, simd.splat_u32(1 << 31));
        }
        let log = [simd.splat_f32(LOG_F32[5]); GROUP];
        let log = horner_f32(simd, log, &LOG_F32[..5], f);
        let cos = [simd.splat_f32(COS_F32[4]); GROUP];
        let cos = horner_f32(simd, cos, &COS_F32[..4], square);
        let sin = [simd.splat_f32(SIN_F32[4]); GROUP];
        let sin = horner_f32(simd, sin, &SIN_F32[..4], square);
        let log = horner_f32(simd, log, &[-2.0, 1.0], f);
        // Step by step for the whole group, because each step of a vector waits for the one before.
        let mut radius = [mean; GROUP];
        for i in 0..GROUP {
            let log = simd.add_f32(
                simd.mul_f32(log[i], f[i]),
                simd.mul_f32(exponent[i], simd.splat_f32(LOG_TWO_F32)),
            );
            radius[i] = simd.sqrt_f32(log);
        }
        let mut values = [[mean; 2]; GROUP];
        for i in 0..GROUP {
            let radius = simd.mul_f32(radius[i], stddev);
            let across = simd.mul_f32(radius, simd.sub_f32(one, square[i]));
            values[i] = [across, simd.mul_f32(radius, a[i])];
        }
        for i in 0..GROUP {
            let [across, along] = values[i];
            let across = simd.from_bits_f32(simd.xor_u32(simd.bits_f32(across), side[i]));
            values[i] = [simd.mul_f32(across, cos[i]), simd.mul_f32(along, sin[i])];
        }
        for [cos, sin] in &mut values {
            let (x, y) = simd.interleave_f32(simd.add_f32(*cos, mean), simd.add_f32(*sin, mean));
            (*cos, *sin) = (x, y);
        }
        values
    }
}

impl Sampler<f64> for NormalF64 {
    type Splat<S: Simd> = [S::F64; 2];

    #[inline(always)]
    fn splat<S: Simd>(&self, simd: S) -> [S::F64; 2] {
        [simd.splat_f64(self.stddev), simd.splat_f64(self.mean)]
    }

    #[inline(always)]
    fn sample<S: Simd>(
        simd: S,
        [stddev, mean]: [S::F64; 2],
        words: Group<S::U64>,
    ) -> Group<S::F64> {
        let one = simd.splat_f64(1.0);
        let [mut exponent, mut z, mut a, mut square, mut angle_square] = [[mean; GROUP]; 5];
        let mut side = [simd.splat_u64(0); GROUP];
        for i in 0..GROUP {
            let [even, odd] = words[i];
            let radius_word = simd.low_halves(even, odd);
            let angle_word = simd.high_halves(even, odd);
            // u in (0, 1].
            let u = simd.sub_f64(simd.splat_f64(2.0), from_octave(simd, 1.0, radius_word));
            let cut = simd.splat_u64(SQRT_HALF_F64);
            let octaves = simd.sub_u64(simd.bits_f64(u), cut);
            // The exponent plus 1024 becomes the low bits of a float64 from 2^52 on, from which
            // 2^52 and 1024 are then subtracted.
            let biased = simd.shr_u64::<52>(simd.add_u64(octaves, simd.splat_u64(1024 << 52)));
            let biased = simd.or_u64(biased, simd.splat_u64(((1u64 << 52) as f64).to_bits()));
            exponent[i] = simd
                .sub_f64(simd.from_bits_f64(biased), simd.splat_f64((1u64 << 52) as f64 + 1024.0));
            let fraction = simd.and_u64(octaves, simd.splat_u64((1 << 52) - 1));
            let m = simd.from_bits_f64(simd.add_u64(fraction, cut));
            z[i] = simd.div_f64(simd.sub_f64(m, one), simd.add_f64(m, one));
            square[i] = simd.mul_f64(z[i], z[i]);

            // The angle in quarter turns, a in [-1, 1), from the word without its uppermost bit.
            let x = from_octave(simd, 2.0, simd.shl_u64::<1>(angle_word));
            a[i] = simd.sub_f64(x, simd.splat_f64(3.0));
            angle_square[i] = simd.mul_f64(a[i], a[i]);
            side[i] = simd.and_u64(angle_word, simd.splat_u64(1 << 63));
        }
        let log = [simd.splat_f64(LOG_F64[7]); GROUP];
        let log = horner_f64(simd, log, &LOG_F64[..7], square);
        let cos = [simd.splat_f64(COS_F64[8]); GROUP];
        let cos = horner_f64(simd, cos, &COS_F64[..8], angle_square);
        let sin = [simd.splat_f64(SIN_F64[8]); GROUP];
        let sin = horner_f64(simd, sin, &SIN_F64[..8], angle_square);
        let mut values = [[mean; 2]; GROUP];
        for i in 0..GROUP {
            let log = simd.mul_f64(log[i], square[i]);
            let log = simd.mul_f64(z[i], simd.add_f64(log, simd.splat_f64(2.0)));
            let log = simd.add_f64(
                simd.mul_f64(exponent[i], simd.splat_f64(LOG_TWO_F64)),
                simd.mul_f64(log, simd.splat_f64(-2.0)),
            );
            let radius = simd.mul_f64(simd.sqrt_f64(log), stddev);
            let across = simd.mul_f64(radius, simd.sub_f64(one, angle_square[i]));
            let across = simd.from_bits_f64(simd.xor_u64(simd.bits_f64(across), side[i]));
            let along = simd.mul_f64(radius, a[i]);
            let cos = simd.add_f64(simd.mul_f64(across, cos[i]), mean);
            let sin = simd.add_f64(simd.mul_f64(along, sin[i]), mean);
            let (first, second) = simd.interleave_f64(cos, sin);
            values[i] = [first, second];
        }
        values
    }
}
