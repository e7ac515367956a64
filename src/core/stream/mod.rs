//! Streams: named, frozen ways to turn a seed into a tensor.
//!
//! A stream fixes every bit of every element. To add one, add a folder or a file, its `mod` here
//! and its line in [`ALL`].

use crate::error::Error;

mod ascending;
pub(crate) mod counter;
mod glibc;
mod jax;
mod numpy;
mod philox;
mod plan;
mod tensorflow;
mod torch;

pub use plan::{Key, Plan, Stream};

/// Every stream, the default first.
pub static ALL: &[&dyn Stream] =
    &[&philox::Philox, &numpy::Numpy, &jax::Jax, &tensorflow::TensorFlow, &torch::Torch];

/// The stream called `id`.
///
/// # Errors
/// [`Error::Value`] that lists the known names.
pub fn by_id(id: &str) -> Result<&'static dyn Stream, Error> {
    find(ALL, id)
}

/// The one of `streams` that is called `id`.
fn find(streams: &[&'static dyn Stream], id: &str) -> Result<&'static dyn Stream, Error> {
    streams.iter().copied().find(|stream| stream.id() == id).ok_or_else(|| {
        let known: Vec<_> = streams.iter().map(|stream| format!("'{}'", stream.id())).collect();
        Error::value("stream", format!("must be one of {}", known.join(", ")), format!("'{id}'"))
    })
}
