//! What a stream is: it plans tensors, and a plan fills blocks of one.

use crate::block::Block;
use crate::distribution::Values;
use crate::element::{DType, OutMut};
use crate::error::Error;
use crate::parallel::Exec;

/// Where a stream starts: the user's seed, and the number of the call on a seed generator, which is
/// 0 for a plain integer seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The seed.
    pub seed: u64,
    /// The number of the call.
    pub draw: u32,
}

/// A named source of tensors.
pub trait Stream: Sync {
    /// The name users select it by.
    fn id(&self) -> &'static str;

    /// Checks and resolves, once, what every fill of a tensor needs: seed, parameters, scale and
    /// bounds. Nothing is drawn.
    ///
    /// # Errors
    /// [`Error::Value`] and [`Error::Overflow`] for what the stream, or the reference it repeats,
    /// refuses.
    fn plan(
        &self,
        values: &Values,
        key: Key,
        shape: &[usize],
        dtype: DType,
    ) -> Result<Box<dyn Plan>, Error>;
}

/// A tensor that is ready to be drawn, any block of it as often as wanted and from any thread.
pub trait Plan: Send + Sync {
    /// What it costs to fill `block`, in elements drawn. A stream without random access draws those
    /// before the block, too.
    fn cost(&self, block: &Block) -> usize;

    /// Writes the elements `block` of the tensor to `out`, which has the planned dtype and, counted
    /// in C order, as many elements as the block.
    ///
    /// # Errors
    /// [`Error::Value`] for an `out` of another dtype and [`Error::OutOfMemory`], both before
    /// anything is written; [`Error::Interrupted`].
    fn fill(&self, block: &Block, out: OutMut<'_>, exec: &Exec<'_>) -> Result<(), Error>;
}
