//! Filling a run of consecutive elements with a sampler of the native stream.

use std::mem::MaybeUninit;

use super::lane::Lane;
use super::sampler::{Bounds, Sampler};
use super::store::Store;
use crate::rng::philox::Blocks;
use crate::simd::{Kernel, Simd, run};

/// Words 2 and 3 of the counter: what is drawn and why.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Purpose {
    /// The number of the call on a seed generator.
    pub(crate) draw: u32,
    /// 0 for plain samplers, the attempt's number, from 1, for rejection.
    pub(crate) attempt: u32,
}

/// Writes elements `first ..` of the tensor to the whole of `out`. With `bounds`, values are
/// held inside them before they are rounded to the element type.
pub(crate) fn fill<E: Store, D: Sampler<E::Lane>>(
    sampler: D,
    seed: u64,
    purpose: Purpose,
    bounds: Option<Bounds>,
    first: u64,
    mut out: &mut [MaybeUninit<E>],
) {
    let per_block = E::Lane::PER_BLOCK as u64;
    // A kernel's blocks share the upper word of their number: cut where it changes.
    let period = per_block << 32;
    let mut first = first;
    while !out.is_empty() {
        let left = usize::try_from(period - first % period).unwrap_or(usize::MAX);
        let (now, later) = out.split_at_mut(left.min(out.len()));
        let next = first.wrapping_add(now.len() as u64);
        let block = first / per_block;
        let job = Job {
            sampler,
            key: [seed as u32, (seed >> 32) as u32],
            counter: [(block >> 32) as u32, purpose.draw, purpose.attempt],
            block: block as u32,
            skip: (first % per_block) as usize,
            out: now,
        };
        match bounds {
            Some(bounds) => run(Held(job, bounds)),
            None => run(Plain(job)),
        }
        out = later;
        first = next;
    }
}

struct Job<'a, E, D> {
    sampler: D,
    key: [u32; 2],
    counter: [u32; 3],
    /// Counter word 0 of the first block.
    block: u32,
    /// Elements of the first block that come before `out`.
    skip: usize,
    out: &'a mut [MaybeUninit<E>],
}

struct Plain<'a, E, D>(Job<'a, E, D>);
struct Held<'a, E, D>(Job<'a, E, D>, Bounds);

impl<E: Store, D: Sampler<E::Lane>> Kernel for Plain<'_, E, D> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let unused = E::Lane::splat(simd, 0.0);
        self.0.run::<S, false>(simd, [unused; 2]);
    }
}

impl<E: Store, D: Sampler<E::Lane>> Kernel for Held<'_, E, D> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Bounds { low, high } = self.1;
        let bounds = [E::Lane::splat(simd, low), E::Lane::splat(simd, high)];
        self.0.run::<S, true>(simd, bounds);
    }
}

impl<E: Store, D: Sampler<E::Lane>> Job<'_, E, D> {
    #[inline(always)]
    fn run<S: Simd, const HOLD: bool>(self, simd: S, bounds: [<E::Lane as Lane>::Vector<S>; 2]) {
        if S::UNROLL >= 4 {
            self.run_unrolled::<S, HOLD, 4>(simd, bounds);
        } else {
            self.run_unrolled::<S, HOLD, 2>(simd, bounds);
        }
    }

    /// Works on `U` vectors of blocks at a time; `U` is 2 or 4.
    #[inline(always)]
    fn run_unrolled<S: Simd, const HOLD: bool, const U: usize>(
        self,
        simd: S,
        bounds: [<E::Lane as Lane>::Vector<S>; 2],
    ) {
        /// Elements of the largest batch: 4 vectors of 8 blocks of 4.
        const LARGEST: usize = 128;
        let blocks_per_vector = S::LANES / 2;
        let batch = U * blocks_per_vector * E::Lane::PER_BLOCK;
        let blocks = Blocks::new(simd, self.key, self.counter);
        let parameters = self.sampler.splat(simd);
        let step = blocks.step();
        let mut ahead = [blocks.start(self.block); U];
        for u in 1..U {
            ahead[u] = simd.add_u64(ahead[u - 1], step);
        }
        let mut words = blocks.words(ahead);
        let mut out = self.out;

        // What is not a whole batch of `out` is drawn here and copied.
        let mut edge = [MaybeUninit::<E>::uninit(); LARGEST];
        let edge = &mut edge[..batch];
        let mut skip = self.skip;
        while !out.is_empty() {
            let have = (batch - skip).min(out.len());
            let (now, later) = out.split_at_mut(have);
            let whole = have == batch;
            let to = if whole { &mut *now } else { &mut *edge };
            let (first, second) = to.split_at_mut(batch / (U / 2));

            // Where registers allow, transforming these words takes turns with drawing the next:
            // neither alone has enough independent work to keep the processor's units busy.
            ahead[0] = simd.add_u64(ahead[U - 1], step);
            for u in 1..U {
                ahead[u] = simd.add_u64(ahead[u - 1], step);
            }
            let mut pair = [words[0], words[1]];
            if U == 4 {
                let mut state = blocks.begin(ahead);
                blocks.finish_before(&mut state, &mut pair);
                transform::<E, D, S, HOLD>(simd, parameters, bounds, pair, first);
                blocks.rounds::<3, 6, U>(&mut state);
                let mut pair = [words[2], words[3]];
                blocks.finish_before(&mut state, &mut pair);
                transform::<E, D, S, HOLD>(simd, parameters, bounds, pair, second);
                blocks.rounds::<6, 9, U>(&mut state);
                words = blocks.finish(state);
            } else {
                transform::<E, D, S, HOLD>(simd, parameters, bounds, pair, first);
                words = blocks.words(ahead);
            }

            if !whole {
                now.copy_from_slice(&edge[skip..skip + have]);
            }
            skip = 0;
            out = later;
        }
    }
}

/// Writes the elements that two vectors of blocks make to the whole of `to`.
#[inline(always)]
fn transform<E: Store, D: Sampler<E::Lane>, S: Simd, const HOLD: bool>(
    simd: S,
    parameters: D::Splat<S>,
    [low, high]: [<E::Lane as Lane>::Vector<S>; 2],
    words: [[S::U64; 2]; 2],
    to: &mut [MaybeUninit<E>],
) {
    let part = S::LANES / 2 * E::Lane::PER_BLOCK;
    let mut values = D::sample(simd, parameters, words);
    if HOLD {
        for value in &mut values {
            *value = E::Lane::hold(simd, *value, low, high);
        }
    }
    let [a, b, c, d] = values;
    E::store(simd, [a, b], &mut to[..part]);
    E::store(simd, [c, d], &mut to[part..]);
}
