//! A random orthogonal matrix, Haar distributed, made of a stream of normals.
//!
//! *What*: a tensor of shape (d0, .., dk) seen as a matrix of d0 * .. * d(k-1) rows and dk columns,
//! with orthonormal columns (rows where it is wide) times `gain`. The wide matrix is the transpose
//! of the tall one of the same seed.
//!
//! *Method*: Stewart's (SIAM J. Numer. Anal. 17 (1980) 403): the Householder reflectors of a
//! Gaussian matrix's QR are drawn directly and multiplied out; with signs that make R's diagonal
//! positive the result is Haar distributed (Mezzadri, Notices AMS 54 (2007) 592). Blocked, in the
//! order of operations that `docs/streams.md` fixes; fused multiply-adds are part of it. Computed
//! in f64 for f64 results, else in f32 and rounded once.
//!
//! *Consumes*: elements of the tensor's standard normal stream, numbered as a matrix of
//! max(rows, columns) rows and min(rows, columns) columns, those on and below the diagonal.
//!
//! *Promises*: Stable.
//!
//! The matrix products are written here (`tile`) because no crate documents the order of its sums.

use std::mem::MaybeUninit;
use std::sync::{Mutex, PoisonError};

use ndarray::{ArrayViewMut2, ArrayViewMutD, Ix2};

use super::form::Former;
use super::normals::NormalSource;
use super::panels::Reflectors;
use crate::block::Block;
use crate::element::OutMut;
use crate::element::round::Round;
use crate::error::{Error, shown};
use crate::parallel::Exec;
use crate::simd::Lane;

/// Elements that one task copies at most: about a millisecond of work.
const MAX_COPIED: usize = 1 << 18;

/// Writes the elements `block` of the orthogonal tensor that `normals` defines, times `gain`, to
/// `out`, whose elements in C order are the block's. The whole tensor is computed for any block,
/// and for a block that is a part of it also kept in memory.
///
/// # Errors
/// [`Error::Value`] for a shape of rank below 2, [`Error::OutOfMemory`], both before anything is
/// written; [`Error::Interrupted`].
pub fn fill(
    normals: &(impl NormalSource<f32> + NormalSource<f64>),
    gain: f64,
    block: &Block,
    out: OutMut<'_>,
    exec: &Exec<'_>,
) -> Result<(), Error> {
    match out {
        OutMut::F16(out) => fill_as::<f32, _>(normals, gain, block, out, exec),
        OutMut::BF16(out) => fill_as::<f32, _>(normals, gain, block, out, exec),
        OutMut::F32(out) => fill_as::<f32, _>(normals, gain, block, out, exec),
        OutMut::F64(out) => fill_as::<f64, _>(normals, gain, block, out, exec),
        OutMut::F8E4M3Fn(out) => fill_as::<f32, _>(normals, gain, block, out, exec),
        OutMut::F8E5M2(out) => fill_as::<f32, _>(normals, gain, block, out, exec),
    }
}

fn fill_as<T: Lane, O: Round<T>>(
    normals: &dyn NormalSource<T>,
    gain: f64,
    block: &Block,
    out: ArrayViewMutD<'_, MaybeUninit<O>>,
    exec: &Exec<'_>,
) -> Result<(), Error> {
    let (rows, columns) = flatten(block.shape())?;
    let (m, n) = (rows.max(columns), rows.min(columns));
    if n == 0 || block.is_empty() {
        return Ok(());
    }
    write_block(block, (rows, columns), out, exec, |out| {
        let former = Former::allocate(m, n, exec)?;
        let mut reflectors = Reflectors::draw(m, n, normals, gain, exec)?;
        former.form(&mut reflectors, out, exec, O::rounded)
    })
}

/// What a tensor of this shape costs, in elements drawn, whatever is taken of it: the matrix is
/// made whole.
///
/// # Errors
/// [`Error::Value`] for a shape of rank below 2 or a gain that is not finite.
pub fn cost(gain: f64, shape: &[usize]) -> Result<usize, Error> {
    /// How many products an element takes part in, in the time of one draw.
    const PRODUCTS_A_DRAW: usize = 100;
    let (rows, columns) = flatten(shape)?;
    if !gain.is_finite() {
        return Err(Error::value("gain", "must be finite", shown(gain)));
    }
    // Each element takes part in as many products as the shorter side has entries.
    let draws = 1 + rows.min(columns) / PRODUCTS_A_DRAW;
    Ok(rows.saturating_mul(columns).saturating_mul(draws))
}

/// Rows and columns of the matrix that a tensor of this shape is seen as.
///
/// # Errors
/// [`Error::Value`] below rank 2, in Keras' words.
pub(super) fn flatten(shape: &[usize]) -> Result<(usize, usize), Error> {
    match shape {
        [leading @ .., columns] if !leading.is_empty() => {
            // The number of elements fits; that of rows may overflow where there are no columns.
            let rows = leading.iter().fold(1usize, |rows, &d| rows.saturating_mul(d));
            Ok((if leading.contains(&0) { 0 } else { rows }, *columns))
        }
        _ => Err(Error::value(
            "shape",
            "must be at least two-dimensional",
            format!("{shape:?} of rank {}", shape.len()),
        )),
    }
}

/// Lets `write` fill the tall matrix, the one with max(rows, columns) rows. It is `out` itself, or
/// its transpose, where `out` is the whole matrix; otherwise it is memory of its own, from which
/// the elements `block` are then copied.
///
/// # Errors
/// [`Error::OutOfMemory`] before `write`; those of `write`; [`Error::Interrupted`].
pub(super) fn write_block<O: Copy + Send + Sync>(
    block: &Block,
    (rows, columns): (usize, usize),
    out: ArrayViewMutD<'_, MaybeUninit<O>>,
    exec: &Exec<'_>,
    write: impl FnOnce(ArrayViewMut2<'_, MaybeUninit<O>>) -> Result<(), Error>,
) -> Result<(), Error> {
    let write = |matrix: ArrayViewMut2<'_, MaybeUninit<O>>| {
        write(if rows >= columns { matrix } else { matrix.reversed_axes() })
    };
    let is_matrix = out.shape() == [rows, columns];
    let mut out = out;
    if block.is_whole() && (is_matrix || out.is_standard_layout()) {
        let matrix = out.view_mut().into_shape_with_order((rows, columns));
        if let Ok(matrix) = matrix {
            return write(matrix);
        }
        if let Ok(matrix) = out.view_mut().into_dimensionality::<Ix2>() {
            return write(matrix);
        }
    }
    let len = rows * columns;
    let mut whole = Vec::new();
    whole
        .try_reserve_exact(len)
        .map_err(|_| Error::OutOfMemory { bytes: len.saturating_mul(size_of::<O>()) })?;
    whole.resize_with(len, MaybeUninit::uninit);
    let matrix = ArrayViewMut2::from_shape((rows, columns), &mut whole[..]);
    write(matrix.map_err(|_| Error::OutOfMemory { bytes: usize::MAX })?)?;
    let elements = block
        .runs(0..block.len())
        .flat_map(|(_, run)| (0..run.len as i64).map(move |i| run.first as i64 + run.step * i));
    // One after the other, but in tasks, so that an interrupt is heard.
    let pairs = Mutex::new(out.iter_mut().zip(elements));
    exec.for_each(
        0..block.len().div_ceil(MAX_COPIED),
        || (),
        |(), _| {
            let mut pairs = pairs.lock().unwrap_or_else(PoisonError::into_inner);
            pairs.by_ref().take(MAX_COPIED).for_each(|(out, e)| *out = whole[e as usize]);
            Ok(())
        },
    )
}

#[cfg(test)]
mod tests;
