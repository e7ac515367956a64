//! Streams: named, frozen ways to turn a seed into a tensor.
//!
//! A stream fixes every bit of every element. Adding one is a file here and a line in [`ALL`].

use crate::block::Block;
use crate::dist::Values;
use crate::element::{DType, OutMut};
use crate::error::Error;
use crate::parallel::Exec;

mod numpy;
mod philox;
mod random_access;

pub(crate) use random_access::fill_block;

/// Where a stream starts: the user's seed, and which call on a seed generator this is (0 for a
/// plain integer seed).
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
    /// What filling `block` costs, in elements drawn. A stream without random access also draws
    /// those before the block.
    fn cost(&self, block: &Block) -> usize;

    /// Writes the elements `block` of the tensor to `out`, which has the planned dtype and, counted
    /// in C order, as many elements as the block.
    ///
    /// # Errors
    /// [`Error::Value`] for an `out` of another dtype and [`Error::OutOfMemory`], both before
    /// anything is written; [`Error::Interrupted`].
    fn fill(&self, block: &Block, out: OutMut<'_>, exec: &Exec<'_>) -> Result<(), Error>;
}

/// Every stream, the default first.
pub static ALL: &[&dyn Stream] = &[&philox::Philox, &numpy::Numpy];

/// The stream called `id`.
///
/// # Errors
/// [`Error::Value`] that lists the known names.
pub fn by_id(id: &str) -> Result<&'static dyn Stream, Error> {
    ALL.iter().copied().find(|stream| stream.id() == id).ok_or_else(|| {
        let known: Vec<_> = ALL.iter().map(|stream| format!("'{}'", stream.id())).collect();
        Error::value("stream", format!("must be one of {}", known.join(", ")), format!("'{id}'"))
    })
}
