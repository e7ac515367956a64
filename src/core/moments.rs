//! Moments of stored values: count, mean, squared deviations, range, and what is not finite.
//!
//! Values become float64, which is exact for every dtype here, and are taken in rows that stay in
//! the nearest cache. A row is summed about its first finite value, so that a mean far from 0 costs
//! no digits; rows are joined by count, mean and sum of squared deviations (Chan, Golub and LeVeque
//! 1979, "Updating formulae and a pairwise algorithm for computing sample variances"). The result
//! depends on the values and their order alone.

use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::element::DType;

/// Elements of a row: as float64 they take a quarter of a first-level cache of 32 KiB.
const ROW: usize = 1024;

/// Sums that grow side by side, for vectors and for the latency of an addition.
const LANES: usize = 8;

/// What one pass over values shows. `count`, `mean`, `squares`, `low` and `high` are of the finite
/// ones; `low` and `high` are infinite where there is none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moments {
    /// How many values are finite.
    pub count: u64,
    /// Their mean, 0 without any.
    pub mean: f64,
    /// The sum of the squares of their deviations from the mean.
    pub squares: f64,
    /// The least.
    pub low: f64,
    /// The greatest.
    pub high: f64,
    /// How many are 0 or -0.
    pub zeros: u64,
    /// How many values are not a number.
    pub nan: u64,
    /// How many are infinite.
    pub inf: u64,
}

impl Moments {
    /// Those of no values.
    pub const NONE: Self = Self {
        count: 0,
        mean: 0.0,
        squares: 0.0,
        low: f64::INFINITY,
        high: f64::NEG_INFINITY,
        zeros: 0,
        nan: 0,
        inf: 0,
    };

    /// Those of the little-endian values of `dtype` in `bytes`; what is left of an element at the
    /// end is not looked at.
    pub fn of(bytes: &[u8], dtype: DType) -> Self {
        let mut moments = Self::NONE;
        let mut values = [0.0; ROW];
        for stored in bytes.chunks(ROW * dtype.size()) {
            let row = &mut values[..stored.len() / dtype.size()];
            widen(stored, dtype, row);
            moments.add_row(row);
        }
        moments
    }

    /// Takes in those of other values.
    pub fn add(&mut self, other: &Self) {
        if other.count > 0 {
            let (ours, theirs) = (self.count as f64, other.count as f64);
            let count = ours + theirs;
            let shift = other.mean - self.mean;
            self.mean += shift * theirs / count;
            self.squares += other.squares + shift * shift * ours * theirs / count;
            self.count += other.count;
        }
        self.low = self.low.min(other.low);
        self.high = self.high.max(other.high);
        self.zeros += other.zeros;
        self.nan += other.nan;
        self.inf += other.inf;
    }

    fn add_row(&mut self, row: &mut [f64]) {
        let finite = if all_finite(row) { row } else { self.without_others(row) };
        if !finite.is_empty() {
            self.add(&of_finite(finite));
        }
    }

    /// The finite values, moved to the front of `row`; the others are counted.
    fn without_others<'a>(&mut self, row: &'a mut [f64]) -> &'a mut [f64] {
        let mut kept = 0;
        for at in 0..row.len() {
            let value = row[at];
            if value.is_finite() {
                row[kept] = value;
                kept += 1;
            } else if value.is_nan() {
                self.nan += 1;
            } else {
                self.inf += 1;
            }
        }
        &mut row[..kept]
    }
}

/// Whether no value is infinite or not a number.
fn all_finite(row: &[f64]) -> bool {
    // A product with 0 is 0 for finite values and not a number for others.
    let mut lanes = [0.0; LANES];
    let (whole, rest) = row.as_chunks::<LANES>();
    for values in whole {
        for (lane, value) in lanes.iter_mut().zip(values) {
            *lane += value * 0.0;
        }
    }
    lanes.iter().all(|&lane| lane == 0.0) && rest.iter().all(|value| value.is_finite())
}

/// Those of at least one finite value, and of no others.
fn of_finite(row: &[f64]) -> Moments {
    let first = row[0];
    let mut sums = [0.0; LANES];
    let mut squares = [0.0; LANES];
    let mut low = [f64::INFINITY; LANES];
    let mut high = [f64::NEG_INFINITY; LANES];
    let mut zeros = [0_u64; LANES];
    let mut take = |lane: usize, value: f64| {
        let away = value - first;
        sums[lane] += away;
        squares[lane] += away * away;
        low[lane] = if value < low[lane] { value } else { low[lane] };
        high[lane] = if value > high[lane] { value } else { high[lane] };
        zeros[lane] += u64::from(value == 0.0);
    };
    let (whole, rest) = row.as_chunks::<LANES>();
    for values in whole {
        for (lane, &value) in values.iter().enumerate() {
            take(lane, value);
        }
    }
    for (lane, &value) in rest.iter().enumerate() {
        take(lane, value);
    }
    let count = row.len() as f64;
    let (sum, square) = (sums.iter().sum::<f64>(), squares.iter().sum::<f64>());
    Moments {
        count: row.len() as u64,
        mean: first + sum / count,
        // Rounding can leave less than nothing.
        squares: (square - sum * sum / count).max(0.0),
        low: low.into_iter().fold(f64::INFINITY, f64::min),
        high: high.into_iter().fold(f64::NEG_INFINITY, f64::max),
        zeros: zeros.iter().sum(),
        nan: 0,
        inf: 0,
    }
}

/// Writes the values of `stored` to `row`, of as many elements.
fn widen(stored: &[u8], dtype: DType, row: &mut [f64]) {
    match dtype {
        DType::F64 => each(stored, row, f64::from_le_bytes),
        DType::F32 => each(stored, row, |bytes| f64::from(f32::from_le_bytes(bytes))),
        DType::BF16 => each(stored, row, |bytes| {
            f64::from(f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16))
        }),
        DType::F16 => through_f16(stored, row, 1.0, f16::from_le_bytes),
        // The upper half of a float16.
        DType::F8E5M2 => {
            through_f16(stored, row, 1.0, |[byte]| f16::from_bits(u16::from(byte) << 8));
        }
        DType::F8E4M3Fn => through_f16(stored, row, E4M3_SCALE, |[byte]| e4m3_as_f16(byte)),
    }
}

fn each<const N: usize>(stored: &[u8], row: &mut [f64], value: impl Fn([u8; N]) -> f64) {
    for (to, &bytes) in row.iter_mut().zip(stored.as_chunks::<N>().0) {
        *to = value(bytes);
    }
}

/// `half` converts a slice with the processor's instructions where it has them.
fn through_f16<const N: usize>(
    stored: &[u8],
    row: &mut [f64],
    scale: f64,
    value: impl Fn([u8; N]) -> f16,
) {
    let mut halves = [f16::ZERO; ROW];
    let halves = &mut halves[..row.len()];
    for (to, &bytes) in halves.iter_mut().zip(stored.as_chunks::<N>().0) {
        *to = value(bytes);
    }
    halves.convert_to_f64_slice(row);
    if scale != 1.0 {
        row.iter_mut().for_each(|value| *value *= scale);
    }
}

/// What [`e4m3_as_f16`] leaves out: exponents are biased by 15 in float16, by 7 in E4M3.
const E4M3_SCALE: f64 = 256.0;

/// The number with this bit pattern, divided by [`E4M3_SCALE`].
fn e4m3_as_f16(byte: u8) -> f16 {
    let magnitude = u16::from(byte & 0x7f);
    if magnitude == 0x7f {
        return f16::NAN;
    }
    f16::from_bits(u16::from(byte & 0x80) << 8 | magnitude << 7)
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;

    /// By the definition, in two passes.
    fn plainly(values: &[f64]) -> Moments {
        let finite: Vec<f64> = values.iter().copied().filter(|x| x.is_finite()).collect();
        let count = finite.len().max(1) as f64;
        let mean = finite.iter().sum::<f64>() / count;
        Moments {
            count: finite.len() as u64,
            mean,
            squares: finite.iter().map(|x| (x - mean).powi(2)).sum(),
            low: finite.iter().copied().fold(f64::INFINITY, f64::min),
            high: finite.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            zeros: finite.iter().filter(|&&x| x == 0.0).count() as u64,
            nan: values.iter().filter(|x| x.is_nan()).count() as u64,
            inf: values.iter().filter(|x| x.is_infinite()).count() as u64,
        }
    }

    fn assert_near(found: Moments, expected: Moments) {
        let spread = expected.squares.sqrt() + f64::MIN_POSITIVE;
        assert!((found.mean - expected.mean).abs() <= 1e-12 * (spread + expected.mean.abs()));
        assert!((found.squares - expected.squares).abs() <= 1e-9 * expected.squares);
        let whole = |m: Moments| (m.count, m.low, m.high, m.zeros, m.nan, m.inf);
        assert_eq!(whole(found), whole(expected));
    }

    /// Numbers in [-10, 10) with some of everything else among them, from a multiplicative generator.
    fn values(seed: u64, len: usize) -> Vec<f64> {
        let mut state = seed;
        let mut next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 11
        };
        let others = [0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
        (0..len)
            .map(|_| match next() % 64 {
                other @ 0..5 => others[other as usize],
                _ => next() as f64 * (20.0 / (1_u64 << 53) as f64) - 10.0,
            })
            .collect()
    }

    #[test]
    fn agrees_with_the_definition() {
        for (seed, len) in [0, 1, 2, 7, 8, 9, 100, 1023, 1024, 1025, 5000].into_iter().enumerate() {
            for centre in [0.0, 1e6] {
                let values: Vec<f64> =
                    values(seed as u64, len).iter().map(|x| x + centre).collect();
                let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
                assert_near(Moments::of(&bytes, DType::F64), plainly(&values));
            }
        }
    }

    #[test]
    fn one_other_value_is_found_wherever_it_is() {
        for len in [1, 7, 8, 9, 64, 1023, 1024, 1025] {
            for at in 0..len {
                let mut values = vec![0.5_f32; len];
                values[at] = if at % 2 == 0 { f32::NAN } else { f32::NEG_INFINITY };
                let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
                let found = Moments::of(&bytes, DType::F32);
                assert_eq!((found.count, found.nan + found.inf), (len as u64 - 1, 1));
                assert_eq!((found.mean, found.squares), (if len > 1 { 0.5 } else { 0.0 }, 0.0));
            }
        }
    }

    #[test]
    fn every_pattern_of_16_bits() {
        for (dtype, value) in [
            (DType::F16, (|bits| f16::from_bits(bits).to_f64()) as fn(u16) -> f64),
            (DType::BF16, |bits| bf16::from_bits(bits).to_f64()),
        ] {
            for bits in 0..=u16::MAX {
                let found = Moments::of(&bits.to_le_bytes(), dtype);
                assert_near(found, plainly(&[value(bits)]));
            }
        }
    }

    #[test]
    fn eight_bits() {
        let of = |byte: u8, dtype| Moments::of(&[byte], dtype);
        for (byte, number) in [(0x00, 0.0), (0x01, 2f64.powi(-9)), (0x7e, 448.0), (0xb8, -1.0)] {
            assert_eq!(of(byte, DType::F8E4M3Fn).low, number);
        }
        assert_eq!((of(0x7f, DType::F8E4M3Fn).nan, of(0xff, DType::F8E4M3Fn).nan), (1, 1));
        for (byte, number) in [(0x00, 0.0), (0x01, 2f64.powi(-16)), (0x7b, 57344.0), (0xbc, -1.0)] {
            assert_eq!(of(byte, DType::F8E5M2).high, number);
        }
        assert_eq!((of(0x7c, DType::F8E5M2).inf, of(0x7f, DType::F8E5M2).nan), (1, 1));
    }
}
