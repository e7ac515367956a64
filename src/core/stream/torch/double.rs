//! float64 values: 53 bits of two words are a number in [0, 1).
//!
//! As `torch.rand` and `torch.normal`, which call the system's `log`, `sin` and `cos` for these; so
//! does this. Places of the values are those of float32, each of twice as many words. Stability:
//! Exact, on a machine whose library torch uses as well.

use std::mem::MaybeUninit;

use super::path::Path;
use super::sampler::{Ending, LANES, MAX_WORDS, Sampler, in_steps};
use super::scalar::{self, WORDS, around, unit};
use super::{CUT, sampler};
use crate::simd::Simd;

/// Elements of a page.
const VALUES: usize = sampler::VALUES / WORDS;

/// What a normal value costs, in elements of the native stream: calls of the library.
const NORMAL_COST: usize = 16;

/// `u * factor + shift`.
#[derive(Clone, Copy, Debug)]
pub(super) struct UniformF64 {
    pub(super) factor: f64,
    pub(super) shift: f64,
}

impl Sampler for UniformF64 {
    type Element = f64;
    const VALUES: usize = VALUES;
    const WORDS: usize = WORDS * VALUES;
    const COST: usize = 2;

    fn ending(&self, _len: u64) -> Ending {
        Ending::None
    }

    #[inline(always)]
    fn sample<S: Simd>(self, _simd: S, words: &[u32], out: &mut [MaybeUninit<f64>]) {
        for (words, to) in words.chunks_exact(WORDS).zip(out) {
            *to = MaybeUninit::new(unit(words) * self.factor + self.shift);
        }
    }
}

/// The radius that a number in [0, 1) gives.
#[inline(always)]
fn radius(u: f64) -> f64 {
    (-2.0 * (1.0 - u).ln()).sqrt()
}

/// The standard normal values of the pair of places `lane` and `lane + 8` in a block of words.
#[inline(always)]
fn standard(words: &[u32], lane: usize) -> [f64; 2] {
    let [first, second] = [lane, lane + LANES / 2].map(|lane| unit(&words[WORDS * lane..]));
    around(radius(first), second)
}

/// `mean + stddev * z`, rounded once.
#[derive(Clone, Copy, Debug)]
pub(super) struct NormalF64 {
    pub(super) mean: f64,
    pub(super) stddev: f64,
    pub(super) path: Path,
}

impl Sampler for NormalF64 {
    type Element = f64;
    const VALUES: usize = VALUES;
    const WORDS: usize = WORDS * VALUES;
    const COST: usize = NORMAL_COST;

    fn ending(&self, len: u64) -> Ending {
        ending(len, 1)
    }

    #[inline(always)]
    fn sample<S: Simd>(self, _simd: S, words: &[u32], out: &mut [MaybeUninit<f64>]) {
        in_steps!(out, LANES, |at, to, len| {
            for lane in 0..LANES / 2 {
                let [cos, sin] = standard(&words[WORDS * at..], lane);
                to[lane] = MaybeUninit::new(cos.mul_add(self.stddev, self.mean));
                to[lane + LANES / 2] = MaybeUninit::new(sin.mul_add(self.stddev, self.mean));
            }
        });
    }

    fn sample_few(&self, words: &[u32], out: &mut [MaybeUninit<f64>]) {
        let values = scalar::few(words, self.mean, self.stddev, self.path == Path::Avx2);
        out.iter_mut().zip(values).for_each(|(to, value)| *to = MaybeUninit::new(value));
    }
}

/// `z * stddev + mean` of the first of four candidates that is between -2 and 2.
#[derive(Clone, Copy, Debug)]
pub(super) struct TruncatedNormalF64 {
    pub(super) mean: f64,
    pub(super) stddev: f64,
    pub(super) path: Path,
}

/// Normal values that are drawn for an element.
const CANDIDATES: usize = 4;

impl TruncatedNormalF64 {
    /// The element that is made of the candidate chosen; the sum with a mean of 0 makes every
    /// zero positive.
    #[inline(always)]
    fn scaled(self, z: f64) -> MaybeUninit<f64> {
        MaybeUninit::new((z + 0.0) * self.stddev + self.mean)
    }
}

#[inline(always)]
fn is_inside(z: f64) -> bool {
    z.abs() < f64::from(CUT)
}

impl Sampler for TruncatedNormalF64 {
    type Element = f64;
    const VALUES: usize = VALUES;
    const WORDS: usize = MAX_WORDS;
    const COST: usize = NORMAL_COST;

    fn ending(&self, len: u64) -> Ending {
        ending(len, CANDIDATES as u64)
    }

    #[inline(always)]
    fn sample<S: Simd>(self, _simd: S, words: &[u32], out: &mut [MaybeUninit<f64>]) {
        let blocks = words.chunks_exact(WORDS * LANES);
        for (words, out) in blocks.zip(out.chunks_mut(LANES / CANDIDATES)) {
            let [[first, third], [second, fourth]] =
                [0, CANDIDATES].map(|lane| standard(words, lane));
            for (i, (to, z)) in out.iter_mut().zip([first, second, third, fourth]).enumerate() {
                let mut candidates = (1..CANDIDATES).map(|k| {
                    let lane = CANDIDATES * i + k;
                    standard(words, lane % (LANES / 2))[lane / (LANES / 2)]
                });
                let chosen = if is_inside(z) { None } else { candidates.find(|&z| is_inside(z)) };
                *to = self.scaled(chosen.unwrap_or(z));
            }
        }
    }

    fn sample_few(&self, words: &[u32], out: &mut [MaybeUninit<f64>]) {
        let values = scalar::few(words, 0.0, 1.0, self.path == Path::Avx2);
        for (to, candidates) in out.iter_mut().zip(values.chunks_exact(CANDIDATES)) {
            let chosen = candidates.iter().find(|&&z| is_inside(z)).unwrap_or(&candidates[0]);
            *to = self.scaled(*chosen);
        }
    }
}

/// As [`Ending::of_normal`], of words that come in pairs.
fn ending(len: u64, values: u64) -> Ending {
    match Ending::of_normal::<f32>(len, values) {
        Ending::Block { word, len } => Ending::Block { word: WORDS as u64 * word, len },
        other => other,
    }
}
