//! The native stream.

use super::{Key, Stream};
use crate::block::Block;
use crate::dist::Distribution;
use crate::element::OutMut;
use crate::error::Error;
use crate::parallel::Exec;

/// The native stream: Philox4x32-10.
#[derive(Debug)]
pub(super) struct Philox;

impl Stream for Philox {
    fn id(&self) -> &'static str {
        "philox"
    }

    fn fill(
        &self,
        _distribution: &Distribution,
        _key: Key,
        _block: &Block,
        _out: OutMut<'_>,
        _exec: &Exec<'_>,
    ) -> Result<(), Error> {
        todo!()
    }

    fn fill_orthogonal(
        &self,
        _gain: f64,
        _key: Key,
        _block: &Block,
        _out: OutMut<'_>,
        _exec: &Exec<'_>,
    ) -> Result<(), Error> {
        todo!()
    }
}
