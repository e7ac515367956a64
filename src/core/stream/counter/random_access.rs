//! Filling any block into any layout, for streams whose elements are functions of their number.

use std::mem::MaybeUninit;

use ndarray::{ArrayViewMut1, ArrayViewMutD, Axis};

use crate::block::{Block, Run};
use crate::error::Error;
use crate::pages::PAGE;
use crate::parallel::Exec;

/// The most bytes of the output in a part, which one thread fills: a huge page, so that no two
/// threads wait for the same one. A part is done within milliseconds.
const MAX_PART: usize = 2 << 20;

/// The fewest parts for each thread, where parts need not be smaller than a page: the others finish
/// the work if one thread is held up.
const MIN_PARTS: usize = 4;

/// The most elements drawn at once where the output is not contiguous.
const MAX_SCRATCH: usize = 4096;

/// The largest distance between wanted elements at which it is cheaper to draw those between them,
/// too, than to draw each wanted one alone.
const MAX_DENSE: u64 = 32;

/// Writes the elements of `block` to `out`; `fill_run(first, part)` writes elements `first ..` of
/// the tensor to the whole of `part`.
pub(crate) fn fill_block<E: Copy + Send + Sync>(
    block: &Block,
    mut out: ArrayViewMutD<'_, MaybeUninit<E>>,
    exec: &Exec<'_>,
    fill_run: impl Fn(u64, &mut [MaybeUninit<E>]) + Sync,
) -> Result<(), Error> {
    let share = out.len() * size_of::<E>() / (MIN_PARTS * exec.threads());
    let part = share.next_multiple_of(PAGE).clamp(PAGE, MAX_PART) / size_of::<E>();
    if let Some(out) = out.as_slice_mut() {
        let parts = out.chunks_mut(part).enumerate();
        return exec.for_each(
            parts,
            || (),
            |(), (number, to)| {
                fill_positions(block, number * part, to, &mut |first, to| fill_run(first, to));
                Ok(())
            },
        );
    }
    let inner = Axis(out.ndim() - 1);
    let lane_len = out.len_of(inner);
    let lanes = out.lanes_mut(inner).into_iter().enumerate();
    let pieces = lanes.flat_map(|(number, lane)| pieces(number * lane_len, lane, part));
    let scratch = || vec![MaybeUninit::uninit(); lane_len.min(MAX_SCRATCH)];
    exec.for_each(pieces, scratch, |scratch, (position, mut piece)| {
        let mut fill_run = |first, to: &mut [MaybeUninit<E>]| fill_run(first, to);
        if let Some(to) = piece.as_slice_mut() {
            fill_positions(block, position, to, &mut fill_run);
            return Ok(());
        }
        let mut position = position;
        for mut to in piece.axis_chunks_iter_mut(Axis(0), scratch.len()) {
            let from = &mut scratch[..to.len()];
            fill_positions(block, position, from, &mut fill_run);
            to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            position += to.len();
        }
        Ok(())
    })
}

/// `lane`, whose first element is at `position`, cut into pieces of `len` elements.
fn pieces<E>(
    position: usize,
    lane: ArrayViewMut1<'_, E>,
    len: usize,
) -> impl Iterator<Item = (usize, ArrayViewMut1<'_, E>)> {
    let mut rest = Some((position, lane));
    std::iter::from_fn(move || {
        let (position, lane) = rest.take()?;
        if lane.len() <= len {
            return Some((position, lane));
        }
        let (now, later) = lane.split_at(Axis(0), len);
        rest = Some((position + len, later));
        Some((position, now))
    })
}

/// Writes the block's elements from `position` on to the whole of `to`, by `fill_run` as in
/// [`fill_block`].
pub(crate) fn fill_positions<E: Copy>(
    block: &Block,
    position: usize,
    to: &mut [MaybeUninit<E>],
    fill_run: &mut impl FnMut(u64, &mut [MaybeUninit<E>]),
) {
    for (at, run) in block.runs(position..position + to.len()) {
        let to = &mut to[at - position..at - position + run.len];
        if run.step == 1 || run.len == 1 {
            fill_run(run.first, to);
        } else if run.step.unsigned_abs() <= MAX_DENSE {
            fill_dense(run, to, fill_run);
        } else {
            for (i, to) in to.iter_mut().enumerate() {
                let element = run.first.wrapping_add_signed(run.step * i as i64);
                fill_run(element, std::slice::from_mut(to));
            }
        }
    }
}

/// Draws all elements in the range of a few wanted ones at a time and keeps the wanted ones.
fn fill_dense<E: Copy>(
    run: Run,
    to: &mut [MaybeUninit<E>],
    fill_run: &mut impl FnMut(u64, &mut [MaybeUninit<E>]),
) {
    let stride = run.step.unsigned_abs() as usize;
    let mut span = [MaybeUninit::uninit(); 1024];
    let group = (span.len() - 1) / stride + 1;
    let mut first = run.first;
    for to in to.chunks_mut(group) {
        let last = first.wrapping_add_signed(run.step * (to.len() as i64 - 1));
        let span = &mut span[..(to.len() - 1) * stride + 1];
        fill_run(first.min(last), span);
        let wanted = span.iter().step_by(stride);
        if run.step > 0 {
            to.iter_mut().zip(wanted).for_each(|(to, from)| *to = *from);
        } else {
            to.iter_mut().rev().zip(wanted).for_each(|(to, from)| *to = *from);
        }
        first = last.wrapping_add_signed(run.step);
    }
}
