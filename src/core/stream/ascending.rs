//! Blocks whose elements come in the order of their numbers, for streams that draw in that order.

use crate::block::{Axis, Block};
use crate::error::Error;

/// The same elements as those of `block` with positive steps, and which axes were reversed for it.
pub(super) fn ascending(block: &Block) -> Result<(Block, Vec<bool>), Error> {
    let turn = |axis: &Axis| match axis.len {
        0 | 1 => Axis { step: 1, ..*axis },
        len if axis.step < 0 => Axis {
            start: axis.start.wrapping_add_signed(axis.step * (len as isize - 1)),
            step: -axis.step,
            len,
        },
        _ => *axis,
    };
    let axes = block.axes().iter().map(turn).collect();
    let turned = block.axes().iter().map(|axis| axis.len > 1 && axis.step < 0).collect();
    Ok((Block::new(block.shape().to_vec(), axes)?, turned))
}
