//! Threefry2x32-20: a block of two words as a keyed bijection of a 64-bit counter.
//!
//! J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2,
//! 3", SC'11; constants and known answers from Random123. Any block is computed on its own.
//! [`block`] is the scalar engine; [`ThreefryWords`] are the bits that JAX makes of many blocks.
//! Stability: exact, Random123's `threefry2x32` with 20 rounds, and `jax.random.bits` where
//! `jax_threefry_partitionable` is on.

use super::words::{WordBlocks, Words};
use crate::simd::Simd;

/// What the third word of the key is made with, Skein's constant for 32-bit words.
const PARITY: u32 = 0x1bd1_1bda;
/// Groups of four rounds, each followed by an injection of the key.
const GROUPS: usize = 5;

/// What is added before round 1 and after each group of rounds: two of three words in turn, and the
/// number of the injection.
const fn schedule(key: [u32; 2]) -> [[u32; 2]; GROUPS + 1] {
    let words = [key[0], key[1], key[0] ^ key[1] ^ PARITY];
    let mut added = [[0; 2]; GROUPS + 1];
    let mut group = 0;
    while group <= GROUPS {
        added[group] = [words[group % 3], words[(group + 1) % 3].wrapping_add(group as u32)];
        group += 1;
    }
    added
}

/// The two words of the block numbered `counter` under `key`; word 0 of the counter is the upper
/// one where it counts.
pub fn block(key: [u32; 2], counter: [u32; 2]) -> [u32; 2] {
    /// By how much word 1 is rotated, in groups of even and of odd number.
    const ROTATIONS: [[u32; 4]; 2] = [[13, 15, 26, 6], [17, 29, 16, 24]];
    let added = schedule(key);
    let inject = |x: [u32; 2], k: [u32; 2]| [x[0].wrapping_add(k[0]), x[1].wrapping_add(k[1])];
    let mut x = inject(counter, added[0]);
    for group in 0..GROUPS {
        for rotation in ROTATIONS[group % 2] {
            x[0] = x[0].wrapping_add(x[1]);
            x[1] = x[1].rotate_left(rotation) ^ x[0];
        }
        x = inject(x, added[group + 1]);
    }
    x
}

/// The random bits that JAX takes under a key, for numbers of 32 bits or, with `DOUBLE`, of 64.
///
/// Number `e` of 32 bits is the exclusive or of the two words of the block whose counter is `e`.
/// Number `e` of 64 bits is those two words, word 0 the upper half. A block of [`Words`] is four of
/// the former, two of the latter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThreefryWords<const DOUBLE: bool> {
    /// The key.
    pub(crate) key: [u32; 2],
}

impl<const DOUBLE: bool> Words for ThreefryWords<DOUBLE> {
    type Blocks<S: Simd> = Blocks<S, DOUBLE>;

    /// The upper half of the counter is the same for all blocks of a walk.
    #[inline(always)]
    fn lower_bits(&self) -> u32 {
        if DOUBLE { 31 } else { 30 }
    }

    #[inline(always)]
    fn blocks<S: Simd>(self, simd: S, upper: u32) -> Blocks<S, DOUBLE> {
        let added = schedule(self.key);
        let mut splat = [[simd.splat_u32(0); 2]; GROUPS + 1];
        for (splat, added) in splat.iter_mut().zip(added) {
            *splat = [simd.splat_u32(added[0]), simd.splat_u32(added[1])];
        }
        splat[0][0] = simd.splat_u32(added[0][0].wrapping_add(upper));
        Blocks { simd, added: splat }
    }
}

/// Bits whose counters differ in the lower half only, several vectors of them at a time.
#[derive(Clone, Copy)]
pub(crate) struct Blocks<S: Simd, const DOUBLE: bool> {
    simd: S,
    /// The injections of the key; the first with the upper half of the counter.
    added: [[S::U32; 2]; GROUPS + 1],
}

/// Rounds on each of `x`, by the distances of their rotations to the left and to the right.
macro_rules! rounds {
    ($simd:ident, $x:ident, $(($left:literal, $right:literal)),*) => {$(
        for [x0, x1] in &mut $x {
            *x0 = $simd.add_u32(*x0, *x1);
            let rotated = $simd.or_u32($simd.shl_u32::<$left>(*x1), $simd.shr_u32::<$right>(*x1));
            *x1 = $simd.xor_u32(rotated, *x0);
        }
    )*};
}

impl<S: Simd, const DOUBLE: bool> Blocks<S, DOUBLE> {
    /// The two words of the counters whose lower halves, first injection added, are `lower`.
    #[inline(always)]
    fn transform<const N: usize>(&self, lower: [S::U32; N]) -> [[S::U32; 2]; N] {
        let simd = self.simd;
        let mut x = [[self.added[0][0]; 2]; N];
        for ([_, x1], lower) in x.iter_mut().zip(lower) {
            *x1 = lower;
        }
        macro_rules! inject {
            ($group:literal) => {
                for [x0, x1] in &mut x {
                    *x0 = simd.add_u32(*x0, self.added[$group][0]);
                    *x1 = simd.add_u32(*x1, self.added[$group][1]);
                }
            };
        }
        rounds!(simd, x, (13, 19), (15, 17), (26, 6), (6, 26));
        inject!(1);
        rounds!(simd, x, (17, 15), (29, 3), (16, 16), (24, 8));
        inject!(2);
        rounds!(simd, x, (13, 19), (15, 17), (26, 6), (6, 26));
        inject!(3);
        rounds!(simd, x, (17, 15), (29, 3), (16, 16), (24, 8));
        inject!(4);
        rounds!(simd, x, (13, 19), (15, 17), (26, 6), (6, 26));
        inject!(5);
        x
    }
}

impl<S: Simd, const DOUBLE: bool> WordBlocks<S> for Blocks<S, DOUBLE> {
    /// The lower halves of the counters of a vector, with the first injection: those of numbers 0
    /// and 2 of blocks of four, of both numbers of blocks of two.
    type Place = S::U32;

    #[inline(always)]
    fn start(&self, first: u32) -> S::U32 {
        let simd = self.simd;
        let numbers = simd.block_numbers();
        let (low, high, first) = if DOUBLE {
            let low = simd.shl_u64::<1>(numbers);
            (low, simd.add_u64(low, simd.splat_u64(1)), first.wrapping_mul(2))
        } else {
            let low = simd.shl_u64::<2>(numbers);
            (low, simd.add_u64(low, simd.splat_u64(2)), first.wrapping_mul(4))
        };
        let within = simd.u64_as_u32(simd.low_halves(low, high));
        simd.add_u32(simd.add_u32(simd.splat_u32(first), within), self.added[0][1])
    }

    #[inline(always)]
    fn words<const U: usize>(&self, place: S::U32) -> ([[S::U64; 2]; U], S::U32) {
        let simd = self.simd;
        let step = simd.splat_u32((if DOUBLE { 1 } else { 2 }) * S::LANES as u32);
        let mut next = place;
        let mut lower = [place; U];
        for lower in &mut lower {
            *lower = next;
            next = simd.add_u32(next, step);
        }
        let mut words = [[simd.splat_u64(0); 2]; U];
        let first = self.transform(lower);
        if DOUBLE {
            for (words, [x0, x1]) in words.iter_mut().zip(first) {
                *words = [simd.u32_as_u64(x1), simd.u32_as_u64(x0)];
            }
        } else {
            for lower in &mut lower {
                *lower = simd.add_u32(*lower, simd.splat_u32(1));
            }
            let second = self.transform(lower);
            for (words, pairs) in words.iter_mut().zip(first.into_iter().zip(second)) {
                let ([a0, a1], [b0, b1]) = pairs;
                let (even, odd) = (simd.xor_u32(a0, a1), simd.xor_u32(b0, b1));
                *words = [simd.u32_as_u64(even), simd.u32_as_u64(odd)];
            }
        }
        (words, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Isa, Kernel, lend, run_on};

    /// Counter, key and answer of each row of the published table.
    fn known() -> Vec<[[u32; 2]; 3]> {
        let table = include_str!("../../../tests/vectors/threefry_kat.txt");
        let rows: Vec<_> = table
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| {
                let words: Vec<u32> = line
                    .split_whitespace()
                    .map(|word| u32::from_str_radix(word, 16).unwrap())
                    .collect();
                let [c0, c1, k0, k1, a0, a1] = words[..] else { panic!("6 words a row: {line}") };
                [[c0, c1], [k0, k1], [a0, a1]]
            })
            .collect();
        assert!(rows.len() >= 3);
        rows
    }

    #[test]
    fn known_answers() {
        for [counter, key, answer] in known() {
            assert_eq!(block(key, counter), answer);
        }
    }

    struct Walk<const DOUBLE: bool> {
        key: [u32; 2],
        upper: u32,
        first: u32,
    }

    impl<const DOUBLE: bool> Kernel for Walk<DOUBLE> {
        type Output = Vec<u32>;
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> Vec<u32> {
            let blocks = ThreefryWords::<DOUBLE> { key: self.key }.blocks(simd, self.upper);
            let ([a, b], next) = blocks.words(blocks.start(self.first));
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
    fn vectors_of_words_come_in_natural_order_on_every_instruction_set() {
        for isa in Isa::available() {
            for [[upper, first], key, _] in known() {
                for first in [0, first & 0xff_ffff, (1 << 30) - 48] {
                    let words = run_on(isa, Walk::<false> { key, upper, first });
                    for (n, word) in words.into_iter().enumerate() {
                        let [a, b] = block(key, [upper, 4 * first + n as u32]);
                        assert_eq!(word, a ^ b, "{isa:?} number {n} from block {first}");
                    }
                    let words = run_on(isa, Walk::<true> { key, upper, first });
                    for (n, words) in words.chunks(2).enumerate() {
                        let [a, b] = block(key, [upper, 2 * first + n as u32]);
                        assert_eq!(words, [b, a], "{isa:?} number {n} from block {first}");
                    }
                }
            }
        }
    }
}
