//! Jumps over any number of words.
//!
//! Method: H. Haramoto, M. Matsumoto, T. Nishimura, F. Panneton, P. L'Ecuyer, "Efficient jump
//! ahead for F2-linear random number generators", INFORMS J. Comput. 20 (2008) 385. Every bit of
//! the sequence obeys a linear recurrence over the field of two elements whose characteristic
//! polynomial has degree 19937. So the word `count` places ahead is the sum of those of the next
//! 19937 words that x^count modulo that polynomial names; the same holds for the words after it.
//!
//! A jump's polynomial takes about a millisecond, applying it a third of one.

use std::sync::OnceLock;

use super::{Mt19937, N, UPPER, extend};
use crate::simd::{self, Kernel, Simd};

/// The degree of the characteristic polynomial.
const DEGREE: usize = 19937;
/// Words of a polynomial of lower degree, whose coefficients are bits.
const WORDS: usize = DEGREE.div_ceil(64);
/// Words of the result that are summed at a time, in registers.
const SUMS: usize = N / 3;

/// The exponents of the characteristic polynomial below the degree.
///
/// Matsumoto and Nishimura's (1998) appendix: with s = t^623 + t^396 and a_i bit i of the matrix' last
/// row, it is (t^624 + t^397)(s^31 + a_0 s^30 + ... + a_30) + a_31. The highest of these is 227
/// below the degree.
fn lower_exponents() -> &'static [usize] {
    static EXPONENTS: OnceLock<Vec<usize>> = OnceLock::new();
    EXPONENTS.get_or_init(|| {
        let mut present = vec![false; DEGREE + 1];
        for i in 0..32 {
            // Power 31 has the coefficient 1, power 30 - i has a_i.
            let power = 31 - i;
            if i > 0 && super::MATRIX >> (i - 1) & 1 == 0 {
                continue;
            }
            // Over this field s^power has the terms whose binomial coefficient is odd.
            for low in (0..=power).filter(|low| power & low == *low) {
                let exponent = 623 * (power - low) + 396 * low;
                present[exponent + 624] ^= true;
                present[exponent + 397] ^= true;
            }
        }
        present[0] ^= super::MATRIX & UPPER != 0;
        (0..DEGREE).filter(|&exponent| present[exponent]).collect()
    })
}

/// A jump over a number of words.
#[derive(Clone, Debug)]
pub(crate) struct Jump {
    /// x^count modulo the characteristic polynomial.
    polynomial: Box<[u64]>,
}

impl Jump {
    /// The number of words from which on a jump takes less time than making the words.
    pub(crate) const WORTH_FROM: u64 = 1 << 24;

    /// The jump over `count` words.
    pub(crate) fn by(count: u64) -> Self {
        // x to the leading bits of the number, then a square, and a factor x, for each further bit.
        let leading = (u64::BITS - count.leading_zeros()).saturating_sub(14);
        let mut power = vec![0; 2 * WORDS];
        let first = (count >> leading) as usize;
        power[first / 64] = 1 << (first % 64);
        for bit in (0..leading).rev() {
            square(&mut power);
            if count >> bit & 1 == 1 {
                double(&mut power);
            }
            reduce(&mut power);
        }
        power.truncate(WORDS);
        Self { polynomial: power.into() }
    }

    /// Moves `generator` ahead.
    pub(crate) fn apply(&self, generator: &mut Mt19937) {
        simd::run(Apply { polynomial: &self.polynomial, generator });
    }
}

/// The square of a polynomial of lower degree: its bits, apart by one.
fn square(power: &mut [u64]) {
    let spread = |word: u64| {
        let mut x = word & 0xffff_ffff;
        x = (x | x << 16) & 0x0000_ffff_0000_ffff;
        x = (x | x << 8) & 0x00ff_00ff_00ff_00ff;
        x = (x | x << 4) & 0x0f0f_0f0f_0f0f_0f0f;
        x = (x | x << 2) & 0x3333_3333_3333_3333;
        (x | x << 1) & 0x5555_5555_5555_5555
    };
    for i in (0..WORDS).rev() {
        let word = power[i];
        power[2 * i] = spread(word);
        power[2 * i + 1] = spread(word >> 32);
    }
}

/// The product with x.
fn double(power: &mut [u64]) {
    for i in (1..power.len()).rev() {
        power[i] = power[i] << 1 | power[i - 1] >> 63;
    }
    power[0] <<= 1;
}

/// The remainder by the characteristic polynomial, word by word from the top: no exponent below
/// the degree is within 64 of it, so a word never falls back on itself.
fn reduce(power: &mut [u64]) {
    const CUT: usize = DEGREE % 64;
    let exponents = lower_exponents();
    for i in (DEGREE / 64..power.len()).rev() {
        let kept = if i == DEGREE / 64 { (1 << CUT) - 1 } else { 0 };
        let high = power[i] & !kept;
        power[i] &= kept;
        // `high` stands at bit 64 i; x^DEGREE is the sum of the lower exponents.
        for exponent in exponents {
            let Some(at) = (64 * i + exponent).checked_sub(DEGREE) else {
                // Only the partial word is that close to the bottom, and its low bits are none.
                power[0] ^= high >> (DEGREE - 64 * i - exponent);
                continue;
            };
            power[at / 64] ^= high << (at % 64);
            if at % 64 > 0 {
                power[at / 64 + 1] ^= high >> (64 - at % 64);
            }
        }
    }
}

struct Apply<'a> {
    polynomial: &'a [u64],
    generator: &'a mut Mt19937,
}

impl Kernel for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let mut words = vec![0; DEGREE + N];
        words[..N].copy_from_slice(&self.generator.window);
        extend(simd, &mut words, N);
        for (part, sums) in self.generator.window.chunks_exact_mut(SUMS).enumerate() {
            let words = &words[part * SUMS..];
            if S::LANES == 16 {
                sum::<S, { SUMS / 16 }>(simd, self.polynomial, words, sums);
            } else {
                // Fewer registers: sums of fewer words, of which more make a part.
                for (half, sums) in sums.chunks_exact_mut(SUMS / 2).enumerate() {
                    let words = &words[half * (SUMS / 2)..];
                    if S::LANES == 8 {
                        sum::<S, { SUMS / 16 }>(simd, self.polynomial, words, sums);
                    } else {
                        sum::<S, { SUMS / 8 }>(simd, self.polynomial, words, sums);
                    }
                }
            }
        }
    }
}

/// Writes to `sums`, `VECTORS` full vectors, the sums of the words that the polynomial names.
#[inline(always)]
fn sum<S: Simd, const VECTORS: usize>(
    simd: S,
    polynomial: &[u64],
    words: &[u32],
    sums: &mut [u32],
) {
    let mut total = [simd.splat_u32(0); VECTORS];
    for (i, &bits) in polynomial.iter().enumerate() {
        let mut bits = bits;
        while bits != 0 {
            let first = 64 * i + bits.trailing_zeros() as usize;
            bits &= bits - 1;
            let words = &words[first..][..VECTORS * S::LANES];
            for (k, total) in total.iter_mut().enumerate() {
                *total = simd.xor_u32(*total, simd.load_u32(&words[k * S::LANES..]));
            }
        }
    }
    for (k, total) in total.into_iter().enumerate() {
        simd.store_u32(total, &mut sums[k * S::LANES..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The recurrence that the polynomial states holds for words as they are made, and the
    /// polynomial is irreducible for a published reason: 2^19937 - 1 is prime, and the period.
    #[test]
    fn the_sequence_obeys_the_characteristic_polynomial() {
        let exponents = lower_exponents();
        assert_eq!(exponents.len() + 1, 135);
        assert!(exponents.iter().all(|exponent| exponent + 227 <= DEGREE));
        let mut words = vec![0; DEGREE + 3 * N];
        words[..N].copy_from_slice(Mt19937::new(4357).words());
        struct Extend<'a>(&'a mut [u32]);
        impl Kernel for Extend<'_> {
            type Output = ();
            #[inline(always)]
            fn run<S: Simd>(self, simd: S) {
                extend(simd, self.0, N);
            }
        }
        simd::run(Extend(&mut words));
        for first in 0..3 * N {
            let sum = exponents.iter().fold(0, |sum, exponent| sum ^ words[first + exponent]);
            assert_eq!(sum, words[first + DEGREE]);
        }
    }

    #[test]
    fn a_jump_is_as_many_steps_on_every_instruction_set() {
        for count in [0, 1, 623, 624, 16_383, 16_384, 19_936, 19_937, 19_938, 1_000_003, 1 << 22] {
            let mut stepped = Mt19937::new(count as u32);
            stepped.step(count);
            let jump = Jump::by(count);
            for isa in simd::Isa::available() {
                let mut jumped = Mt19937::new(count as u32);
                simd::holding(isa, || jump.apply(&mut jumped));
                assert_eq!(jumped, stepped, "{count} {}", isa.name());
            }
        }
    }

    #[test]
    fn far_jumps_add_up() {
        let jump = |counts: &[u64]| {
            let mut generator = Mt19937::new(1);
            counts.iter().for_each(|&count| generator.skip(count));
            generator
        };
        assert_eq!(jump(&[1 << 40, 12_345, 1 << 24]), jump(&[(1 << 40) + (1 << 24) + 12_345]));
        assert_eq!(jump(&[u64::MAX, 1]), jump(&[1 << 63, 1 << 63]));
        let mut stepped = Mt19937::new(1);
        stepped.step(Jump::WORTH_FROM + 5);
        assert_eq!(jump(&[Jump::WORTH_FROM + 5]), stepped);
    }
}
