//! MT19937, the Mersenne Twister: a linear recurrence of 32-bit words whose output is tempered.
//!
//! Method: M. Matsumoto, T. Nishimura, "Mersenne Twister: a 623-dimensionally equidistributed
//! uniform pseudo-random number generator", ACM TOMACS 8 (1998) 3; the seeding is that of their
//! program of 2002. Word `k + 624` of the untempered sequence is made of the words `k`, `k + 1` and
//! `k + 397`, so any 624 consecutive words determine all that follow, and 227 can be made at once.
//!
//! Three things are kept apart: a seed becomes 624 words ([`seeded`]), 624 words become the
//! sequence ([`Mt19937`], [`extend`]), and a word becomes output ([`temper`], [`temper_lanes`]).
//! Promises the numbers of the published generator.

use crate::simd::{self, Kernel, Simd};

mod jump;

pub(crate) use jump::Jump;

/// Words that determine the sequence.
pub const N: usize = 624;
/// The middle word that enters the recurrence.
const M: usize = 397;
/// The last row of the recurrence's matrix.
const MATRIX: u32 = 0x9908_b0df;
/// The bit of a word that the recurrence takes from word `k`; the others it takes from `k + 1`.
const UPPER: u32 = 1 << 31;
/// Words that [`extend`] makes at a time: a third of `N`, at most `N - M`, and full vectors.
const RUN: usize = N / 3;
/// Words that a walk makes before it moves them to the front of its memory.
const STRIDE: usize = 8 * N;

/// The words that a seed stands for. They come before the first word that is put out.
pub fn seeded(seed: u32) -> [u32; N] {
    /// The multiplier of Knuth, The Art of Computer Programming 2, 3rd edition, p. 106.
    const MULTIPLIER: u32 = 1_812_433_253;
    let mut words = [seed; N];
    for i in 1..N {
        let last = words[i - 1];
        words[i] = MULTIPLIER.wrapping_mul(last ^ last >> 30).wrapping_add(i as u32);
    }
    words
}

/// The output that an untempered word becomes.
#[inline(always)]
pub fn temper(word: u32) -> u32 {
    let y = word ^ word >> 11;
    let y = y ^ y << 7 & TEMPER_B;
    let y = y ^ y << 15 & TEMPER_C;
    y ^ y >> 18
}
const TEMPER_B: u32 = 0x9d2c_5680;
const TEMPER_C: u32 = 0xefc6_0000;

/// [`temper`] of every lane.
#[inline(always)]
pub(crate) fn temper_lanes<S: Simd>(simd: S, words: S::U32) -> S::U32 {
    let y = simd.xor_u32(words, simd.shr_u32::<11>(words));
    let y = simd.xor_u32(y, simd.and_u32(simd.shl_u32::<7>(y), simd.splat_u32(TEMPER_B)));
    let y = simd.xor_u32(y, simd.and_u32(simd.shl_u32::<15>(y), simd.splat_u32(TEMPER_C)));
    simd.xor_u32(y, simd.shr_u32::<18>(y))
}

/// A place in the sequence: the next 624 words, untempered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mt19937 {
    window: [u32; N],
}

impl Mt19937 {
    /// The generator that is seeded with `seed`, at its first word.
    pub fn new(seed: u32) -> Self {
        let mut generator = Self::from_words(seeded(seed));
        generator.step(N as u64);
        generator
    }

    /// The place whose next words, untempered, are `words`.
    pub fn from_words(words: [u32; N]) -> Self {
        Self { window: words }
    }

    /// The next words, untempered.
    pub fn words(&self) -> &[u32; N] {
        &self.window
    }

    /// Skips `count` words, far ones by a jump.
    pub fn skip(&mut self, count: u64) {
        if count < Jump::WORTH_FROM {
            self.step(count);
        } else {
            Jump::by(count).apply(self);
        }
    }

    /// Skips `count` words by making them.
    fn step(&mut self, count: u64) {
        simd::run(Step { generator: self, count });
    }
}

struct Step<'a> {
    generator: &'a mut Mt19937,
    count: u64,
}

impl Kernel for Step<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { generator, mut count } = self;
        if count <= N as u64 {
            let mut words = [0; 2 * N];
            words[..N].copy_from_slice(&generator.window);
            extend(simd, &mut words, N);
            generator.window.copy_from_slice(&words[count as usize..][..N]);
            return;
        }
        let mut words = [0; N + STRIDE];
        words[..N].copy_from_slice(&generator.window);
        while count > 0 {
            let now = count.min(STRIDE as u64) as usize;
            extend(simd, &mut words[..N + now], N);
            words.copy_within(now..now + N, 0);
            count -= now as u64;
        }
        generator.window.copy_from_slice(&words[..N]);
    }
}

/// Makes the words of the sequence from number `known`, at least [`N`], to the end of `words`; those
/// before are there. Part of a kernel.
#[inline(always)]
pub(crate) fn extend<S: Simd>(simd: S, words: &mut [u32], known: usize) {
    let mut at = known;
    while at < words.len() {
        let (before, after) = words.split_at_mut(at);
        let (before, len) = (&before[at - N..], after.len().min(RUN));
        let after = &mut after[..len];
        let vectors = len - len % S::LANES;
        for i in (0..vectors).step_by(S::LANES) {
            let first = simd.load_u32(&before[i..]);
            let second = simd.load_u32(&before[i + 1..]);
            let middle = simd.load_u32(&before[i + M..]);
            simd.store_u32(next_lanes(simd, first, second, middle), &mut after[i..]);
        }
        for i in vectors..len {
            after[i] = next(before[i], before[i + 1], before[i + M]);
        }
        at += len;
    }
}

/// The word that follows from those 624, 623 and 227 places before it.
#[inline(always)]
fn next(first: u32, second: u32, middle: u32) -> u32 {
    let mixed = first & UPPER | second & !UPPER;
    middle ^ mixed >> 1 ^ (second & 1).wrapping_neg() & MATRIX
}

/// [`next`] in every lane.
#[inline(always)]
fn next_lanes<S: Simd>(simd: S, first: S::U32, second: S::U32, middle: S::U32) -> S::U32 {
    let upper = simd.and_u32(first, simd.splat_u32(UPPER));
    let lower = simd.and_u32(second, simd.splat_u32(!UPPER));
    let mixed = simd.shr_u32::<1>(simd.or_u32(upper, lower));
    let odd = simd.and_u32(second, simd.splat_u32(1));
    let row = simd.and_u32(simd.sub_u32(simd.splat_u32(0), odd), simd.splat_u32(MATRIX));
    simd.xor_u32(simd.xor_u32(middle, mixed), row)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words, tempered, that a generator puts out.
    fn output(generator: &Mt19937, count: usize) -> Vec<u32> {
        let mut generator = generator.clone();
        let mut all = vec![];
        while all.len() < count {
            all.extend(generator.words().iter().map(|&word| temper(word)));
            generator.skip(N as u64);
        }
        all.truncate(count);
        all
    }

    /// The recurrence word by word, as the paper states it.
    fn plain(seed: u32, count: usize) -> Vec<u32> {
        let mut words = seeded(seed).to_vec();
        for k in 0..count {
            words.push(next(words[k], words[k + 1], words[k + M]));
        }
        words[N..].iter().map(|&word| temper(word)).collect()
    }

    /// ISO C++ [rand.predef]: the 10000th of `std::mt19937`, whose default seed is 5489. Its first
    /// five are printed in many places, the documentation of Boost.Random among them.
    #[test]
    fn published_words_are_put_out() {
        let words = output(&Mt19937::new(5489), 10_000);
        let first = [3_499_211_612, 581_869_302, 3_890_346_734, 3_586_334_585, 545_404_204];
        assert_eq!(words[..5], first);
        assert_eq!(words[9_999], 4_123_659_995);
    }

    /// `mt19937ar.out`, which comes with the authors' program: the words after
    /// `init_by_array({0x123, 0x234, 0x345, 0x456})`. Its array enters here as the state it makes.
    #[test]
    fn the_authors_words_follow_from_a_state() {
        let key = [0x123u32, 0x234, 0x345, 0x456];
        let mut words = seeded(19_650_218);
        let mut i = 1;
        let mut mix = |words: &mut [u32; N], multiplier: u32, plus: &dyn Fn(usize) -> u32, step| {
            let last = words[i - 1];
            let mixed = words[i] ^ (last ^ last >> 30).wrapping_mul(multiplier);
            words[i] = mixed.wrapping_add(plus(if multiplier == 1_664_525 { step } else { i }));
            i += 1;
            if i == N {
                words[0] = words[N - 1];
                i = 1;
            }
        };
        for step in 0..N {
            let plus = |step: usize| key[step % 4].wrapping_add(step as u32 % 4);
            mix(&mut words, 1_664_525, &plus, step);
        }
        for _ in 1..N {
            mix(&mut words, 1_566_083_941, &|i| (i as u32).wrapping_neg(), 0);
        }
        words[0] = UPPER;
        let mut generator = Mt19937::from_words(words);
        generator.skip(N as u64);
        let first = [1_067_595_299, 955_945_823, 477_289_528, 4_107_218_783, 4_228_976_476];
        assert_eq!(output(&generator, 5), first);
        // The last of the thousand in the file.
        assert_eq!(output(&generator, 1000)[999], 3_460_025_646);
    }

    #[test]
    fn every_instruction_set_makes_the_words_of_the_recurrence() {
        let expected = plain(20_260_101, 3 * STRIDE);
        for isa in simd::Isa::available() {
            simd::holding(isa, || {
                let generator = Mt19937::new(20_260_101);
                assert_eq!(output(&generator, expected.len()), expected, "{}", isa.name());
                for count in [0, 1, 207, 208, 209, 623, 624, 625, 2000, 4991, 4992, 4993, 10_000] {
                    let mut generator = generator.clone();
                    generator.skip(count);
                    assert_eq!(output(&generator, 700), expected[count as usize..][..700]);
                }
            });
        }
    }
}
