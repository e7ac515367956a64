//! The products that apply a block of reflectors, `C - V U^-1 V^T C`, in the order of sums that the
//! definition fixes.
//!
//! Matrices are row-major slices with a row length. They are padded with zeros, which change no
//! bit, to widths that are multiples of [`WIDTH_MULTIPLE`](super::definition::WIDTH_MULTIPLE) and
//! heights that are multiples of [`HEIGHT_MULTIPLE`], so that kernels work on whole tiles alone.

use std::ops::Range;

use super::definition::{BLOCK_SIZE, HEIGHT_MULTIPLE, PRODUCTS_CHAIN};
use super::tile;
use crate::simd::{Kernel, Lane, Simd};

/// Calls a kernel with the rows of a tile that suit the registers. A row has up to three vectors,
/// so 8 rows take 24 of 32 registers, and 4 rows 12 of 16.
macro_rules! for_registers {
    ($s:ty, $call:ident::<$t:ty, _, M>($($arg:expr),* $(,)?)) => {
        if <$s>::LANES >= 16 { $call::<$t, $s, 8>($($arg),*) } else { $call::<$t, $s, 4>($($arg),*) }
    };
}

/// Walks a range of columns by three vectors at a time, and by one where fewer than three are left.
macro_rules! by_vectors {
    ($t:ty, $s:ty, $columns:expr, |$l:ident, $n:ident| $body:expr) => {{
        let (columns, lanes) = ($columns, <$t>::lanes::<$s>());
        let mut $l = columns.start;
        while $l < columns.end {
            let left = (columns.end - $l) / lanes;
            if left >= 3 {
                const $n: usize = 3;
                $body;
                $l += 3 * lanes;
            } else {
                const $n: usize = 1;
                $body;
                $l += lanes;
            }
        }
    }};
}

/// `w = V^T C` over rows of one row chunk.
///
/// The rows are cut at multiples of [`PRODUCTS_CHAIN`]. Each piece is one chain, and the chains are
/// added in ascending order. `w`'s rows are [`BLOCK_SIZE`] long; `height` rows and the given
/// columns of it are written.
#[derive(Debug)]
pub struct Dot<'a, T> {
    /// Absolute number of the first row of `v` and `c`.
    pub first_row: usize,
    /// V's rows.
    pub v: &'a [T],
    /// Their length.
    pub v_width: usize,
    /// C's rows, as many.
    pub c: &'a [T],
    /// Their length.
    pub c_width: usize,
    /// Columns of `v` to take, and rows of `w` to write; a multiple of [`HEIGHT_MULTIPLE`].
    pub height: usize,
    /// Columns of `c` to take, and of `w` to write; bounds are multiples of `WIDTH_MULTIPLE`.
    pub columns: Range<usize>,
    /// Whether only entries above the diagonal are wanted.
    pub upper: bool,
    /// The result's rows.
    pub w: &'a mut [T],
}

impl<T: Lane> Kernel for Dot<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for_registers!(S, dot::<T, _, M>(simd, self))
    }
}

#[inline(always)]
fn dot<T: Lane, S: Simd, const M: usize>(simd: S, job: Dot<'_, T>) {
    let Dot { first_row, v, v_width, c, c_width, height, columns, upper, w } = job;
    let end = first_row + v.len() / v_width;
    let mut row = first_row;
    while row < end {
        let cut = end.min((row / PRODUCTS_CHAIN + 1) * PRODUCTS_CHAIN);
        let v = &v[(row - first_row) * v_width..(cut - first_row) * v_width];
        let c = &c[(row - first_row) * c_width..(cut - first_row) * c_width];
        let first = row == first_row;
        by_vectors!(T, S, columns.clone(), |l, N| {
            let rows = if upper { height.min(l + N * T::lanes::<S>()) } else { height };
            dot_columns::<T, S, M, N>(simd, (v, v_width), (c, c_width, l), rows, first, w)
        });
        row = cut;
    }
}

#[inline(always)]
fn dot_columns<T: Lane, S: Simd, const M: usize, const N: usize>(
    simd: S,
    (v, v_width): (&[T], usize),
    (c, c_width, l): (&[T], usize, usize),
    height: usize,
    first: bool,
    w: &mut [T],
) {
    let mut i = 0;
    while i < height {
        let acc = tile::columns_by_columns::<T, S, M, N>(simd, (v, v_width, i), (c, c_width, l));
        for (r, acc) in acc.iter().enumerate() {
            for (x, &acc) in acc.iter().enumerate() {
                let w = &mut w[(i + r) * BLOCK_SIZE + l + x * T::lanes::<S>()..];
                let sum = if first { acc } else { T::plus(simd, T::load(simd, w), acc) };
                T::store(simd, sum, w);
            }
        }
        i += M;
    }
}

/// `y <- U^-1 y` for a unit upper triangular `u`; rows of both are [`BLOCK_SIZE`] long.
///
/// Only entries of `u` above the diagonal are read, and the diagonal is taken as ones. With the
/// computed diagonal the result would be ten times farther from orthogonal.
///
/// Rows are solved from the last one up: `y_i` is reduced by a chain of `u_ik y_k`, which starts at
/// zero and takes the rows k below in descending order.
#[derive(Debug)]
pub(super) struct Solve<'a, T> {
    pub(super) u: &'a [T],
    pub(super) y: &'a mut [T],
    /// Rows, a multiple of [`HEIGHT_MULTIPLE`].
    pub(super) height: usize,
    /// Columns, a multiple of `WIDTH_MULTIPLE`.
    pub(super) width: usize,
    /// Whether `y` is zero below its diagonal. It then stays so, and those zeros are left out.
    pub(super) upper: bool,
}

impl<T: Lane> Kernel for Solve<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for_registers!(S, solve::<T, _, M>(simd, self))
    }
}

#[inline(always)]
fn solve<T: Lane, S: Simd, const M: usize>(simd: S, job: Solve<'_, T>) {
    let Solve { u, y, height, width, upper } = job;
    by_vectors!(T, S, 0..width, |l, N| {
        // Terms that are zero change no bit.
        let end = (l + N * T::lanes::<S>()).next_multiple_of(HEIGHT_MULTIPLE);
        let height = if upper { height.min(end) } else { height };
        solve_columns::<T, S, M, N>(simd, u, y, height, l)
    });
}

#[inline(always)]
fn solve_columns<T: Lane, S: Simd, const M: usize, const N: usize>(
    simd: S,
    u: &[T],
    y: &mut [T],
    height: usize,
    l: usize,
) {
    let mut top = height;
    while top > 0 {
        let known = top;
        top -= M;
        let mut acc = tile::rows_by_columns_descending::<T, S, M, N>(
            simd,
            (u, BLOCK_SIZE, top),
            (y, BLOCK_SIZE, l),
            known,
            height,
        );
        // Within the tile, a row that is solved joins the chains of the rows above it.
        for i in (0..M).rev() {
            for v in 0..N {
                let y = &mut y[(top + i) * BLOCK_SIZE + l + v * T::lanes::<S>()..];
                let value = T::minus(simd, T::load(simd, y), acc[i][v]);
                T::store(simd, value, y);
                for h in (0..i).rev() {
                    let x = T::splat(simd, u[(top + h) * BLOCK_SIZE + top + i]);
                    acc[h][v] = T::fused(simd, x, value, acc[h][v]);
                }
            }
        }
    }
}

/// `y <- U^-T y` for a unit upper triangular `u`; rows of both are [`BLOCK_SIZE`] long.
#[derive(Debug)]
pub(super) struct SolveTransposed<'a, T> {
    pub(super) u: &'a [T],
    pub(super) y: &'a mut [T],
    /// Rows.
    pub(super) height: usize,
    /// Columns.
    pub(super) width: usize,
}

impl<T: Lane> Kernel for SolveTransposed<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for i in 1..self.height {
            let (known, y) = self.y.split_at_mut(i * BLOCK_SIZE);
            for (k, known) in known.chunks_exact(BLOCK_SIZE).enumerate() {
                let u = T::ZERO - self.u[k * BLOCK_SIZE + i];
                for (y, &x) in y[..self.width].iter_mut().zip(known) {
                    *y = u.mul_add_to(x, *y);
                }
            }
        }
    }
}

/// `C <- C - V Y`: each element is reduced, by one subtraction, by a chain of products that starts
/// at zero and takes the columns of V in ascending order.
#[derive(Debug)]
pub struct Update<'a, T> {
    /// V's rows.
    pub v: &'a [T],
    /// Their length.
    pub v_width: usize,
    /// Y's rows, [`BLOCK_SIZE`] long.
    pub y: &'a [T],
    /// C's rows, as many as V has; a multiple of [`HEIGHT_MULTIPLE`].
    pub c: &'a mut [T],
    /// Length of `c`'s rows.
    pub c_width: usize,
    /// Columns of V, and rows of Y, to take.
    pub depth: usize,
    /// Columns of `c` to update, and of `y` to take; bounds are multiples of `WIDTH_MULTIPLE`.
    pub columns: Range<usize>,
    /// Whether `y` is zero below its diagonal. Those zeros are then left out.
    pub upper: bool,
}

impl<T: Lane> Kernel for Update<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for_registers!(S, update::<T, _, M>(simd, self))
    }
}

#[inline(always)]
fn update<T: Lane, S: Simd, const M: usize>(simd: S, job: Update<'_, T>) {
    let Update { v, v_width, y, c, c_width, depth, columns, upper } = job;
    // A piece of V stays in the second-level cache while all columns take it.
    for (v, c) in v.chunks(PRODUCTS_CHAIN * v_width).zip(c.chunks_mut(PRODUCTS_CHAIN * c_width)) {
        by_vectors!(T, S, columns.clone(), |l, N| {
            // Terms that are zero change no bit.
            let depth = if upper { depth.min(l + N * T::lanes::<S>()) } else { depth };
            update_columns::<T, S, M, N>(simd, (v, v_width), y, (c, c_width, l), depth)
        });
    }
}

#[inline(always)]
fn update_columns<T: Lane, S: Simd, const M: usize, const N: usize>(
    simd: S,
    (v, v_width): (&[T], usize),
    y: &[T],
    (c, c_width, l): (&mut [T], usize, usize),
    depth: usize,
) {
    let rows = v.len() / v_width;
    let mut i = 0;
    while i < rows {
        let acc =
            tile::rows_by_columns::<T, S, M, N>(simd, (v, v_width, i), (y, BLOCK_SIZE, l), depth);
        for (r, acc) in acc.iter().enumerate() {
            for (x, &acc) in acc.iter().enumerate() {
                let c = &mut c[(i + r) * c_width + l + x * T::lanes::<S>()..];
                T::store(simd, T::minus(simd, T::load(simd, c), acc), c);
            }
        }
        i += M;
    }
}

/// `y += w` on the first `height` rows and `width` columns; rows are [`BLOCK_SIZE`] long.
pub(super) fn add_to<T: Lane>(y: &mut [T], w: &[T], height: usize, width: usize) {
    for (y, w) in y.chunks_exact_mut(BLOCK_SIZE).zip(w.chunks_exact(BLOCK_SIZE)).take(height) {
        for (y, &w) in y[..width].iter_mut().zip(&w[..width]) {
            *y = *y + w;
        }
    }
}

/// Block `y` becomes the sum of the blocks `partials`, on the first `width` columns.
pub(super) fn sum_blocks<T: Lane>(partials: &[T], y: &mut [T], width: usize) {
    let (first, rest) = partials.split_at(y.len());
    y.copy_from_slice(first);
    for partial in rest.chunks_exact(y.len()) {
        add_to(y, partial, y.len() / BLOCK_SIZE, width);
    }
}
