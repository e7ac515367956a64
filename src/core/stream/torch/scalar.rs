//! What torch computes in float64, one number after the other, with the system's mathematical
//! library.

use std::f64::consts::TAU;

use super::sampler::LANES;
use crate::rng::mt19937::temper;

/// Words of a float64 number.
pub(super) const WORDS: usize = 2;

/// The number in [0, 1) that two untempered words make: 53 bits, the first word the upper ones.
#[inline(always)]
pub(super) fn unit(words: &[u32]) -> f64 {
    let bits = u64::from(temper(words[0])) << 32 | u64::from(temper(words[1]));
    (bits & ((1 << 53) - 1)) as f64 / (1u64 << 53) as f64
}

/// The cosine and the sine of 2 pi `turns`, times `radius`.
#[inline(always)]
pub(super) fn around(radius: f64, turns: f64) -> [f64; 2] {
    let angle = TAU * turns;
    [radius * angle.cos(), radius * angle.sin()]
}

/// The normal values of a tensor of fewer than 16, which `torch.normal` makes in pairs: of two
/// numbers the first gives the angle, the second the radius. `fused` says whether they are scaled
/// with one rounding.
pub(super) fn few(words: &[u32], mean: f64, stddev: f64, fused: bool) -> [f64; LANES] {
    let mut values = [0.0; LANES];
    for (pair, words) in values.chunks_exact_mut(2).zip(words.chunks_exact(2 * WORDS)) {
        let [turns, u] = [unit(words), unit(&words[WORDS..])];
        let radius = (-2.0 * (-u).ln_1p()).sqrt();
        for (value, z) in pair.iter_mut().zip(around(radius, turns)) {
            *value = if fused { z.mul_add(stddev, mean) } else { z * stddev + mean };
        }
    }
    values
}
