//! PCG64, NumPy's default bit generator: a 128-bit linear congruential generator whose output is
//! a rotation by the state's own top bits (XSL-RR).
//!
//! Method: M. E. O'Neill, "PCG: A family of simple fast space-efficient statistically good
//! algorithms for random number generation", HMC-CS-2014-0905; jumps after F. B. Brown, "Random
//! number generation with arbitrary strides", Trans. Am. Nucl. Soc. 71 (1994) 202.
//!
//! A draw steps the state and puts out 64 bits of it. Any number of steps can be done at once, with
//! at most 128 squarings; so can steps backwards, for the period is 2^128. Promises the numbers and
//! the state of `numpy.random.PCG64`.

use super::seed_sequence::SeedSequence;
use crate::simd::{self, Kernel, Simd};

/// The multiplier of the congruential generator (`PCG_DEFAULT_MULTIPLIER_128`).
const MULTIPLIER: u128 = (2_549_297_995_355_413_924 << 64) | 4_865_540_595_714_422_341;

/// The generator: state and increment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pcg64 {
    state: u128,
    increment: u128,
}

/// Some number of steps at once: `state * multiplier + addend`.
#[derive(Clone, Copy, Debug)]
struct Step {
    multiplier: u128,
    addend: u128,
}

impl Step {
    #[inline(always)]
    fn apply(self, state: u128) -> u128 {
        state.wrapping_mul(self.multiplier).wrapping_add(self.addend)
    }

    /// `self` first, then `next`.
    fn then(self, next: Self) -> Self {
        Self {
            multiplier: self.multiplier.wrapping_mul(next.multiplier),
            addend: next.apply(self.addend),
        }
    }
}

/// The draw that a state gives.
#[inline(always)]
fn output(high: u64, low: u64) -> u64 {
    (high ^ low).rotate_right((high >> 58) as u32)
}

impl Pcg64 {
    /// The generator that NumPy seeds with `sequence`.
    pub fn new(sequence: &SeedSequence) -> Self {
        let [state_high, state_low, stream_high, stream_low] = sequence.generate_u64();
        let join = |high, low| u128::from(high) << 64 | u128::from(low);
        Self::from_seed(join(state_high, state_low), join(stream_high, stream_low))
    }

    /// The generator with this initial state and stream (`pcg_setseq_128_srandom_r`).
    pub fn from_seed(state: u128, stream: u128) -> Self {
        let increment = stream << 1 | 1;
        let step = Step { multiplier: MULTIPLIER, addend: increment };
        Self { state: step.apply(increment.wrapping_add(state)), increment }
    }

    /// State and increment, as `numpy.random.PCG64.state` shows them.
    pub fn state(&self) -> (u128, u128) {
        (self.state, self.increment)
    }

    fn steps(&self, count: u128) -> Step {
        let mut steps = Step { multiplier: 1, addend: 0 };
        let mut power = Step { multiplier: MULTIPLIER, addend: self.increment };
        let mut rest = count;
        while rest != 0 {
            if rest & 1 == 1 {
                steps = steps.then(power);
            }
            power = power.then(power);
            rest >>= 1;
        }
        steps
    }

    /// Skips `count` draws. The two's complement of a number goes back by as many.
    pub fn advance(&mut self, count: u128) {
        self.state = self.steps(count).apply(self.state);
    }

    /// The same generator `count` draws later.
    pub fn advanced(mut self, count: u128) -> Self {
        self.advance(count);
        self
    }

    /// The next draw.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        self.state = Step { multiplier: MULTIPLIER, addend: self.increment }.apply(self.state);
        output((self.state >> 64) as u64, self.state as u64)
    }
}

/// [`Pcg64`], many draws at a time. Lane `i` holds the state of draw `i` and makes [`LANES`] steps
/// at once. Lanes do not wait for each other's multiplications, and vectors can work on several.
#[derive(Clone, Debug)]
pub struct Pcg64Lanes {
    low: [u64; LANES],
    high: [u64; LANES],
    steps: Step,
}

/// Draws that [`Pcg64Lanes`] makes at once.
pub const LANES: usize = 16;

impl Pcg64Lanes {
    /// The draws of `generator` from its next one on.
    pub fn new(mut generator: Pcg64) -> Self {
        let steps = generator.steps(LANES as u128);
        let (mut low, mut high) = ([0; LANES], [0; LANES]);
        for (low, high) in low.iter_mut().zip(&mut high) {
            generator.next_u64();
            (*low, *high) = (generator.state as u64, (generator.state >> 64) as u64);
        }
        Self { low, high, steps }
    }

    /// Writes the next draws to `out`, whose length must be a multiple of [`LANES`].
    pub fn fill(&mut self, out: &mut [u64]) {
        debug_assert!(out.len().is_multiple_of(LANES));
        simd::run(Fill { lanes: self, out });
    }

    /// The next [`LANES`] draws.
    #[inline(always)]
    pub(crate) fn next<S: Simd>(&mut self) -> [u64; LANES] {
        let mut draws = [0; LANES];
        for (i, draw) in draws.iter_mut().enumerate() {
            *draw = output(self.high[i], self.low[i]);
        }
        if S::LANES >= 8 {
            // Vectors have products of 32 bits, so the wide product is made of four of these. The
            // addend is added to the parts of the product before they are put together: there no
            // sum exceeds 64 bits, and no carry has to be found.
            let (a, b) = (self.steps.multiplier as u64, (self.steps.multiplier >> 64) as u64);
            let (c, d) = (self.steps.addend as u64, (self.steps.addend >> 64) as u64);
            let (a0, a1, c0, c1) = (a & HALF, a >> 32, c & HALF, c >> 32);
            for i in 0..LANES {
                let (low, high) = (self.low[i], self.high[i]);
                let (l0, l1) = (low & HALF, low >> 32);
                let lowest = l0.wrapping_mul(a0).wrapping_add(c0);
                let middle = l1.wrapping_mul(a0).wrapping_add(lowest >> 32);
                let cross = l0.wrapping_mul(a1).wrapping_add(c1).wrapping_add(middle & HALF);
                let wide = l1.wrapping_mul(a1).wrapping_add(middle >> 32).wrapping_add(cross >> 32);
                self.low[i] = cross << 32 | lowest & HALF;
                self.high[i] = wide
                    .wrapping_add(low.wrapping_mul(b))
                    .wrapping_add(high.wrapping_mul(a))
                    .wrapping_add(d);
            }
        } else {
            for i in 0..LANES {
                let state = u128::from(self.high[i]) << 64 | u128::from(self.low[i]);
                let state = self.steps.apply(state);
                (self.low[i], self.high[i]) = (state as u64, (state >> 64) as u64);
            }
        }
        draws
    }
}

/// The low half of 64 bits.
const HALF: u64 = 0xffff_ffff;

struct Fill<'a> {
    lanes: &'a mut Pcg64Lanes,
    out: &'a mut [u64],
}

impl Kernel for Fill<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let mut lanes = self.lanes.clone();
        for out in self.out.chunks_exact_mut(LANES) {
            out.copy_from_slice(&lanes.next::<S>());
        }
        *self.lanes = lanes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::Rng;

    /// Rows of `seed draw advance : state increment draws ..` made by NumPy.
    fn vectors() -> impl Iterator<Item = (Pcg64, u128, [u128; 2], Vec<u64>)> {
        let text = include_str!("../../../tests/vectors/numpy_pcg64.txt");
        text.lines().filter_map(|line| {
            let (given, made) = line.split_once(':')?;
            let given: Vec<u128> =
                given.split_whitespace().map(|word| word.parse().unwrap()).collect();
            let made: Vec<u128> = made
                .split_whitespace()
                .map(|word| u128::from_str_radix(word, 16).unwrap())
                .collect();
            let sequence = SeedSequence::new(&[given[0] as u32, given[1] as u32]);
            let draws = made[2..].iter().map(|&draw| draw as u64).collect();
            Some((Pcg64::new(&sequence), given[2], [made[0], made[1]], draws))
        })
    }

    #[test]
    fn states_and_draws_after_a_jump_are_numpys() {
        let mut rows = 0;
        for (mut generator, jump, [state, increment], draws) in vectors() {
            let start = generator;
            generator.advance(jump);
            assert_eq!(generator.state(), (state, increment));
            assert_eq!(generator.advanced(jump.wrapping_neg()), start);
            let jumped = generator;
            assert!(draws.iter().all(|&draw| generator.next_u64() == draw));
            let mut lanes = [0; 4 * LANES];
            Pcg64Lanes::new(jumped).fill(&mut lanes);
            assert_eq!(lanes[..draws.len()], draws);
            rows += 1;
        }
        assert!(rows >= 12, "{rows} rows read");
    }

    #[test]
    fn draws_and_jumps_are_those_of_rand_pcg() {
        let seeds = [(0, 0), (1, 2), (u128::MAX, u128::MAX), (0x0123_4567_89ab_cdef << 60, 99)];
        for (state, stream) in seeds {
            let mut ours = Pcg64::from_seed(state, stream);
            let mut theirs = rand_pcg::Pcg64::new(state, stream);
            for jump in [0, 1, 1000, 1 << 100, u128::MAX] {
                ours.advance(jump);
                theirs.advance(jump);
                for _ in 0..100 {
                    assert_eq!(ours.next_u64(), theirs.next_u64());
                }
            }
        }
    }

    #[test]
    fn lanes_agree_with_single_steps_on_every_instruction_set() {
        let mut generator = Pcg64::from_seed(3, 4);
        let mut lanes = Pcg64Lanes::new(generator);
        let expected: Vec<u64> = (0..1024 * LANES).map(|_| generator.next_u64()).collect();
        for isa in simd::Isa::available() {
            let mut out = vec![0; expected.len()];
            let mut lanes = lanes.clone();
            simd::run_on(isa, Fill { lanes: &mut lanes, out: &mut out });
            assert_eq!(out, expected, "{}", isa.name());
        }
        lanes.fill(&mut []);
    }
}
