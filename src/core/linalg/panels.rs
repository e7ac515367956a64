//! Where reflectors are kept: in panels of [`BLOCK_SIZE`] columns.

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

/// One block of reflectors: [`BLOCK_SIZE`] columns of V, or those that are left, from the first
/// one's diagonal entry down.
#[derive(Clone, Debug)]
pub(super) struct Panel {
    /// The number of the first reflector, which is also that of the panel's first row.
    pub(super) first: usize,
    /// How many reflectors.
    pub(super) count: usize,
    /// Length of a row: `count` rounded up to [`WIDTH_MULTIPLE`], with zeros at the end.
    pub(super) width: usize,
    /// Where it lies in [`Reflectors::v`].
    pub(super) place: Range<usize>,
}

impl Panel {
    /// `count` rounded up to [`HEIGHT_MULTIPLE`].
    pub(super) fn height(&self) -> usize {
        self.count.next_multiple_of(HEIGHT_MULTIPLE)
    }

    /// `w` becomes `v^T v` above the diagonal. `v` holds the panel's rows from `first` on, all of
    /// one row chunk.
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

    /// Adds what [`Panel::dot_itself`] gave for each row chunk to `u`.
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
    /// The numbers of all panels.
    pub(super) v: Workspace<T>,
    /// Numbers in a block: a row of [`BLOCK_SIZE`] for each reflector of a panel.
    pub(super) block: usize,
    /// For each panel a block: `V^T V` above the diagonal, as the part of U above its unit
    /// diagonal.
    pub(super) u: Workspace<T>,
    /// Scratch: for each row chunk of each panel a block of sums of products.
    pub(super) partials: Workspace<T>,
    /// What each column of the product is multiplied by: its sign, times the gain.
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
