//! Where reflectors are kept: panels of [`BLOCK_SIZE`] columns, and what belongs to each.

use std::ops::Range;

use super::definition::{BLOCK_SIZE, HEIGHT_MULTIPLE, ROW_CHUNK, WIDTH_MULTIPLE};
use super::product::{Dot, add_to};
use super::workspace::{Workspace, zeroed};
use crate::error::Error;
use crate::simd::{self, Lane};

/// Cuts the row-major `matrix`, whose first row has the number `first`, at multiples of `height`
/// rows; each piece comes with the number of its first row.
pub(super) fn cut_rows<'a, T>(
    matrix: &'a mut [T],
    width: usize,
    first: usize,
    height: usize,
) -> impl Iterator<Item = (usize, &'a mut [T])> + use<'a, T> {
    let (mut rest, mut row) = (matrix, first);
    std::iter::from_fn(move || {
        let next = (row / height + 1) * height;
        let len = ((next - row) * width).min(rest.len());
        let (piece, tail) = std::mem::take(&mut rest).split_at_mut(len);
        rest = tail;
        let at = std::mem::replace(&mut row, next);
        (!piece.is_empty()).then_some((at, piece))
    })
}

/// One block of reflectors: columns of V from row `first` on.
#[derive(Clone, Debug)]
pub(super) struct Panel {
    /// The first reflector, and its first row.
    pub(super) first: usize,
    /// How many reflectors.
    pub(super) count: usize,
    /// Length of a row, zeros at the end: `count` rounded up to [`WIDTH_MULTIPLE`].
    pub(super) width: usize,
    /// Where it lies in [`Reflectors::v`].
    pub(super) place: Range<usize>,
}

impl Panel {
    /// `count` rounded up to a multiple of 8, as tiles want it.
    pub(super) fn height(&self) -> usize {
        self.count.next_multiple_of(HEIGHT_MULTIPLE)
    }

    /// The part of `V^T V` above the diagonal that the rows `first ..` in `v`, one chunk, add.
    pub(super) fn dot_itself<T: Lane>(&self, first: usize, v: &[T], w: &mut [T]) {
        simd::run(Dot {
            first_row: first,
            v,
            v_width: self.width,
            c: v,
            c_width: self.width,
            height: self.height(),
            columns: 0..self.width,
            upper: true,
            w,
        });
    }

    /// The triangle `u`, zero before, from what [`Panel::dot_itself`] gave for each chunk.
    pub(super) fn sum_triangle<T: Lane>(&self, partials: &[T], u: &mut [T]) {
        for partial in partials.chunks_exact(u.len()) {
            add_to(u, partial, self.height(), self.width);
        }
    }
}

/// The product of Householder reflectors `H_k = I - v_k v_k^T`, `k = 0 .. columns`, and the signs
/// and gain that scale its columns.
#[derive(Debug)]
pub(super) struct Reflectors<T> {
    /// Length of a column, m.
    pub(super) rows: usize,
    /// Number of reflectors, n <= m.
    pub(super) columns: usize,
    /// `rows` rounded up to a multiple of 8; rows from `rows` on are zero.
    pub(super) padded: usize,
    /// The blocks.
    pub(super) panels: Vec<Panel>,
    /// All panels' numbers.
    pub(super) v: Workspace<T>,
    /// Length of a block: rows for as many reflectors as a panel has, [`BLOCK_SIZE`] long.
    pub(super) block: usize,
    /// For each panel a block, `V^T V` above the diagonal: that of a unit upper triangular matrix.
    pub(super) u: Workspace<T>,
    /// A block of sums of products for each row chunk of each panel: scratch.
    pub(super) partials: Workspace<T>,
    /// `D_k * gain`.
    pub(super) scales: Workspace<T>,
}

impl<T: Lane> Reflectors<T> {
    /// Room for the reflectors of a matrix of `rows` by `columns`, `rows >= columns >= 1`.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub(super) fn allocate(rows: usize, columns: usize) -> Result<Self, Error> {
        debug_assert!(rows >= columns && columns > 0);
        let too_large = Error::OutOfMemory { bytes: usize::MAX };
        let padded = rows.checked_next_multiple_of(HEIGHT_MULTIPLE).ok_or(too_large.clone())?;
        let extent = |first: usize| {
            let count = BLOCK_SIZE.min(columns - first);
            let width = count.next_multiple_of(WIDTH_MULTIPLE);
            (padded - first).checked_mul(width).map(|len| (count, width, len))
        };
        let total = (0..columns)
            .step_by(BLOCK_SIZE)
            .try_fold(0usize, |sum, first| sum.checked_add(extent(first)?.2))
            .ok_or(too_large)?;
        let v = zeroed(total)?;
        let mut panels: Vec<Panel> = vec![];
        for first in (0..columns).step_by(BLOCK_SIZE) {
            if let Some((count, width, len)) = extent(first) {
                let start = panels.last().map_or(0, |panel| panel.place.end);
                panels.push(Panel { first, count, width, place: start..start + len });
            }
        }
        let chunks: usize =
            panels.iter().map(|p| padded.div_ceil(ROW_CHUNK) - p.first / ROW_CHUNK).sum();
        let block = panels[0].height() * BLOCK_SIZE;
        Ok(Self {
            rows,
            columns,
            padded,
            v,
            block,
            u: zeroed(panels.len() * block)?,
            partials: zeroed(chunks.saturating_mul(block))?,
            scales: zeroed(columns)?,
            panels,
        })
    }

    /// Panel `j`'s rows, from its first row on.
    pub(super) fn panel(&self, j: usize) -> (&Panel, &[T]) {
        let panel = &self.panels[j];
        (panel, &self.v[panel.place.clone()])
    }

    /// Panel `j`'s triangle.
    pub(super) fn triangle(&self, j: usize) -> &[T] {
        &self.u[j * self.block..(j + 1) * self.block]
    }
}
