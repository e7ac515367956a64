//! The stream against vectors that NumPy made, in every layout and block, for every chunk size
//! and number of threads.

use std::num::NonZero;

use ndarray::{ArrayD, IxDyn};

use super::ziggurat;
use super::*;
use crate::block::Axis;
use crate::element::{F8E4M3Fn, F8E5M2, bf16, f16};
use crate::parallel::Pool;
use crate::simd::lend;

const VECTORS: &str = include_str!("../../../../tests/vectors/numpy_stream.txt");

/// The hash of the vectors' arrays: 64-bit FNV-1a.
fn fnv1a(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// An element type as the tests see it.
trait Probe: parse::Target + 'static {
    const BLANK: Self;
    fn out(view: ArrayViewMutD<'_, MaybeUninit<Self>>) -> OutMut<'_>;
    fn bits(self) -> u64;
}

macro_rules! probe {
    ($($type:ty, $variant:ident, $blank:expr, $bits:expr;)*) => {$(
        impl Probe for $type {
            const BLANK: Self = $blank;
            fn out(view: ArrayViewMutD<'_, MaybeUninit<Self>>) -> OutMut<'_> {
                OutMut::$variant(view)
            }
            fn bits(self) -> u64 {
                let bits: fn(Self) -> _ = $bits;
                u64::from(bits(self))
            }
        }
    )*};
}

probe! {
    f16, F16, f16::NAN, f16::to_bits;
    bf16, BF16, bf16::NAN, bf16::to_bits;
    f32, F32, f32::NAN, f32::to_bits;
    f64, F64, f64::NAN, f64::to_bits;
    F8E4M3Fn, F8E4M3Fn, F8E4M3Fn(0x7f), |x| x.0;
    F8E5M2, F8E5M2, F8E5M2(0x7f), |x| x.0;
}

/// Plans a tensor and fills a block of it.
fn fill(
    distribution: &Distribution,
    key: Key,
    block: &Block,
    out: OutMut<'_>,
    exec: &Exec<'_>,
) -> Result<(), Error> {
    let values = Values::Independent(*distribution);
    Numpy.plan(&values, key, block.shape(), out.dtype())?.fill(block, out, exec)
}

/// A fresh tensor's bits.
fn draw<T: Probe>(
    distribution: &Distribution,
    key: Key,
    block: &Block,
    exec: &Exec<'_>,
) -> Vec<u64> {
    let mut values = vec![T::BLANK; block.len()];
    let view = ArrayViewMutD::from_shape(IxDyn(&[block.len()]), lend(&mut values)).unwrap();
    fill(distribution, key, block, T::out(view), exec).unwrap();
    values.into_iter().map(T::bits).collect()
}

fn hash<T: Probe>(distribution: &Distribution, key: Key, len: usize, exec: &Exec<'_>) -> u64 {
    let bits = draw::<T>(distribution, key, &Block::whole(&[len]).unwrap(), exec);
    fnv1a(bits.into_iter().flat_map(|bits| bits.to_le_bytes().into_iter().take(size_of::<T>())))
}

fn two_sigma(mean: f64, stddev: f64) -> Distribution {
    Distribution::TruncatedNormal { mean, stddev, lower: -2.0, upper: 2.0 }
}

#[test]
fn tensors_are_numpys() {
    let pool = Pool::new(NonZero::new(3).unwrap()).unwrap();
    let mut rows = 0;
    for line in VECTORS.lines() {
        let Some((given, made)) = line.split_once(" : ") else { continue };
        let given: Vec<&str> = given.split_whitespace().collect();
        let number = |i: usize| given[i].parse::<u64>().unwrap();
        let float = |i: usize| f64::from_bits(u64::from_str_radix(given[i], 16).unwrap());
        let distribution = match given[0] {
            "uniform" => Distribution::Uniform { low: float(5), high: float(6) },
            "normal" => Distribution::Normal { mean: float(5), stddev: float(6) },
            "truncated" => two_sigma(float(5), float(6)),
            other => panic!("{other}"),
        };
        let key = Key { seed: number(2), draw: number(3) as u32 };
        let expected = u64::from_str_radix(made, 16).unwrap();
        for exec in [Exec::serial(), Exec::new(Some(&pool), &|| false)] {
            let hash = match given[1] {
                "float16" => hash::<f16>,
                "bfloat16" => hash::<bf16>,
                "float32" => hash::<f32>,
                "float64" => hash::<f64>,
                "float8_e4m3fn" => hash::<F8E4M3Fn>,
                "float8_e5m2" => hash::<F8E5M2>,
                other => panic!("{other}"),
            };
            assert_eq!(hash(&distribution, key, number(4) as usize, &exec), expected, "{line}");
        }
        rows += 1;
    }
    assert!(rows >= 500, "{rows} rows read");
}

/// With chunks this small, chunks are entered in the middle of a pass now and then, and some passes
/// reach over several chunks.
#[test]
fn any_chunk_size_and_number_of_threads_gives_the_same_values() {
    let pools = [1, 2, 3, 8].map(|n| Pool::new(NonZero::new(n).unwrap()).unwrap());
    for (seed, bounds) in
        (0..8).flat_map(|seed| [(seed, None), (seed, Some((-2.0, 2.0))), (seed, Some((1.0, 9.0)))])
    {
        let rule = parse::Rule { mean: 0.0, stddev: 1.0, bounds };
        let start = generator(Key { seed, draw: 0 }).unwrap();
        let mut expected = vec![0.0f64; 3000];
        normal::fill_in_order(start, &rule, lend(&mut expected), &Exec::serial()).unwrap();
        for chunk in (1..8).chain([16, 33, 64, 100, 1024]) {
            let exec = Exec::new(Some(&pools[chunk as usize % pools.len()]), &|| false);
            let mut out = vec![f64::NAN; expected.len()];
            let sink = normal::Contiguous { skip: 0, out: lend(&mut out) };
            let (draw, value) = normal::run(start, &rule, sink, chunk, &exec).unwrap();
            assert!(out == expected, "seed {seed}, {bounds:?}, chunk {chunk}");
            // A parse can go on from the place that is returned.
            let later = start.advanced(draw.into());
            let mut rest = vec![0.0f64; expected.len() - value as usize];
            normal::fill_in_order(later, &rule, lend(&mut rest), &Exec::serial()).unwrap();
            assert_eq!(rest, expected[value as usize..]);
        }
    }
}

/// Draws among the first `draws` of a seed that begin a pass of the tail, and of a wedge.
fn slow_passes(start: Pcg64, draws: u64) -> (u64, u64) {
    let (mut generator, mut read, mut tails, mut wedges) = (start, 0, 0, 0);
    while read < draws {
        let mut first = None;
        let before = read;
        ziggurat::pass(|| {
            read += 1;
            let draw = generator.next_u64();
            first.get_or_insert(draw);
            draw
        });
        match first {
            Some(draw) if read > before + 1 && draw & 255 == 0 => tails += 1,
            Some(_) if read > before + 1 => wedges += 1,
            _ => {}
        }
    }
    (tails, wedges)
}

/// Sequences chosen for their tails, the longest passes, cut into chunks of every small size: each
/// draw of each of those passes begins a chunk many times.
#[test]
fn chunks_may_cut_tails_and_wedges_anywhere() {
    let pool = Pool::new(NonZero::new(3).unwrap()).unwrap();
    let exec = Exec::new(Some(&pool), &|| false);
    let mut starts: Vec<_> = (0..3000)
        .map(|seed| {
            let start = generator(Key { seed, draw: 0 }).unwrap();
            (slow_passes(start, 1000), start)
        })
        .collect();
    starts.sort_by_key(|&(passes, _)| std::cmp::Reverse(passes));
    for &((tails, wedges), start) in &starts[..3] {
        // A thousand draws have 0.26 tails and 14 wedges on average.
        assert!(tails >= 3 && wedges >= 5, "{tails} {wedges}");
        for bounds in [None, Some((-2.0, 2.0)), Some((2.5, 9.0))] {
            let rule = parse::Rule { mean: 0.0, stddev: 1.0, bounds };
            let len = if bounds == Some((2.5, 9.0)) { 5 } else { 900 };
            let (mut wide, mut narrow) = (vec![0.0f64; len], vec![bf16::ZERO; len]);
            let serial = Exec::serial();
            normal::fill_in_order(start, &rule, lend(&mut wide), &serial).unwrap();
            normal::fill_in_order(start, &rule, lend(&mut narrow), &serial).unwrap();
            for chunk in 1..=100 {
                let mut out = vec![f64::NAN; len];
                let sink = normal::Contiguous { skip: 0, out: lend(&mut out) };
                normal::run(start, &rule, sink, chunk, &exec).unwrap();
                assert_eq!(out, wide, "{bounds:?}, chunk {chunk}");
                let mut out = vec![bf16::NAN; len];
                let sink = normal::Contiguous { skip: 0, out: lend(&mut out) };
                normal::run(start, &rule, sink, chunk, &exec).unwrap();
                assert_eq!(out, narrow, "{bounds:?}, chunk {chunk}");
            }
        }
    }
}

#[test]
fn blocks_are_blocks_of_the_whole_in_any_layout() {
    let pool = Pool::new(NonZero::new(2).unwrap()).unwrap();
    let exec = Exec::new(Some(&pool), &|| false);
    let a = |start, step, len| Axis { start, step, len };
    let cases = [
        (vec![97], vec![a(90, -3, 30)]),
        (vec![], vec![]),
        (vec![50, 60], vec![a(10, 1, 20), a(0, 1, 60)]),
        (vec![50, 60], vec![a(49, -1, 50), a(0, 1, 60)]),
        (vec![50, 60], vec![a(49, -1, 50), a(59, -1, 60)]),
        (vec![7, 300, 50], vec![a(1, 2, 3), a(299, -7, 40), a(3, 5, 9)]),
        (vec![7, 300, 50], vec![a(0, 1, 7), a(100, 1, 190), a(0, 1, 50)]),
        (vec![40, 30], vec![a(3, 1, 1), a(29, -1, 1)]),
        (vec![40, 30], vec![a(3, 1, 0), a(29, -1, 3)]),
    ];
    let key = Key { seed: 5, draw: 2 };
    for distribution in [
        Distribution::Uniform { low: -1.0, high: 1.0 },
        Distribution::Normal { mean: 0.5, stddev: 2.0 },
        two_sigma(0.0, 0.05),
    ] {
        for (shape, axes) in &cases {
            let block = Block::new(shape.clone(), axes.clone()).unwrap();
            let whole = draw::<f32>(&distribution, key, &Block::whole(shape).unwrap(), &exec);
            let elements: Vec<_> = block
                .runs(0..block.len())
                .flat_map(|(_, run)| {
                    (0..run.len as i64).map(move |i| run.first.wrapping_add_signed(run.step * i))
                })
                .collect();
            let expected: Vec<_> = elements.iter().map(|&i| whole[i as usize]).collect();
            assert_eq!(draw::<f32>(&distribution, key, &block, &exec), expected, "{block:?}");
            // Every second element of an array with its axes reversed.
            let lens: Vec<_> = axes.iter().map(|axis| axis.len).collect();
            let doubled: Vec<_> = lens.iter().rev().map(|len| len * 2).collect();
            let mut values = vec![f32::NAN; doubled.iter().product()];
            let mut view = ArrayViewMutD::from_shape(IxDyn(&doubled), lend(&mut values)).unwrap();
            view.slice_each_axis_inplace(|_| ndarray::Slice::from(..).step_by(2));
            fill(&distribution, key, &block, OutMut::F32(view.reversed_axes()), &exec).unwrap();
            let mut written = ArrayD::from_shape_vec(IxDyn(&doubled), values).unwrap();
            assert_eq!(written.iter().filter(|x| !x.is_nan()).count(), block.len());
            written.slice_each_axis_inplace(|_| ndarray::Slice::from(..).step_by(2));
            let written: Vec<u64> =
                written.reversed_axes().iter().map(|x| x.to_bits().into()).collect();
            assert_eq!(written, expected, "{block:?}");
        }
    }
}

#[test]
fn tiles_resume_where_the_last_one_ended() {
    let (rows, key) = (400, Key { seed: 77, draw: 1 });
    let distribution = two_sigma(0.0, 1.0);
    let exec = Exec::serial();
    let whole = draw::<f64>(&distribution, key, &Block::whole(&[rows, 300]).unwrap(), &exec);
    // Forwards, then backwards: later places must not be used for earlier tiles.
    for first in (0..rows).step_by(40).chain((0..rows).step_by(40).rev()) {
        let axes =
            vec![Axis { start: first, step: 1, len: 40 }, Axis { start: 0, step: 1, len: 300 }];
        let block = Block::new(vec![rows, 300], axes).unwrap();
        let tile = draw::<f64>(&distribution, key, &block, &exec);
        assert_eq!(tile, whole[first * 300..(first + 40) * 300]);
    }
    let start = generator(key).unwrap();
    let rule = truncated_rule(0.0, 1.0, -2.0, 2.0).unwrap();
    assert!(resume::before(start, &rule, rows as u64 * 300).value > 300 * 300);
}

#[test]
fn what_numpy_refuses_is_refused() {
    let fill = |distribution: Distribution, seed: u64, shape: &[usize]| {
        let block = Block::whole(shape).unwrap();
        let mut values = vec![0f32; block.len()];
        let view = ArrayViewMutD::from_shape(IxDyn(shape), lend(&mut values)).unwrap();
        let key = Key { seed, draw: 0 };
        fill(&distribution, key, &block, OutMut::F32(view), &Exec::serial()).err()
    };
    let uniform = |low, high| Distribution::Uniform { low, high };
    let normal = |mean, stddev| Distribution::Normal { mean, stddev };
    assert!(matches!(fill(uniform(0.0, 1.0), 1 << 32, &[2]), Some(Error::Overflow { .. })));
    assert!(matches!(fill(uniform(-1e308, 1e308), 0, &[2]), Some(Error::Overflow { .. })));
    assert!(matches!(fill(uniform(f64::NAN, 1.0), 0, &[0]), Some(Error::Overflow { .. })));
    assert!(matches!(fill(uniform(1.0, 0.0), 0, &[0]), Some(Error::Value { .. })));
    assert!(matches!(fill(uniform(0.0, -0.0), 0, &[2]), Some(Error::Value { .. })));
    assert!(matches!(fill(normal(0.0, -0.0), 0, &[0]), Some(Error::Value { .. })));
    assert!(fill(normal(0.0, f64::NAN), 0, &[2]).is_none());
    assert!(matches!(fill(two_sigma(0.0, -1.0), 0, &[2]), Some(Error::Value { .. })));
    assert!(fill(two_sigma(0.0, -1.0), 0, &[3, 0]).is_none());
    for (mean, stddev) in [(0.0, f64::NAN), (f64::NAN, 1.0), (f64::INFINITY, f64::INFINITY)] {
        let error = fill(two_sigma(mean, stddev), 0, &[2]);
        assert!(matches!(error, Some(Error::Value { .. })), "{mean} {stddev}");
    }
    assert!(fill(two_sigma(0.0, f64::INFINITY), 0, &[2]).is_none());
}

#[test]
fn a_rejection_that_hardly_ever_accepts_can_be_stopped() {
    let asked = std::cell::Cell::new(0);
    let stop = || {
        asked.set(asked.get() + 1);
        asked.get() > 3
    };
    let pool = Pool::new(NonZero::new(2).unwrap()).unwrap();
    let never = Distribution::TruncatedNormal { mean: 0.0, stddev: 1.0, lower: 30.0, upper: 31.0 };
    for len in [10, 100_000] {
        asked.set(0);
        let mut values = vec![0f32; len];
        let view = ArrayViewMutD::from_shape(IxDyn(&[len]), lend(&mut values)).unwrap();
        let block = Block::whole(&[len]).unwrap();
        let key = Key { seed: 1, draw: 0 };
        let exec = Exec::new(Some(&pool), &stop);
        let result = fill(&never, key, &block, OutMut::F32(view), &exec);
        assert_eq!(result, Err(Error::Interrupted));
    }
}
