//! Uniform values of the numpy stream: element `i` is draw `i`.
//!
//! `low + (high - low) * u` in float64, as `numpy.random.Generator.uniform` computes it, then one
//! conversion. Any element is a jump of the generator away.

use std::mem::MaybeUninit;

use ndarray::ArrayViewMutD;

use super::ziggurat::{UNIT, unit, units, units_of_halves};
use crate::block::Block;
use crate::element::round::Astype;
use crate::error::Error;
use crate::parallel::Exec;
use crate::rng::pcg64::{LANES, Pcg64, Pcg64Lanes};
use crate::simd::{self, Kernel, Simd};
use crate::stream::counter::random_access;

/// `low` and `high - low`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub(super) low: f64,
    pub(super) width: f64,
}

impl Range {
    #[inline(always)]
    fn value<T: Astype>(self, draw: u64) -> MaybeUninit<T> {
        MaybeUninit::new(T::astype(self.low + self.width * unit(draw)))
    }

    /// `width * UNIT`, if float64 has that number exactly. Its product with [`units`] then rounds
    /// the same real number as `width * unit` does, with one multiplication less.
    fn step(self) -> Option<f64> {
        let step = self.width * UNIT;
        (step / UNIT == self.width).then_some(step)
    }
}

/// Writes the elements `block`; draw 0 is `start`'s next one.
///
/// # Errors
/// [`Error::Interrupted`].
pub(super) fn fill<T: Astype>(
    start: Pcg64,
    range: Range,
    block: &Block,
    out: ArrayViewMutD<'_, MaybeUninit<T>>,
    exec: &Exec<'_>,
) -> Result<(), Error> {
    let step = range.step();
    random_access::fill_block(block, out, exec, |first, part| {
        let mut generator = start.advanced(first.into());
        let vectors = if step.is_some() { part.len() - part.len() % LANES } else { 0 };
        let (lanes, rest) = part.split_at_mut(vectors);
        if let Some(step) = step
            && !lanes.is_empty()
        {
            let low = range.low;
            simd::run(Fill { lanes: Pcg64Lanes::new(generator), low, step, out: lanes });
            if rest.is_empty() {
                return;
            }
            generator.advance(lanes.len() as u128);
        }
        rest.fill_with(|| range.value(generator.next_u64()));
    })
}

/// Consecutive draws into memory of a multiple of [`LANES`] elements.
struct Fill<'a, T> {
    lanes: Pcg64Lanes,
    low: f64,
    step: f64,
    out: &'a mut [MaybeUninit<T>],
}

impl<T: Astype> Kernel for Fill<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let Self { mut lanes, low, step, out } = self;
        for out in out.chunks_exact_mut(LANES) {
            let draws = lanes.next::<S>();
            for i in 0..LANES {
                let units = if S::LANES == 8 { units_of_halves(draws[i]) } else { units(draws[i]) };
                out[i] = MaybeUninit::new(T::astype(low + step * units));
            }
        }
    }
}
