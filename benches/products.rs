//! The products that orthogonal matrices are made of, on one core: blocks as the definition cuts
//! them, in the second-level cache.
//!
//! `cargo bench -p seedbed-core --bench products [FILTER]`. The throughput counts fused
//! multiply-adds: a core with one vector of 16 float32 a cycle makes 16 of them, 8 of float64.

use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use seedbed_core::linalg::definition::{BLOCK_SIZE, PRODUCTS_CHAIN};
use seedbed_core::linalg::product::{Dot, Update};
use seedbed_core::simd;

macro_rules! products {
    ($name:ident, $t:ty) => {
        fn $name(criterion: &mut Criterion) {
            let mut group = criterion.benchmark_group(concat!("product/", stringify!($t)));
            group.throughput(Throughput::Elements(
                (PRODUCTS_CHAIN * BLOCK_SIZE * BLOCK_SIZE) as u64,
            ));
            both(
                &mut group,
                vec![0.5 as $t; PRODUCTS_CHAIN * BLOCK_SIZE],
                vec![0.5 as $t; BLOCK_SIZE * BLOCK_SIZE],
            );
            group.finish();

            fn both(group: &mut BenchmarkGroup<'_, WallTime>, v: Vec<$t>, mut y: Vec<$t>) {
                let mut c = v.clone();
                let (v_width, c_width, columns, upper) =
                    (BLOCK_SIZE, BLOCK_SIZE, 0..BLOCK_SIZE, false);
                group.bench_function("dot", |bench| {
                    bench.iter(|| {
                        simd::run(Dot {
                            first_row: 0,
                            v: black_box(&v),
                            v_width,
                            c: black_box(&c),
                            c_width,
                            height: BLOCK_SIZE,
                            columns: columns.clone(),
                            upper,
                            w: black_box(&mut y),
                        });
                    });
                });
                y.fill(0.0);
                group.bench_function("update", |bench| {
                    bench.iter(|| {
                        simd::run(Update {
                            v: black_box(&v),
                            v_width,
                            y: black_box(&y),
                            c: black_box(&mut c),
                            c_width,
                            depth: BLOCK_SIZE,
                            columns: columns.clone(),
                            upper,
                        });
                    });
                });
            }
        }
    };
}
products!(float32, f32);
products!(float64, f64);

criterion_group!(benches, float32, float64);
criterion_main!(benches);
