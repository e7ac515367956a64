//! Filling a run of consecutive elements with a sampler.

use std::mem::MaybeUninit;

use super::sampler::{Bounds, GROUP, Group, Sampler, per_block};
use super::store::Store;
use crate::rng::words::{WordBlocks, Words};
use crate::simd::{Kernel, Lane, Simd, run};

/// Writes elements `first ..` of the tensor that `sampler` makes of `words` to the whole of `out`.
/// With `bounds`, values of a sampler that [holds](Sampler::HOLDS) are held inside them before they
/// are rounded to the element type.
pub(crate) fn fill<E: Store, D: Sampler<E::Lane>>(
    sampler: D,
    words: impl Words,
    bounds: Option<Bounds>,
    first: u64,
    mut out: &mut [MaybeUninit<E>],
) {
    let per_block = per_block::<E::Lane>() as u64;
    // The blocks of a kernel share the upper part of their number, so runs are cut where it
    // changes.
    let bits = words.lower_bits();
    let period = per_block << bits;
    let mut first = first;
    while !out.is_empty() {
        let left = usize::try_from(period - first % period).unwrap_or(usize::MAX);
        let (now, later) = out.split_at_mut(left.min(out.len()));
        let next = first.wrapping_add(now.len() as u64);
        let block = first / per_block;
        let job = Job {
            sampler,
            words,
            upper: (block >> bits) as u32,
            block: (block & ((1 << bits) - 1)) as u32,
            skip: (first % per_block) as usize,
            out: now,
        };
        match bounds {
            Some(bounds) if D::HOLDS => run(Held(job, bounds)),
            _ => run(Plain(job)),
        }
        out = later;
        first = next;
    }
}

struct Job<'a, E, D, W> {
    sampler: D,
    words: W,
    /// The upper part of the blocks' numbers.
    upper: u32,
    /// The lower part of the first block's number.
    block: u32,
    /// Elements of the first block that come before `out`.
    skip: usize,
    out: &'a mut [MaybeUninit<E>],
}

struct Plain<'a, E, D, W>(Job<'a, E, D, W>);
struct Held<'a, E, D, W>(Job<'a, E, D, W>, Bounds);

impl<E: Store, D: Sampler<E::Lane>, W: Words> Kernel for Plain<'_, E, D, W> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let unused = E::Lane::splat(simd, E::Lane::ZERO);
        self.0.run::<S, false>(simd, [unused; 2]);
    }
}

impl<E: Store, D: Sampler<E::Lane>, W: Words> Kernel for Held<'_, E, D, W> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Bounds { low, high } = self.1;
        let bounds = [low, high].map(E::Lane::from_f64);
        let bounds = [E::Lane::splat(simd, bounds[0]), E::Lane::splat(simd, bounds[1])];
        self.0.run::<S, true>(simd, bounds);
    }
}

impl<E: Store, D: Sampler<E::Lane>, W: Words> Job<'_, E, D, W> {
    #[inline(always)]
    fn run<S: Simd, const HOLD: bool>(self, simd: S, bounds: [<E::Lane as Lane>::Vector<S>; 2]) {
        /// Elements of the largest group: a vector has up to 8 blocks of 4.
        const MAX_SIZE: usize = GROUP * 8 * 4;
        let size = GROUP * (S::LANES / 2) * per_block::<E::Lane>();
        let blocks = self.words.blocks(simd, self.upper);
        let parameters = self.sampler.splat(simd);
        let mut place = blocks.start(self.block);
        let mut words = [[[simd.splat_u64(0); 2]; GROUP]; GROUPS];
        // A group of which `out` takes only a part is made here and copied.
        let mut edge = [MaybeUninit::<E>::uninit(); MAX_SIZE];
        let edge = &mut edge[..size];
        let (mut out, mut skip) = (self.out, self.skip);
        while !out.is_empty() {
            let groups = (skip + out.len()).div_ceil(size).min(GROUPS);
            for words in &mut words[..groups] {
                place = draw(&blocks, place, words);
            }
            for words in &words[..groups] {
                let (now, later) = out.split_at_mut((size - skip).min(out.len()));
                let whole = now.len() == size;
                let to = if whole { &mut *now } else { &mut *edge };
                transform::<E, D, S, HOLD>(simd, parameters, bounds, *words, to);
                if !whole {
                    now.copy_from_slice(&edge[skip..skip + now.len()]);
                }
                (out, skip) = (later, 0);
            }
        }
    }
}

/// Groups drawn before any is transformed. One: the compiler mixes both phases and spills
/// registers. More: stores come in bursts.
const GROUPS: usize = 2;

/// Draws the words of the group at `place` and returns the place of the next one.
#[inline(always)]
fn draw<S: Simd, B: WordBlocks<S>>(
    blocks: &B,
    place: B::Place,
    words: &mut Group<S::U64>,
) -> B::Place {
    if S::UNROLL >= GROUP {
        let (drawn, next) = blocks.words::<GROUP>(place);
        *words = drawn;
        next
    } else {
        let mut place = place;
        for words in words.chunks_exact_mut(2) {
            let (drawn, next) = blocks.words::<2>(place);
            words.copy_from_slice(&drawn);
            place = next;
        }
        place
    }
}

/// Writes the elements that a group of vectors of blocks makes to the whole of `to`.
#[inline(always)]
fn transform<E: Store, D: Sampler<E::Lane>, S: Simd, const HOLD: bool>(
    simd: S,
    parameters: D::Splat<S>,
    [low, high]: [<E::Lane as Lane>::Vector<S>; 2],
    words: Group<S::U64>,
    to: &mut [MaybeUninit<E>],
) {
    let mut values = D::sample(simd, parameters, words);
    if HOLD {
        for value in values.as_flattened_mut() {
            *value = E::Lane::hold(simd, *value, low, high);
        }
    }
    let part = S::LANES / 2 * per_block::<E::Lane>();
    // Check the length once: a branch between stores keeps the compiler from working on several
    // vectors side by side.
    let to = &mut to[..GROUP * part];
    for i in 0..GROUP {
        E::store(simd, values[i], &mut to[i * part..]);
    }
}
