//! Truncated normal values computed in float32.
//!
//! As Keras makes them on torch: of four standard normal values, rounded to the element type, the
//! first that lies between -2 and 2; the first of the four if none does, which happens to 4.3 of a
//! million. Then times `stddev`, plus `mean`. An element consumes the four words of its values.
//!
//! The first candidates of the four elements of a block of 16 have the places 0, 4, 8 and 12: two
//! pairs of Box and Muller's, and four of sixteen words to temper. They alone are made for all
//! elements. The 4.55 % that lie outside are listed and their next candidates made in batches, each
//! of a pair of words that it has with an element that does not want it.
//!
//! Stability: Exact.

use std::marker::PhantomData;
use std::mem::MaybeUninit;

use super::CUT;
use super::normal::{Functions, standard};
use super::sampler::{
    Affine, Ending, LANES, MAX_LANES, MAX_WORDS, PAIRS, Sampler, Single, VALUES, in_steps,
};
use super::scalar;
use crate::simd::{Simd, lend};

/// Normal values that are drawn for an element.
const CANDIDATES: usize = 4;

#[derive(Clone, Copy, Debug)]
pub(super) struct TruncatedNormal<E, F> {
    affine: Affine,
    types: PhantomData<(E, F)>,
}

impl<E, F> TruncatedNormal<E, F> {
    pub(super) fn new(affine: Affine) -> Self {
        Self { affine, types: PhantomData }
    }
}

/// The elements of a page that have no value yet, and room for what is written past them.
struct Rejected {
    elements: [u16; VALUES + 8],
    len: usize,
}

impl Rejected {
    /// Adds `first + i` for every bit `i` of `mask`.
    #[inline(always)]
    fn add(&mut self, first: usize, mask: u32) {
        /// How many are written without asking: there are hardly ever more in a vector.
        const USUAL: usize = 3;
        let count = mask.count_ones() as usize;
        let mut rest = mask;
        let to = &mut self.elements[self.len..];
        for to in &mut to[..count.max(USUAL)] {
            *to = (first + rest.trailing_zeros() as usize) as u16;
            rest &= rest.wrapping_sub(1);
        }
        self.len += count;
    }
}

impl<E: Single, F: Functions> TruncatedNormal<E, F> {
    /// Writes the first candidates of the elements whose words are `words` to the whole of `to`,
    /// and returns, for each vector of them, which are outside.
    #[inline(always)]
    fn step<S: Simd>(self, simd: S, words: &[u32], to: &mut [MaybeUninit<E>]) -> [[u32; 2]; PAIRS] {
        let mut pairs = [[simd.splat_u32(0); 2]; PAIRS];
        for (i, pair) in pairs.iter_mut().enumerate() {
            // A group of four words has radius, radius, angle and angle of a block.
            let words = &words[2 * i * CANDIDATES * S::LANES..];
            let a = simd.u32_as_u64(simd.load_fourths_u32(words));
            let b = simd.u32_as_u64(simd.load_fourths_u32(&words[CANDIDATES * S::LANES..]));
            let (radius, angle) = simd.interleave_u64(a, b);
            *pair = [simd.u64_as_u32(radius), simd.u64_as_u32(angle)];
        }
        let values = standard::<S, F, PAIRS>(simd, pairs);
        let mut outside = [[0; 2]; PAIRS];
        for (i, [cos, sin]) in values.into_iter().enumerate() {
            let cos = simd.u32_as_u64(simd.bits_f32(cos));
            let sin = simd.u32_as_u64(simd.bits_f32(sin));
            let (a, b) = simd.interleave_u64(cos, sin);
            let a = candidate::<S, E>(simd, simd.from_bits_f32(simd.u64_as_u32(a)));
            let b = candidate::<S, E>(simd, simd.from_bits_f32(simd.u64_as_u32(b)));
            outside[i] = [is_outside(simd, a), is_outside(simd, b)];
            let a = self.affine.apply::<S, E>(simd, a);
            let b = self.affine.apply::<S, E>(simd, b);
            E::store(simd, [a, b], &mut to[i * 2 * S::LANES..]);
        }
        outside
    }

    /// Writes candidate number `number` of the rejected elements, where it is inside, and keeps
    /// those for which it is not.
    #[inline(always)]
    fn redraw<S: Simd>(
        self,
        simd: S,
        words: &[u32],
        number: usize,
        rejected: &mut Rejected,
        out: &mut [MaybeUninit<E>],
    ) {
        let mut kept = 0;
        let mut at = 0;
        while at < rejected.len {
            let count = S::LANES.min(rejected.len - at);
            let [mut radius, mut angle] = [[0; MAX_LANES]; 2];
            let mut elements = [0; MAX_LANES];
            elements[..count].copy_from_slice(&rejected.elements[at..at + count]);
            for j in 0..count {
                let element = usize::from(elements[j]);
                let first = element / CANDIDATES * LANES + lane(element, number) % (LANES / 2);
                (radius[j], angle[j]) = (words[first], words[first + LANES / 2]);
            }
            let pair = [simd.load_u32(&radius), simd.load_u32(&angle)];
            let [[cos, sin]] = standard::<S, F, 1>(simd, [pair]);
            let [mut z, mut sines] = [[0.0; MAX_LANES]; 2];
            simd.store_f32(cos, lend(&mut z));
            simd.store_f32(sin, lend(&mut sines));
            for j in 0..count {
                if lane(elements[j].into(), number) >= LANES / 2 {
                    z[j] = sines[j];
                }
            }
            let values = candidate::<S, E>(simd, simd.load_f32(&z));
            let outside = is_outside(simd, values);
            simd.store_f32(self.affine.apply::<S, E>(simd, values), lend(&mut z));
            for j in 0..count {
                if outside >> j & 1 == 0 {
                    out[usize::from(elements[j])] = MaybeUninit::new(E::rounded(z[j]));
                } else {
                    rejected.elements[kept] = elements[j];
                    kept += 1;
                }
            }
            at += count;
        }
        rejected.len = kept;
    }
}

/// The place in its block of an element's candidate.
#[inline(always)]
fn lane(element: usize, candidate: usize) -> usize {
    CANDIDATES * (element % (LANES / CANDIDATES)) + candidate
}

/// Standard normal values as elements: the sum with a mean of 0 makes every zero positive.
#[inline(always)]
fn candidate<S: Simd, E: Single>(simd: S, z: S::F32) -> S::F32 {
    E::nearest(simd, simd.add_f32(z, simd.splat_f32(0.0)))
}

/// Which lanes are not between -2 and 2.
#[inline(always)]
fn is_outside<S: Simd>(simd: S, z: S::F32) -> u32 {
    let magnitude = simd.and_u32(simd.bits_f32(z), simd.splat_u32(0x7fff_ffff));
    let inside = simd.less_f32(simd.from_bits_f32(magnitude), simd.splat_f32(CUT));
    inside ^ ((1u64 << S::LANES) - 1) as u32
}

impl<E: Single, F: Functions> Sampler for TruncatedNormal<E, F> {
    type Element = E;
    const VALUES: usize = VALUES;
    const WORDS: usize = MAX_WORDS;

    fn ending(&self, len: u64) -> Ending {
        Ending::of_normal::<E>(len, CANDIDATES as u64)
    }

    #[inline(always)]
    fn sample<S: Simd>(self, simd: S, words: &[u32], out: &mut [MaybeUninit<E>]) {
        let mut rejected = Rejected { elements: [0; VALUES + 8], len: 0 };
        in_steps!(out, PAIRS * 2 * S::LANES, |at, to, len| {
            let outside = self.step(simd, &words[CANDIDATES * at..], to);
            for (i, &mask) in outside.as_flattened().iter().enumerate() {
                let first = i * S::LANES;
                let wanted = len.saturating_sub(first).min(S::LANES);
                let mask = mask & ((1u64 << wanted) - 1) as u32;
                rejected.add(at + first, mask);
            }
        });
        for number in 1..CANDIDATES {
            if rejected.len == 0 {
                break;
            }
            self.redraw(simd, words, number, &mut rejected, out);
        }
    }

    fn sample_few(&self, words: &[u32], out: &mut [MaybeUninit<E>]) {
        let values = scalar::few(words, 0.0, 1.0, F::FUSED);
        for (to, candidates) in out.iter_mut().zip(values.chunks_exact(CANDIDATES)) {
            let mut candidates = candidates.iter().map(|&z| E::rounded(z as f32));
            let first = candidates.clone().next();
            let chosen = candidates.find(|z| z.widened().abs() < CUT).or(first);
            *to = MaybeUninit::new(chosen.map_or(E::rounded(0.0), |z| self.affine.apply_to(z)));
        }
    }
}
