//! Householder reflectors drawn from normals: the first half of Stewart's method.
//!
//! The reflector of step k of a Gaussian matrix's QR is that of a fresh Gaussian vector of length
//! m - k, independent of the earlier steps (G. W. Stewart, SIAM J. Numer. Anal. 17 (1980) 403), so
//! it is made from column k of the stream's matrix as it stands; R is never formed.

use super::definition::{BLOCK_SIZE, ROW_CHUNK, SQUARES_CHAIN};
use super::normals::NormalSource;
use super::panels::{Panel, Reflectors, cut_rows};
use super::workspace::{Workspace, zeroed};
use crate::error::Error;
use crate::parallel::Exec;
use crate::simd::{self, Kernel, Lane, Simd};

/// Elements drawn at a time; two buffers of these stay in the first-level cache.
const BATCH: usize = 2048;

/// Up to so many columns rows are drawn whole, what is above the diagonal for nothing: starting and
/// ending anywhere but at a whole batch of the sampler costs about as much as 200 elements.
const DRAWN_WHOLE: usize = 384;

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
        reflectors.draw_normals(source, &mut squares, exec)?;
        reflectors.find_norms(&squares, &mut norms, T::from_f64(gain), exec)?;
        drop(squares);
        reflectors.normalize(&norms, exec)?;
        reflectors.sum_triangles(exec)?;
        Ok(reflectors)
    }

    /// Normals into the panels; sums of squares by column and row group into `squares`.
    fn draw_normals(
        &mut self,
        source: &dyn NormalSource<T>,
        squares: &mut [f64],
        exec: &Exec<'_>,
    ) -> Result<(), Error> {
        let (rows, n) = (self.rows, self.columns);
        // Row groups a task: enough that handing it out costs nothing, few enough to be quick.
        let groups = (1usize << 16).div_ceil(SQUARES_CHAIN * n).max(1);
        let height = groups * SQUARES_CHAIN;
        let panels = &self.panels;
        let mut pieces: Vec<_> = panels
            .iter()
            .zip(split(&mut self.v, panels.iter().map(|panel| panel.place.len())))
            .map(|(panel, v)| cut_rows(v, panel.width, panel.first, height))
            .collect();
        // Built as they are handed out; a panel joins when the rows reach its first.
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
                    // Rows that reach the diagonal are drawn one by one up to it, later ones in
                    // batches; what does not fit a batch goes in parts.
                    let one = n > DRAWN_WHOLE && row + 1 < n;
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

    /// Norms, signs and scale factors, in f64, from the sums of squares.
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

    /// Normals become reflectors; products of columns by row chunk into `partials`.
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

    /// The triangles `U` from the products of all row chunks.
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
    /// Factors of the entries below the first.
    factors: Workspace<f64>,
    /// What they lack of the unrounded ones, in f64.
    corrections: Workspace<f64>,
    /// First entries.
    leads: Workspace<f64>,
}

/// Of the reflector `v`, `|v|^2 = 2`, that a vector with this first entry and sum of squares
/// defines: the factor of the later entries, the first entry, and the sign `D` that makes R's
/// diagonal positive. A vector of length one (`last`) or norm zero gives the identity.
pub(super) fn reflect(first: f64, squares: f64, last: bool) -> (f64, f64, f64) {
    let sign = if first < 0.0 { -1.0 } else { 1.0 };
    if last || squares == 0.0 {
        return (0.0, 0.0, sign);
    }
    let norm = squares.sqrt();
    let factor = 1.0 / (norm * (norm + first.abs())).sqrt();
    (factor, sign * (norm + first.abs()) * factor, -sign)
}

/// What `factor`, of [`reflect`], lacks of the unrounded one, and the first entry made with both.
///
/// In f32 the factor's rounding in f64 is nothing beside that of the entries. In f64 it would be
/// the larger part of `|v|^2 - 2`, that is of the matrix's distance from orthogonality. Each
/// quantity carries its rounding error along, as in the sums of T. J. Dekker (Numer. Math. 18
/// (1971) 224); a step of Newton's for 1/sqrt(q) gives the rest.
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

/// `sums += x^2`, one fused multiply-add each in f64.
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

/// `v *= factors + corrections`, in f64: a rounded product and a fused multiply-add.
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

/// Entries `column ..` of a row into the panels' pieces, which start at row `first` or later.
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
