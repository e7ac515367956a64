//! Normal values computed in float32, in blocks of 16.
//!
//! As `torch.normal`: element l < 8 of a block and element l + 8 share their words, the first for
//! the radius and the second for the angle; the first gets the cosine, the second the sine. The
//! product with the standard deviation and the sum with the mean are one rounding. Reference:
//! torch, `aten/src/ATen/native/cpu/DistributionTemplates.h`. An element consumes one word.
//! Stability: Exact.

use std::marker::PhantomData;
use std::mem::MaybeUninit;

use super::sampler::{
    Ending, LANES, PAIRS, Sampler, Single, VALUES, in_steps, low_bits, number, unit,
};
use super::scalar;
use crate::simd::Simd;

/// Logarithm, sine and cosine as one of torch's kernels computes them.
pub(super) trait Functions: Copy + Send + Sync {
    /// Whether few values are scaled with one rounding.
    const FUSED: bool;
    /// The logarithm of numbers in [2^-24, 1].
    fn log<S: Simd, const P: usize>(simd: S, x: [S::F32; P]) -> [S::F32; P];
    /// Sine and cosine of 2 pi `bits` / 2^24, for numbers of 24 bits.
    fn sin_cos<S: Simd, const P: usize>(simd: S, bits: [S::U32; P]) -> [[S::F32; 2]; P];
}

/// Standard normal values, before any sum with a mean: a cosine and a sine for each lane of each
/// pair of vectors of untempered words.
#[inline(always)]
pub(super) fn standard<S: Simd, F: Functions, const P: usize>(
    simd: S,
    words: [[S::U32; 2]; P],
) -> [[S::F32; 2]; P] {
    let mut u = [simd.splat_f32(1.0); P];
    let mut angle = [simd.splat_u32(0); P];
    for i in 0..P {
        u[i] = simd.sub_f32(simd.splat_f32(1.0), unit(simd, low_bits(simd, words[i][0])));
        angle[i] = low_bits(simd, words[i][1]);
    }
    let log = F::log(simd, u);
    let mut values = F::sin_cos(simd, angle);
    for i in 0..P {
        let radius = simd.sqrt_f32(simd.mul_f32(simd.splat_f32(-2.0), log[i]));
        let [sin, cos] = values[i];
        values[i] = [simd.mul_f32(radius, cos), simd.mul_f32(radius, sin)];
    }
    values
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Normal<E, F> {
    mean: f64,
    stddev: f64,
    types: PhantomData<(E, F)>,
}

impl<E, F> Normal<E, F> {
    pub(super) fn new(mean: f64, stddev: f64) -> Self {
        Self { mean, stddev, types: PhantomData }
    }
}

impl<E: Single, F: Functions> Normal<E, F> {
    /// Writes the elements of the first of `words` to the whole of `to`.
    #[inline(always)]
    fn step<S: Simd>(self, simd: S, words: &[u32], to: &mut [MaybeUninit<E>]) {
        let (mean, stddev) =
            (simd.splat_f32(number(self.mean)), simd.splat_f32(number(self.stddev)));
        let mut pairs = [[simd.splat_u32(0); 2]; PAIRS];
        for (i, pair) in pairs.iter_mut().enumerate() {
            *pair = load_pair(simd, words, i);
        }
        let mut values = standard::<S, F, PAIRS>(simd, pairs);
        for value in values.as_flattened_mut() {
            *value = simd.mul_add_f32(*value, stddev, mean);
        }
        if S::LANES >= LANES / 2 {
            for (i, [cos, sin]) in values.into_iter().enumerate() {
                let (cos, sin) =
                    if S::LANES == LANES { simd.halves_f32(cos, sin) } else { (cos, sin) };
                E::store(simd, [cos, sin], &mut to[i * 2 * S::LANES..]);
            }
        } else {
            // A block is two pairs.
            for (pairs, to) in values.chunks_exact(2).zip(to.chunks_exact_mut(LANES)) {
                E::store(simd, [pairs[0][0], pairs[1][0]], to);
                E::store(simd, [pairs[0][1], pairs[1][1]], &mut to[LANES / 2..]);
            }
        }
    }
}

/// Pair number `i` of vectors of words: those of the radii, and those of the angles. A vector has
/// the eight of two blocks, of one, or half of them.
#[inline(always)]
fn load_pair<S: Simd>(simd: S, words: &[u32], i: usize) -> [S::U32; 2] {
    const HALF: usize = LANES / 2;
    if S::LANES == LANES {
        let a = simd.from_bits_f32(simd.load_u32(&words[2 * LANES * i..]));
        let b = simd.from_bits_f32(simd.load_u32(&words[2 * LANES * i + LANES..]));
        let (radius, angle) = simd.halves_f32(a, b);
        [simd.bits_f32(radius), simd.bits_f32(angle)]
    } else {
        let at = if S::LANES == HALF { LANES * i } else { LANES * (i / 2) + S::LANES * (i % 2) };
        [simd.load_u32(&words[at..]), simd.load_u32(&words[at + HALF..])]
    }
}

impl<E: Single, F: Functions> Sampler for Normal<E, F> {
    type Element = E;
    const VALUES: usize = VALUES;
    const WORDS: usize = VALUES;

    fn ending(&self, len: u64) -> Ending {
        Ending::of_normal::<E>(len, 1)
    }

    #[inline(always)]
    fn sample<S: Simd>(self, simd: S, words: &[u32], out: &mut [MaybeUninit<E>]) {
        in_steps!(out, PAIRS * 2 * S::LANES, |at, to, len| self.step(simd, &words[at..], to));
    }

    fn sample_few(&self, words: &[u32], out: &mut [MaybeUninit<E>]) {
        let values = scalar::few(words, self.mean, self.stddev, F::FUSED);
        for (to, value) in out.iter_mut().zip(values) {
            *to = MaybeUninit::new(E::rounded(value as f32));
        }
    }
}
