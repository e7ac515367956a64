//! Elements a second of every sampler of the native stream, on pages that are in memory already.
//!
//! `cargo bench -p seedbed-core --bench samplers [FILTER]`. Each group holds one dtype: the fill of
//! the same memory with a non-zero constant is its yardstick.

use std::hint::black_box;
use std::mem::MaybeUninit;
use std::num::NonZero;
use std::thread::available_parallelism;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use ndarray::{ArrayViewMutD, IxDyn};
use seedbed_core::block::Block;
use seedbed_core::distribution::{Distribution, Values};
use seedbed_core::element::{DType, F8E4M3Fn, F8E5M2, OutMut, bf16, f16};
use seedbed_core::parallel::{Exec, Pool};
use seedbed_core::stream::{Key, by_id};

/// Small enough for the second-level cache in every dtype: the arithmetic is what is measured.
const IN_CACHE: usize = 1 << 16;
/// Larger than any last-level cache: memory and threads are what is measured.
const IN_MEMORY: usize = 1 << 26;

const KEY: Key = Key { seed: 42, draw: 0 };

/// Lends memory as the output of a call.
type Lend<T> = fn(ArrayViewMutD<'_, MaybeUninit<T>>) -> OutMut<'_>;

fn distributions() -> [(&'static str, Distribution); 3] {
    [
        ("uniform", Distribution::Uniform { low: -0.05, high: 0.05 }),
        ("normal", Distribution::Normal { mean: 0.0, stddev: 0.05 }),
        (
            "truncated_normal",
            Distribution::TruncatedNormal { mean: 0.0, stddev: 0.05, lower: -2.0, upper: 2.0 },
        ),
    ]
}

fn samplers<T: Copy>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    len: usize,
    one: T,
    lend: Lend<T>,
    exec: &Exec<'_>,
) {
    group.throughput(Throughput::Elements(len as u64));
    let mut memory = vec![MaybeUninit::new(one); len];
    group.bench_function("fill", |bench| {
        bench.iter(|| black_box(&mut memory[..]).fill(MaybeUninit::new(black_box(one))));
    });
    let philox = by_id("philox").expect("the native stream exists");
    let block = Block::whole(&[len]).expect("the size fits");
    for (name, distribution) in distributions() {
        group.bench_function(name, |bench| {
            bench.iter(|| {
                let view = ArrayViewMutD::from_shape(IxDyn(&[len]), black_box(&mut memory[..]))
                    .expect("the shape is the slice's");
                let values = black_box(Values::Independent(distribution));
                let out = lend(view);
                philox
                    .plan(&values, KEY, block.shape(), out.dtype())
                    .and_then(|plan| plan.fill(&block, out, exec))
                    .expect("the parameters are valid");
            });
        });
    }
}

fn arithmetic(criterion: &mut Criterion) {
    let exec = Exec::serial();
    let mut group = criterion.benchmark_group("cache/float32");
    samplers(&mut group, IN_CACHE, 1f32, |out| OutMut::F32(out), &exec);
    group.finish();
    let mut group = criterion.benchmark_group("cache/float64");
    samplers(&mut group, IN_CACHE, 1f64, |out| OutMut::F64(out), &exec);
    group.finish();
    let mut group = criterion.benchmark_group("cache/float16");
    samplers(&mut group, IN_CACHE, f16::ONE, |out| OutMut::F16(out), &exec);
    group.finish();
    let mut group = criterion.benchmark_group("cache/bfloat16");
    samplers(&mut group, IN_CACHE, bf16::ONE, |out| OutMut::BF16(out), &exec);
    group.finish();
    let mut group = criterion.benchmark_group("cache/float8_e4m3fn");
    samplers(&mut group, IN_CACHE, F8E4M3Fn(0x38), |out| OutMut::F8E4M3Fn(out), &exec);
    group.finish();
    let mut group = criterion.benchmark_group("cache/float8_e5m2");
    samplers(&mut group, IN_CACHE, F8E5M2(0x3c), |out| OutMut::F8E5M2(out), &exec);
    group.finish();
}

fn threads(criterion: &mut Criterion) {
    let threads = available_parallelism().unwrap_or(NonZero::<usize>::MIN);
    let pool = Pool::new(threads).expect("the system starts threads");
    let exec = Exec::new(Some(&pool), &|| false);
    let mut group = criterion.benchmark_group(format!("memory/float32/{threads} threads"));
    group.sample_size(10);
    samplers(&mut group, IN_MEMORY, 1f32, |out| OutMut::F32(out), &exec);
    group.finish();
    let mut group = criterion.benchmark_group(format!("memory/bfloat16/{threads} threads"));
    group.sample_size(10);
    samplers(&mut group, IN_MEMORY, bf16::ONE, |out| OutMut::BF16(out), &exec);
    group.finish();
}

fn orthogonal(criterion: &mut Criterion) {
    let philox = by_id("philox").expect("the native stream exists");
    let mut group = criterion.benchmark_group("orthogonal/float32");
    group.sample_size(10);
    for n in [64usize, 512] {
        let block = Block::whole(&[n, n]).expect("the size fits");
        let mut memory = vec![MaybeUninit::new(0f32); n * n];
        group.throughput(Throughput::Elements((n * n) as u64));
        group.bench_function(format!("{n}x{n}"), |bench| {
            bench.iter(|| {
                let view = ArrayViewMutD::from_shape(IxDyn(&[n, n]), black_box(&mut memory[..]))
                    .expect("the shape is the slice's");
                philox
                    .plan(&Values::Orthogonal { gain: 1.0 }, KEY, block.shape(), DType::F32)
                    .and_then(|plan| plan.fill(&block, OutMut::F32(view), &Exec::serial()))
                    .expect("the parameters are valid");
            });
        });
    }
    group.finish();
}

criterion_group!(benches, arithmetic, threads, orthogonal);
criterion_main!(benches);
