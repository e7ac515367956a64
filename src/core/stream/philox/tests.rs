//! Samplers on given words and fills of every extent, on every instruction set against portable
//! code.
//!
//! `SEEDBED_TEST_WORDS` sets how many words the samplers are compared on, beyond the extreme ones.

use super::normal::{NormalF32, NormalF64};
use super::truncated_normal::{self, TruncatedNormalF32, TruncatedNormalF64};
use super::uniform::{self, UniformF32, UniformF64};
use crate::element::round::Round;
use crate::element::{DType, F8E4M3Fn, F8E5M2, bf16, f16};
use crate::parallel::Exec;
use crate::rng::philox::{PhiloxWords, block};
use crate::simd::{Isa, Kernel, Lane, Simd, holding, lend, run_on};
use crate::stream::counter::fill::fill;
use crate::stream::counter::sampler::{Bounds, GROUP, Sampler, per_block};
use crate::stream::counter::store::Store;

/// Blocks that every instruction set takes whole groups of.
const BLOCKS: usize = GROUP * 8;

/// An element type that can be looked at bit by bit.
trait Pattern: Store {
    /// What memory holds before it is filled; no value of a test.
    const UNTOUCHED: Self;
    fn bits(self) -> u64;
    /// `values` held within `bounds` and rounded, with `isa`.
    fn finish(isa: Isa, values: Vec<Self::Lane>, bounds: Option<Bounds>) -> Vec<Self>;
}

macro_rules! computed {
    ($($t:ty),*) => {$(
        impl Pattern for $t {
            const UNTOUCHED: Self = Self::NAN;
            fn bits(self) -> u64 {
                self.to_bits().into()
            }
            fn finish(_: Isa, mut values: Vec<Self>, bounds: Option<Bounds>) -> Vec<Self> {
                if let Some(Bounds { low, high }) = bounds {
                    let (low, high) = (low as Self, high as Self);
                    for x in &mut values {
                        *x = if *x < high { *x } else { high };
                        *x = if *x > low { *x } else { low };
                    }
                }
                values
            }
        }
    )*};
}
computed!(f32, f64);

macro_rules! rounded {
    ($($t:ty: $untouched:expr, |$x:ident| $bits:expr;)*) => {$(
        impl Pattern for $t {
            const UNTOUCHED: Self = $untouched;
            fn bits(self) -> u64 {
                let $x = self;
                $bits.into()
            }
            fn finish(isa: Isa, values: Vec<f32>, bounds: Option<Bounds>) -> Vec<Self> {
                let values = f32::finish(isa, values, bounds);
                let mut out = vec![Self::UNTOUCHED; values.len()];
                run_on(isa, RoundAll { values: &values, out: &mut out });
                out
            }
        }
    )*};
}
rounded! {
    f16: f16::NAN, |x| x.to_bits();
    bf16: bf16::NAN, |x| x.to_bits();
    F8E4M3Fn: Self(0x7f), |x| x.0;
    F8E5M2: Self(0x7f), |x| x.0;
}

/// Writes `values`, rounded, to `out`.
struct RoundAll<'a, E> {
    values: &'a [f32],
    out: &'a mut [E],
}

impl<E: Store<Lane = f32>> Kernel for RoundAll<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let part = 2 * S::LANES;
        for (values, out) in self.values.chunks_exact(part).zip(self.out.chunks_exact_mut(part)) {
            let vectors = [simd.load_f32(values), simd.load_f32(&values[S::LANES..])];
            E::store(simd, vectors, lend(out));
        }
    }
}

fn bits<E: Pattern>(values: &[E]) -> Vec<u64> {
    values.iter().map(|x| x.bits()).collect()
}

/// Every number that a narrow type has, every midpoint, and the float32 next to each.
#[test]
fn vectors_are_rounded_as_single_numbers_are() {
    fn compare<E: Pattern<Lane = f32> + Round<f32>>(values: &[f32]) {
        let max = E::DTYPE.format().max();
        let mut values: Vec<f32> =
            values.iter().copied().filter(|x| f64::from(x.abs()) <= max).collect();
        values.resize(values.len().next_multiple_of(64), 0.0);
        let wanted: Vec<E> = values.iter().map(|&x| E::rounded(x)).collect();
        for isa in Isa::available() {
            let got = E::finish(isa, values.clone(), None);
            assert!(bits(&got) == bits(&wanted), "{:?} {isa:?}", E::DTYPE);
        }
    }
    // Midpoints have, below the upper 16 bits, a multiple of 2^12.
    let near = |x: u32| [x.wrapping_sub(1), x, x.wrapping_add(1)].map(f32::from_bits);
    let values: Vec<f32> = (0..1 << 20).flat_map(|upper| near(upper << 12)).collect();
    compare::<f16>(&values);
    compare::<bf16>(&values);
    compare::<F8E4M3Fn>(&values);
    compare::<F8E5M2>(&values);
}

/// A sampler, and the bounds its values are held in.
#[derive(Clone, Copy)]
struct Draw<D> {
    sampler: D,
    bounds: Option<Bounds>,
}

/// The block that each 64-bit lane of a vector works on.
struct Order;

impl Kernel for Order {
    type Output = Vec<usize>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Vec<usize> {
        let mut numbers = [0f64; 8];
        simd.store_f64(simd.from_bits_f64(simd.block_numbers()), lend(&mut numbers));
        numbers[..S::LANES / 2].iter().map(|x| x.to_bits() as usize).collect()
    }
}

/// For each vector of blocks, words 0 and 2 of all its lanes, then words 1 and 3.
fn pack(isa: Isa, blocks: &[[u32; 4]]) -> Vec<f64> {
    let order = run_on(isa, Order);
    let mut packed = vec![];
    for blocks in blocks.chunks_exact(order.len()) {
        for first in [0, 1] {
            packed.extend(order.iter().map(|&number| {
                let [low, high] = [blocks[number][first], blocks[number][first + 2]].map(u64::from);
                f64::from_bits(low | high << 32)
            }));
        }
    }
    packed
}

/// Writes what `sampler` makes of packed words to the whole of `out`.
struct Transform<'a, L, D> {
    sampler: D,
    packed: &'a [f64],
    out: &'a mut [L],
}

impl<L: Store<Lane = L> + Lane, D: Sampler<L>> Kernel for Transform<'_, L, D> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let parameters = self.sampler.splat(simd);
        let lanes = S::LANES / 2;
        let part = lanes * per_block::<L>();
        let groups = self.packed.chunks_exact(2 * GROUP * lanes);
        for (packed, out) in groups.zip(self.out.chunks_exact_mut(GROUP * part)) {
            let mut words = [[simd.splat_u64(0); 2]; GROUP];
            for (i, words) in words.as_flattened_mut().iter_mut().enumerate() {
                *words = simd.bits_f64(simd.load_f64(&packed[i * lanes..]));
            }
            let values = D::sample(simd, parameters, words);
            for (values, out) in values.into_iter().zip(out.chunks_exact_mut(part)) {
                <L as Store>::store(simd, values, lend(out));
            }
        }
    }
}

/// What `draw` makes of `blocks`, whose number is a multiple of [`BLOCKS`], with `isa`.
fn transform<E: Pattern<Lane: Pattern<Lane = E::Lane>>, D: Sampler<E::Lane>>(
    isa: Isa,
    draw: Draw<D>,
    blocks: &[[u32; 4]],
) -> Vec<E> {
    let packed = pack(isa, blocks);
    let mut values = vec![E::Lane::UNTOUCHED; blocks.len() * per_block::<E::Lane>()];
    run_on(isa, Transform { sampler: draw.sampler, packed: &packed, out: &mut values });
    E::finish(isa, values, draw.bounds)
}

/// Something to do for every sampler and element type.
trait Visit {
    fn visit<E: Pattern<Lane: Pattern<Lane = E::Lane>>, D: Sampler<E::Lane>>(
        &mut self,
        name: &str,
        draw: Draw<D>,
    );
}

/// Samplers as the native stream makes them, in every element type: ordinary parameters, and
/// some for which values are subnormal.
fn visit_all(visit: &mut impl Visit) {
    fn single<E: Pattern<Lane = f32>>(visit: &mut impl Visit) {
        let format = E::DTYPE.format();
        let narrow = E::DTYPE != DType::F32;
        let finite = Bounds { low: -format.max(), high: format.max() };
        for (low, high) in [(-0.05, 0.05), (1.0, 3.3), (0.0, 1e-41)] {
            let bounds = uniform::support(DType::F32.format(), low, high);
            let sampler = UniformF32::new(low, high, bounds);
            let bounds = narrow.then(|| uniform::support(format, low, high));
            visit.visit::<E, _>("uniform", Draw { sampler, bounds });
        }
        for (mean, stddev) in [(0.0, 0.05), (0.1, 0.3), (0.0, 1e-40)] {
            let bounds = narrow.then_some(finite);
            let sampler = NormalF32 { mean: mean as f32, stddev: stddev as f32 };
            visit.visit::<E, _>("normal", Draw { sampler, bounds });
            let bounds = Some(truncated_normal::support(format, mean, stddev, -2.0, 2.0));
            let sampler = TruncatedNormalF32::new(mean, stddev);
            visit.visit::<E, _>("truncated normal", Draw { sampler, bounds });
        }
    }
    single::<f32>(visit);
    single::<f16>(visit);
    single::<bf16>(visit);
    single::<F8E4M3Fn>(visit);
    single::<F8E5M2>(visit);
    let format = DType::F64.format();
    for (low, high) in [(-0.05, 0.05), (1.0, 3.3), (0.0, 1e-310)] {
        let sampler = UniformF64::new(low, high, uniform::support(format, low, high));
        visit.visit::<f64, _>("uniform", Draw { sampler, bounds: None });
    }
    for (mean, stddev) in [(0.0, 0.05), (0.1, 0.3), (0.0, 1e-310)] {
        let draw = Draw { sampler: NormalF64 { mean, stddev }, bounds: None };
        visit.visit::<f64, _>("normal", draw);
        let bounds = Some(truncated_normal::support(format, mean, stddev, -2.0, 2.0));
        let draw = Draw { sampler: TruncatedNormalF64 { mean, stddev }, bounds };
        visit.visit::<f64, _>("truncated normal", draw);
    }
}

/// Every block of four of the words at which a conversion, a shift or a cut turns over.
fn extreme_blocks() -> Vec<[u32; 4]> {
    const WORDS: [u32; 12] = [
        0,
        1,
        2,
        0xff,
        0x100,
        0x7fff_fffe,
        0x7fff_ffff,
        0x8000_0000,
        0x8000_0001,
        0xffff_ff00,
        0xffff_fffe,
        0xffff_ffff,
    ];
    let mut blocks = vec![];
    for a in WORDS {
        for b in WORDS {
            for c in WORDS {
                blocks.extend(WORDS.map(|d| [a, b, c, d]));
            }
        }
    }
    blocks.resize(blocks.len().next_multiple_of(BLOCKS), [0; 4]);
    blocks
}

/// Compares all instruction sets on these blocks.
struct Compare<'a>(&'a [[u32; 4]]);

impl Visit for Compare<'_> {
    fn visit<E: Pattern<Lane: Pattern<Lane = E::Lane>>, D: Sampler<E::Lane>>(
        &mut self,
        name: &str,
        draw: Draw<D>,
    ) {
        let wanted = bits(&transform::<E, D>(Isa::Scalar, draw, self.0));
        for isa in Isa::available() {
            let got = bits(&transform::<E, D>(isa, draw, self.0));
            if got != wanted {
                let at = (0..got.len()).find(|&i| got[i] != wanted[i]).unwrap();
                let block = self.0[at / per_block::<E::Lane>()];
                let (got, wanted) = (got[at], wanted[at]);
                panic!("{name} {:?} {isa:?}: {got:#x}, not {wanted:#x}, of {block:x?}", E::DTYPE);
            }
        }
    }
}

#[test]
fn samplers_agree_on_extreme_words() {
    visit_all(&mut Compare(&extreme_blocks()));
}

#[test]
fn samplers_agree_on_words_of_the_stream() {
    const CHUNK: u64 = 1 << 16;
    let words = match std::env::var("SEEDBED_TEST_WORDS") {
        Ok(count) => count.parse().expect("SEEDBED_TEST_WORDS is a number of words"),
        Err(_) => 1u64 << 19,
    };
    let mut blocks = vec![[0; 4]; (CHUNK / 4) as usize];
    for chunk in 0..words.div_ceil(CHUNK) {
        for (i, to) in blocks.iter_mut().enumerate() {
            *to = block([chunk as u32, 2], [i as u32, 0, 0, 0]);
        }
        visit_all(&mut Compare(&blocks));
    }
}

#[test]
fn extreme_words_stay_inside_without_being_held() {
    let blocks = extreme_blocks();
    let free = |sampler| Draw { sampler, bounds: None };
    for (low, high) in [(-0.05, 0.05), (1.0, 3.3), (0.0, 1e-41), (-1.0, 1e30), (0.1, 0.10000001)] {
        let bounds = uniform::support(DType::F32.format(), low, high);
        let draw = free(UniformF32::new(low, high, bounds));
        for x in transform::<f32, _>(Isa::Scalar, draw, &blocks) {
            assert!(low <= f64::from(x) && f64::from(x) < high, "{x} of [{low}, {high})");
        }
    }
    for stddev in [0.05f32, 1.0, 1e30, 0.3] {
        let deviation = f64::from(stddev);
        let draw = Draw { sampler: TruncatedNormalF32::new(0.0, deviation), bounds: None };
        for x in transform::<f32, _>(Isa::Scalar, draw, &blocks) {
            assert!(x.abs() <= 2.0 * stddev && x != 0.0, "{x} of {stddev}");
        }
        let draw = Draw { sampler: NormalF32 { mean: 0.0, stddev }, bounds: None };
        let largest = transform::<f32, _>(Isa::Scalar, draw, &blocks)
            .into_iter()
            .fold(0f32, |largest, x| largest.max(x.abs()));
        let sigmas = largest / stddev;
        assert!((6.6..6.7).contains(&sigmas), "{sigmas}");
    }
}

/// Compares fills of elements on every instruction set with their words, transformed by portable
/// code. `extents` are first elements, lengths and distances from the start of memory.
struct Fill<'a> {
    base: u64,
    extents: &'a [(usize, usize, usize)],
}

const SEED: u64 = 0x0123_4567_89ab_cdef;
const WORDS: PhiloxWords = PhiloxWords { key: [SEED as u32, (SEED >> 32) as u32], counter: [3, 1] };

impl Visit for Fill<'_> {
    fn visit<E: Pattern<Lane: Pattern<Lane = E::Lane>>, D: Sampler<E::Lane>>(
        &mut self,
        name: &str,
        draw: Draw<D>,
    ) {
        let per_block = per_block::<E::Lane>() as u64;
        let PhiloxWords { key, counter: [draw_number, attempt] } = WORDS;
        let base = self.base / 4 * per_block;
        let extent = self.extents.iter().map(|(first, length, _)| first + length).max().unwrap();
        let blocks: Vec<[u32; 4]> = (0..extent.next_multiple_of(BLOCKS) as u64)
            .map(|i| base / per_block + i)
            .map(|b| block(key, [b as u32, (b >> 32) as u32, draw_number, attempt]))
            .collect();
        let wanted = bits(&transform::<E, D>(Isa::Scalar, draw, &blocks));
        let room =
            self.extents.iter().map(|(_, length, offset)| length + offset).max().unwrap() + 1;
        for isa in Isa::available() {
            let mut memory = vec![E::UNTOUCHED; room];
            for &(first, length, offset) in self.extents {
                memory.fill(E::UNTOUCHED);
                let out = lend(&mut memory[offset..offset + length]);
                let Draw { sampler, bounds } = draw;
                holding(isa, || fill(sampler, WORDS, bounds, base + first as u64, out));
                let equal = memory.iter().enumerate().all(|(i, x)| {
                    let inside = i >= offset && i - offset < length;
                    x.bits()
                        == if inside { wanted[first + i - offset] } else { E::UNTOUCHED.bits() }
                });
                let dtype = E::DTYPE;
                assert!(equal, "{name} {dtype:?} {isa:?}: {length} from {first} at {offset}");
            }
        }
    }
}

/// Compares fills by callers in these floating-point modes with portable code in the default ones.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
struct Hostile(u64);

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
impl Visit for Hostile {
    fn visit<E: Pattern<Lane: Pattern<Lane = E::Lane>>, D: Sampler<E::Lane>>(
        &mut self,
        name: &str,
        draw: Draw<D>,
    ) {
        let PhiloxWords { key, counter: [draw_number, attempt] } = WORDS;
        let blocks: Vec<[u32; 4]> =
            (0..256).map(|b| block(key, [b, 0, draw_number, attempt])).collect();
        let wanted = transform::<E, D>(Isa::Scalar, draw, &blocks);
        for isa in Isa::available() {
            let mut got = vec![E::UNTOUCHED; wanted.len()];
            let to_fill = [got.as_mut_slice()];
            let work = |_: &mut (), to: &mut [E]| {
                fill(draw.sampler, WORDS, draw.bounds, 0, lend(to));
                Ok(())
            };
            let filled = crate::simd::hostile::within(self.0, || {
                holding(isa, || Exec::serial().for_each(to_fill, || (), work))
            });
            assert_eq!(filled, Ok(()));
            let (dtype, mode) = (E::DTYPE, self.0);
            assert!(bits(&got) == bits(&wanted), "{name} {dtype:?} {isa:?}, modes {mode:#x}");
        }
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[test]
fn floating_point_modes_of_the_caller_change_nothing() {
    for mode in crate::simd::hostile::MODES {
        visit_all(&mut Hostile(mode));
    }
}

#[test]
fn every_length_start_and_alignment_gives_the_same_elements() {
    // The largest batch is 128 elements, 4 vectors of blocks: five of them and every tail.
    let mut extents = vec![];
    for length in 0..=5 * 128 {
        for first in [0, 1, 2, 3, 125] {
            extents.push((first, length, (7 * length + first) % 64));
        }
    }
    for offset in 0..64 {
        for length in [1, 4, 31, 32, 33, 127, 128, 129, 257] {
            extents.push((0, length, offset));
        }
    }
    visit_all(&mut Fill { base: 0, extents: &extents });
}

#[test]
fn fills_go_on_where_the_lower_word_of_block_numbers_wraps() {
    let extents: Vec<_> = (0..80).map(|i| (i, 517 - 3 * i, i % 16)).collect();
    visit_all(&mut Fill { base: (4 << 32) - 256, extents: &extents });
}
