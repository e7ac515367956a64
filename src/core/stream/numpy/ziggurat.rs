//! The standard normal by NumPy's ziggurat with 256 layers, in float64.
//!
//! Method: G. Marsaglia and W. W. Tsang, "The ziggurat method for generating random variables", J.
//! Stat. Softw. 5 (2000) 8, as NumPy's `random_standard_normal` runs it. A *pass* takes one draw
//! and makes a value of it in 98.5 % of cases. Otherwise it takes further draws: in the tail two a
//! try until one succeeds, in a wedge one, after which there may be no value. A pass depends on
//! nothing before it, so a parse of the draws may begin with any pass.
//!
//! Stability: Exact(`numpy.random.Generator.standard_normal`, NumPy 1.17 to 2.4 on x86-64). No
//! operation is fused. The tail and the wedges use the platform's `log1p` and `exp`, as NumPy
//! does: `f64::ln_1p` and `f64::exp` call them.

use super::ziggurat_tables::{FI, KI, WI};
use crate::simd::Simd;

/// Where the tail begins (`ziggurat_nor_r`).
#[allow(clippy::excessive_precision, reason = "the digits of the source")]
const TAIL: f64 = 3.654_152_885_361_008_796_351_947_251_8;
/// `1 / TAIL` (`ziggurat_nor_inv_r`).
#[allow(clippy::excessive_precision, reason = "the digits of the source")]
const TAIL_INVERSE: f64 = 0.273_661_237_329_758_272_033_382_475_96;
/// The magnitude's bits in a draw shifted right by 9.
const MAGNITUDE: u64 = (1 << 52) - 1;

/// Layers, once for each sign.
const ROWS: usize = 2 * 256;

/// `KI` and `WI` by the low 9 bits of a draw, layer and sign, so that one look-up gives the
/// threshold and the signed width.
static LAYERS: Layers = Layers::new();

#[repr(align(64))]
struct Layers([[u64; 2]; ROWS]);

impl Layers {
    const fn new() -> Self {
        let mut layers = [[0; 2]; ROWS];
        let mut i = 0;
        while i < ROWS {
            layers[i] = [KI[i & 255], WI[i & 255] | (i as u64 >> 8) << 63];
            i += 1;
        }
        Self(layers)
    }
}

/// The distance between neighbours among the doubles that draws make: 2^-53.
pub(super) const UNIT: f64 = 1.0 / (1u64 << 53) as f64;

/// The double in [0, 1) that a draw makes, in units of [`UNIT`]: its upper 53 bits.
#[inline(always)]
pub(super) fn units(draw: u64) -> f64 {
    // As a signed integer, whose conversion is one instruction; the value is below 2^53.
    (draw >> 11) as i64 as f64
}

/// [`units`] by additions, for vectors that do not convert 64-bit integers. The upper 21 of the 53
/// bits become the fraction of a number from 2^84 on and the lower 32 that of one from 2^52 on. The
/// subtraction of 2^84 and 2^52 and the sum are exact.
#[inline(always)]
pub(super) fn units_of_halves(draw: u64) -> f64 {
    const HIGH: f64 = (1u128 << 84) as f64;
    const LOW: f64 = (1u64 << 52) as f64;
    let high = f64::from_bits(draw >> 43 | HIGH.to_bits()) - (HIGH + LOW);
    high + f64::from_bits(draw >> 11 & 0xffff_ffff | LOW.to_bits())
}

/// The double in [0, 1) that a draw makes.
#[inline(always)]
pub(super) fn unit(draw: u64) -> f64 {
    units(draw) * UNIT
}

/// The value that `draw` proposes, and whether it is accepted at once.
#[inline(always)]
pub(super) fn propose(draw: u64) -> (f64, bool) {
    let [threshold, width] = LAYERS.0[draw as usize % ROWS];
    let magnitude = draw >> 9 & MAGNITUDE;
    (magnitude as i64 as f64 * f64::from_bits(width), magnitude < threshold)
}

/// [`propose`] of the first `LANES / 2` draws: the values, and the bits of those accepted at once.
#[inline(always)]
pub(super) fn propose_all<S: Simd>(simd: S, draws: &[u64]) -> (S::F64, u32) {
    /// 2^52, above which float64 has only integers.
    const ANCHOR: f64 = (1u64 << 52) as f64;
    let (thresholds, widths) = simd.look_up(draws, &LAYERS.0);
    let magnitudes = simd.shr_u64::<9>(simd.load_u64(draws));
    let magnitudes = simd.and_u64(magnitudes, simd.splat_u64(MAGNITUDE));
    // An integer below 2^52, as the fraction of a number from the anchor on, is its distance from
    // it.
    let anchored = simd.or_u64(magnitudes, simd.splat_u64(ANCHOR.to_bits()));
    let floats = simd.sub_f64(simd.from_bits_f64(anchored), simd.splat_f64(ANCHOR));
    let values = simd.mul_f64(floats, simd.from_bits_f64(widths));
    (values, simd.less_u64(magnitudes, thresholds))
}

/// The rest of a pass whose first draw was not accepted at once; `next` gives further draws.
#[cold]
#[inline(never)]
pub(super) fn settle(draw: u64, mut next: impl FnMut() -> u64) -> Option<f64> {
    let layer = (draw & 255) as usize;
    if layer == 0 {
        loop {
            let x = -TAIL_INVERSE * (-unit(next())).ln_1p();
            let y = -(-unit(next())).ln_1p();
            if y + y > x * x {
                // In the tail NumPy takes the sign from a bit of the magnitude.
                return Some(if draw >> 17 & 1 == 1 { -(TAIL + x) } else { TAIL + x });
            }
        }
    }
    let (x, _) = propose(draw);
    let (upper, lower) = (f64::from_bits(FI[layer - 1]), f64::from_bits(FI[layer]));
    ((upper - lower) * unit(next()) + lower < (-0.5 * x * x).exp()).then_some(x)
}

/// One pass over the draws that `next` gives.
#[inline]
pub(super) fn pass(mut next: impl FnMut() -> u64) -> Option<f64> {
    let draw = next();
    match propose(draw) {
        (x, true) => Some(x),
        (_, false) => settle(draw, next),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::pcg64::Pcg64;
    use crate::rng::seed_sequence::SeedSequence;

    /// Rows of `seed draw : bits ..`: the first values of a seed, then some chosen because a
    /// tail or a wedge made them.
    #[test]
    fn values_are_numpys() {
        let (mut rows, mut tails) = (0, 0);
        for line in include_str!("../../../../tests/vectors/numpy_standard_normal.txt").lines() {
            let Some((given, made)) = line.split_once(':') else { continue };
            let given: Vec<u64> =
                given.split_whitespace().map(|word| word.parse().unwrap()).collect();
            let sequence = SeedSequence::new(&[given[0] as u32, given[1] as u32]);
            let mut generator = Pcg64::new(&sequence).advanced(u128::from(given[2]));
            for word in made.split_whitespace() {
                let expected = u64::from_str_radix(word, 16).unwrap();
                let x = loop {
                    if let Some(x) = pass(|| generator.next_u64()) {
                        break x;
                    }
                };
                assert_eq!(x.to_bits(), expected, "{given:?}");
                tails += usize::from(x.abs() > TAIL);
                rows += 1;
            }
        }
        assert!(rows >= 1000 && tails >= 100, "{rows} values and {tails} of the tail read");
    }

    #[test]
    fn units_of_halves_are_units() {
        let mut generator = Pcg64::from_seed(1, 2);
        let random: Vec<u64> = (0..100_000).map(|_| generator.next_u64()).collect();
        let edges = [0, 1 << 11, (1 << 43) - 1, 1 << 43, !0, !0 << 43, !0 >> 21];
        for draw in edges.into_iter().chain(random) {
            assert_eq!(units_of_halves(draw).to_bits(), units(draw).to_bits(), "{draw:x}");
        }
    }

    #[test]
    fn the_tails_inverse_is_one_rounding_away() {
        assert!((TAIL * TAIL_INVERSE - 1.0).abs() <= f64::EPSILON);
    }
}
