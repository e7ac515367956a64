//! float64 values of the jax stream: what JAX draws where its 64-bit numbers are enabled.
//!
//! As the float32 values, of 52 bits. Giles' polynomials of double precision have three intervals;
//! log1p is rational below sqrt(2) - 1 as in float32, and the platform's `log`, which XLA calls as
//! well, elsewhere. Consumes two words an element. Stability: Exact, with the reference's libm.

#![allow(clippy::excessive_precision, reason = "the digits of the source")]

use crate::error::{Error, shown};
use crate::simd::{Simd, lend};
use crate::stream::counter::sampler::{GROUP, Group, Sampler, from_octave, pairs_in_order};

/// sqrt(2) - 1: below, log1p is rational.
const RATIONAL_BELOW: f64 = f64::from_bits(0x3fda_8279_99fc_ef32);
/// log1p(-s) = -s - s^2/2 - s^3 P(s)/Q(s), both from the highest power on, so that signs alternate.
const P: [u64; 7] = [
    0x3f07_bc09_62b3_95ca,
    0xbfdf_e818_a0fe_1a83,
    0x401a_509f_46f4_fa53,
    0xc03d_e973_8b8c_b9c9,
    0x404e_798e_b86c_3351,
    0xc04c_8e75_9747_9a10,
    0x4034_0a20_2d99_830a,
];
/// The first coefficient is 1.
const Q: [u64; 6] = [
    0xc02e_2035_9e90_3e37,
    0x4054_c30b_5221_3498,
    0xc06b_b865_90fc_fb56,
    0x4073_5194_5dc9_08a5,
    0xc06b_0db1_3e48_e066,
    0x404e_0f30_4466_448e,
];

/// The polynomial in w - 3.125 where w < 6.25, from the highest power on.
const CENTRAL: [f64; 23] = [
    -3.64441206401782e-21,
    -1.6850591381820166e-19,
    1.28584807152564e-18,
    1.1157877678025181e-17,
    -1.3331716628546209e-16,
    2.0972767875968562e-17,
    6.6376381343583238e-15,
    -4.0545662729752069e-14,
    -8.1519341976054722e-14,
    2.6335093153082323e-12,
    -1.2975133253453532e-11,
    -5.4154120542946279e-11,
    1.0512122733215323e-09,
    -4.1126339803469837e-09,
    -2.9070369957882005e-08,
    4.2347877827932404e-07,
    -1.3654692000834679e-06,
    -1.3882523362786469e-05,
    0.00018673420803405714,
    -0.000740702534166267,
    -0.0060336708714301491,
    0.24015818242558962,
    1.6536545626831027,
];
/// The polynomial in sqrt(w) - 3.25 where w < 16.
const TAIL: [f64; 19] = [
    2.2137376921775787e-09,
    9.0756561938885391e-08,
    -2.7517406297064545e-07,
    1.8239629214389228e-08,
    1.5027403968909828e-06,
    -4.013867526981546e-06,
    2.9234449089955446e-06,
    1.2475304481671779e-05,
    -4.7318229009055734e-05,
    6.8284851459573175e-05,
    2.4031110387097894e-05,
    -0.00035503752036284748,
    0.0009532893797373805,
    -0.0016882755560235047,
    0.0024914420961078508,
    -0.0037512085075692412,
    0.0053709145535900636,
    1.0052589676941592,
    3.0838856104922208,
];
/// The polynomial in sqrt(w) - 5 elsewhere.
const FAR_TAIL: [f64; 17] = [
    -2.7109920616438573e-11,
    -2.5556418169965252e-10,
    1.5076572693500548e-09,
    -3.789465440126737e-09,
    7.61570120807834e-09,
    -1.496002662714924e-08,
    2.9147953450901081e-08,
    -6.7711997758452339e-08,
    2.2900482228026655e-07,
    -9.9298272942317e-07,
    4.5260625972231537e-06,
    -1.9681778105531671e-05,
    7.5995277030017761e-05,
    -0.00021503011930044477,
    -0.00013871931833623122,
    1.0103004648645344,
    4.8499064014085844,
];
const CENTRAL_BELOW: f64 = 6.25;
const TAIL_BELOW: f64 = 16.0;

/// The largest numbers below 1 and 2.
const BELOW_ONE: f64 = 1.0f64.next_down();
const BELOW_TWO: f64 = 2.0f64.next_down();
/// erf(sqrt(2)) as XLA computes it.
const ERF_BOUND: f64 = f64::from_bits(0x3fee_8b43_07d3_627a);

/// 2^-900. XLA takes subnormal numbers for zero. Factors of at least this size, and of at most 2^52 times
/// it apart, make none.
const LEAST_FACTOR: f64 = f64::from_bits((1023 - 900) << 52);
/// The most lanes of a vector.
const MAX_LANES: usize = 8;

/// `x`, or zero if it is subnormal, and an error if `argument` may make subnormal numbers.
pub(super) fn factor(argument: &'static str, x: f64) -> Result<f64, Error> {
    let flushed = if x.is_subnormal() { 0.0f64.copysign(x) } else { x };
    if flushed != 0.0 && flushed.abs() < LEAST_FACTOR {
        let rule = "must be 0 or of size 2**-900 or more in float64 on this stream";
        return Err(Error::value(argument, rule, shown(x)));
    }
    Ok(flushed)
}

/// Values of `[low, low + range)`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Uniform {
    pub(super) low: f64,
    pub(super) range: f64,
}

/// `z * stddev + mean` of normal values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Normal {
    pub(super) mean: f64,
    pub(super) stddev: f64,
}

/// `z * stddev + mean` of normal values within two standard deviations.
#[derive(Clone, Copy, Debug)]
pub(super) struct TruncatedNormal {
    pub(super) mean: f64,
    pub(super) stddev: f64,
}

/// `fraction * range + low` of a group's words, in natural order.
#[inline(always)]
fn uniform<S: Simd>(simd: S, low: S::F64, range: S::F64, words: Group<S::U64>) -> Group<S::F64> {
    let words = pairs_in_order(simd, words);
    let mut values = [[low; 2]; GROUP];
    for (value, words) in values.as_flattened_mut().iter_mut().zip(words.as_flattened()) {
        let fraction = simd.sub_f64(from_octave(simd, 1.0, *words), simd.splat_f64(1.0));
        *value = simd.mul_add_f64(fraction, range, low);
    }
    values
}

/// Horner's rule from the highest power on, each step fused.
#[inline(always)]
fn horner(coefficients: &[f64], x: f64) -> f64 {
    let mut sum = coefficients[0];
    for coefficient in &coefficients[1..] {
        sum = sum.mul_add(x, *coefficient);
    }
    sum
}

/// -log1p(-s), for s in [0, 1).
#[inline(always)]
fn minus_log1p<S: Simd>(simd: S, s: S::F64) -> S::F64 {
    let splat = |bits| simd.splat_f64(f64::from_bits(bits));
    let (mut p, mut q) = (splat(P[0]), simd.add_f64(s, splat(Q[0])));
    for coefficient in &P[1..] {
        p = simd.mul_add_f64(p, s, splat(*coefficient));
    }
    for coefficient in &Q[1..] {
        q = simd.mul_add_f64(q, s, splat(*coefficient));
    }
    let square = simd.mul_f64(s, s);
    let rest = simd.mul_f64(simd.mul_f64(s, square), simd.div_f64(p, q));
    let w = simd.add_f64(s, simd.mul_add_f64(simd.splat_f64(0.5), square, rest));
    let [mut lanes, mut arguments] = [[0.0; MAX_LANES]; 2];
    simd.store_f64(w, lend(&mut lanes));
    simd.store_f64(s, lend(&mut arguments));
    for (w, s) in lanes.iter_mut().zip(arguments) {
        if s >= RATIONAL_BELOW {
            *w = -(1.0 - s).ln();
        }
    }
    simd.load_f64(&lanes)
}

/// `sqrt(2) * erf_inv(u)` for u in (-1, 1).
#[inline(always)]
fn standard<S: Simd>(simd: S, u: S::F64) -> S::F64 {
    let w = minus_log1p(simd, simd.mul_f64(u, u));
    let x = simd.sub_f64(w, simd.splat_f64(3.125));
    let mut sum = simd.splat_f64(CENTRAL[0]);
    for coefficient in &CENTRAL[1..] {
        sum = simd.mul_add_f64(sum, x, simd.splat_f64(*coefficient));
    }
    let [mut sums, mut ws] = [[0.0; MAX_LANES]; 2];
    simd.store_f64(w, lend(&mut ws));
    // One number in a thousand.
    if ws.iter().any(|w| *w >= CENTRAL_BELOW) {
        simd.store_f64(sum, lend(&mut sums));
        for (sum, w) in sums.iter_mut().zip(ws) {
            if w >= TAIL_BELOW {
                *sum = horner(&FAR_TAIL, w.sqrt() - 5.0);
            } else if w >= CENTRAL_BELOW {
                *sum = horner(&TAIL, w.sqrt() - 3.25);
            }
        }
        sum = simd.load_f64(&sums);
    }
    simd.mul_f64(simd.mul_f64(u, sum), simd.splat_f64(std::f64::consts::SQRT_2))
}

impl Sampler<f64> for Uniform {
    const HOLDS: bool = false;

    type Splat<S: Simd> = [S::F64; 2];

    #[inline(always)]
    fn splat<S: Simd>(&self, simd: S) -> [S::F64; 2] {
        [simd.splat_f64(self.low), simd.splat_f64(self.range)]
    }

    #[inline(always)]
    fn sample<S: Simd>(simd: S, [low, range]: [S::F64; 2], words: Group<S::U64>) -> Group<S::F64> {
        let mut values = uniform(simd, low, range, words);
        for value in values.as_flattened_mut() {
            // NaN stays: it is not below anything.
            *value = simd.max_f64(low, *value);
        }
        values
    }
}

impl Sampler<f64> for Normal {
    const HOLDS: bool = false;

    type Splat<S: Simd> = [S::F64; 2];

    #[inline(always)]
    fn splat<S: Simd>(&self, simd: S) -> [S::F64; 2] {
        [simd.splat_f64(self.mean), simd.splat_f64(self.stddev)]
    }

    #[inline(always)]
    fn sample<S: Simd>(
        simd: S,
        [mean, stddev]: [S::F64; 2],
        words: Group<S::U64>,
    ) -> Group<S::F64> {
        let (low, range) = (simd.splat_f64(-BELOW_ONE), simd.splat_f64(1.0 + BELOW_ONE));
        let mut values = uniform(simd, low, range, words);
        for value in values.as_flattened_mut() {
            let z = standard(simd, *value);
            *value = simd.add_f64(simd.mul_f64(z, stddev), mean);
        }
        values
    }
}

impl Sampler<f64> for TruncatedNormal {
    const HOLDS: bool = false;

    type Splat<S: Simd> = [S::F64; 2];

    #[inline(always)]
    fn splat<S: Simd>(&self, simd: S) -> [S::F64; 2] {
        [simd.splat_f64(self.mean), simd.splat_f64(self.stddev)]
    }

    #[inline(always)]
    fn sample<S: Simd>(
        simd: S,
        [mean, stddev]: [S::F64; 2],
        words: Group<S::U64>,
    ) -> Group<S::F64> {
        let (low, range) = (simd.splat_f64(-ERF_BOUND), simd.splat_f64(2.0 * ERF_BOUND));
        let mut values = uniform(simd, low, range, words);
        for value in values.as_flattened_mut() {
            let z = simd.max_f64(standard(simd, *value), simd.splat_f64(-BELOW_TWO));
            let z = simd.min_f64(z, simd.splat_f64(BELOW_TWO));
            *value = simd.add_f64(simd.mul_f64(z, stddev), mean);
        }
        values
    }
}
