//! A tile of a matrix product: the part of it that is kept in registers.
//!
//! Every element of the tile is one chain of fused multiply-adds that starts at zero and takes its
//! terms in a fixed order. The tile's shape and the vector's width decide only which elements are
//! computed together, so every instruction set gives the same bits.
//!
//! A crate for matrix products cannot be used, for the stream's bits are frozen and no crate
//! promises an order of sums. `gemm` 0.19 and `matrixmultiply` 0.3 were tried (2048 by 2048,
//! AVX-512, one to three threads). For sums of 96 and 256 terms, the definition's, both gave the
//! chain's bits, at 180 to 203 GFLOP a second on two cores of a Zen 4; this tile makes 90 (dot) to
//! 104 (update) on one (`benches/products.rs`). For sums of 2048 terms they differ from each other,
//! and only 66 entries in 2048 are the chain's. So agreement depends on where a crate cuts its
//! sums, and that may change with the processor, its caches and the release.

use std::array::from_fn;

use crate::simd::{Lane, Simd};

/// `M` rows of `N` vectors.
pub(super) type Tile<T, S, const M: usize, const N: usize> = [[<T as Lane>::Vector<S>; N]; M];

/// `acc[i][..] += a[i] * b[..]`; `b` has `N` vectors.
#[inline(always)]
pub(super) fn rank_one<T: Lane, S: Simd, const M: usize, const N: usize>(
    simd: S,
    acc: &mut Tile<T, S, M, N>,
    a: [T; M],
    b: &[T],
) {
    let mut row = [T::splat(simd, T::ZERO); N];
    for (v, x) in row.iter_mut().enumerate() {
        *x = T::load(simd, &b[v * T::lanes::<S>()..]);
    }
    for i in 0..M {
        let x = T::splat(simd, a[i]);
        for v in 0..N {
            acc[i][v] = T::fused(simd, x, row[v], acc[i][v]);
        }
    }
}

/// The products of columns `i .. i + M` of `a` with columns `l ..` of `b`, over all rows in
/// ascending order. `a` and `b` have as many rows, `a_width` and `b_width` long.
#[inline(always)]
pub(super) fn columns_by_columns<T: Lane, S: Simd, const M: usize, const N: usize>(
    simd: S,
    (a, a_width, i): (&[T], usize, usize),
    (b, b_width, l): (&[T], usize, usize),
) -> Tile<T, S, M, N> {
    let mut acc = [[T::splat(simd, T::ZERO); N]; M];
    for (a, b) in a.chunks_exact(a_width).zip(b.chunks_exact(b_width)) {
        let a: &[T; M] = a[i..i + M].try_into().expect("M entries");
        rank_one::<T, S, M, N>(simd, &mut acc, *a, &b[l..l + N * T::lanes::<S>()]);
    }
    acc
}

/// The products of the first `k` entries of rows `i .. i + M` of `a` with columns `l ..` of the
/// first `k` rows of `b`, in ascending order.
#[inline(always)]
pub(super) fn rows_by_columns<T: Lane, S: Simd, const M: usize, const N: usize>(
    simd: S,
    (a, a_width, i): (&[T], usize, usize),
    (b, b_width, l): (&[T], usize, usize),
    k: usize,
) -> Tile<T, S, M, N> {
    let mut acc = [[T::splat(simd, T::ZERO); N]; M];
    let rows: [&[T]; M] = from_fn(|r| &a[(i + r) * a_width..][..k]);
    for (k, b) in (0..k).zip(b.chunks_exact(b_width)) {
        let a = from_fn(|r| rows[r][k]);
        rank_one::<T, S, M, N>(simd, &mut acc, a, &b[l..l + N * T::lanes::<S>()]);
    }
    acc
}

/// As [`rows_by_columns`] over entries `from .. to`, in descending order.
#[inline(always)]
pub(super) fn rows_by_columns_descending<T: Lane, S: Simd, const M: usize, const N: usize>(
    simd: S,
    (a, a_width, i): (&[T], usize, usize),
    (b, b_width, l): (&[T], usize, usize),
    from: usize,
    to: usize,
) -> Tile<T, S, M, N> {
    let mut acc = [[T::splat(simd, T::ZERO); N]; M];
    let rows: [&[T]; M] = from_fn(|r| &a[(i + r) * a_width..][..to]);
    for (k, b) in (from..to).zip(b[from * b_width..to * b_width].chunks_exact(b_width)).rev() {
        let a = from_fn(|r| rows[r][k]);
        rank_one::<T, S, M, N>(simd, &mut acc, a, &b[l..l + N * T::lanes::<S>()]);
    }
    acc
}
