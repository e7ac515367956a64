//! Normal values less than two standard deviations from the mean, by rejection.
//!
//! Values come in groups of as many as a block makes, 4 or, in float64, 2. A group has 256 words
//! for each, that is 64 blocks; it takes its values from the first of these blocks, leaving out
//! those outside, and as many more from the blocks behind as it lacks. So it depends on its number
//! alone. One in six groups needs a second block, one in 10^5 a third.
//!
//! The first blocks of many groups are transformed at once, then the second ones of those groups
//! that are not full, and so on.

use std::mem::MaybeUninit;

use super::normal::Normal;
use super::scale::{Affine, Computed, Wide};
use crate::block::Block;
use crate::element::OutMut;
use crate::error::Error;
use crate::parallel::Exec;
use crate::rng::philox::{ListedWords, PhiloxWords, SpacedWords};
use crate::simd::lend;
use crate::stream::counter::fill::fill;
use crate::stream::counter::random_access::fill_block;
use crate::stream::counter::sampler::{Sampler, per_block};
use crate::stream::plan::Plan;

/// Elements drawn at once, where there are many and where there are few. Both divide 2^32, so
/// that the counters of a chunk have the same upper words.
const LARGE_CHUNK: usize = 2048;
const SMALL_CHUNK: usize = 256;

/// A plan for elements of type `E`.
pub(super) struct TruncatedPlan<E: Computed> {
    pub(super) affine: Affine<E>,
    pub(super) words: PhiloxWords,
}

impl<E: Computed> Plan for TruncatedPlan<E>
where
    Normal<E::Lane>: Sampler<E::Lane>,
{
    fn cost(&self, block: &Block) -> usize {
        block.len()
    }

    fn fill(&self, block: &Block, out: OutMut<'_>, exec: &Exec<'_>) -> Result<(), Error> {
        fill_block(block, E::of(out)?, exec, |first, to| {
            if to.len() <= SMALL_CHUNK {
                self.fill_run::<SMALL_CHUNK>(first, to);
            } else {
                self.fill_run::<LARGE_CHUNK>(first, to);
            }
        })
    }
}

impl<E: Computed> TruncatedPlan<E>
where
    Normal<E::Lane>: Sampler<E::Lane>,
{
    /// Writes elements `first ..` to the whole of `out`, `CHUNK` at a time.
    fn fill_run<const CHUNK: usize>(&self, first: u64, out: &mut [MaybeUninit<E>]) {
        let size = per_block::<E::Lane>();
        let mut groups = Groups::<E::Lane, CHUNK>::new(self.words);
        let (mut first, mut out) = (first, out);
        while !out.is_empty() {
            let chunk = first - first % CHUNK as u64;
            let skip = (first - chunk) as usize;
            let (now, later) = out.split_at_mut((CHUNK - skip).min(out.len()));
            let begin = skip - skip % size;
            let len = (skip + now.len()).next_multiple_of(size) - begin;
            let values = groups.draw(chunk + begin as u64, len);
            self.affine.write(&values[skip - begin..][..now.len()], now);
            first += now.len() as u64;
            out = later;
        }
    }
}

/// The groups of a chunk.
struct Groups<L, const CHUNK: usize> {
    words: PhiloxWords,
    /// The groups' values, and what those that are not full draw next.
    rooms: [[L; CHUNK]; 2],
    /// The groups that are not full, at the front.
    open: [Open; CHUNK],
    /// Their next blocks.
    numbers: [u32; CHUNK],
}

/// A group that is not full, and how many values it has.
#[derive(Clone, Copy, Default)]
struct Open {
    group: u16,
    len: u16,
}

impl<L: Wide, const CHUNK: usize> Groups<L, CHUNK>
where
    Normal<L>: Sampler<L>,
{
    fn new(words: PhiloxWords) -> Self {
        Self {
            words,
            rooms: [[L::ZERO; CHUNK]; 2],
            open: [Open::default(); CHUNK],
            numbers: [0; CHUNK],
        }
    }

    /// The `len` standard values from element `first` on. Both are multiples of the groups' size.
    fn draw(&mut self, first: u64, len: usize) -> &[L] {
        let size = per_block::<L>();
        // 64 blocks for each value.
        let spacing = 6 + size.ilog2();
        let words = SpacedWords { words: self.words, spacing };
        let [values, candidates] = &mut self.rooms;
        let values = &mut values[..len];
        fill::<L, _>(Normal::<L>::NEW, words, None, first, lend(values));
        let mut left = 0;
        for (group, values) in values.chunks_exact(size).enumerate() {
            self.open[left].group = group as u16;
            let full = values.iter().fold(true, |full, value| full & !value.is_outside());
            left += usize::from(!full);
        }
        for open in &mut self.open[..left] {
            let values = &mut values[usize::from(open.group) * size..][..size];
            open.len = 0;
            for i in 0..size {
                let value = values[i];
                values[usize::from(open.len)] = value;
                open.len += u16::from(!value.is_outside());
            }
        }
        let block = (first / size as u64) << spacing;
        let mut attempt = 0;
        while left > 0 {
            attempt += 1;
            for (number, open) in self.numbers.iter_mut().zip(&self.open[..left]) {
                let group = u32::from(open.group) << spacing;
                *number = (block as u32).wrapping_add(group + attempt);
            }
            let upper = (block >> 32) as u32;
            let words = ListedWords { words: self.words, upper, numbers: &self.numbers[..left] };
            let drawn = &mut candidates[..left * size];
            fill::<L, _>(Normal::<L>::NEW, words, None, 0, lend(drawn));
            let count = std::mem::take(&mut left);
            for i in 0..count {
                let Open { group, len } = self.open[i];
                let values = &mut values[usize::from(group) * size..][..size];
                let mut len = usize::from(len);
                for candidate in &mut candidates[i * size..][..size] {
                    // Without a branch on chance: what a full group has no place for is written
                    // where it stands.
                    let value = *candidate;
                    let place = if len < size { &mut values[len] } else { candidate };
                    *place = value;
                    len += usize::from((len < size) & !value.is_outside());
                }
                self.open[left] = Open { group, len: len as u16 };
                left += usize::from(len < size);
            }
        }
        values
    }
}
