//! Every operation of every instruction set against portable code, on the numbers that tell
//! implementations apart: zeros of both signs, subnormals, ties, extremes, and random bits.

use super::operations::MAX_LANES;
use super::*;

/// Rows of the table that numbers look up.
const ROWS: usize = 512;

/// Numbers that one call of [`Operations`] takes: a multiple of every vector's, four times over.
const GROUP: usize = 128;

/// All operations applied to consecutive vectors of `a`, `b` and `c`; the bits of all results in
/// an order that does not depend on the width. What moves 64-bit lanes is tested with the blocks of
/// Philox that it puts in order.
struct Operations<'a> {
    a: &'a [u32],
    b: &'a [u32],
    c: &'a [u32],
}

/// Bits as floats, which loads and stores carry unchanged.
fn floats(bits: &[u32]) -> Vec<f32> {
    bits.iter().copied().map(f32::from_bits).collect()
}

/// Pairs of words as the bits of floats, the first the lower half.
fn doubles(bits: &[u32]) -> Vec<f64> {
    bits.chunks(2)
        .map(|pair| f64::from_bits(u64::from(pair[0]) | u64::from(pair[1]) << 32))
        .collect()
}

/// `f` of the vectors at the same place of each operand, stored in order. The arms are the
/// types of lanes; a macro, for closures that hold vectors are not inlined.
macro_rules! each {
    ($simd:ident, $all:ident, f32, $name:literal, |$($x:ident = $from:ident),+| $value:expr) => {{
        let mut out = [0f32; GROUP];
        for at in (0..GROUP).step_by(S::LANES) {
            $(let $x = $simd.load_f32(&$from[at..]);)+
            $simd.store_f32($value, lend(&mut out[at..]));
        }
        $all.push(($name, out.iter().map(|x| bits_of(*x)).collect::<Vec<u64>>()));
    }};
    ($simd:ident, $all:ident, u32, $name:literal, |$($x:ident = $from:ident),+| $value:expr) => {{
        let mut out = [0f32; GROUP];
        for at in (0..GROUP).step_by(S::LANES) {
            $(let $x = $simd.bits_f32($simd.load_f32(&$from[at..]));)+
            $simd.store_f32($simd.from_bits_f32($value), lend(&mut out[at..]));
        }
        $all.push(($name, out.iter().map(|x| u64::from(x.to_bits())).collect::<Vec<u64>>()));
    }};
    ($simd:ident, $all:ident, f64, $name:literal, |$($x:ident = $from:ident),+| $value:expr) => {{
        let mut out = [0f64; GROUP / 2];
        for at in (0..GROUP / 2).step_by(S::LANES / 2) {
            $(let $x = $simd.load_f64(&$from[at..]);)+
            $simd.store_f64($value, lend(&mut out[at..]));
        }
        $all.push(($name, out.iter().map(|x| double_bits_of(*x)).collect::<Vec<u64>>()));
    }};
    ($simd:ident, $all:ident, u64, $name:literal, |$($x:ident = $from:ident),+| $value:expr) => {{
        let mut out = [0f64; GROUP / 2];
        for at in (0..GROUP / 2).step_by(S::LANES / 2) {
            $(let $x = $simd.bits_f64($simd.load_f64(&$from[at..]));)+
            $simd.store_f64($simd.from_bits_f64($value), lend(&mut out[at..]));
        }
        $all.push(($name, out.iter().map(|x| x.to_bits()).collect::<Vec<u64>>()));
    }};
}

/// The bits, one pattern for all NaNs: IEEE 754 leaves their sign and payload open.
#[inline(always)]
fn bits_of(x: f32) -> u64 {
    u64::from(if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() })
}

#[inline(always)]
fn double_bits_of(x: f64) -> u64 {
    if x.is_nan() { f64::NAN.to_bits() } else { x.to_bits() }
}

/// The numbers with NaN replaced by 1: operands that [`Simd::min_f32`] takes.
fn without_nan(x: &[f32]) -> Vec<f32> {
    x.iter().map(|x| if x.is_nan() { 1.0 } else { *x }).collect()
}

fn doubles_without_nan(x: &[f64]) -> Vec<f64> {
    x.iter().map(|x| if x.is_nan() { 1.0 } else { *x }).collect()
}

impl Kernel for Operations<'_> {
    type Output = Vec<(&'static str, Vec<u64>)>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Self::Output {
        let mut all = vec![];
        let (fa, fb, fc) = (floats(self.a), floats(self.b), floats(self.c));
        let (na, nb) = (without_nan(&fa), without_nan(&fb));
        each!(simd, all, f32, "add_f32", |x = fa, y = fb| simd.add_f32(x, y));
        each!(simd, all, f32, "sub_f32", |x = fa, y = fb| simd.sub_f32(x, y));
        each!(simd, all, f32, "mul_f32", |x = fa, y = fb| simd.mul_f32(x, y));
        each!(simd, all, f32, "div_f32", |x = fa, y = fb| simd.div_f32(x, y));
        each!(simd, all, f32, "sqrt_f32", |x = fa| simd.sqrt_f32(x));
        each!(simd, all, f32, "min_f32", |x = na, y = nb| simd.min_f32(x, y));
        each!(simd, all, f32, "max_f32", |x = na, y = nb| simd.max_f32(x, y));
        each!(simd, all, f32, "mul_add_f32", |x = fa, y = fb, z = fc| simd.mul_add_f32(x, y, z));
        // Two roundings, never contracted to one.
        each!(simd, all, f32, "mul and add", |x = fa, y = fb, z = fc| simd
            .add_f32(simd.mul_f32(x, y), z));
        each!(simd, all, f32, "i32_to_f32", |x = fa| simd.i32_to_f32(simd.bits_f32(x)));

        each!(simd, all, u32, "and_u32", |x = fa, y = fb| simd.and_u32(x, y));
        each!(simd, all, u32, "or_u32", |x = fa, y = fb| simd.or_u32(x, y));
        each!(simd, all, u32, "xor_u32", |x = fa, y = fb| simd.xor_u32(x, y));
        each!(simd, all, u32, "add_u32", |x = fa, y = fb| simd.add_u32(x, y));
        each!(simd, all, u32, "sub_u32", |x = fa, y = fb| simd.sub_u32(x, y));
        each!(simd, all, u32, "shl_u32 0", |x = fa| simd.shl_u32::<0>(x));
        each!(simd, all, u32, "shl_u32 13", |x = fa| simd.shl_u32::<13>(x));
        each!(simd, all, u32, "shl_u32 31", |x = fa| simd.shl_u32::<31>(x));
        each!(simd, all, u32, "shr_u32 0", |x = fa| simd.shr_u32::<0>(x));
        each!(simd, all, u32, "shr_u32 8", |x = fa| simd.shr_u32::<8>(x));
        each!(simd, all, u32, "shr_u32 31", |x = fa| simd.shr_u32::<31>(x));
        each!(simd, all, u32, "select_lt_i32", |x = fa, y = fb, z = fc| simd
            .select_lt_i32(x, y, z, x));
        each!(simd, all, u32, "all_lt_i32", |x = fa, y = fb| {
            // The lesser against the greater: only lanes where they are equal say no.
            let greater = simd.select_lt_i32(x, y, y, x);
            let above = simd.select_lt_i32(x, y, x, y);
            let all = simd.all_lt_i32(above, greater);
            let each = simd.select_lt_i32(above, greater, simd.splat_u32(1), simd.splat_u32(0));
            let mut lanes = [0f32; GROUP];
            simd.store_f32(simd.from_bits_f32(each), lend(&mut lanes));
            assert_eq!(all, lanes[..S::LANES].iter().all(|lane| lane.to_bits() == 1));
            each
        });
        each!(simd, all, u32, "splat_u32", |x = fa| simd.xor_u32(x, simd.splat_u32(0x8000_0001)));

        each!(simd, all, f32, "widen_f32 and back", |x = fa, y = fb| {
            let ([a, b], [c, d]) = (simd.widen_f32(x), simd.widen_f32(y));
            simd.narrow_f64([simd.mul_f64(a, c), simd.mul_f64(b, d)])
        });
        each!(simd, all, f32, "i32_to_f64", |x = fa| {
            let [a, b] = simd.i32_to_f64(simd.bits_f32(x));
            let scale = simd.splat_f64(1.0 + f64::EPSILON);
            simd.narrow_f64([simd.mul_f64(a, scale), simd.mul_f64(b, scale)])
        });
        let table: [f64; 16] = std::array::from_fn(|i| 1.0 / (i as f64 + 0.7));
        each!(simd, all, f32, "pick_f64", |x = fa| {
            let [a, b] = simd.pick_f64(&table, simd.bits_f32(x));
            simd.narrow_f64([simd.mul_f64(a, a), simd.mul_f64(b, b)])
        });

        let (da, db, dc) = (doubles(self.a), doubles(self.b), doubles(self.c));
        let (ma, mb) = (doubles_without_nan(&da), doubles_without_nan(&db));
        each!(simd, all, f64, "add_f64", |x = da, y = db| simd.add_f64(x, y));
        each!(simd, all, f64, "sub_f64", |x = da, y = db| simd.sub_f64(x, y));
        each!(simd, all, f64, "mul_f64", |x = da, y = db| simd.mul_f64(x, y));
        each!(simd, all, f64, "div_f64", |x = da, y = db| simd.div_f64(x, y));
        each!(simd, all, f64, "sqrt_f64", |x = da| simd.sqrt_f64(x));
        each!(simd, all, f64, "min_f64", |x = ma, y = mb| simd.min_f64(x, y));
        each!(simd, all, f64, "max_f64", |x = ma, y = mb| simd.max_f64(x, y));
        each!(simd, all, f64, "mul_add_f64", |x = da, y = db, z = dc| simd.mul_add_f64(x, y, z));
        each!(simd, all, f64, "mul and add, f64", |x = da, y = db, z = dc| simd
            .add_f64(simd.mul_f64(x, y), z));

        each!(simd, all, u64, "and_u64", |x = da, y = db| simd.and_u64(x, y));
        each!(simd, all, u64, "or_u64", |x = da, y = db| simd.or_u64(x, y));
        each!(simd, all, u64, "xor_u64", |x = da, y = db| simd.xor_u64(x, y));
        each!(simd, all, u64, "xor3_u64", |x = da, y = db, z = dc| simd.xor3_u64(x, y, z));
        each!(simd, all, u64, "add_u64", |x = da, y = db| simd.add_u64(x, y));
        each!(simd, all, u64, "sub_u64", |x = da, y = db| simd.sub_u64(x, y));
        each!(simd, all, u64, "shl_u64 1", |x = da| simd.shl_u64::<1>(x));
        each!(simd, all, u64, "shl_u64 63", |x = da| simd.shl_u64::<63>(x));
        each!(simd, all, u64, "shr_u64 12", |x = da| simd.shr_u64::<12>(x));
        each!(simd, all, u64, "shr_u64 52", |x = da| simd.shr_u64::<52>(x));
        each!(simd, all, u64, "mul_low_u64", |x = da, y = db| simd.mul_low_u64(x, y));
        each!(simd, all, u64, "low_halves", |x = da, y = db| simd.low_halves(x, y));
        each!(simd, all, u64, "high_halves", |x = da, y = db| simd.high_halves(x, y));
        each!(simd, all, u64, "as u32 and back", |x = da| simd
            .u32_as_u64(simd.add_u32(simd.u64_as_u32(x), simd.splat_u32(1))));
        each!(simd, all, u64, "splat_u64", |x = da| simd.xor_u64(x, simd.splat_u64(1 << 63 | 1)));
        all
    }
}

/// Rounding to float16 and storing the low, upper and lowest parts of lanes, in their order.
struct Narrow<'a>(&'a [f32]);

impl Kernel for Narrow<'_> {
    type Output = (Vec<u16>, Vec<u16>, Vec<u8>);

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Self::Output {
        let mut halves = vec![0u16; self.0.len()];
        let mut bytes = vec![0u8; self.0.len()];
        let mut upper = vec![0u16; self.0.len()];
        for at in (0..self.0.len()).step_by(2 * S::LANES) {
            let a = simd.load_f32(&self.0[at..]);
            let b = simd.load_f32(&self.0[at + S::LANES..]);
            simd.store_high_u16(simd.bits_f32(a), simd.bits_f32(b), lend(&mut upper[at..]));
            let (a, b) = (simd.f32_to_f16_bits(a), simd.f32_to_f16_bits(b));
            simd.store_u16(a, b, lend(&mut halves[at..]));
            let low = simd.splat_u32(0xff);
            simd.store_u8(simd.and_u32(a, low), simd.and_u32(b, low), lend(&mut bytes[at..]));
        }
        (halves, upper, bytes)
    }
}

/// What moves and compares 32-bit lanes: every fourth word, bits of comparisons, halves of pairs.
struct Lanes<'a>(&'a [u32], &'a [f32]);

impl Kernel for Lanes<'_> {
    type Output = (Vec<u32>, Vec<bool>, Vec<[u32; 2]>);

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Self::Output {
        let Self(words, numbers) = self;
        let mut fourths = vec![0; words.len() / 4];
        let mut less = vec![];
        for at in (0..fourths.len()).step_by(S::LANES) {
            simd.store_u32(simd.load_fourths_u32(&words[4 * at..]), &mut fourths[at..]);
        }
        for at in (0..numbers.len() / 2).step_by(S::LANES) {
            let a = simd.load_f32(&numbers[at..]);
            let b = simd.load_f32(&numbers[numbers.len() / 2 + at..]);
            let mask = simd.less_f32(a, b);
            assert!(mask >> (S::LANES - 1) >> 1 == 0);
            less.extend((0..S::LANES).map(|i| mask >> i & 1 == 1));
        }
        let [mut low, mut high] = [[0; MAX_LANES]; 2];
        let a = simd.from_bits_f32(simd.load_u32(words));
        let b = simd.from_bits_f32(simd.load_u32(&words[S::LANES..]));
        let (first, second) = simd.halves_f32(a, b);
        simd.store_u32(simd.bits_f32(first), &mut low);
        simd.store_u32(simd.bits_f32(second), &mut high);
        let halves = (0..S::LANES).map(|i| [low[i], high[i]]).collect();
        (fourths, less, halves)
    }
}

#[test]
fn lanes_are_moved_and_compared_in_order() {
    let words: Vec<u32> = words(4).into_iter().take(512).collect();
    let numbers = floats(&words);
    let (first, second) = numbers.split_at(256);
    let fourths: Vec<u32> = words.iter().copied().step_by(4).collect();
    let expected: Vec<bool> = first.iter().zip(second).map(|(a, b)| a < b).collect();
    for isa in Isa::available() {
        let made = run_on(isa, Lanes(&words, &numbers));
        assert_eq!((&made.0, &made.1), (&fourths, &expected), "{}", isa.name());
        let (len, half) = (made.2.len(), made.2.len() / 2);
        for (i, pair) in made.2.iter().enumerate() {
            let of_b = if i < half { 0 } else { half };
            assert_eq!(*pair, [words[i + of_b], words[i + of_b + half]], "{} {len}", isa.name());
        }
    }
}

/// Words of a linear congruential generator with extreme ones among them, each in every position.
fn words(seed: u64) -> Vec<u32> {
    const SPECIAL: [u32; 23] = [
        0,
        1,
        2,
        0x7f_ffff,   // the largest subnormal f32
        0x80_0000,   // the smallest normal one
        0x3380_0000, // 2^-24
        0x3f00_0000, // 0.5
        0x3f7f_ffff, // the number below 1
        0x3f80_0000, // 1
        0x3f80_0001, // the number above 1
        0x4b7f_ffff, // 2^24 - 1
        0x7f7f_ffff, // the largest f32
        0x7f80_0000, // infinity
        0x7fff_ffff, // NaN; the largest i32
        0x8000_0000, // -0
        0x8000_0001, // the largest negative f32
        0xbf80_0000, // -1
        0xff7f_ffff, // the lowest f32
        0xff80_0000, // -infinity
        0xffff_fffe,
        0xffff_ffff,
        0x0100_0001, // a tie in i32 to f32
        0x0100_0003, // and one to the other side
    ];
    let mut state = seed;
    (0..2048 * GROUP)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let word = (state >> 32) as u32;
            match (state >> 20) % 4 {
                0 => SPECIAL[word as usize % SPECIAL.len()],
                // Exponents near 0, where sums and products round.
                1 => word & 0x83ff_ffff | 0x3c00_0000,
                _ => word,
            }
        })
        .collect()
}

#[test]
fn operations_agree_on_every_instruction_set() {
    let (a, b, c) = (words(1), words(2), words(3));
    for at in (0..a.len()).step_by(GROUP) {
        let range = at..at + GROUP;
        let operands =
            || Operations { a: &a[range.clone()], b: &b[range.clone()], c: &c[range.clone()] };
        let wanted = run_on(Isa::Scalar, operands());
        for isa in Isa::available() {
            for (got, wanted) in run_on(isa, operands()).iter().zip(&wanted) {
                assert_eq!(got, wanted, "{isa:?}");
            }
        }
    }
}

#[test]
fn minima_and_maxima_take_the_second_of_equals_and_beside_nan() {
    struct Zeros;
    impl Kernel for Zeros {
        type Output = [f32; 6];
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> [f32; 6] {
            let (plus, minus) = (simd.splat_f32(0.0), simd.splat_f32(-0.0));
            let mut out = [0f32; GROUP];
            simd.store_f32(simd.min_f32(minus, plus), lend(&mut out));
            simd.store_f32(simd.max_f32(plus, minus), lend(&mut out[S::LANES..]));
            let nan = simd.splat_f32(f32::NAN);
            let beside = [
                simd.min_f32(plus, nan),
                simd.max_f32(plus, nan),
                simd.min_f32(nan, plus),
                simd.max_f32(nan, plus),
            ];
            let mut second = [0f32; GROUP];
            for (i, vector) in beside.into_iter().enumerate() {
                simd.store_f32(vector, lend(&mut second[i * S::LANES..]));
            }
            let [a, b, c, d] = std::array::from_fn(|i| second[i * S::LANES]);
            [out[0], out[S::LANES], a, b, c, d]
        }
    }
    for isa in Isa::available() {
        let [min, max, a, b, c, d] = run_on(isa, Zeros);
        assert!(min.is_sign_positive() && max.is_sign_negative(), "{isa:?}");
        assert!(a.is_nan() && b.is_nan() && c == 0.0 && d == 0.0, "{isa:?}");
    }
}

#[test]
fn every_float16_and_the_ties_between_round_to_nearest_even() {
    let mut values = vec![];
    for bits in 0..half::f16::MAX.to_bits() {
        let (low, high) = (half::f16::from_bits(bits), half::f16::from_bits(bits + 1));
        let (low, middle) = (low.to_f32(), (low.to_f32() + high.to_f32()) / 2.0);
        for x in [low, middle.next_down(), middle, middle.next_up()] {
            values.extend([x, -x]);
        }
    }
    values.extend([65504.0, -65504.0, 1e-45, -1e-45]);
    values.extend([65520f32.next_down(), 65520.0, -65520.0, 1e9, f32::MAX, f32::INFINITY]);
    values.extend([f32::NEG_INFINITY, f32::NAN]);
    values.resize(values.len().next_multiple_of(GROUP), 1.0);
    let wanted: Vec<u16> = values.iter().map(|x| half::f16::from_f32(*x).to_bits()).collect();
    let uppers: Vec<u16> = values.iter().map(|x| (x.to_bits() >> 16) as u16).collect();
    let lows: Vec<u8> = wanted.iter().map(|x| *x as u8).collect();
    for isa in Isa::available() {
        let (halves, upper, bytes) = run_on(isa, Narrow(&values));
        assert!(halves == wanted, "{isa:?}");
        assert!(upper == uppers, "{isa:?}");
        assert!(bytes == lows, "{isa:?}");
    }
}

/// The operations that accept and reject draws, on the same words for every width: rows of a table,
/// masks, the lanes that masks keep, and rounded floats.
struct Choices<'a> {
    bits: &'a [u64],
    table: &'a [[u64; 2]; ROWS],
    low: f64,
    high: f64,
}

impl Kernel for Choices<'_> {
    type Output = (Vec<u64>, Vec<bool>, Vec<u32>);

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Self::Output {
        let (mut columns, mut masks, mut rounded) = (vec![], vec![], vec![]);
        let lanes = S::LANES / 2;
        for bits in self.bits.chunks_exact(lanes) {
            let (mut buffer, mut floats) = ([0.0; MAX_LANES / 2], [0f32; MAX_LANES / 2]);
            let (first, second) = simd.look_up(bits, self.table);
            let both = simd.xor_u64(first, simd.shr_u64::<1>(second));
            simd.store_f64(simd.from_bits_f64(both), lend(&mut buffer));
            columns.extend(buffer[..lanes].iter().map(|lane| lane.to_bits()));
            let loaded = simd.load_u64(bits);
            let (a, b) = (simd.shr_u64::<1>(loaded), simd.shr_u64::<1>(first));
            let less = simd.less_u64(a, b);
            let within = simd.within_f64(simd.from_bits_f64(loaded), self.low, self.high);
            for mask in [less, within] {
                assert_eq!(mask >> lanes, 0);
                masks.extend((0..lanes).map(|i| mask >> i & 1 == 1));
                let front = simd.compress_f64(simd.from_bits_f64(loaded), mask);
                simd.store_f64(front, lend(&mut buffer));
                let count = mask.count_ones() as usize;
                let expected = bits.iter().enumerate().filter(|(i, _)| mask >> i & 1 == 1);
                assert!(buffer[..count].iter().map(|x| x.to_bits()).eq(expected.map(|(_, x)| *x)));
            }
            simd.store_f64_as_f32(simd.from_bits_f64(loaded), lend(&mut floats));
            rounded.extend(floats[..lanes].iter().map(|x| bits_of(*x) as u32));
        }
        // The two masks of a vector lie together: put each lane's side by side.
        let masks = masks.chunks(2 * lanes).flat_map(|both| {
            let (less, within) = both.split_at(lanes);
            less.iter().zip(within).flat_map(|(a, b)| [*a, *b]).collect::<Vec<_>>()
        });
        (columns, masks.collect(), rounded)
    }
}

#[test]
fn rows_masks_and_choices_agree_on_every_instruction_set() {
    let random: Vec<u64> =
        words(4).chunks(2).map(|pair| u64::from(pair[0]) | u64::from(pair[1]) << 32).collect();
    let mut table = [[0; 2]; ROWS];
    for (row, bits) in table.iter_mut().zip(random.chunks(2)) {
        *row = [bits[0], bits[1]];
    }
    let ends = [(-2.0, 2.0), (f64::NEG_INFINITY, 0.0), (f64::NAN, 1.0), (0.0, f64::MAX)];
    for (low, high) in ends {
        let choices = || Choices { bits: &random[..1 << 14], table: &table, low, high };
        let wanted = run_on(Isa::Scalar, choices());
        let portable = random[..1 << 14].iter().map(|x| {
            let x = f64::from_bits(*x);
            (x >= low && x <= high, bits_of(x as f32) as u32)
        });
        let (_, masks, rounded) = &wanted;
        let within = masks.iter().skip(1).step_by(2);
        assert!(portable.eq(within.copied().zip(rounded.iter().copied())));
        for isa in Isa::available() {
            assert!(run_on(isa, choices()) == wanted, "{isa:?}");
        }
    }
}
