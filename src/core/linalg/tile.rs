//! The micro-kernel: a tile of a matrix product kept in registers.
//!
//! Every element of the tile is one chain of fused multiply-adds from zero, over `k` in the order
//! given. The tile's shape and the vector's width decide only which elements are computed
//! together, so every instruction set gives the same bits.
//!
//! Why not a GEMM crate: the stream's bits are frozen, and no crate promises an order of sums.
//! `gemm` 0.19 and `matrixmultiply` 0.3, called with the definition's 96 and 256 terms (2048 by
//! 2048, AVX-512, one to three threads), did give the chain's bits, at 180 to 203 GFLOP a second on
//! two cores of a Zen 4; this tile makes 90 (dot) to 104 (update) on one (`benches/products.rs`). But
//! of 2048 terms the two make different sums, and 66 entries in 2048 are the chain's: agreement rests
//! on where each cuts its sums, which may depend on the processor, its caches and the release.

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

/// The products of columns `i .. i + M` of `a` with columns `l ..` of `b`, over all rows,
/// ascending. Rows of `a` and `b` are `a_width` and `b_width` long; both have equally many.
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

/// The products of the first `k` entries of rows `i .. i + M` of `a` with the first `k` rows of
/// `b`, columns `l ..`, ascending.
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

/// As [`rows_by_columns`] over entries `from .. to`, descending.
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
