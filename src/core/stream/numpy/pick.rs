//! Where the values of a sequence go when a call wants only some of its elements.
//!
//! A sequence yields elements in ascending order. A block with negative steps numbers them in
//! another order, so it is turned into an ascending one, and its positions are mapped back.

use std::mem::MaybeUninit;

use ndarray::iter::IterMut;
use ndarray::{ArrayViewMutD, IxDyn};

use crate::block::{Block, Run};
use crate::error::Error;
use crate::stream::ascending::ascending;

/// The length of every axis of a block and whether the axis was reversed.
#[derive(Debug)]
pub(super) struct Mirror {
    axes: Vec<(usize, bool)>,
}

impl Mirror {
    /// The same elements as those of `block` with positive steps, and which axes were reversed.
    pub(super) fn ascending(block: &Block) -> Result<(Block, Self), Error> {
        let (block, turned) = ascending(block)?;
        let axes = block.axes().iter().map(|axis| axis.len).zip(turned).collect();
        Ok((block, Self { axes }))
    }

    /// Whether all axes are as they were.
    pub(super) fn is_identity(&self) -> bool {
        self.axes.iter().all(|&(_, turned)| !turned)
    }

    /// The position in the block of the element at `position` of the ascending one.
    fn map(&self, position: usize) -> usize {
        let (mut rest, mut mapped, mut stride) = (position, 0, 1);
        for &(len, turned) in self.axes.iter().rev() {
            let coordinate = rest % len;
            rest /= len;
            mapped += stride * if turned { len - 1 - coordinate } else { coordinate };
            stride *= len;
        }
        mapped
    }
}

/// The places of the output, by position.
pub(super) enum Slots<'a, T> {
    /// Contiguous memory.
    Slice(&'a mut [MaybeUninit<T>]),
    /// Any layout, whose places are visited in order.
    Ordered(IterMut<'a, MaybeUninit<T>, IxDyn>),
    /// Any layout, whose places are visited in any order.
    Any(ArrayViewMutD<'a, MaybeUninit<T>>),
}

impl<'a, T> Slots<'a, T> {
    pub(super) fn new(out: ArrayViewMutD<'a, MaybeUninit<T>>, mirror: &Mirror) -> Self {
        if out.is_standard_layout() {
            return Self::Slice(out.into_slice().unwrap_or_default());
        }
        if mirror.is_identity() { Self::Ordered(out.into_iter()) } else { Self::Any(out) }
    }

    fn write(&mut self, position: usize, value: MaybeUninit<T>) {
        let slot = match self {
            Self::Slice(slice) => slice.get_mut(position),
            Self::Ordered(slots) => slots.next(),
            Self::Any(view) => {
                let mut index = IxDyn::zeros(view.ndim());
                let mut rest = position;
                for axis in (0..view.ndim()).rev() {
                    index[axis] = rest % view.shape()[axis];
                    rest /= view.shape()[axis];
                }
                view.get_mut(index)
            }
        };
        if let Some(slot) = slot {
            *slot = value;
        }
    }
}

/// Takes the elements of an ascending block out of a sequence.
pub(super) struct Picker<'a, T, I> {
    runs: I,
    current: Option<(usize, Run)>,
    next: u64,
    end: u64,
    slots: Slots<'a, T>,
    mirror: Option<Mirror>,
}

impl<'a, T: Copy, I: Iterator<Item = (usize, Run)>> Picker<'a, T, I> {
    /// The sequence's next element is `next`; `runs` are the block's, `end` is past its last.
    pub(super) fn new(
        mut runs: I,
        next: u64,
        end: u64,
        slots: Slots<'a, T>,
        mirror: Mirror,
    ) -> Self {
        let current = runs.next();
        let mirror = (!mirror.is_identity()).then_some(mirror);
        Self { runs, current, next, end, slots, mirror }
    }

    /// How many further elements of the sequence have to be shown to it.
    pub(super) fn wanted(&self) -> u64 {
        self.end - self.next
    }

    /// Takes what it wants of the sequence's next elements.
    pub(super) fn take(&mut self, values: &[MaybeUninit<T>]) {
        let base = self.next;
        self.next = base + values.len() as u64;
        while let Some((position, run)) = self.current {
            if run.first >= self.next {
                break;
            }
            let step = run.step.unsigned_abs();
            let count = (self.next - run.first).div_ceil(step).min(run.len as u64);
            for i in 0..count {
                let at = position + i as usize;
                let at = self.mirror.as_ref().map_or(at, |mirror| mirror.map(at));
                self.slots.write(at, values[(run.first - base + i * step) as usize]);
            }
            let left = run.len - count as usize;
            self.current = if left == 0 {
                self.runs.next()
            } else {
                let first = run.first + count * step;
                Some((position + count as usize, Run { first, step: run.step, len: left }))
            };
        }
    }
}
