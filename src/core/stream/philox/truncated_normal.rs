//! Normal values held within two standard deviations, by the inverse of the distribution function.
//!
//! One word (two for float64) gives t in (-1, 1), an odd multiple of half the spacing, hence
//! symmetric and never 0; the value is t * G(1 - t^2), where G is a rational minimax
//! approximation of sqrt(2) erfinv(erf(sqrt(2)) t) / t. In 1 - t^2 all its coefficients are
//! positive, so nothing cancels. Constant work an element keeps it random-access. Stability:
//! Stable. Other intervals: [`super::truncated_interval`].

use crate::element::format::Format;
use crate::simd::Simd;
use crate::stream::counter::sampler::{
    Bounds, GROUP, Group, Sampler, from_octave, horner_f32, horner_f64, in_order, pairs_in_order,
};

/// Where Keras truncates, in standard deviations.
pub(crate) const TWO_SIGMA: f64 = 2.0;

/// `mean + stddev * z` in float32.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TruncatedNormalF32 {
    scale: f32,
    mean: f32,
}

/// `mean + stddev * z` in float64.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TruncatedNormalF64 {
    pub(crate) stddev: f64,
    pub(crate) mean: f64,
}

/// G(v) = K N(v) / D(v) to 2^-23.8; N and D are monic, their leading 1 is not stored.
const FACTOR_F32: f64 = 0.4095372760114123;
const NUMERATOR_F32: [f32; 4] = [0.45615187, 5.5323, 16.989614, 12.37133];
const DENOMINATOR_F32: [f32; 4] = [0.093405604, 1.2925482, 4.896878, 5.161021];

/// G(v) = N(v) / D(v) to 2^-53.1.
const NUMERATOR_F64: [f64; 10] = [
    2.0,
    65.02854179076876,
    838.8062525500319,
    5507.910858472801,
    19723.533238928096,
    38543.75514316116,
    39261.6117318232,
    18891.127049459872,
    3547.2518933922497,
    166.2011740120806,
];
const DENOMINATOR_F64: [f64; 11] = [
    1.0,
    34.224130705614044,
    469.43702600458374,
    3322.30258472943,
    13057.66906120541,
    28722.691839177594,
    34163.31144662444,
    20332.3664796715,
    5241.001491052426,
    434.72922116421637,
    4.509947283517362,
];

/// The numbers of `format` from `mean + lower * stddev` to `mean + upper * stddev`; if there are
/// none, the one nearest to the mean, twice.
pub(crate) fn support(format: Format, mean: f64, stddev: f64, lower: f64, upper: f64) -> Bounds {
    let (low, high) = (mean + lower * stddev, mean + upper * stddev);
    Bounds::or_nearest(format, format.ceil(low), format.floor(high), mean)
}

impl TruncatedNormalF32 {
    /// `t` is an integer scaled by 2^-31 that rounding may make 1; the factor 1 - 2^-24 keeps the
    /// values strictly inside.
    pub(crate) fn new(mean: f64, stddev: f64) -> Self {
        const INSIDE: f64 = 1.0 - 1.0 / (1u32 << 24) as f64;
        let scale = stddev * (FACTOR_F32 * INSIDE / (1u64 << 31) as f64);
        Self { scale: scale as f32, mean: mean as f32 }
    }

    /// Bounds of all values: none is farther from the mean than that of t = 1. G falls towards it,
    /// but t times G next to it is smaller by 5.9 units of 2^-24, and the two products that follow
    /// round by no more than one each.
    pub(crate) fn range(&self) -> Bounds {
        const EDGE: f32 = NUMERATOR_F32[0] / DENOMINATOR_F32[0];
        let reach = (1u32 << 31) as f32 * self.scale * EDGE;
        Bounds { low: (self.mean - reach).into(), high: (self.mean + reach).into() }
    }
}

impl Sampler<f32> for TruncatedNormalF32 {
    type Splat<S: Simd> = [S::F32; 2];

    #[inline(always)]
    fn splat<S: Simd>(&self, simd: S) -> [S::F32; 2] {
        [simd.splat_f32(self.scale), simd.splat_f32(self.mean)]
    }

    #[inline(always)]
    fn sample<S: Simd>(simd: S, [scale, mean]: [S::F32; 2], words: Group<S::U64>) -> Group<S::F32> {
        let words = words.as_flattened();
        let [mut c, mut v] = [[mean; 2 * GROUP]; 2];
        for i in 0..2 * GROUP {
            let odd = simd.or_u32(simd.u64_as_u32(words[i]), simd.splat_u32(1));
            c[i] = simd.i32_to_f32(odd);
            // c * 2^-31 by its exponent, which is at least 0: |c| >= 1.
            let t = simd.sub_u32(simd.bits_f32(c[i]), simd.splat_u32(31 << 23));
            let t = simd.from_bits_f32(t);
            v[i] = simd.sub_f32(simd.splat_f32(1.0), simd.mul_f32(t, t));
        }
        let [mut n, mut d] = [v; 2];
        for i in 0..2 * GROUP {
            // The product with the leading 1 is free.
            n[i] = simd.add_f32(v[i], simd.splat_f32(NUMERATOR_F32[3]));
            d[i] = simd.add_f32(v[i], simd.splat_f32(DENOMINATOR_F32[3]));
        }
        let n = horner_f32(simd, n, &NUMERATOR_F32[..3], v);
        let d = horner_f32(simd, d, &DENOMINATOR_F32[..3], v);
        let mut values = [[mean; 2]; GROUP];
        for (i, value) in values.as_flattened_mut().iter_mut().enumerate() {
            let ratio = simd.div_f32(n[i], d[i]);
            *value = simd.add_f32(simd.mul_f32(simd.mul_f32(c[i], scale), ratio), mean);
        }
        in_order(simd, values)
    }
}

impl Sampler<f64> for TruncatedNormalF64 {
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
        let words = pairs_in_order(simd, words);
        let [mut t, mut v] = [[mean; 2 * GROUP]; 2];
        for (i, words) in words.as_flattened().iter().enumerate() {
            // 2 (1 + k / 2^52) - 3 + 2^-52: an odd multiple of 2^-52, every step exact.
            let x = simd.sub_f64(from_octave(simd, 2.0, *words), simd.splat_f64(3.0));
            t[i] = simd.add_f64(x, simd.splat_f64(f64::EPSILON));
            v[i] = simd.sub_f64(simd.splat_f64(1.0), simd.mul_f64(t[i], t[i]));
        }
        let n = [simd.splat_f64(NUMERATOR_F64[9]); 2 * GROUP];
        let n = horner_f64(simd, n, &NUMERATOR_F64[..9], v);
        let d = [simd.splat_f64(DENOMINATOR_F64[10]); 2 * GROUP];
        let d = horner_f64(simd, d, &DENOMINATOR_F64[..10], v);
        let mut values = [[mean; 2]; GROUP];
        for (i, value) in values.as_flattened_mut().iter_mut().enumerate() {
            let ratio = simd.div_f64(n[i], d[i]);
            *value = simd.add_f64(simd.mul_f64(simd.mul_f64(t[i], stddev), ratio), mean);
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `t G(1 - t^2)` times a constant, as the kernel rounds it, for t = `c` 2^-31.
    fn unscaled(c: f32) -> f64 {
        let t = f32::from_bits(c.to_bits() - (31 << 23));
        let v = 1.0 - t * t;
        let polynomial = |[c0, c1, c2, c3]: [f32; 4]| (((v + c3) * v + c2) * v + c1) * v + c0;
        f64::from(c) * f64::from(polynomial(NUMERATOR_F32) / polynomial(DENOMINATOR_F32))
    }

    #[test]
    fn the_largest_value_is_that_of_t_1_by_more_than_its_roundings() {
        let one = (1u32 << 31) as f32;
        let below = unscaled(one) * (1.0 - 5.9 / f64::from(1 << 24));
        // Every float32 from 1/4 to 1 times 2^31; smaller t give less than half the value.
        let rest = ((1u32 << 29) as f32).to_bits()..one.to_bits();
        assert_eq!(rest.len(), 2 << 23);
        assert!(rest.map(f32::from_bits).all(|c| unscaled(c) < below));
        assert!((0..1000).all(|n| unscaled((1 + (n << 19)) as f32) < 0.5 * below));
    }

    #[test]
    fn the_range_is_two_deviations_or_hardly_more() {
        for stddev in [1e-25, 0.02, 0.05, 1.0, 3.0, 1e30] {
            let Bounds { low, high } = TruncatedNormalF32::new(0.0, stddev).range();
            assert_eq!(low, -high);
            assert!((high / (2.0 * stddev) - 1.0).abs() < 3e-7);
        }
    }
}
