//! Streams: named, frozen ways to turn a seed into a tensor.
//!
//! A stream fixes every bit of every element. Adding one is a file here and a line in [`ALL`].

use crate::block::Block;
use crate::dist::Distribution;
use crate::element::OutMut;
use crate::error::Error;
use crate::parallel::Exec;

mod numpy;
mod philox;
mod random_access;

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

    /// How many elements filling `block` may amount to drawing: a stream without random access
    /// starts before the block. Callers weigh by it whether threads are worth waking.
    fn reach(&self, block: &Block) -> usize {
        block.len()
    }

    /// Writes the elements `block` of the tensor that `key` and `distribution` define. `out`'s
    /// elements, enumerated in C order, are the block's; the caller guarantees equal lengths.
    ///
    /// # Errors
    /// [`Error::Value`] and [`Error::Overflow`] for parameters that the stream's reference
    /// refuses, before anything is written; [`Error::Interrupted`].
    fn fill(
        &self,
        distribution: &Distribution,
        key: Key,
        block: &Block,
        out: OutMut<'_>,
        exec: &Exec<'_>,
    ) -> Result<(), Error>;

    /// Writes the elements `block` of the orthogonal matrix, scaled by `gain`, that `key` defines.
    ///
    /// # Errors
    /// As [`Stream::fill`], and [`Error::Value`] for a shape of rank below 2.
    fn fill_orthogonal(
        &self,
        gain: f64,
        key: Key,
        block: &Block,
        out: OutMut<'_>,
        exec: &Exec<'_>,
    ) -> Result<(), Error>;
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
