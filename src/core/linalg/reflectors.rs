//! Householder reflectors drawn from normals: the first half of Stewart's method.
//!
//! Step k of a Gaussian matrix's QR makes a reflector of a Gaussian vector of length m - k that
//! does not depend on the earlier steps (G. W. Stewart, SIAM J. Numer. Anal. 17 (1980) 403). So
//! reflector k is made of column k of the stream's matrix as it is drawn, and R is never computed.

use super::definition::{BLOCK_SIZE, ROW_CHUNK, SQUARES_CHAIN};
use super::normals::NormalSource;
use super::panels::{Panel, Reflectors, cut_rows};
use super::workspace::{Workspace, zeroed};
use crate::error::Error;
use crate::pages::touch;
use crate::parallel::Exec;
use crate::simd::{self, Kernel, Lane, Simd};

/// Elements drawn at a time: two such buffers stay in the first-level cache.
const BATCH: usize = 2048;

/// Up to this many columns, draw whole rows and discard what is above the diagonal: a partial batch
/// costs about 200 elements.
const MAX_WHOLE_ROW: usize = 384;

impl<T: Lane> Reflectors<T> {
    /// The reflectors of the m by n matrix whose entry (i, k) is element `i * n + k` of `source`,
    /// scaled by `gain`. Only entries with i >= k are drawn.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] before any work; [`Error::Interrupted`].
    pub(super) fn draw(
        rows: usize,
        columns: usize,
        source: &dyn NormalSource<T>,
        gain: f64,
        exec: &Exec<'_>,
    ) -> Result<Self, Error> {
        let mut reflectors = Self::allocate(rows, columns)?;
        let groups = reflectors.padded.div_ceil(SQUARES_CHAIN);
        let mut squares = zeroed::<f64>(groups.saturating_mul(columns))?;
        let mut norms = Norms {
            factors: zeroed(columns)?,
            corrections: zeroed(columns)?,
            leads: zeroed(columns)?,
        };
        // Rows of all panels are drawn together, and each panel has pages of its own.
        touch(&mut reflectors.v, exec)?;
        reflectors.draw_normals(source, &mut squares, exec)?;
        reflectors.find_norms(&squares, &mut norms, T::from_f64(gain), exec)?;
        drop(squares);
        reflectors.normalize(&norms, exec)?;
        reflectors.sum_triangles(exec)?;
        Ok(reflectors)
    }

    /// Draws the normals into the panels. `squares` gets, for each group of [`SQUARES_CHAIN`] rows,
    /// the sums of the columns' squares.
    fn draw_normals(
        &mut self,
        source: &dyn NormalSource<T>,
        squares: &mut [f64],
        exec: &Exec<'_>,
    ) -> Result<(), Error> {
        let (rows, n) = (self.rows, self.columns);
        // Row groups in a task: enough that handing it out costs nothing, few enough to be quick.
        let groups = (1usize << 16).div_ceil(SQUARES_CHAIN * n).max(1);
        let height = groups * SQUARES_CHAIN;
        let panels = &self.panels;
        let mut pieces: Vec<_> = panels
            .iter()
            .zip(split(&mut self.v, panels.iter().map(|panel| panel.place.len())))
            .map(|(panel, v)| cut_rows(v, panel.width, panel.first, height))
            .collect();
        // The panels' pieces that a task fills. They are cut when the task is handed out; a panel
        // takes part from the task that reaches its first row.
        let mut pieces = move |first: usize| -> Vec<&mut [T]> {
            pieces
                .iter_mut()
                .zip(panels)
                .take_while(|(_, panel)| panel.first < first + height)
                .filter_map(|(pieces, _)| pieces.next().map(|(_, piece)| piece))
                .collect()
        };
        let tasks = squares
            .chunks_mut(groups * n)
            .enumerate()
            .map(move |(t, squares)| (t * height, squares, pieces(t * height)));
        exec.for_each(
            tasks,
            || [T::ZERO; BATCH],
            |batch, (first, squares, mut pieces)| {
                let end = (first + height).min(rows);
                let mut row = first;
                while row < end {
                    // A row that crosses the diagonal is drawn alone, up to the diagonal. Rows
                    // below are drawn several in a batch, or in parts where one does not fit.
                    let one = n > MAX_WHOLE_ROW && row + 1 < n;
                    let batched = if one { 1 } else { (BATCH / n).max(1).min(end - row) };
                    let len = if batched > 1 { batched * n } else { n.min(row + 1) };
                    let mut done = 0;
                    while done < len {
                        let part = BATCH.min(len - done);
                        let drawn = &mut batch[..part];
                        source.fill(row as u64 * n as u64 + done as u64, drawn);
                        for (r, x) in drawn.chunks(n).enumerate() {
                            let (row, column) = (row + r, done % n);
                            let x = &x[..x.len().min(row + 1 - column)];
                            let group = (row - first) / SQUARES_CHAIN * n;
                            let sums = &mut squares[group + column..][..x.len()];
                            simd::run(AddSquares { x, sums });
                            deposit(x, row, column, first, panels, &mut pieces);
                        }
                        done += part;
                    }
                    row += batched;
                }
                Ok(())
            },
        )
    }

    /// Computes, in float64, the columns' norms from the sums of squares, and from them what makes
    /// reflectors of the columns.
    fn find_norms(
        &mut self,
        squares: &[f64],
        norms: &mut Norms,
        gain: T,
        exec: &Exec<'_>,
    ) -> Result<(), Error> {
        let (rows, n) = (self.rows, self.columns);
        let (panels, v) = (&self.panels, &self.v);
        let factors =
            norms.factors.chunks_mut(BLOCK_SIZE).zip(norms.corrections.chunks_mut(BLOCK_SIZE));
        let norms = factors.zip(norms.leads.chunks_mut(BLOCK_SIZE));
        exec.for_each(
            panels.iter().zip(norms).zip(self.scales.chunks_mut(BLOCK_SIZE)),
            || (),
            |(), ((panel, ((factors, corrections), leads)), scales)| {
                let mut sums = [[0.0; BLOCK_SIZE]; 2];
                for group in squares.chunks_exact(n).skip(panel.first / SQUARES_CHAIN) {
                    add_two_sum(&mut sums, &group[panel.first..][..panel.count]);
                }
                for l in 0..panel.count {
                    let first = v[panel.place.start + l * panel.width + l].to_f64();
                    let last = panel.first + l + 1 == rows;
                    let squares = sums[0][l] + sums[1][l];
                    let sign;
                    (factors[l], leads[l], sign) = reflect(first, squares, last);
                    if T::DOUBLE && factors[l] != 0.0 {
                        (corrections[l], leads[l]) = correct(first, squares, factors[l]);
                    }
                    scales[l] = T::from_f64(sign) * gain;
                }
                Ok(())
            },
        )
    }

    /// Makes reflectors of the normals. `partials` gets the products of their columns by row chunk.
    fn normalize(&mut self, norms: &Norms, exec: &Exec<'_>) -> Result<(), Error> {
        let panels = &self.panels;
        let pieces = panels
            .iter()
            .zip(split(&mut self.v, panels.iter().map(|panel| panel.place.len())))
            .flat_map(|(panel, v)| {
                cut_rows(v, panel.width, panel.first, ROW_CHUNK).map(move |piece| (panel, piece))
            });
        exec.for_each(
            pieces.zip(self.partials.chunks_exact_mut(self.block)),
            || (),
            |(), ((panel, (first, v)), partial)| {
                let own = panel.first..panel.first + panel.count;
                let (factors, corrections) = (&norms.factors[own.clone()], &norms.corrections[own]);
                for (row, v) in (first..).zip(v.chunks_exact_mut(panel.width)) {
                    simd::run(Scale { v: &mut v[..panel.count], factors, corrections });
                    if row < panel.first + panel.count {
                        v[row - panel.first] = T::from_f64(norms.leads[row]);
                    }
                }
                panel.dot_itself(first, v, partial);
                Ok(())
            },
        )
    }

    /// Adds up the products of all row chunks to the triangles `u`.
    fn sum_triangles(&mut self, exec: &Exec<'_>) -> Result<(), Error> {
        let chunks = self.padded.div_ceil(ROW_CHUNK);
        let block = self.block;
        let mut partials = &self.partials[..];
        let tasks =
            self.panels.iter().zip(self.u.chunks_exact_mut(self.block)).map(|(panel, u)| {
                let (own, rest) = partials.split_at((chunks - panel.first / ROW_CHUNK) * block);
                partials = rest;
                (panel, u, own)
            });
        exec.for_each(
            tasks,
            || (),
            |(), (panel, u, partials)| {
                panel.sum_triangle(partials, u);
                Ok(())
            },
        )
    }
}

/// What turns columns of normals into reflectors.
#[derive(Debug)]
struct Norms {
    /// What the entries below a column's first are multiplied by.
    factors: Workspace<f64>,
    /// What rounding took from the factors, in float64 only.
    corrections: Workspace<f64>,
    /// The reflectors' first entries.
    leads: Workspace<f64>,
}

/// How to make the reflector `v`, with `|v|^2 = 2`, of a vector with this first entry and sum of
/// squares: what to multiply the later entries by, the first entry of `v`, and the sign of the
/// column that makes R's diagonal positive. A vector of length one (`last`) or norm zero gives the
/// identity.
pub(super) fn reflect(first: f64, squares: f64, last: bool) -> (f64, f64, f64) {
    let sign = if first < 0.0 { -1.0 } else { 1.0 };
    if last || squares == 0.0 {
        return (0.0, 0.0, sign);
    }
    let norm = squares.sqrt();
    let factor = 1.0 / (norm * (norm + first.abs())).sqrt();
    (factor, sign * (norm + first.abs()) * factor, -sign)
}

/// What rounding took from `factor`, which [`reflect`] computed, and the first entry without that
/// loss.
///
/// For float32 reflectors the loss is far below the rounding of their entries. For float64 ones it
/// would be the larger part of `|v|^2 - 2`, and so of the matrix's distance from orthogonality.
/// Each quantity here is a pair of a number and its rounding error, as in the sums of T. J. Dekker
/// (Numer. Math. 18 (1971) 224); a step of Newton's method for 1/sqrt(q) gives the factor's.
fn correct(first: f64, squares: f64, factor: f64) -> (f64, f64) {
    let (a, r) = (first.abs(), squares.sqrt());
    let r_low = (-r).mul_add(r, squares) / (2.0 * r);
    let p = r + a;
    let part = p - r;
    let p_low = r_low + ((r - (p - part)) + (a - part));
    let q = r * p;
    let q_low = r.mul_add(p, -q) + r.mul_add(p_low, r_low * p);
    // 1 - (q + q_low) factor^2, without a square that might overflow.
    let u = q * factor;
    let lost = q.mul_add(factor, -u).mul_add(factor, (q_low * factor) * factor);
    let low = (0.5 * factor) * ((-u).mul_add(factor, 1.0) - lost);
    let lead = p.mul_add(factor, p.mul_add(low, p_low * factor));
    (low, if first < 0.0 { -lead } else { lead })
}

/// `sums += x^2`, each by one fused multiply-add in float64.
struct AddSquares<'a, T> {
    x: &'a [T],
    sums: &'a mut [f64],
}

impl<T: Lane> Kernel for AddSquares<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for (sum, x) in self.sums.iter_mut().zip(self.x) {
            let x = x.to_f64();
            *sum = x.mul_add(x, *sum);
        }
    }
}

/// `v *= factors + corrections`, in float64: a rounded product, then a fused multiply-add.
struct Scale<'a, T> {
    v: &'a mut [T],
    factors: &'a [f64],
    corrections: &'a [f64],
}

impl<T: Lane> Kernel for Scale<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let factors = self.factors.iter().zip(self.corrections);
        for (v, (&factor, correction)) in self.v.iter_mut().zip(factors) {
            let x = v.to_f64();
            *v = T::from_f64(x.mul_add(factor, x * correction));
        }
    }
}

/// `sums[0] + sums[1] += x` by Knuth's two-sum: the second array collects the rounding errors.
fn add_two_sum(sums: &mut [[f64; BLOCK_SIZE]; 2], x: &[f64]) {
    let [high, low] = sums;
    for ((high, low), &x) in high.iter_mut().zip(low).zip(x) {
        let sum = *high + x;
        let rest = sum - *high;
        *low += (*high - (sum - rest)) + (x - rest);
        *high = sum;
    }
}

/// Copies `x`, the entries of `row` from `column` on, to the panels' pieces. A piece starts at row
/// `first`, or at its panel's first row if that comes later.
fn deposit<T: Copy>(
    x: &[T],
    row: usize,
    column: usize,
    first: usize,
    panels: &[Panel],
    pieces: &mut [&mut [T]],
) {
    let mut done = 0;
    while done < x.len() {
        let j = (column + done) / BLOCK_SIZE;
        let panel = &panels[j];
        let offset = column + done - panel.first;
        let len = (panel.count - offset).min(x.len() - done);
        let at = (row - panel.first.max(first)) * panel.width + offset;
        pieces[j][at..at + len].copy_from_slice(&x[done..done + len]);
        done += len;
    }
}

/// Splits `all` into pieces of these lengths.
fn split<T>(
    mut all: &mut [T],
    lens: impl Iterator<Item = usize>,
) -> impl Iterator<Item = &mut [T]> {
    lens.map(move |len| {
        let (piece, rest) = std::mem::take(&mut all).split_at_mut(len);
        all = rest;
        piece
    })
}
