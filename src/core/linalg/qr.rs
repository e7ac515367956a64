//! Q of the QR factorization of a given Gaussian matrix, for streams that repeat a reference which
//! computes its orthogonal matrices so.
//!
//! *What*: `Q * sign(diag(R))`, seen as a tensor in the same way as in [`super::orthogonal`]. A column
//! is zero where R's diagonal is, as `sign(0)` is.
//!
//! *Method*: Householder's, as LAPACK's `geqrf` and `orgqr` (H_k maps the column to -sign(x0) |x|),
//! with the blocks and products of [`super::orthogonal`]. A strip of columns takes the reflectors
//! of the blocks before it, is factored ([`house`]), and becomes a block itself. Up to `group`
//! strips are held at once, so earlier blocks can be applied to all in parallel. Q is then formed
//! as [`super::form`] does it.
//!
//! *Promises*: the same bits for any threads and instruction set. Q with positive diag(R) is unique,
//! so results agree with those of any other careful factorization up to rounding.

use std::mem::MaybeUninit;
use std::sync::{Mutex, PoisonError};

use bytemuck::Pod;
use ndarray::{ArrayViewMutD, IxDyn};

use super::definition::{BLOCK_SIZE, ROW_CHUNK};
use super::form::{Former, MAX_STRIP, MAX_TASK, project, subtract};
use super::orthogonal::{flatten, write_block};
use super::panels::{Reflectors, cut_rows};
use super::product::{SolveTransposed, sum_blocks};
use super::workspace::{Workspace, zeroed};
use crate::block::Block;
use crate::error::Error;
use crate::parallel::Exec;
use crate::simd::{self, Lane, lend};

mod house;

/// Writes the elements `block` of the orthogonal tensor made of the matrix that `gaussian` draws to
/// `out`, whose elements in C order are the block's. `finish` makes an element of an entry of Q.
///
/// `gaussian` gets the whole tall matrix as a block, of max(rows, columns) rows and min(rows,
/// columns) columns, and memory for it. The QR is computed in float64.
///
/// The whole tensor is computed for any block. Workspace: 8 bytes for each of the reflectors'
/// entries, the matrix, and 4 strips of [`BLOCK_SIZE`] columns a thread.
///
/// # Errors
/// [`Error::Value`] for a shape of rank below 2, [`Error::OutOfMemory`], both before anything is
/// written; those of `gaussian`; [`Error::Interrupted`].
pub fn fill<G: Pod + Send + Sync + Into<f64>, O: Copy + Send + Sync>(
    block: &Block,
    out: ArrayViewMutD<'_, MaybeUninit<O>>,
    exec: &Exec<'_>,
    gaussian: impl FnOnce(&Block, ArrayViewMutD<'_, MaybeUninit<G>>) -> Result<(), Error>,
    finish: impl Fn(f64) -> O + Sync,
) -> Result<(), Error> {
    let (rows, columns) = flatten(block.shape())?;
    let (m, n) = (rows.max(columns), rows.min(columns));
    if n == 0 || block.is_empty() {
        return Ok(());
    }
    write_block(block, (rows, columns), out, exec, |out| {
        let out_of_memory = || Error::OutOfMemory { bytes: (m * n).saturating_mul(size_of::<G>()) };
        let mut reflectors = Reflectors::<f64>::allocate(m, n)?;
        let factoring = Factoring::allocate(&reflectors, exec)?;
        let former = Former::allocate(m, n, exec)?;
        let mut matrix = zeroed(m * n)?;
        let view = ArrayViewMutD::from_shape(IxDyn(&[m, n]), lend(&mut matrix));
        gaussian(&Block::whole(&[m, n])?, view.map_err(|_| out_of_memory())?)?;
        factoring.run(&matrix, &mut reflectors, exec)?;
        drop(matrix);
        former.form(&mut reflectors, out, exec, finish)
    })
}

/// Strips of a group for each thread: enough that all threads find work until few strips are left.
const GROUP: usize = 4;

/// Scratch for applying a block to a strip.
struct Products<T> {
    /// For each row chunk a block of `V^T C`.
    partials: Workspace<T>,
    /// `U^-T V^T C`.
    y: Workspace<T>,
}

/// Workspace of a factorization.
struct Factoring<T> {
    /// The strips of a group, one after the other, each with all its rows.
    strips: Workspace<T>,
    /// The most strips in a group.
    group: usize,
    /// One for each thread where threads work on a strip each, else one.
    products: Vec<Products<T>>,
    panel: house::Scratch<T>,
}

impl<T: Lane> Factoring<T> {
    fn allocate(reflectors: &Reflectors<T>, exec: &Exec<'_>) -> Result<Self, Error> {
        let Reflectors { padded, block, .. } = *reflectors;
        let strip = padded * reflectors.panels[0].width;
        // For tall strips a task each would be too long: threads share one strip's row chunks.
        let threads = if strip > MAX_STRIP { 1 } else { exec.threads() };
        let group = if threads == 1 { 1 } else { reflectors.panels.len().min(GROUP * threads) };
        let chunks = padded.div_ceil(ROW_CHUNK);
        let products = (0..threads)
            .map(|_| Ok(Products { partials: zeroed(chunks * block)?, y: zeroed(block)? }))
            .collect::<Result<_, Error>>()?;
        let panel = house::Scratch::allocate(reflectors)?;
        Ok(Self { strips: zeroed(group * strip)?, group, products, panel })
    }

    /// Factors the row-major `matrix`. The reflectors and signs go to `reflectors`.
    fn run<G: Copy + Sync + Into<f64>>(
        mut self,
        matrix: &[G],
        reflectors: &mut Reflectors<T>,
        exec: &Exec<'_>,
    ) -> Result<(), Error> {
        let count = reflectors.panels.len();
        let len = reflectors.padded * reflectors.panels[0].width;
        for first in (0..count).step_by(self.group) {
            let last = count.min(first + self.group);
            let strips = self.strips.chunks_mut(len).zip(first..last);
            let mut strips: Vec<_> = strips
                .map(|(strip, c)| Strip::load(strip, c, matrix, reflectors, exec))
                .collect::<Result<_, _>>()?;
            apply(0..first, &mut strips, reflectors, &mut self.products, exec)?;
            for c in first..last {
                let (strip, later) = strips[c - first..].split_at_mut(1);
                house::factor(c, strip[0].rows, reflectors, &mut self.panel, exec)?;
                gram(reflectors, c, &mut self.products[0].partials, exec)?;
                apply(c..c + 1, later, reflectors, &mut self.products, exec)?;
            }
        }
        Ok(())
    }
}

/// A strip of the matrix, which becomes a panel of reflectors.
struct Strip<'a, T> {
    rows: &'a mut [T],
    width: usize,
}

impl<'a, T: Lane> Strip<'a, T> {
    /// Copies the columns of panel `c` to `memory`.
    fn load<G: Copy + Sync + Into<f64>>(
        memory: &'a mut [T],
        c: usize,
        matrix: &[G],
        reflectors: &Reflectors<T>,
        exec: &Exec<'_>,
    ) -> Result<Self, Error> {
        let (panel, n) = (&reflectors.panels[c], reflectors.columns);
        let width = panel.width;
        let rows = &mut memory[..reflectors.padded * width];
        exec.for_each(
            rows.chunks_mut(ROW_CHUNK * width).zip(matrix.chunks(ROW_CHUNK * n)),
            || (),
            |(), (rows, matrix)| {
                rows.fill(T::ZERO);
                for (to, row) in rows.chunks_exact_mut(width).zip(matrix.chunks_exact(n)) {
                    let from = &row[panel.first..][..panel.count];
                    to.iter_mut().zip(from).for_each(|(to, &x)| *to = T::from_f64(x.into()));
                }
                Ok(())
            },
        )?;
        Ok(Self { rows, width })
    }
}

/// Applies the blocks `blocks` to every strip, in ascending order.
fn apply<T: Lane>(
    blocks: std::ops::Range<usize>,
    strips: &mut [Strip<'_, T>],
    reflectors: &Reflectors<T>,
    products: &mut [Products<T>],
    exec: &Exec<'_>,
) -> Result<(), Error> {
    if products.len() == 1 || strips.len() == 1 {
        for strip in strips {
            for j in blocks.clone() {
                apply_transposed(reflectors, j, strip, &mut products[0], exec)?;
            }
        }
        return Ok(());
    }
    // A task applies only so many blocks that an interrupt is heard in time.
    let batch = (MAX_TASK / strips.first().map_or(1, |strip| strip.rows.len())).max(1);
    for from in blocks.clone().step_by(batch) {
        let batch = from..blocks.end.min(from + batch);
        let free = Mutex::new(products.iter_mut().collect::<Vec<_>>());
        let take = || {
            let mut free = free.lock().unwrap_or_else(PoisonError::into_inner);
            free.pop().expect("there are as many as threads")
        };
        exec.for_each(strips.iter_mut(), take, |products, strip| {
            batch
                .clone()
                .try_for_each(|j| apply_transposed(reflectors, j, strip, products, &Exec::serial()))
        })?;
    }
    Ok(())
}

/// `C <- (I - V U^-1 V^T)^T C` for block `j` and a strip.
fn apply_transposed<T: Lane>(
    reflectors: &Reflectors<T>,
    j: usize,
    strip: &mut Strip<'_, T>,
    products: &mut Products<T>,
    exec: &Exec<'_>,
) -> Result<(), Error> {
    let (first, block, width) = (reflectors.panels[j].first, reflectors.block, strip.width);
    let rows = &mut strip.rows[first * width..];
    let Products { partials, y } = products;
    exec.for_each(
        cut_rows(rows, width, first, ROW_CHUNK).zip(partials.chunks_exact_mut(block)),
        || (),
        |(), ((row, c), partial)| {
            project(reflectors, j, row, c, width, partial);
            Ok(())
        },
    )?;
    let chunks = reflectors.padded.div_ceil(ROW_CHUNK) - first / ROW_CHUNK;
    sum_blocks(&partials[..chunks * block], y, width);
    simd::run(SolveTransposed { u: reflectors.triangle(j), y, height: BLOCK_SIZE, width });
    let y = &**y;
    exec.for_each(
        cut_rows(rows, width, first, ROW_CHUNK),
        || (),
        |(), (row, c)| {
            subtract(reflectors, j, row, y, c, width, false);
            Ok(())
        },
    )
}

/// Computes panel `c`'s triangle.
fn gram<T: Lane>(
    reflectors: &mut Reflectors<T>,
    c: usize,
    partials: &mut [T],
    exec: &Exec<'_>,
) -> Result<(), Error> {
    let (panel, block) = (reflectors.panels[c].clone(), reflectors.block);
    let pieces =
        cut_rows(&mut reflectors.v[panel.place.clone()], panel.width, panel.first, ROW_CHUNK);
    exec.for_each(
        pieces.zip(partials.chunks_exact_mut(block)),
        || (),
        |(), ((first, v), partial)| {
            panel.dot_itself(first, v, partial);
            Ok(())
        },
    )?;
    let chunks = reflectors.padded.div_ceil(ROW_CHUNK) - panel.first / ROW_CHUNK;
    panel.sum_triangle(&partials[..chunks * block], &mut reflectors.u[c * block..(c + 1) * block]);
    Ok(())
}

#[cfg(test)]
mod tests;
