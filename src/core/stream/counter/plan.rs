//! Plans for elements that a sampler makes, each of words of its own.

use std::marker::PhantomData;

use super::fill::fill;
use super::random_access::fill_block;
use super::sampler::{Bounds, Sampler};
use super::store::Store;
use crate::block::Block;
use crate::element::OutMut;
use crate::error::Error;
use crate::parallel::Exec;
use crate::rng::words::Words;
use crate::stream::plan::Plan;

/// A tensor of elements `E` that `sampler` makes of `words`.
pub(crate) struct SamplerPlan<E, D, W> {
    sampler: D,
    words: W,
    bounds: Option<Bounds>,
    element: PhantomData<fn() -> E>,
}

impl<E, D, W> SamplerPlan<E, D, W> {
    /// With `bounds`, values are held inside them.
    pub(crate) fn new(sampler: D, words: W, bounds: Option<Bounds>) -> Self {
        Self { sampler, words, bounds, element: PhantomData }
    }
}

impl<E: Store, D: Sampler<E::Lane>, W: Words> Plan for SamplerPlan<E, D, W> {
    fn cost(&self, block: &Block) -> usize {
        block.len()
    }

    fn fill(&self, block: &Block, out: OutMut<'_>, exec: &Exec<'_>) -> Result<(), Error> {
        fill_block(block, E::of(out)?, exec, |first, to| {
            fill(self.sampler, self.words, self.bounds, first, to);
        })
    }
}
