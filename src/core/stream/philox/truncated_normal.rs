//! Normal values held within two standard deviations, by the inverse of the distribution function.
//!
//! One word (two for float64) gives t in (-1, 1), an odd multiple of half the spacing, hence
//! symmetric and never 0; the value is t * G(v), v = 1 - t^2, where G is a rational approximation
//! of sqrt(2) erfinv(erf(sqrt(2)) t) / t. Constant work an element keeps it random-access.
//! Stability: Stable. Other intervals: [`super::truncated_interval`].
//!
//! The density is least at the ends, where G needs v to more bits than t has in float32. There v
//! is the product of 1 - |t| and 1 + |t|, and 1 - |t| comes from the word as an integer: it is
//! exact before it is rounded. The tests here recompute every figure that docs/streams.md gives.

use crate::element::format::Format;
use crate::simd::Simd;
use crate::stream::counter::sampler::{
    Bounds, GROUP, Group, Sampler, from_octave, horner_f64, in_order, pairs_in_order,
};

/// Where Keras truncates, in standard deviations.
pub(crate) const TWO_SIGMA: f64 = 2.0;

/// `mean + stddev * z` in float32.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TruncatedNormalF32 {
    stddev: f32,
    mean: f32,
}

/// `mean + stddev * z` in float64.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TruncatedNormalF64 {
    pub(crate) stddev: f64,
    pub(crate) mean: f64,
}

/// G(v) = LEAD - N(u) / D(u) with u = v / 4 and N(u) = u^4 + .., whose leading 1 is not stored.
///
/// Fitted by least squares in units in the last place of the values, with the mean of each octave
/// of t held near 0, then searched over the coefficients' last bits for what float32 computes.
/// N / D is at most 0.6 and 0 in the middle, so its own roundings count for little.
const LEAD_F32: f32 = 1.4049305;
const NUMERATOR_F32: [f32; 4] = [-0.0002316042, -0.0073918314, -0.0035417166, 0.56855375];
/// D(u) = y (u + b + y) + c with y = u (u + a): a polynomial of degree 4 for two products instead
/// of three. All coefficients are positive, so nothing cancels.
const DENOMINATOR_F32: [f32; 3] = [0.1610169, 0.13270822, 0.00038920535];
/// G at t = 1, its largest value as float32 rounds it: the last number below 2.
const EDGE_F32: f32 = 2.0 - f32::EPSILON;

/// G(v) = N(v) / D(v) to 2^-53.1.
const NUMERATOR_F64: [f64; 10] = [
    2.0,
    65.02854179076876,
    838.8062525500319,
    5507.910858472801,
    19723.533238928096,
    38543.75514316116,
    39261.6117318232,
    18891.127049459872,
    3547.2518933922497,
    166.2011740120806,
];
const DENOMINATOR_F64: [f64; 11] = [
    1.0,
    34.224130705614044,
    469.43702600458374,
    3322.30258472943,
    13057.66906120541,
    28722.691839177594,
    34163.31144662444,
    20332.3664796715,
    5241.001491052426,
    434.72922116421637,
    4.509947283517362,
];

/// The numbers of `format` from `mean + lower * stddev` to `mean + upper * stddev`; if there are
/// none, the one nearest to the mean, twice.
pub(crate) fn support(format: Format, mean: f64, stddev: f64, lower: f64, upper: f64) -> Bounds {
    let (low, high) = (mean + lower * stddev, mean + upper * stddev);
    Bounds::or_nearest(format, format.ceil(low), format.floor(high), mean)
}

impl TruncatedNormalF32 {
    pub(crate) fn new(mean: f64, stddev: f64) -> Self {
        Self { stddev: stddev as f32, mean: mean as f32 }
    }

    /// Bounds of all values: |t| is at most 1 and G at most [`EDGE_F32`], and rounding keeps order.
    pub(crate) fn range(&self) -> Bounds {
        let reach = self.stddev * EDGE_F32;
        Bounds { low: (self.mean - reach).into(), high: (self.mean + reach).into() }
    }
}

impl Sampler<f32> for TruncatedNormalF32 {
    type Splat<S: Simd> = [S::F32; 2];

    #[inline(always)]
    fn splat<S: Simd>(&self, simd: S) -> [S::F32; 2] {
        [simd.splat_f32(self.stddev), simd.splat_f32(self.mean)]
    }

    #[inline(always)]
    fn sample<S: Simd>(
        simd: S,
        [stddev, mean]: [S::F32; 2],
        words: Group<S::U64>,
    ) -> Group<S::F32> {
        let words = words.as_flattened();
        let [mut t, mut u] = [[mean; 2 * GROUP]; 2];
        for i in 0..2 * GROUP {
            let odd = simd.or_u32(simd.u64_as_u32(words[i]), simd.splat_u32(1));
            // Powers of two are taken off the exponents: neither integer is 0.
            let whole = simd.bits_f32(simd.i32_to_f32(odd));
            t[i] = simd.from_bits_f32(simd.sub_u32(whole, simd.splat_u32(31 << 23)));
            // The other sign bit takes 2^31 from a positive integer and gives it to a negative one:
            // this is (1 - |t|) / 2, with the sign that t has not.
            let rest = simd.xor_u32(odd, simd.splat_u32(1 << 31));
            let rest = simd.bits_f32(simd.i32_to_f32(rest));
            let rest = simd.from_bits_f32(simd.sub_u32(rest, simd.splat_u32(32 << 23)));
            // Times (1 + |t|) / 2, which has the same sign.
            u[i] = simd.mul_f32(rest, simd.sub_f32(rest, t[i]));
        }
        let [n0, n1, n2, n3] = NUMERATOR_F32;
        let [a, b, c] = DENOMINATOR_F32;
        let mut values = [[mean; 2]; GROUP];
        let flat = values.as_flattened_mut();
        // By index and with Horner's rule written out: of iterators and the shared function
        // compilers make another order of the same instructions, 3 to 5 % slower.
        for i in 0..2 * GROUP {
            let u = u[i];
            let y = simd.mul_f32(u, simd.add_f32(u, simd.splat_f32(a)));
            let d = simd.add_f32(simd.add_f32(u, simd.splat_f32(b)), y);
            let d = simd.add_f32(simd.mul_f32(y, d), simd.splat_f32(c));
            // The product with the leading 1 is free.
            let mut n = simd.add_f32(u, simd.splat_f32(n3));
            for next in [n2, n1, n0] {
                n = simd.add_f32(simd.mul_f32(n, u), simd.splat_f32(next));
            }
            let g = simd.sub_f32(simd.splat_f32(LEAD_F32), simd.div_f32(n, d));
            flat[i] = simd.add_f32(simd.mul_f32(simd.mul_f32(t[i], stddev), g), mean);
        }
        in_order(simd, values)
    }
}

impl Sampler<f64> for TruncatedNormalF64 {
    type Splat<S: Simd> = [S::F64; 2];

    #[inline(always)]
    fn splat<S: Simd>(&self, simd: S) -> [S::F64; 2] {
        [simd.splat_f64(self.stddev), simd.splat_f64(self.mean)]
    }

    #[inline(always)]
    fn sample<S: Simd>(
        simd: S,
        [stddev, mean]: [S::F64; 2],
        words: Group<S::U64>,
    ) -> Group<S::F64> {
        let words = pairs_in_order(simd, words);
        let [mut t, mut v] = [[mean; 2 * GROUP]; 2];
        for (i, words) in words.as_flattened().iter().enumerate() {
            // 2 (1 + k / 2^52) - 3 + 2^-52: an odd multiple of 2^-52, every step exact.
            let x = simd.sub_f64(from_octave(simd, 2.0, *words), simd.splat_f64(3.0));
            t[i] = simd.add_f64(x, simd.splat_f64(f64::EPSILON));
            v[i] = simd.sub_f64(simd.splat_f64(1.0), simd.mul_f64(t[i], t[i]));
        }
        let n = [simd.splat_f64(NUMERATOR_F64[9]); 2 * GROUP];
        let n = horner_f64(simd, n, &NUMERATOR_F64[..9], v);
        let d = [simd.splat_f64(DENOMINATOR_F64[10]); 2 * GROUP];
        let d = horner_f64(simd, d, &DENOMINATOR_F64[..10], v);
        let mut values = [[mean; 2]; GROUP];
        for (i, value) in values.as_flattened_mut().iter_mut().enumerate() {
            let ratio = simd.div_f64(n[i], d[i]);
            *value = simd.add_f64(simd.mul_f64(simd.mul_f64(t[i], stddev), ratio), mean);
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::philox::PhiloxWords;
    use crate::simd::{Kernel, lend, run};
    use crate::stream::counter::fill::fill;

    /// Positive t are the odd numbers below this, over this.
    const ONE: u32 = 1 << 31;
    /// Equally probable cells of the positive half of the distribution; the other is its mirror.
    const CELLS: usize = 1 << 15;
    const STANDARD: TruncatedNormalF32 = TruncatedNormalF32 { stddev: 1.0, mean: 0.0 };

    /// The values of words `first`, `first + 2 step`, .., whose number is a multiple of 128.
    struct Words<'a> {
        sampler: TruncatedNormalF32,
        first: u32,
        step: u32,
        out: &'a mut [f32],
    }

    impl Kernel for Words<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let parameters = self.sampler.splat(simd);
            let lanes = S::LANES / 2;
            let mut order = [0f64; 8];
            simd.store_f64(simd.from_bits_f64(simd.block_numbers()), lend(&mut order));
            let mut number = 0;
            for out in self.out.chunks_exact_mut(GROUP * 4 * lanes) {
                let mut words = [[simd.splat_u64(0); 2]; GROUP];
                for words in &mut words {
                    for (parity, words) in words.iter_mut().enumerate() {
                        let mut packed = [0f64; 8];
                        for (packed, block) in packed.iter_mut().zip(&order[..lanes]) {
                            let word = |place: u64| {
                                let number = number + 4 * block.to_bits() + place;
                                u64::from(self.first + 2 * self.step * number as u32)
                            };
                            let parity = parity as u64;
                            *packed = f64::from_bits(word(parity) | word(parity + 2) << 32);
                        }
                        *words = simd.bits_f64(simd.load_f64(&packed));
                    }
                    number += 4 * lanes as u64;
                }
                let values = TruncatedNormalF32::sample(simd, parameters, words);
                for (value, out) in values.as_flattened().iter().zip(out.chunks_exact_mut(S::LANES))
                {
                    simd.store_f32(*value, lend(out));
                }
            }
        }
    }

    /// Calls `visit` with the odd words from `first` on, `step` odd words apart, and their values.
    fn for_each_word(first: u32, step: u32, count: u32, mut visit: impl FnMut(u32, f32)) {
        const CHUNK: u32 = 1 << 14;
        let mut out = vec![0f32; CHUNK as usize];
        assert_eq!(count % CHUNK, 0);
        for chunk in 0..count / CHUNK {
            let first = first + 2 * step * CHUNK * chunk;
            run(Words { sampler: STANDARD, first, step, out: &mut out });
            for (i, value) in out.iter().enumerate() {
                visit(first + 2 * step * i as u32, *value);
            }
        }
    }

    /// The inverse distribution function at `k` / 2^31, by the approximation for float64.
    fn exact(k: u32) -> f64 {
        let t = f64::from(k) / f64::from(ONE);
        let rest = f64::from(ONE - k) / f64::from(ONE);
        let v = rest * (2.0 - rest);
        let horner = |terms: &[f64]| terms.iter().rev().fold(0.0, |sum, term| sum * v + term);
        t * (horner(&NUMERATOR_F64) / horner(&DENOMINATOR_F64))
    }

    /// Errors in units in the last place of the exact value.
    #[derive(Default)]
    struct Errors {
        count: f64,
        sum: f64,
        squares: f64,
        worst: f64,
    }

    impl Errors {
        fn add(&mut self, k: u32, value: f32) {
            let exact = exact(k);
            let unit = f64::from_bits((exact.to_bits() >> 52 << 52) - (23 << 52));
            let error = (f64::from(value) - exact) / unit;
            self.count += 1.0;
            self.sum += error;
            self.squares += error * error;
            self.worst = self.worst.max(error.abs());
        }

        fn mean(&self) -> f64 {
            self.sum / self.count
        }

        fn rms(&self) -> f64 {
            (self.squares / self.count).sqrt()
        }
    }

    /// Where the cells begin, and where the last one ends.
    fn edges() -> Vec<f64> {
        (0..=CELLS as u32).map(|i| exact(i << 16)).collect()
    }

    /// The cell of `x` >= 0, looked for from `guess` on.
    fn cell(edges: &[f64], x: f64, guess: usize) -> usize {
        let mut cell = guess.min(CELLS - 1);
        while x < edges[cell] {
            cell -= 1;
        }
        while cell + 1 < CELLS && x >= edges[cell + 1] {
            cell += 1;
        }
        cell
    }

    /// Relative deviations of the cells' words from the average: root mean square and largest
    /// where t > 1/2, and what they add to chi-square in all 2^16 cells a draw.
    fn deviations(counts: &[u32]) -> (f64, f64, f64) {
        let average = f64::from(ONE / 2) / CELLS as f64;
        let deviations: Vec<f64> = counts.iter().map(|n| f64::from(*n) / average - 1.0).collect();
        let squares = |all: &[f64]| all.iter().map(|d| d * d).sum::<f64>() / all.len() as f64;
        let outer = &deviations[CELLS / 2..];
        let most = outer.iter().fold(0f64, |most, d| most.max(d.abs()));
        (squares(outer).sqrt(), most, squares(&deviations))
    }

    #[test]
    fn float32_errors_are_within_the_bars() {
        for octave in 0..8 {
            let first = ONE >> (octave + 1) | 1;
            // 2^18 of the octave's odd words. An odd step takes those that float32 rounds down
            // and those that it rounds up alike.
            let (count, words) = (1 << 18, ONE >> (octave + 2));
            let step = (words / count - 1) | 1;
            let mut errors = Errors::default();
            for_each_word(first, step, count, |k, x| errors.add(k, x));
            let (rms, mean, worst) = (errors.rms(), errors.mean(), errors.worst);
            assert!(rms < 0.9 && worst < 4.0, "octave {octave}: {rms} {worst}");
            // What a numerator and a denominator of degree 4 can do.
            let bias = [0.1, 0.1, 0.45, 0.2, 0.2, 0.2, 0.2, 0.2][octave as usize];
            assert!(mean.abs() < bias, "octave {octave}: {mean}");
        }
    }

    #[test]
    fn float32_values_rise_to_the_last_number_below_two() {
        let mut largest = 0f32;
        // The upper quarter of the words, every 64th, and all of the last million.
        for_each_word(ONE - ONE / 4 + 1, 64, ONE / 4 / 2 / 64, |_, x| largest = largest.max(x));
        for_each_word(ONE - (1 << 21) + 1, 1, 1 << 20, |_, x| largest = largest.max(x));
        assert_eq!(largest, EDGE_F32);
    }

    #[test]
    fn no_word_leads_out_of_the_range() {
        for stddev in [1e-45, 1e-40, 1.2e-38, 1e-25, 0.02, 0.05, 0.3, 1.0, 3.0, 1e30, 4e37] {
            let sampler = TruncatedNormalF32::new(0.0, stddev);
            let Bounds { low, high } = sampler.range();
            assert_eq!(low, -high);
            let twice = 2.0 * f64::from(stddev as f32);
            assert!(high <= twice && (stddev < 1.2e-38 || high < twice), "{stddev}: {high}");
            let mut out = vec![0f32; 1 << 16];
            for (first, step) in [(ONE - (1 << 17) + 1, 1), (1, ONE >> 17)] {
                run(Words { sampler, first, step, out: &mut out });
                let largest = out.iter().fold(0f32, |most, x| most.max(*x));
                assert!(f64::from(largest) <= high, "{stddev}: {largest} {high}");
            }
        }
    }

    /// `cargo test -p seedbed-core truncated_figures -- --ignored --nocapture`
    #[test]
    #[ignore = "a minute: all 2^30 positive words"]
    fn truncated_figures_by_exhaustion() {
        const ONES: u32 = 1f32.to_bits();
        let edges = edges();
        let mut attained = vec![false; 1 << 23];
        let [mut ours, mut rounded] = [vec![0u32; CELLS], vec![0u32; CELLS]];
        for octave in 0..14 {
            let last = octave == 13;
            let first = if last { 1 } else { ONE >> (octave + 1) | 1 };
            let count = if last { ONE >> 14 } else { ONE >> (octave + 2) };
            let mut errors = Errors::default();
            for_each_word(first, 1, count, |k, x| {
                errors.add(k, x);
                if let Some(seen) = attained.get_mut(x.to_bits().wrapping_sub(ONES) as usize) {
                    *seen = true;
                }
                let guess = (k >> 16) as usize;
                ours[cell(&edges, x.into(), guess)] += 1;
                rounded[cell(&edges, f64::from(exact(k) as f32), guess)] += 1;
            });
            let (mean, rms, worst) = (errors.mean(), errors.rms(), errors.worst);
            let (from, to) = (if last { 0 } else { first }, first + 2 * (count - 1));
            println!("errors from={from} to={to} mean={mean:.3} rms={rms:.3} worst={worst:.2}");
        }
        let attained = attained.iter().filter(|seen| **seen).count();
        println!("attained from=1 to=2 count={attained} of={}", 1 << 23);
        for (name, counts) in [("ours", ours), ("rounded", rounded)] {
            let (rms, most, excess) = deviations(&counts);
            let excess = 1e9 * excess;
            println!("cells of={name} rms={rms:.6} most={most:.6} excess_at_1e9={excess:.1}");
        }
    }

    /// As above. `SEEDBED_TEST_DRAWS` sets how many draws a seed makes.
    #[test]
    #[ignore = "minutes: 10^9 draws of each of three seeds"]
    fn truncated_figures_of_draws() {
        const DISTINCT: u64 = 200_000_000;
        const CHUNK: usize = 1 << 16;
        const ONES: u32 = 1f32.to_bits();
        let draws = match std::env::var("SEEDBED_TEST_DRAWS") {
            Ok(count) => count.parse().expect("SEEDBED_TEST_DRAWS is a number of draws"),
            Err(_) => 1_000_000_000u64,
        };
        let edges = edges();
        let guesses: Vec<usize> =
            (0..=2 * CELLS).map(|i| cell(&edges, i as f64 / CELLS as f64, i)).collect();
        for seed in [1, 2, 3] {
            let mut distinct = vec![false; 1 << 23];
            let mut counts = vec![0u64; 2 * CELLS];
            let mut values = vec![0f32; CHUNK];
            let mut drawn = 0;
            while drawn < draws {
                let words = PhiloxWords { key: [seed as u32, 0], counter: [0; 2] };
                fill(STANDARD, words, None, drawn, lend(&mut values));
                for x in &values {
                    let magnitude = x.abs();
                    let place = magnitude.to_bits().wrapping_sub(ONES) as usize;
                    if let Some(seen) = distinct.get_mut(place).filter(|_| drawn < DISTINCT) {
                        *seen = true;
                    }
                    let guess = guesses[(magnitude * CELLS as f32) as usize];
                    let cell = cell(&edges, magnitude.into(), guess);
                    counts[2 * cell + usize::from(*x < 0.0)] += 1;
                }
                drawn += CHUNK as u64;
            }
            let distinct = distinct.iter().filter(|seen| **seen).count();
            let expected = drawn as f64 / counts.len() as f64;
            let squares: f64 = counts.iter().map(|n| (*n as f64 - expected).powi(2)).sum();
            let (chi, freedom) = (squares / expected, (counts.len() - 1) as f64);
            // Wilson and Hilferty: nearly standard normal, so above 3.09 once in 1000 times.
            let spread = 2.0 / (9.0 * freedom);
            let score = ((chi / freedom).cbrt() - (1.0 - spread)) / spread.sqrt();
            println!(
                "draws seed={seed} count={drawn} distinct_of_2e8={distinct} chi_square={chi:.0} score={score:.2}"
            );
        }
    }
}
