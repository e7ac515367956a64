//! Householder's method on one panel: the strip's columns become reflectors.
//!
//! The panel is factored in pieces of [`INNER`] columns. Within a piece reflectors are made and
//! applied one by one, with sums in float64; the columns behind the piece then take its reflectors
//! as a block. Row chunks, cut at multiples of [`ROW_CHUNK`], are worked on independently and their
//! sums are added in ascending order, so the number of threads changes no bit.

use crate::error::Error;
use crate::linalg::definition::{BLOCK_SIZE, ROW_CHUNK};
use crate::linalg::panels::{Reflectors, cut_rows};
use crate::linalg::product::{Dot, SolveTransposed, Update, sum_blocks};
use crate::linalg::reflectors::reflect;
use crate::linalg::workspace::{Workspace, zeroed};
use crate::parallel::Exec;
use crate::simd::{self, Kernel, Lane, Simd};

/// Columns factored one reflector at a time.
const INNER: usize = 16;

/// The fewest row chunks that threads share while a piece is factored: a pass over fewer takes less
/// time than waking them.
const MIN_SHARED_CHUNKS: usize = 16;

/// Sums of a column's products with those of its piece.
type Dots = [f64; INNER];

/// Workspace of [`factor`].
pub(super) struct Scratch<T> {
    /// The piece under way, its rows [`INNER`] long.
    inner: Workspace<T>,
    /// Sums of products for each row chunk.
    dots: Vec<Dots>,
    behind: Behind<T>,
}

/// Workspace for applying a piece to the columns behind it.
struct Behind<T> {
    /// For each row chunk a block of the piece's products with itself.
    gram: Workspace<T>,
    /// For each row chunk a block of the piece's products with the columns behind.
    partials: Workspace<T>,
    /// The sum of the first.
    u: Workspace<T>,
    /// The sum of the second, and what comes of it.
    y: Workspace<T>,
}

impl<T: Lane> Scratch<T> {
    pub(super) fn allocate(reflectors: &Reflectors<T>) -> Result<Self, Error> {
        let chunks = reflectors.padded.div_ceil(ROW_CHUNK);
        let block = INNER * BLOCK_SIZE;
        Ok(Self {
            inner: zeroed(reflectors.padded * INNER)?,
            dots: vec![[0.0; INNER]; chunks],
            behind: Behind {
                gram: zeroed(chunks * block)?,
                partials: zeroed(chunks * block)?,
                u: zeroed(block)?,
                y: zeroed(block)?,
            },
        })
    }
}

/// Factors panel `c`, which `strip` holds in all rows of the matrix: the reflectors and the signs
/// of R's diagonal go to `reflectors`. Rows above the panel's first are left alone.
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
    let alone = Exec::serial();
    for from in (0..panel.count).step_by(INNER) {
        let first = panel.first + from;
        let count = INNER.min(panel.count - from);
        let chunks = reflectors.padded.div_ceil(ROW_CHUNK) - first / ROW_CHUNK;
        let piece = Piece { from, first, count, width: panel.width, chunks };
        let shared = if chunks >= MIN_SHARED_CHUNKS { exec } else { &alone };
        let rows = &mut strip[first * panel.width..];
        let inner = &mut scratch.inner[..rows.len() / panel.width * INNER];
        let dots = &mut scratch.dots[..chunks];

        piece.take(rows, inner, dots, shared)?;
        for k in 0..count {
            let last = first + k + 1 == reflectors.rows;
            reflectors.scales[first + k] = piece.reflect(k, last, inner, dots, shared)?;
        }
        // Above the diagonal are R's entries, which nobody asks for.
        for (r, row) in inner.chunks_exact_mut(INNER).enumerate().take(INNER) {
            row[r + 1..].fill(T::ZERO);
        }
        piece.put(inner, &mut reflectors.v[panel.place.clone()], exec)?;
        if from + INNER < panel.width {
            piece.apply_to_rest(inner, rows, &mut scratch.behind, exec)?;
        }
    }
    Ok(())
}

/// Columns of a panel that are factored one reflector at a time. In what follows `inner` holds
/// them, with rows of [`INNER`] numbers, and `rows` the whole panel, both from row `first` on.
struct Piece {
    /// The place of its first column in the panel.
    from: usize,
    /// The number of its first column, and of the row that has its first diagonal entry.
    first: usize,
    /// How many columns it has.
    count: usize,
    /// Length of the panel's rows.
    width: usize,
    /// How many row chunks there are from row `first` on.
    chunks: usize,
}

impl Piece {
    /// Copies the piece's columns to `inner` and multiplies the first with all, chunk by chunk.
    fn take<T: Lane>(
        &self,
        rows: &mut [T],
        inner: &mut [T],
        dots: &mut [Dots],
        exec: &Exec<'_>,
    ) -> Result<(), Error> {
        let &Self { from, first, width, .. } = self;
        let inner = cut_rows(inner, INNER, first, ROW_CHUNK);
        exec.for_each(
            inner.zip(cut_rows(rows, width, first, ROW_CHUNK)).zip(dots),
            || (),
            |(), (((_, inner), (_, rows)), dots)| {
                for (to, row) in inner.chunks_exact_mut(INNER).zip(rows.chunks_exact(width)) {
                    to.copy_from_slice(&row[from..from + INNER]);
                }
                simd::run(FirstDots { rows: inner, dots });
                Ok(())
            },
        )
    }

    /// Makes column `k` a reflector and applies it to the later ones. `dots` are the column's
    /// products with all, and become those of the next. `last` says that the column has one entry.
    /// Returns the sign of R's diagonal entry, 0 where that is zero.
    fn reflect<T: Lane>(
        &self,
        k: usize,
        last: bool,
        inner: &mut [T],
        dots: &mut [Dots],
        exec: &Exec<'_>,
    ) -> Result<T, Error> {
        let mut sums = [0.0; INNER];
        for dots in &*dots {
            sums.iter_mut().zip(dots).for_each(|(sum, x)| *sum += x);
        }
        let top = &inner[k * INNER..][..INNER];
        let x0 = top[k].to_f64();
        let (factor, lead, sign) = reflect(x0, sums[k], last);
        // R's entry is zero only for a column of zeros.
        let zero = x0 == 0.0 && (last || sums[k] == 0.0);
        // v^T a_l, from the products with the column itself: v = factor x + (lead - factor x0) e.
        let mut along = [T::ZERO; INNER];
        for l in k + 1..self.count {
            let dot = (lead - factor * x0).mul_add(top[l].to_f64(), factor * sums[l]);
            along[l] = T::from_f64(-dot);
        }
        exec.for_each(
            cut_rows(inner, INNER, self.first, ROW_CHUNK).zip(dots),
            || (),
            |(), ((row, rows), dots)| {
                let lead = (row == self.first).then_some(T::from_f64(lead));
                simd::run(Reflect { rows, k, lead, factor, along, dots });
                Ok(())
            },
        )?;
        Ok(T::from_f64(if zero { 0.0 } else { sign }))
    }

    /// The rows of `inner` that belong to the chunk of `len` panel entries from row `row` on.
    fn chunk<'a, T>(&self, inner: &'a [T], row: usize, len: usize) -> &'a [T] {
        &inner[(row - self.first) * INNER..][..len / self.width * INNER]
    }

    /// Copies the reflectors in `inner` to their place in `v`, the panel from its own first row on.
    fn put<T: Lane>(&self, inner: &[T], v: &mut [T], exec: &Exec<'_>) -> Result<(), Error> {
        let &Self { from, first, width, .. } = self;
        exec.for_each(
            cut_rows(&mut v[from * width..], width, first, ROW_CHUNK),
            || (),
            |(), (row, v)| {
                let inner = self.chunk(inner, row, v.len()).chunks_exact(INNER);
                for (v, x) in v.chunks_exact_mut(width).zip(inner) {
                    v[from..from + INNER].copy_from_slice(x);
                }
                Ok(())
            },
        )
    }

    /// Applies the reflectors in `inner`, as one block, to the panel's columns behind the piece.
    fn apply_to_rest<T: Lane>(
        &self,
        inner: &[T],
        rows: &mut [T],
        scratch: &mut Behind<T>,
        exec: &Exec<'_>,
    ) -> Result<(), Error> {
        let &Self { first, width, chunks, .. } = self;
        let behind = self.from + INNER..width;
        let Behind { gram, partials, u, y } = scratch;
        exec.for_each(
            cut_rows(rows, width, first, ROW_CHUNK)
                .zip(gram.chunks_exact_mut(u.len()).zip(partials.chunks_exact_mut(y.len()))),
            || (),
            |(), ((first_row, c), (gram, w))| {
                let v = self.chunk(inner, first_row, c.len());
                simd::run(Dot {
                    first_row,
                    v,
                    v_width: INNER,
                    c: v,
                    c_width: INNER,
                    height: INNER,
                    columns: 0..INNER,
                    upper: true,
                    w: gram,
                });
                simd::run(Dot {
                    first_row,
                    v,
                    v_width: INNER,
                    c,
                    c_width: width,
                    height: INNER,
                    columns: behind.clone(),
                    upper: false,
                    w,
                });
                Ok(())
            },
        )?;
        sum_blocks(&gram[..chunks * u.len()], u, INNER);
        sum_blocks(&partials[..chunks * y.len()], y, width);
        simd::run(SolveTransposed { u, y, height: INNER, width });
        let y = &**y;
        exec.for_each(
            cut_rows(rows, width, first, ROW_CHUNK),
            || (),
            |(), (row, c)| {
                simd::run(Update {
                    v: self.chunk(inner, row, c.len()),
                    v_width: INNER,
                    y,
                    c,
                    c_width: width,
                    depth: INNER,
                    columns: behind.clone(),
                    upper: false,
                });
                Ok(())
            },
        )
    }
}

/// The products of the first column with all, over one row chunk.
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

/// What [`Piece::reflect`] does to one row chunk: makes column `k` a reflector, applies it to the
/// later columns, and multiplies the next column with all.
struct Reflect<'a, T> {
    rows: &'a mut [T],
    k: usize,
    /// The reflector's first entry, for the first chunk only, where it is in row `k`.
    lead: Option<T>,
    factor: f64,
    /// The products of the reflector with the columns, times -1.
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

/// Computes the reflector's entry in a row below the first, reflects the row, and adds its products
/// to `sums`.
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

/// `row += v * along`; place `k` of the row becomes `v`.
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
