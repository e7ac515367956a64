//! Philox4x32-10: a block of four words as a keyed bijection of a 128-bit counter.
//!
//! J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2,
//! 3", SC'11; constants and known answers from Random123. Any block is computed on its own.
//! [`Philox4x32`] is the scalar engine with rand's traits; [`Blocks`] computes many blocks at
//! once. Stability: exact, Random123's `philox4x32` with 10 rounds.

use std::convert::Infallible;

use rand_core::block::{BlockRng, Generator};
use rand_core::{SeedableRng, TryRng};

use super::words::{WordBlocks, Words};
use crate::simd::{Simd, lend};

/// Multipliers of the two products of a round.
const MULTIPLIER: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
/// What each round adds to the key: the golden ratio and sqrt(3) - 1, as fractions of 2^32.
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
/// Rounds of the standard variant.
const ROUNDS: usize = 10;

/// The four words of the block numbered `counter` under `key`. Word 0 is the lowest of each.
pub fn block(key: [u32; 2], counter: [u32; 4]) -> [u32; 4] {
    let (mut key, mut x) = (key, counter);
    for round in 0..ROUNDS {
        if round > 0 {
            key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        }
        let p0 = u64::from(x[0]) * u64::from(MULTIPLIER[0]);
        let p1 = u64::from(x[2]) * u64::from(MULTIPLIER[1]);
        x = [
            (p1 >> 32) as u32 ^ x[1] ^ key[0],
            p1 as u32,
            (p0 >> 32) as u32 ^ x[3] ^ key[1],
            p0 as u32,
        ];
    }
    x
}

/// Successive blocks from a key and a 128-bit counter.
#[derive(Clone, Debug)]
pub struct Philox4x32Core {
    key: [u32; 2],
    counter: u128,
}

impl Generator for Philox4x32Core {
    type Output = [u32; 4];

    fn generate(&mut self, output: &mut [u32; 4]) {
        let c = self.counter;
        *output = block(self.key, [c as u32, (c >> 32) as u32, (c >> 64) as u32, (c >> 96) as u32]);
        self.counter = c.wrapping_add(1);
    }
}

/// Philox4x32-10 as a sequential generator: the words of blocks 0, 1, 2, ... in order.
#[derive(Debug)]
pub struct Philox4x32(BlockRng<Philox4x32Core>);

impl Philox4x32 {
    /// Starts at word 0 of the block numbered `counter` under `key`.
    pub fn new(key: [u32; 2], counter: u128) -> Self {
        Self(BlockRng::new(Philox4x32Core { key, counter }))
    }
}

impl SeedableRng for Philox4x32 {
    type Seed = [u8; 8];

    fn from_seed(seed: [u8; 8]) -> Self {
        let key = u64::from_le_bytes(seed);
        Self::new([key as u32, (key >> 32) as u32], 0)
    }

    /// The seed is the key, as in the native stream; no hashing is needed for a keyed bijection.
    fn seed_from_u64(seed: u64) -> Self {
        Self::from_seed(seed.to_le_bytes())
    }
}

impl TryRng for Philox4x32 {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.0.next_word())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.next_u64_from_u32())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill_bytes(bytes);
        Ok(())
    }
}

/// The words of all blocks under a key whose counters end in the same two words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PhiloxWords {
    /// The key.
    pub(crate) key: [u32; 2],
    /// Words 2 and 3 of the counter. Words 0 and 1 are the block's number.
    pub(crate) counter: [u32; 2],
}

impl Words for PhiloxWords {
    type Blocks<S: Simd> = Blocks<S>;

    #[inline(always)]
    fn blocks<S: Simd>(self, simd: S, upper: u32) -> Blocks<S> {
        Blocks::new(simd, self.key, [upper, self.counter[0], self.counter[1]])
    }
}

/// Blocks whose counters differ in word 0 only, several vectors of them at a time.
///
/// Each 64-bit lane works on one block, and each word has a lane's low half. The high half keeps
/// what the last product left there, for the next multiplication ignores it. What the first three
/// rounds compute from the other counter words is the same for all blocks and is computed once.
#[derive(Clone, Copy)]
pub(crate) struct Blocks<S: Simd> {
    simd: S,
    multiplier: [S::U64; 2],
    keys: [[S::U64; 2]; ROUNDS],
    /// Word 2 after round 1 is `high(p0) ^ second`.
    second: S::U64,
    /// Word 0 after round 2 is `high(p1) ^ third[0]`, word 2 is `low(p0) ^ third[1]`.
    third: [S::U64; 2],
    /// Word 2 after round 3 is `high(p0) ^ fourth`.
    fourth: S::U64,
}

impl<S: Simd> Blocks<S> {
    /// Prepares blocks with counter words 1 to 3 equal to `counter`.
    #[inline(always)]
    fn new(simd: S, key: [u32; 2], counter: [u32; 3]) -> Self {
        let mut keys = [[simd.splat_u64(0); 2]; ROUNDS];
        let mut round_key = [[0u64; 2]; ROUNDS];
        let mut round = 0;
        while round < ROUNDS {
            let mut half = 0;
            while half < 2 {
                let added = WEYL[half].wrapping_mul(round as u32);
                round_key[round][half] = u64::from(key[half].wrapping_add(added));
                keys[round][half] = simd.splat_u64(round_key[round][half]);
                half += 1;
            }
            round += 1;
        }
        const LOW: u64 = 0xffff_ffff;
        // Round 1: words 0 and 1 come from counter words 1 and 2 alone.
        let p1 = u64::from(counter[1]) * u64::from(MULTIPLIER[1]);
        let word0 = (p1 >> 32) ^ u64::from(counter[0]) ^ round_key[0][0];
        let word1 = p1 & LOW;
        // Round 2: so does the product of word 0.
        let p0 = word0 * u64::from(MULTIPLIER[0]);
        Self {
            simd,
            multiplier: [
                simd.splat_u64(u64::from(MULTIPLIER[0])),
                simd.splat_u64(u64::from(MULTIPLIER[1])),
            ],
            keys,
            second: simd.splat_u64(u64::from(counter[2]) ^ round_key[0][1]),
            third: [
                simd.splat_u64(word1 ^ round_key[1][0]),
                simd.splat_u64((p0 >> 32) ^ round_key[1][1]),
            ],
            fourth: simd.splat_u64((p0 & LOW) ^ round_key[2][1]),
        }
    }

    /// The words of the vectors of blocks whose first round's products are `products`.
    #[inline(always)]
    fn rounds<const U: usize>(&self, products: [S::U64; U]) -> [[S::U64; 2]; U] {
        let simd = self.simd;
        let [m0, m1] = self.multiplier;
        let mut x = [[m0; 4]; U];
        for (x, first) in x.iter_mut().zip(products) {
            let word2 = simd.xor_u64(simd.shr_u64::<32>(first), self.second);
            let p1 = simd.mul_low_u64(word2, m1);
            let x0 = simd.xor_u64(simd.shr_u64::<32>(p1), self.third[0]);
            let x2 = simd.xor_u64(first, self.third[1]);
            let p0 = simd.mul_low_u64(x0, m0);
            let q1 = simd.mul_low_u64(x2, m1);
            *x = [
                simd.xor3_u64(simd.shr_u64::<32>(q1), p1, self.keys[2][0]),
                q1,
                simd.xor_u64(simd.shr_u64::<32>(p0), self.fourth),
                p0,
            ];
        }
        for [k0, k1] in &self.keys[3..ROUNDS - 1] {
            for [x0, x1, x2, x3] in &mut x {
                let p0 = simd.mul_low_u64(*x0, m0);
                let p1 = simd.mul_low_u64(*x2, m1);
                *x0 = simd.xor3_u64(simd.shr_u64::<32>(p1), *x1, *k0);
                *x1 = p1;
                *x2 = simd.xor3_u64(simd.shr_u64::<32>(p0), *x3, *k1);
                *x3 = p0;
            }
        }
        let [k0, k1] = self.keys[ROUNDS - 1];
        let key = simd.low_halves(k0, k1);
        let mut words = [[key; 2]; U];
        for (words, [x0, x1, x2, x3]) in words.iter_mut().zip(x) {
            let p0 = simd.mul_low_u64(x0, m0);
            let p1 = simd.mul_low_u64(x2, m1);
            *words = [
                simd.xor3_u64(simd.high_halves(p1, p0), simd.low_halves(x1, x3), key),
                simd.low_halves(p1, p0),
            ];
        }
        words
    }

    /// The words of `U` vectors of blocks from `place` on, and the place after them. From one
    /// vector to the next products grow by `step`.
    #[inline(always)]
    fn walk<const U: usize>(&self, place: S::U64, step: S::U64) -> ([[S::U64; 2]; U], S::U64) {
        let mut next = place;
        let mut products = [next; U];
        for product in &mut products {
            *product = next;
            next = self.simd.add_u64(next, step);
        }
        (self.rounds(products), next)
    }
}

impl<S: Simd> WordBlocks<S> for Blocks<S> {
    /// The first round's products of the numbers of a vector's blocks.
    type Place = S::U64;

    #[inline(always)]
    fn start(&self, first: u32) -> S::U64 {
        let simd = self.simd;
        let numbers = simd.add_u64(simd.splat_u64(u64::from(first)), simd.block_numbers());
        simd.mul_low_u64(numbers, self.multiplier[0])
    }

    #[inline(always)]
    fn words<const U: usize>(&self, place: S::U64) -> ([[S::U64; 2]; U], S::U64) {
        // A vector later, numbers are larger by its blocks, and products by as many multipliers.
        let step = self.simd.splat_u64(u64::from(MULTIPLIER[0]) * (S::LANES / 2) as u64);
        self.walk(place, step)
    }
}

/// Every `2^spacing`-th of the words' blocks: block q is theirs of number `q << spacing`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SpacedWords {
    pub(crate) words: PhiloxWords,
    /// Below 32.
    pub(crate) spacing: u32,
}

impl Words for SpacedWords {
    type Blocks<S: Simd> = SpacedBlocks<S>;

    #[inline(always)]
    fn lower_bits(&self) -> u32 {
        32 - self.spacing
    }

    #[inline(always)]
    fn blocks<S: Simd>(self, simd: S, upper: u32) -> SpacedBlocks<S> {
        SpacedBlocks { blocks: self.words.blocks(simd, upper), spacing: self.spacing }
    }
}

/// [`Blocks`] with a power of two between their numbers.
#[derive(Clone, Copy)]
pub(crate) struct SpacedBlocks<S: Simd> {
    blocks: Blocks<S>,
    spacing: u32,
}

impl<S: Simd> WordBlocks<S> for SpacedBlocks<S> {
    /// As for [`Blocks`].
    type Place = S::U64;

    #[inline(always)]
    fn start(&self, first: u32) -> S::U64 {
        let simd = self.blocks.simd;
        let first = simd.splat_u64(u64::from(first) << self.spacing);
        let later = simd.mul_low_u64(simd.block_numbers(), simd.splat_u64(1 << self.spacing));
        simd.mul_low_u64(simd.add_u64(first, later), self.blocks.multiplier[0])
    }

    #[inline(always)]
    fn words<const U: usize>(&self, place: S::U64) -> ([[S::U64; 2]; U], S::U64) {
        let step = u64::from(MULTIPLIER[0]) * (S::LANES / 2) as u64;
        self.blocks.walk(place, self.blocks.simd.splat_u64(step << self.spacing))
    }
}

/// The words' blocks that a list names: block i is theirs whose number has the upper half `upper`
/// and the lower half `numbers[i]`. Beyond the end of the list it is block 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListedWords<'a> {
    pub(crate) words: PhiloxWords,
    pub(crate) upper: u32,
    pub(crate) numbers: &'a [u32],
}

impl<'a> Words for ListedWords<'a> {
    type Blocks<S: Simd> = ListedBlocks<'a, S>;

    #[inline(always)]
    fn blocks<S: Simd>(self, simd: S, _upper: u32) -> ListedBlocks<'a, S> {
        let mut order = [0f64; MAX_BLOCKS];
        simd.store_f64(simd.from_bits_f64(simd.block_numbers()), lend(&mut order));
        let order = order.map(|number| number.to_bits() as usize);
        ListedBlocks { blocks: self.words.blocks(simd, self.upper), order, numbers: self.numbers }
    }
}

/// The largest number of blocks that a vector has.
const MAX_BLOCKS: usize = 8;

/// [`Blocks`] whose numbers are looked up.
#[derive(Clone, Copy)]
pub(crate) struct ListedBlocks<'a, S: Simd> {
    blocks: Blocks<S>,
    /// [`Simd::block_numbers`].
    order: [usize; MAX_BLOCKS],
    numbers: &'a [u32],
}

impl<S: Simd> WordBlocks<S> for ListedBlocks<'_, S> {
    /// Where in the list the next number stands.
    type Place = usize;

    #[inline(always)]
    fn start(&self, first: u32) -> usize {
        first as usize
    }

    #[inline(always)]
    fn words<const U: usize>(&self, place: usize) -> ([[S::U64; 2]; U], usize) {
        let simd = self.blocks.simd;
        let mut next = place;
        let mut products = [self.blocks.multiplier[0]; U];
        for product in &mut products {
            let mut lanes = [0u64; MAX_BLOCKS];
            for (lane, number) in lanes[..S::LANES / 2].iter_mut().zip(self.order) {
                *lane = self.numbers.get(next + number).map_or(0, |&number| number.into());
            }
            *product = simd.mul_low_u64(simd.load_u64(&lanes), self.blocks.multiplier[0]);
            next += S::LANES / 2;
        }
        (self.blocks.rounds(products), next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Isa, Kernel, run_on};

    type Known = ([u32; 4], [u32; 2], [u32; 4]);

    /// Counter, key and answer of each row of the table that every language's tests read.
    fn known() -> Vec<Known> {
        let table = include_str!("../../../tests/vectors/philox_kat.txt");
        let rows: Vec<Known> = table
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| {
                let words: Vec<u32> = line
                    .split_whitespace()
                    .map(|word| u32::from_str_radix(word, 16).unwrap())
                    .collect();
                let [c0, c1, c2, c3, k0, k1, a0, a1, a2, a3] = words[..] else {
                    panic!("10 words a row: {line}")
                };
                ([c0, c1, c2, c3], [k0, k1], [a0, a1, a2, a3])
            })
            .collect();
        assert!(rows.len() >= 3);
        rows
    }

    #[test]
    fn known_answers() {
        for (counter, key, answer) in known() {
            assert_eq!(block(key, counter), answer);
        }
    }

    #[test]
    fn the_sequential_engine_walks_the_blocks() {
        let mut rng = Philox4x32::seed_from_u64(0x299f_31d0_a409_3822);
        for number in 0..5 {
            let expected = block([0xa4093822, 0x299f31d0], [number, 0, 0, 0]);
            for word in expected {
                assert_eq!(rng.try_next_u32(), Ok(word));
            }
        }
    }

    struct Walk {
        key: [u32; 2],
        counter: [u32; 4],
    }

    impl Kernel for Walk {
        type Output = Vec<u32>;
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> Vec<u32> {
            let [c0, c1, c2, c3] = self.counter;
            let blocks = Blocks::new(simd, self.key, [c1, c2, c3]);
            let ([a, b], next) = blocks.words(blocks.start(c0));
            let ([c], _) = blocks.words(next);
            let mut all = vec![];
            for words in [a, b, c] {
                let [even, odd] = words.map(|words| simd.from_bits_f32(simd.u64_as_u32(words)));
                let (low, high) = simd.interleave_f32(even, odd);
                let mut bits = [0f32; 64];
                for (i, words) in [low, high].into_iter().enumerate() {
                    simd.store_f32(words, lend(&mut bits[i * S::LANES..]));
                }
                all.extend(bits[..2 * S::LANES].iter().map(|x| x.to_bits()));
            }
            all
        }
    }

    #[test]
    fn vectors_of_blocks_come_in_natural_order_on_every_instruction_set() {
        for isa in Isa::available() {
            for (counter, key, _) in known() {
                let counter = [counter[0] & 0x7fff_ffff, counter[1], counter[2], counter[3]];
                let words = run_on(isa, Walk { key, counter });
                for (n, chunk) in words.chunks(4).enumerate() {
                    let number = [counter[0] + n as u32, counter[1], counter[2], counter[3]];
                    assert_eq!(chunk, block(key, number), "{isa:?} block {n}");
                }
            }
        }
    }

    /// The words of five vectors of blocks from block `first` of `words` on.
    struct WalkOf<W>(W, u32);

    impl<W: Words> Kernel for WalkOf<W> {
        type Output = Vec<u32>;
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> Vec<u32> {
            let blocks = self.0.blocks(simd, 7);
            let ([a, b, c, d], next) = blocks.words(blocks.start(self.1));
            let ([e], _) = blocks.words(next);
            let mut all = vec![];
            for words in [a, b, c, d, e] {
                let [even, odd] = words.map(|words| simd.from_bits_f32(simd.u64_as_u32(words)));
                let (low, high) = simd.interleave_f32(even, odd);
                let mut bits = [0f32; 64];
                simd.store_f32(low, lend(&mut bits));
                simd.store_f32(high, lend(&mut bits[S::LANES..]));
                all.extend(bits[..2 * S::LANES].iter().map(|x| x.to_bits()));
            }
            all
        }
    }

    #[test]
    fn spaced_and_listed_blocks_are_those_of_their_numbers() {
        let words = PhiloxWords { key: [3, 4], counter: [5, 6] };
        let numbers: Vec<u32> = (0..37u32).map(|i| i.wrapping_mul(0x9e37_79b9)).collect();
        for isa in Isa::available() {
            let spaced = SpacedWords { words, spacing: 8 };
            let got = run_on(isa, WalkOf(spaced, (1 << 24) - 100));
            for (n, chunk) in got.chunks(4).enumerate() {
                let number = ((1u32 << 24) - 100 + n as u32) << 8;
                assert_eq!(chunk, block([3, 4], [number, 7, 5, 6]), "{isa:?} {n}");
            }
            let listed = ListedWords { words, upper: 9, numbers: &numbers };
            let got = run_on(isa, WalkOf(listed, 2));
            for (n, chunk) in got.chunks(4).enumerate() {
                let number = numbers.get(2 + n).copied().unwrap_or(0);
                assert_eq!(chunk, block([3, 4], [number, 9, 5, 6]), "{isa:?} {n}");
            }
        }
    }
}
