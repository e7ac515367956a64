//! Householder's method on one panel: the strip's columns become reflectors.
//!
//! In pieces of [`INNER`] columns, one reflector at a time, sums in f64; the columns behind a piece
//! take its reflectors as a block. Row chunks, cut at the definition's multiples of [`ROW_CHUNK`], are
//! worked on independently and their sums added ascending, so threads do not show.

use super::{SolveTransposed, sum_blocks};
use crate::error::Error;
use crate::linalg::definition::{BLOCK_SIZE, ROW_CHUNK};
use crate::linalg::panels::{Reflectors, cut_rows};
use crate::linalg::product::{Dot, Update};
use crate::linalg::reflectors::reflect;
use crate::linalg::workspace::{Workspace, zeroed};
use crate::parallel::Exec;
use crate::simd::{self, Kernel, Lane, Simd};

/// Columns factored one reflector at a time.
const INNER: usize = 16;

/// Row chunks from which threads share the columns of a piece: a pass over fewer takes less than
/// waking them.
const SHARED_FROM: usize = 16;

/// Sums of a column's products with those of its piece.
type Dots = [f64; INNER];

/// Workspace of [`factor`].
pub(super) struct Scratch<T> {
    /// The columns under way.
    inner: Workspace<T>,
    /// For each row chunk.
    dots: Vec<Dots>,
    /// For each row chunk a block of products of the piece with itself, and one with what is behind.
    partials: [Workspace<T>; 2],
    u: Workspace<T>,
    y: Workspace<T>,
}

impl<T: Lane> Scratch<T> {
    pub(super) fn allocate(reflectors: &Reflectors<T>) -> Result<Self, Error> {
        let chunks = reflectors.padded.div_ceil(ROW_CHUNK);
        let block = INNER * BLOCK_SIZE;
        Ok(Self {
            inner: zeroed(reflectors.padded * INNER)?,
            dots: vec![[0.0; INNER]; chunks],
            partials: [zeroed(chunks * block)?, zeroed(chunks * block)?],
            u: zeroed(block)?,
            y: zeroed(block)?,
        })
    }
}

/// Factors panel `c`, which is in `strip`, from its first row on; reflectors and the signs of R's
/// diagonal go to `reflectors`.
///
/// # Errors
/// [`Error::Interrupted`].
pub(super) fn factor<T: Lane>(
    c: usize,
    strip: &mut [T],
    reflectors: &mut Reflectors<T>,
    scratch: &mut Scratch<T>,
    exec: &Exec<'_>,
) -> Result<(), Error> {
    let panel = reflectors.panels[c].clone();
    let width = panel.width;
    let alone = Exec::serial();
    for from in (0..panel.count).step_by(INNER) {
        let first = panel.first + from;
        let count = INNER.min(panel.count - from);
        let chunks = reflectors.padded.div_ceil(ROW_CHUNK) - first / ROW_CHUNK;
        let shared = if chunks >= SHARED_FROM { exec } else { &alone };
        let rows = &mut strip[first * width..];
        let inner = &mut scratch.inner[..rows.len() / width * INNER];
        let dots = &mut scratch.dots[..chunks];

        shared.for_each(
            cut_rows(inner, INNER, first, ROW_CHUNK)
                .zip(cut_rows(rows, width, first, ROW_CHUNK))
                .zip(&mut *dots),
            || (),
            |(), (((_, x), (_, rows)), dots)| {
                for (to, row) in x.chunks_exact_mut(INNER).zip(rows.chunks_exact(width)) {
                    to.copy_from_slice(&row[from..from + INNER]);
                }
                simd::run(FirstDots { rows: x, dots });
                Ok(())
            },
        )?;
        for k in 0..count {
            let mut sums = [0.0; INNER];
            for dots in &*dots {
                sums.iter_mut().zip(dots).for_each(|(sum, x)| *sum += x);
            }
            let top = &inner[k * INNER..][..INNER];
            let x0 = top[k].to_f64();
            let last = first + k + 1 == reflectors.rows;
            let (factor, lead, sign) = reflect(x0, sums[k], last);
            // The diagonal of R is zero only for a column of zeros.
            let zero = x0 == 0.0 && (last || sums[k] == 0.0);
            reflectors.scales[first + k] = T::from_f64(if zero { 0.0 } else { sign });
            // v^T a_l, from the products with the column itself: v = factor x + (lead - factor x0) e.
            let mut along = [T::ZERO; INNER];
            for l in k + 1..count {
                let dot = (lead - factor * x0).mul_add(top[l].to_f64(), factor * sums[l]);
                along[l] = T::from_f64(-dot);
            }
            shared.for_each(
                cut_rows(inner, INNER, first, ROW_CHUNK).zip(&mut *dots),
                || (),
                |(), ((row, rows), dots)| {
                    let lead = (row == first).then_some(T::from_f64(lead));
                    simd::run(Reflect { rows, k, lead, factor, along, dots });
                    Ok(())
                },
            )?;
        }
        for (r, row) in inner.chunks_exact_mut(INNER).enumerate().take(INNER) {
            row[r + 1..].fill(T::ZERO);
        }
        let inner = &*inner;
        let chunk = |row: usize, len: usize| &inner[(row - first) * INNER..][..len / width * INNER];
        let v = &mut reflectors.v[panel.place.clone()][from * width..];
        exec.for_each(
            cut_rows(v, width, first, ROW_CHUNK),
            || (),
            |(), (row, v)| {
                let from_inner = chunk(row, v.len()).chunks_exact(INNER);
                for (v, x) in v.chunks_exact_mut(width).zip(from_inner) {
                    v[from..from + INNER].copy_from_slice(x);
                }
                Ok(())
            },
        )?;
        let behind = from + INNER..width;
        if behind.is_empty() {
            continue;
        }
        let Scratch { partials: [gram, w], u, y, .. } = scratch;
        exec.for_each(
            cut_rows(rows, width, first, ROW_CHUNK)
                .zip(gram.chunks_exact_mut(u.len()).zip(w.chunks_exact_mut(y.len()))),
            || (),
            |(), ((first_row, c), (gram, w))| {
                let v = chunk(first_row, c.len());
                let (v_width, height) = (INNER, INNER);
                let (c_width, columns, upper) = (INNER, 0..INNER, true);
                simd::run(Dot {
                    first_row,
                    v,
                    v_width,
                    c: v,
                    c_width,
                    height,
                    columns,
                    upper,
                    w: gram,
                });
                let (c_width, columns, upper) = (width, behind.clone(), false);
                simd::run(Dot { first_row, v, v_width, c, c_width, height, columns, upper, w });
                Ok(())
            },
        )?;
        sum_blocks(&gram[..chunks * u.len()], u, INNER);
        sum_blocks(&w[..chunks * y.len()], y, width);
        simd::run(SolveTransposed { u, y, height: INNER, width });
        let y = &**y;
        exec.for_each(
            cut_rows(rows, width, first, ROW_CHUNK),
            || (),
            |(), (row, c)| {
                let v = chunk(row, c.len());
                let (v_width, depth, columns, upper) = (INNER, INNER, behind.clone(), false);
                simd::run(Update { v, v_width, y, c, c_width: width, depth, columns, upper });
                Ok(())
            },
        )?;
    }
    Ok(())
}

/// Products of the first column with all, over a chunk.
struct FirstDots<'a, T> {
    rows: &'a [T],
    dots: &'a mut Dots,
}

impl<T: Lane> Kernel for FirstDots<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let mut sums = [[0.0; INNER]; 2];
        let (pairs, odd) = self.rows.as_chunks::<INNER>().0.as_chunks::<2>();
        for [a, b] in pairs {
            add_products(a, 0, &mut sums[0]);
            add_products(b, 0, &mut sums[1]);
        }
        odd.iter().for_each(|row| add_products(row, 0, &mut sums[0]));
        *self.dots = std::array::from_fn(|l| sums[0][l] + sums[1][l]);
    }
}

/// Makes column `k` a reflector, applies it to the later ones, and multiplies the next column with
/// all, over a chunk.
struct Reflect<'a, T> {
    rows: &'a mut [T],
    k: usize,
    /// The reflector's first entry, where the chunk is the first: it is in row `k`.
    lead: Option<T>,
    factor: f64,
    /// Minus the products of the reflector with the columns.
    along: [T; INNER],
    dots: &'a mut Dots,
}

impl<T: Lane> Kernel for Reflect<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { k, factor, along, .. } = self;
        let (mut rows, _) = self.rows.as_chunks_mut::<INNER>();
        if let Some(lead) = self.lead {
            let (top, rest) = rows.split_at_mut(k + 1);
            add_multiple(&mut top[k], k, lead, &along);
            rows = rest;
        }
        let next = (k + 1).min(INNER - 1);
        let mut sums = [[0.0; INNER]; 2];
        let (pairs, odd) = rows.as_chunks_mut::<2>();
        for [a, b] in pairs {
            reflect_row(a, k, factor, &along, next, &mut sums[0]);
            reflect_row(b, k, factor, &along, next, &mut sums[1]);
        }
        for row in odd {
            reflect_row(row, k, factor, &along, next, &mut sums[0]);
        }
        *self.dots = std::array::from_fn(|l| sums[0][l] + sums[1][l]);
    }
}

/// A row below the first: its entry of the reflector, the row reflected, and its part of the sums.
#[inline(always)]
fn reflect_row<T: Lane>(
    row: &mut [T; INNER],
    k: usize,
    factor: f64,
    along: &[T; INNER],
    next: usize,
    sums: &mut Dots,
) {
    let v = T::from_f64(row[k].to_f64() * factor);
    add_multiple(row, k, v, along);
    add_products(row, next, sums);
}

/// `row += v * along`, and `v` itself in place `k`.
#[inline(always)]
fn add_multiple<T: Lane>(row: &mut [T; INNER], k: usize, v: T, along: &[T; INNER]) {
    for l in 0..INNER {
        row[l] = v.mul_add_to(along[l], row[l]);
    }
    row[k] = v;
}

/// `sums += row[k] * row`.
#[inline(always)]
fn add_products<T: Lane>(row: &[T; INNER], k: usize, sums: &mut Dots) {
    let x = row[k].to_f64();
    for l in 0..INNER {
        sums[l] = x.mul_add(row[l].to_f64(), sums[l]);
    }
}
