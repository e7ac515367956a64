//! Q of the QR factorization of a given Gaussian matrix, for streams that repeat a reference which
//! computes its orthogonal matrices so.
//!
//! *What*: as [`super::orthogonal`], but of a matrix that the stream draws whole. Columns carry the
//! signs of R's diagonal, `Q * sign(diag(R))`; where that is zero the column is, as `sign(0)` is.
//!
//! *Method*: Householder's, as LAPACK's `geqrf` and `orgqr` (H_k maps the column to -sign(x0) |x|),
//! in blocks of the native definition's size and with its products: each panel takes the earlier
//! blocks' reflectors, is factored in pieces of [`INNER`] columns, and forms a block. Q is then
//! formed by the same routine as the native stream's.
//!
//! *Promises*: Q with positive diag(R) is unique, so results agree with any other careful
//! factorization to rounding, not to the bit. They do not depend on threads or instruction sets.

use half::bf16;
use ndarray::{ArrayViewMutD, IxDyn};

use super::form::{Former, project, subtract};
use super::orthogonal::{flatten, write_block};
use super::output::Rounded;
use super::panels::{B, Panel, RC, Reflectors, cut_rows, zeroed};
use super::product::{Dot, Update, add_to};
use super::real::Real;
use super::reflectors::reflect;
use crate::block::Block;
use crate::element::OutMut;
use crate::error::Error;
use crate::parallel::Exec;
use crate::simd::{self, Kernel, Simd, lend};

/// Columns factored one reflector at a time.
const INNER: usize = 16;

/// Writes the elements `block` of the orthogonal tensor that NumPy's QR makes, in float64 whatever
/// the dtype, of the matrix that `gaussian` draws, times `gain`.
///
/// `gaussian` gets the matrix's own block, of max(rows, columns) rows and min(rows, columns)
/// columns, and memory for it: bfloat16 for bfloat16 results, which NumPy leaves in float64 until
/// they are scaled, and else float32, in which it rounds Q and scales.
///
/// A block that is not the whole tensor costs the computation of the whole. Workspace: 8 bytes for
/// each of the reflectors' entries, and the matrix.
///
/// # Errors
/// [`Error::Value`] for a shape of rank below 2, [`Error::OutOfMemory`], both before anything is
/// written; those of `gaussian`; [`Error::Interrupted`].
pub fn fill(
    gain: f64,
    block: &Block,
    out: OutMut<'_>,
    exec: &Exec<'_>,
    gaussian: impl Fn(&Block, OutMut<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let draw = |block: &Block, to: ArrayViewMutD<'_, _>| gaussian(block, OutMut::F32(to));
    let factor = gain as f32;
    match out {
        OutMut::F16(out) => {
            fill_as(block, out, exec, 0f32, draw, |x| Rounded::round(x as f32 * factor))
        }
        OutMut::F32(out) => fill_as(block, out, exec, 0f32, draw, |x| x as f32 * factor),
        OutMut::F64(out) => fill_as(block, out, exec, 0f32, draw, |x| f64::from(x as f32 * factor)),
        OutMut::F8E4M3Fn(out) => {
            fill_as(block, out, exec, 0f32, draw, |x| Rounded::round(x as f32 * factor))
        }
        OutMut::F8E5M2(out) => {
            fill_as(block, out, exec, 0f32, draw, |x| Rounded::round(x as f32 * factor))
        }
        OutMut::BF16(out) => {
            let draw = |block: &Block, to: ArrayViewMutD<'_, _>| gaussian(block, OutMut::BF16(to));
            fill_as(block, out, exec, bf16::ZERO, draw, |x| bf16::from_f32((x * gain) as f32))
        }
    }
}

/// [`fill`] with the Gaussian's type, of which `zero` is one, and how a result is finished.
fn fill_as<G: Copy + Send + Sync + Into<f64>, O: Copy + Send + Sync>(
    block: &Block,
    out: ArrayViewMutD<'_, std::mem::MaybeUninit<O>>,
    exec: &Exec<'_>,
    zero: G,
    draw: impl FnOnce(&Block, ArrayViewMutD<'_, std::mem::MaybeUninit<G>>) -> Result<(), Error>,
    finish: impl Fn(f64) -> O + Sync,
) -> Result<(), Error> {
    let (rows, columns) = flatten(block.shape())?;
    let (m, n) = (rows.max(columns), rows.min(columns));
    if n == 0 || block.is_empty() {
        return Ok(());
    }
    write_block(block, (rows, columns), out, |out| {
        let out_of_memory = || Error::OutOfMemory { bytes: (m * n).saturating_mul(size_of::<G>()) };
        let mut reflectors = Reflectors::<f64>::allocate(m, n)?;
        let factoring = Factoring::allocate(&reflectors)?;
        let former = Former::allocate(m, n, exec)?;
        let mut matrix = Vec::new();
        matrix.try_reserve_exact(m * n).map_err(|_| out_of_memory())?;
        matrix.resize(m * n, zero);
        let view = ArrayViewMutD::from_shape(IxDyn(&[m, n]), lend(&mut matrix));
        draw(&Block::whole(&[m, n])?, view.map_err(|_| out_of_memory())?)?;
        factoring.run(&matrix, &mut reflectors, exec)?;
        drop(matrix);
        former.form(&mut reflectors, out, exec, finish)
    })
}

/// Workspace of a factorization.
struct Factoring<T> {
    /// The panel under way, all rows.
    strip: Vec<T>,
    /// Its [`INNER`] columns under way.
    inner: Vec<T>,
    /// Sums of products by row chunk, two blocks each.
    partials: Vec<T>,
    /// Blocks: sums of products, and a triangle.
    y: Vec<T>,
    u: Vec<T>,
}

impl<T: Real> Factoring<T> {
    fn allocate(reflectors: &Reflectors<T>) -> Result<Self, Error> {
        let width = reflectors.panels[0].width;
        Ok(Self {
            strip: zeroed(reflectors.padded * width)?,
            inner: zeroed(reflectors.padded * INNER)?,
            partials: zeroed(2 * B * B * reflectors.padded.div_ceil(RC))?,
            y: zeroed(B * B)?,
            u: zeroed(B * B)?,
        })
    }

    /// Factors `matrix`, row-major; the reflectors and signs go to `reflectors`.
    fn run<G: Copy + Sync + Into<f64>>(
        mut self,
        matrix: &[G],
        reflectors: &mut Reflectors<T>,
        exec: &Exec<'_>,
    ) -> Result<(), Error> {
        let n = reflectors.columns;
        for c in 0..reflectors.panels.len() {
            let panel = reflectors.panels[c].clone();
            let strip = &mut self.strip[..reflectors.padded * panel.width];
            exec.for_each(
                strip.chunks_mut(RC * panel.width).zip(matrix.chunks(RC * n)),
                || (),
                |(), (strip, matrix)| {
                    strip.fill(T::ZERO);
                    for (to, row) in strip.chunks_exact_mut(panel.width).zip(matrix.chunks_exact(n))
                    {
                        let from = &row[panel.first..][..panel.count];
                        to.iter_mut().zip(from).for_each(|(to, &x)| *to = T::from_f64(x.into()));
                    }
                    Ok(())
                },
            )?;
            for j in 0..c {
                apply_transposed(
                    reflectors,
                    j,
                    strip,
                    panel.width,
                    &mut self.y,
                    &mut self.partials,
                    exec,
                )?;
            }
            self.factor(&panel, reflectors, exec)?;
            gram(reflectors, c, &mut self.partials, exec)?;
        }
        Ok(())
    }

    /// Factors the panel in `strip` from its first row on.
    fn factor(
        &mut self,
        panel: &Panel,
        reflectors: &mut Reflectors<T>,
        exec: &Exec<'_>,
    ) -> Result<(), Error> {
        let (width, padded) = (panel.width, reflectors.padded);
        for from in (0..panel.count).step_by(INNER) {
            let first = panel.first + from;
            let count = INNER.min(panel.count - from);
            let inner = &mut self.inner[..(padded - first) * INNER];
            let rows = &mut self.strip[first * width..padded * width];
            for (to, row) in inner.chunks_exact_mut(INNER).zip(rows.chunks_exact(width)) {
                to.copy_from_slice(&row[from..from + INNER]);
            }
            let signs = &mut reflectors.scales[first..first + count];
            let length = reflectors.rows - first;
            // On the pool for its floating-point environment; alone, because it is short.
            exec.for_each(
                std::iter::once((&mut *inner, signs)),
                || (),
                |(), (inner, signs)| {
                    simd::run(House { columns: inner, length, signs });
                    Ok(())
                },
            )?;
            let v = &mut reflectors.v[panel.place.clone()][from * width..];
            for (v, x) in v.chunks_exact_mut(width).zip(inner.chunks_exact(INNER)) {
                v[from..from + INNER].copy_from_slice(x);
            }
            if from + INNER < width {
                let inner = &*inner;
                let u = &mut self.u;
                exec.for_each(
                    cut_rows(rows, width, first, RC).zip(self.partials.chunks_exact_mut(2 * B * B)),
                    || (),
                    |(), ((row, c), partial)| {
                        let (gram, w) = partial.split_at_mut(B * B);
                        let v = &inner[(row - first) * INNER..][..c.len() / width * INNER];
                        let dot = Dot {
                            first_row: row,
                            v,
                            v_width: INNER,
                            c: v,
                            c_width: INNER,
                            height: INNER,
                            columns: 0..INNER,
                            upper: true,
                            w: gram,
                        };
                        simd::run(dot);
                        let columns = from + INNER..width;
                        let dot = Dot {
                            first_row: row,
                            v,
                            v_width: INNER,
                            c,
                            c_width: width,
                            height: INNER,
                            columns,
                            upper: false,
                            w,
                        };
                        simd::run(dot);
                        Ok(())
                    },
                )?;
                u.fill(T::ZERO);
                self.y.fill(T::ZERO);
                let chunks = padded.div_ceil(RC) - first / RC;
                for partial in self.partials.chunks_exact(2 * B * B).take(chunks) {
                    let (gram, w) = partial.split_at(B * B);
                    add_to(u, gram, INNER, INNER);
                    add_to(&mut self.y, w, INNER, width);
                }
                simd::run(SolveTransposed { u, y: &mut self.y, height: INNER, width });
                let y = &self.y;
                exec.for_each(
                    cut_rows(rows, width, first, RC),
                    || (),
                    |(), (row, c)| {
                        simd::run(Update {
                            v: &inner[(row - first) * INNER..][..c.len() / width * INNER],
                            v_width: INNER,
                            y,
                            c,
                            c_width: width,
                            depth: INNER,
                            columns: from + INNER..width,
                        });
                        Ok(())
                    },
                )?;
            }
        }
        Ok(())
    }
}

/// `C <- (I - V U^-1 V^T)^T C` for block `j` and a strip of all rows.
fn apply_transposed<T: Real>(
    reflectors: &Reflectors<T>,
    j: usize,
    strip: &mut [T],
    width: usize,
    y: &mut [T],
    partials: &mut [T],
    exec: &Exec<'_>,
) -> Result<(), Error> {
    let first = reflectors.panels[j].first;
    exec.for_each(
        cut_rows(&mut strip[first * width..], width, first, RC)
            .zip(partials.chunks_exact_mut(B * B)),
        || (),
        |(), ((row, c), partial)| {
            project(reflectors, j, row, c, width, partial);
            Ok(())
        },
    )?;
    y.fill(T::ZERO);
    let chunks = reflectors.padded.div_ceil(RC) - first / RC;
    for partial in partials.chunks_exact(B * B).take(chunks) {
        add_to(y, partial, B, width);
    }
    simd::run(SolveTransposed { u: reflectors.triangle(j), y, height: B, width });
    let y = &*y;
    exec.for_each(
        cut_rows(&mut strip[first * width..], width, first, RC),
        || (),
        |(), (row, c)| {
            subtract(reflectors, j, row, y, c, width);
            Ok(())
        },
    )
}

/// Panel `c`'s triangle.
fn gram<T: Real>(
    reflectors: &mut Reflectors<T>,
    c: usize,
    partials: &mut [T],
    exec: &Exec<'_>,
) -> Result<(), Error> {
    let panel = reflectors.panels[c].clone();
    let pieces = cut_rows(&mut reflectors.v[panel.place.clone()], panel.width, panel.first, RC);
    exec.for_each(
        pieces.zip(partials.chunks_exact_mut(B * B)),
        || (),
        |(), ((first, v), partial)| {
            panel.dot_itself(first, v, partial);
            Ok(())
        },
    )?;
    let chunks = reflectors.padded.div_ceil(RC) - panel.first / RC;
    panel.sum_triangle(&partials[..chunks * B * B], &mut reflectors.u[c * B * B..(c + 1) * B * B]);
    Ok(())
}

/// Householder's method on up to [`INNER`] columns, one reflector at a time, its sums in f64, by
/// chunks of [`RC`] rows.
struct House<'a, T> {
    /// Rows of [`INNER`] entries; becomes the reflectors, zeros above their diagonal.
    columns: &'a mut [T],
    /// Rows that are not padding.
    length: usize,
    /// Signs of R's diagonal, one for each column that is not padding.
    signs: &'a mut [T],
}

impl<T: Real> Kernel for House<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let (rows, _) = self.columns.as_chunks_mut::<INNER>();
        let rows = &mut rows[..self.length];
        let count = self.signs.len();
        for k in 0..count {
            let mut dots = [0f64; INNER];
            for chunk in rows[k..].chunks(RC) {
                let mut part = [[0f64; INNER]; 2];
                for (i, row) in chunk.iter().enumerate() {
                    let x = row[k].to_f64();
                    let part = &mut part[i % 2];
                    for l in 0..INNER {
                        part[l] = x.mul_add(row[l].to_f64(), part[l]);
                    }
                }
                for l in 0..INNER {
                    dots[l] += part[0][l] + part[1][l];
                }
            }
            let top = rows[k];
            let x0 = top[k].to_f64();
            let last = k + 1 == rows.len();
            let (factor, lead, sign) = reflect(x0, dots[k], last);
            // The diagonal of R is zero only for a column of zeros.
            let zero = x0 == 0.0 && (last || dots[k] == 0.0);
            self.signs[k] = T::from_f64(if zero { 0.0 } else { sign });
            // v^T a_l, from the products with the column itself: v = factor x + (lead - factor x0) e.
            let mut along = [T::ZERO; INNER];
            for l in k + 1..count {
                let dot = (lead - factor * x0).mul_add(top[l].to_f64(), factor * dots[l]);
                along[l] = T::from_f64(-dot);
            }
            for (i, row) in rows[k..].iter_mut().enumerate() {
                let v = T::from_f64(if i == 0 { lead } else { row[k].to_f64() * factor });
                for l in 0..INNER {
                    row[l] = v.mul_add_to(along[l], row[l]);
                }
                row[k] = v;
            }
        }
        for (r, row) in rows.iter_mut().enumerate().take(INNER) {
            row[r + 1..].fill(T::ZERO);
        }
    }
}

/// `y <- U^-T y` for a unit upper triangular `u`; rows of both are [`B`] long.
struct SolveTransposed<'a, T> {
    u: &'a [T],
    y: &'a mut [T],
    height: usize,
    width: usize,
}

impl<T: Real> Kernel for SolveTransposed<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for i in 1..self.height {
            let (known, y) = self.y.split_at_mut(i * B);
            for (k, known) in known.chunks_exact(B).enumerate() {
                let u = T::ZERO - self.u[k * B + i];
                for (y, &x) in y[..self.width].iter_mut().zip(known) {
                    *y = u.mul_add_to(x, *y);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
