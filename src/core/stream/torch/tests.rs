//! The stream against vectors that torch made, for every number of threads and segments, in every
//! layout and block, and its functions for every number that they are given.

use std::mem::MaybeUninit;
use std::num::NonZero;

use ndarray::{ArrayD, ArrayViewMutD, IxDyn};

use super::normal::Functions;
use super::*;
use crate::block::Axis;
use crate::element::{F8E4M3Fn, OutMut};
use crate::parallel::Pool;
use crate::simd::{self, Isa, Kernel, Simd, lend};

const TENSORS: &str = include_str!("../../../../tests/vectors/torch_stream.txt");
const FUNCTIONS: &str = include_str!("../../../../tests/vectors/torch_functions.txt");

/// The hash of the vectors: the sum of the mixed bits (SplitMix64's finalizer), each with its place.
fn hash(bits: impl IntoIterator<Item = u64>) -> u64 {
    let mix = |x: u64| {
        let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ x >> 31
    };
    let places = (1u64..).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    bits.into_iter()
        .zip(places)
        .fold(0, |sum, (x, place)| sum.wrapping_add(mix(x.wrapping_add(place))))
}

/// An element type as the tests see it.
trait Probe: Element {
    const BLANK: Self;
    fn out(view: ArrayViewMutD<'_, MaybeUninit<Self>>) -> OutMut<'_>;
    fn bits(self) -> u64;
}

macro_rules! probe {
    ($($type:ty, $variant:ident;)*) => {$(
        impl Probe for $type {
            const BLANK: Self = <$type>::NAN;
            fn out(view: ArrayViewMutD<'_, MaybeUninit<Self>>) -> OutMut<'_> {
                OutMut::$variant(view)
            }
            fn bits(self) -> u64 {
                u64::from(self.to_bits())
            }
        }
    )*};
}
probe! { f16, F16; bf16, BF16; f32, F32; f64, F64; }

/// A block's bits.
fn draw<T: Probe>(
    path: Path,
    distribution: Distribution,
    key: Key,
    block: &Block,
    exec: &Exec<'_>,
) -> Vec<u64> {
    let mut values = vec![T::BLANK; block.len()];
    let view = ArrayViewMutD::from_shape(IxDyn(&[block.len()]), lend(&mut values)).unwrap();
    let values_wanted = Values::Independent(distribution);
    let plan = plan_on(path, &values_wanted, key, block.shape(), T::DTYPE).unwrap();
    plan.fill(block, T::out(view), exec).unwrap();
    values.into_iter().map(T::bits).collect()
}

fn draw_as(
    dtype: &str,
    path: Path,
    distribution: Distribution,
    key: Key,
    block: &Block,
    exec: &Exec<'_>,
) -> Vec<u64> {
    let draw = match dtype {
        "float16" => draw::<f16>,
        "bfloat16" => draw::<bf16>,
        "float32" => draw::<f32>,
        "float64" => draw::<f64>,
        other => panic!("{other}"),
    };
    draw(path, distribution, key, block, exec)
}

const DTYPES: [&str; 4] = ["float16", "bfloat16", "float32", "float64"];

fn two_sigma(mean: f64, stddev: f64) -> Distribution {
    Distribution::TruncatedNormal { mean, stddev, lower: -2.0, upper: 2.0 }
}

/// What is given and what is made of it in a line of the vectors, None for a comment.
fn row(line: &str) -> Option<(&str, &str)> {
    if line.starts_with('#') { None } else { line.split_once(" : ") }
}

fn path_of(name: &str) -> Path {
    match name {
        "avx2" => Path::Avx2,
        "default" => Path::Default,
        other => panic!("{other}"),
    }
}

#[test]
fn tensors_are_torchs() {
    let pool = Pool::new(NonZero::new(3).unwrap()).unwrap();
    let mut rows = 0;
    for line in TENSORS.lines() {
        let Some((given, made)) = row(line) else { continue };
        let given: Vec<&str> = given.split_whitespace().collect();
        let float = |i: usize| f64::from_bits(u64::from_str_radix(given[i], 16).unwrap());
        let distribution = match given[1] {
            "uniform" => Distribution::Uniform { low: float(5), high: float(6) },
            "normal" => Distribution::Normal { mean: float(5), stddev: float(6) },
            "truncated" => two_sigma(float(5), float(6)),
            other => panic!("{other}"),
        };
        let key = Key { seed: given[3].parse().unwrap(), draw: 0 };
        let block = Block::whole(&[given[4].parse().unwrap()]).unwrap();
        let expected = u64::from_str_radix(made, 16).unwrap();
        let draw =
            |exec: &Exec<'_>| draw_as(given[2], path_of(given[0]), distribution, key, &block, exec);
        assert_eq!(hash(draw(&Exec::new(Some(&pool), &|| false))), expected, "{line}");
        for isa in Isa::available() {
            let bits = simd::holding(isa, || draw(&Exec::serial()));
            assert_eq!(hash(bits), expected, "{line}, {}", isa.name());
        }
        rows += 1;
    }
    assert!(rows >= 300, "{rows} rows read");
}

/// Radii of all numbers of 24 bits, or cosines and sines, times a radius.
struct All<F> {
    functions: std::marker::PhantomData<F>,
    radii: bool,
    first: u32,
    out: [[f32; 2]; 16],
}

impl<F: Functions> Kernel for &mut All<F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for at in (0..16).step_by(S::LANES) {
            let mut numbers = [0; 16];
            for (i, number) in numbers.iter_mut().enumerate() {
                *number = self.first + at as u32 + i as u32;
            }
            let numbers = simd.load_u32(&numbers);
            let last = simd.splat_u32((1 << 24) - 1);
            let none = simd.splat_u32(0);
            let (u, angle) = if self.radii { (numbers, none) } else { (last, numbers) };
            let u = simd.sub_f32(simd.splat_f32(1.0), sampler::unit(simd, u));
            let [log] = F::log(simd, [u]);
            let radius = simd.sqrt_f32(simd.mul_f32(simd.splat_f32(-2.0), log));
            let [[sin, cos]] = F::sin_cos(simd, [angle]);
            for (k, value) in [cos, sin].into_iter().enumerate() {
                let value = simd.add_f32(simd.mul_f32(radius, value), simd.splat_f32(0.0));
                let mut lanes = [0.0; 16];
                simd.store_f32(value, lend(&mut lanes));
                for (out, lane) in self.out[at..].iter_mut().zip(&lanes[..S::LANES]) {
                    out[k] = *lane;
                }
            }
        }
    }
}

fn hash_of_all<F: Functions>(radii: bool) -> u64 {
    let values = (0..1 << 24).step_by(16).flat_map(|first| {
        let out = [[0.0; 2]; 16];
        let mut all = All::<F> { functions: std::marker::PhantomData, radii, first, out };
        simd::run(&mut all);
        let kept = if radii { 1 } else { 2 };
        all.out.into_iter().flat_map(move |pair| pair.into_iter().take(kept))
    });
    hash(values.map(|x| u64::from(x.to_bits())))
}

#[test]
fn functions_are_torchs_for_every_number() {
    let mut rows = 0;
    for line in FUNCTIONS.lines() {
        let Some((given, made)) = row(line) else { continue };
        let (path, what) = given.split_once(' ').unwrap();
        let of = match path_of(path) {
            Path::Avx2 => hash_of_all::<avx2::Functions>,
            Path::Default => hash_of_all::<default::Functions>,
        };
        let expected = u64::from_str_radix(made, 16).unwrap();
        for isa in Isa::available() {
            let hash = simd::holding(isa, || of(what == "radii"));
            assert_eq!(hash, expected, "{line}, {}", isa.name());
        }
        rows += 1;
    }
    assert_eq!(rows, 4);
}

/// A block's bits where the output is cut into `segments`.
fn in_segments<D: Sampler<Element: Probe>>(
    sampler: D,
    block: &Block,
    exec: &Exec<'_>,
    segments: usize,
) -> Vec<u64> {
    let mut values = vec![D::Element::BLANK; block.len()];
    let view = ArrayViewMutD::from_shape(IxDyn(&[block.len()]), lend(&mut values)).unwrap();
    let start = Mt19937::new(7);
    let len = block.shape().iter().product::<usize>() as u64;
    fill::fill_in_segments(&start, sampler, len, block, view, exec, |_| segments).unwrap();
    values.into_iter().map(Probe::bits).collect()
}

#[test]
fn any_number_of_threads_and_segments_gives_the_same_values() {
    fn check<D: Sampler<Element: Probe>>(sampler: D) {
        let pools = [1, 2, 3, 8].map(|n| Pool::new(NonZero::new(n).unwrap()).unwrap());
        // The last elements end with a block of their own.
        let block = Block::whole(&[40 * D::VALUES + 77]).unwrap();
        let expected = in_segments(sampler, &block, &Exec::serial(), 1);
        for pool in &pools {
            for segments in [1, 2, 3, 7] {
                let exec = Exec::new(Some(pool), &|| false);
                let bits = in_segments(sampler, &block, &exec, segments);
                assert!(bits == expected, "{:?} {segments}", pool.threads());
            }
        }
    }
    check(Uniform::<f32>::new(Affine::new::<f32>(1.0, 0.0)));
    check(Normal::<f32, avx2::Functions>::new(0.0, 1.0));
    check(Normal::<bf16, default::Functions>::new(0.0, 1.0));
    check(TruncatedNormal::<f32, avx2::Functions>::new(Affine::new::<f32>(1.0, 0.0)));
    check(TruncatedNormal::<f16, default::Functions>::new(Affine::new::<f16>(1.0, 0.0)));
    check(TruncatedNormalF64 { mean: 0.0, stddev: 1.0, path: Path::Avx2 });
}

#[test]
fn blocks_are_blocks_of_the_whole_in_any_layout() {
    let pool = Pool::new(NonZero::new(2).unwrap()).unwrap();
    let exec = Exec::new(Some(&pool), &|| false);
    let a = |start, step, len| Axis { start, step, len };
    let cases = [
        (vec![97], vec![a(90, -3, 30)]),
        (vec![], vec![]),
        (vec![2, 7], vec![a(1, -1, 2), a(1, 2, 3)]),
        (vec![50, 60], vec![a(10, 1, 20), a(0, 1, 60)]),
        (vec![50, 60], vec![a(49, -1, 50), a(0, 1, 60)]),
        (vec![50, 61], vec![a(49, -1, 50), a(60, -1, 61)]),
        (vec![7, 300, 50], vec![a(1, 2, 3), a(299, -7, 40), a(3, 5, 9)]),
        (vec![7, 300, 50], vec![a(0, 1, 7), a(100, 1, 190), a(0, 1, 50)]),
        (vec![3, 5, 4999], vec![a(0, 2, 2), a(1, 1, 3), a(4998, -40, 100)]),
        (vec![40, 30], vec![a(3, 1, 1), a(29, -1, 1)]),
        (vec![40, 30], vec![a(3, 1, 0), a(29, -1, 3)]),
    ];
    let key = Key { seed: 5, draw: 2 };
    let distributions = [
        Distribution::Uniform { low: -1.0, high: 1.0 },
        Distribution::Normal { mean: 0.5, stddev: 2.0 },
        two_sigma(0.0, 0.05),
    ];
    for (distribution, dtype) in distributions.into_iter().flat_map(|d| DTYPES.map(|t| (d, t))) {
        for (shape, axes) in &cases {
            let block = Block::new(shape.clone(), axes.clone()).unwrap();
            let draw = |block: &Block| draw_as(dtype, Path::Avx2, distribution, key, block, &exec);
            let whole = draw(&Block::whole(shape).unwrap());
            let elements = block.runs(0..block.len()).flat_map(|(_, run)| {
                (0..run.len as i64).map(move |i| run.first.wrapping_add_signed(run.step * i))
            });
            let expected: Vec<_> = elements.map(|i| whole[i as usize]).collect();
            assert_eq!(draw(&block), expected, "{distribution:?} {dtype} {block:?}");
            if dtype != "float32" {
                continue;
            }
            // Every second element of an array with its axes reversed.
            let lens: Vec<_> = axes.iter().map(|axis| axis.len).collect();
            let doubled: Vec<_> = lens.iter().rev().map(|len| len * 2).collect();
            let mut values = vec![f32::NAN; doubled.iter().product()];
            let mut view = ArrayViewMutD::from_shape(IxDyn(&doubled), lend(&mut values)).unwrap();
            view.slice_each_axis_inplace(|_| ndarray::Slice::from(..).step_by(2));
            let wanted = Values::Independent(distribution);
            let plan = plan_on(Path::Avx2, &wanted, key, shape, DType::F32).unwrap();
            plan.fill(&block, OutMut::F32(view.reversed_axes()), &exec).unwrap();
            let mut written = ArrayD::from_shape_vec(IxDyn(&doubled), values).unwrap();
            assert_eq!(written.iter().filter(|x| !x.is_nan()).count(), block.len());
            written.slice_each_axis_inplace(|_| ndarray::Slice::from(..).step_by(2));
            let written: Vec<u64> =
                written.reversed_axes().iter().map(|x| x.to_bits().into()).collect();
            assert_eq!(written, expected, "{distribution:?} {block:?}");
        }
    }
}

/// Elements far into a tensor that would not fit in memory, reached by jumps in any order.
#[test]
fn far_blocks_are_reached_from_anywhere() {
    let shape = vec![1 << 20, 1 << 16];
    let block = |row: usize| {
        let axes = vec![Axis { start: row, step: 1, len: 2 }, Axis { start: 5, step: 1, len: 100 }];
        Block::new(shape.clone(), axes).unwrap()
    };
    let (key, exec) = (Key { seed: 1, draw: 0 }, Exec::serial());
    let distribution = Distribution::Uniform { low: 0.0, high: 1.0 };
    for row in [1000, 700_000] {
        let bits = draw::<f32>(Path::Avx2, distribution, key, &block(row), &exec);
        for (i, first) in [row, row + 1].into_iter().enumerate() {
            let mut generator = Mt19937::new(1);
            let word = (first as u64) << 16;
            // In two parts, of which only one is a jump.
            generator.skip(word / 2 + 12_345);
            generator.skip(word - word / 2 - 12_345 + 5);
            let words = generator.words().iter().take(100);
            let expected = words.map(|&word| {
                let bits = crate::rng::mt19937::temper(word) & 0x00ff_ffff;
                u64::from((bits as f32 / (1 << 24) as f32).to_bits())
            });
            assert!(expected.eq(bits[100 * i..][..100].iter().copied()), "{first}");
        }
    }
}

#[test]
fn what_torch_refuses_is_refused() {
    let plan =
        |values, dtype| plan_on(Path::Avx2, &values, Key { seed: 0, draw: 0 }, &[4, 4], dtype);
    let normal = |stddev| Values::Independent(Distribution::Normal { mean: 0.0, stddev });
    assert!(plan(normal(-1.0), DType::F32).is_err());
    assert!(plan(normal(f64::NAN), DType::F32).is_err());
    assert!(plan(normal(-0.0), DType::F32).is_ok());
    assert!(plan(normal(1.0), F8E4M3Fn::DTYPE).is_err());
    assert!(plan(Values::Independent(two_sigma(0.0, -1.0)), DType::F32).is_ok());
    let narrow = Distribution::TruncatedNormal { mean: 0.0, stddev: 1.0, lower: -1.0, upper: 2.0 };
    assert!(plan(Values::Independent(narrow), DType::F32).is_err());
    assert!(plan(Values::Orthogonal { gain: 1.0 }, DType::F16).is_err());
    assert!(plan(Values::Orthogonal { gain: 1.0 }, DType::F64).is_ok());
}

#[test]
fn cost_counts_what_is_made_and_some_of_what_is_skipped() {
    let plan = |dtype| {
        let values = Values::Independent(Distribution::Normal { mean: 0.0, stddev: 1.0 });
        plan_on(Path::Avx2, &values, Key { seed: 0, draw: 0 }, &[1 << 20, 1 << 20], dtype).unwrap()
    };
    let block = |start, step, len| {
        let rows = Axis { start, step, len };
        let columns = Axis { start: 7, step: 1, len: 1000 };
        Block::new(vec![1 << 20, 1 << 20], vec![rows, columns]).unwrap()
    };
    assert_eq!(plan(DType::F32).cost(&block(0, 1, 1)), 1000);
    assert!(plan(DType::F64).cost(&block(0, 1, 1)) >= 10_000);
    let far = plan(DType::F32).cost(&block(1 << 19, 1, 3));
    assert!(far > 1 << 18 && far < 1 << 23, "{far}");
    assert_eq!(far, plan(DType::F32).cost(&block((1 << 19) + 2, -1, 3)));
}
