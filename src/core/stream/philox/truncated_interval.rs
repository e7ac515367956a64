//! Normal values held within any interval, by rejection.
//!
//! Attempt k = 1, 2, ... of an element is the standard normal of the same number drawn with k in
//! the counter's last word. The first attempt inside the interval is kept, so an element depends on
//! its number alone. Consumes 1 / P attempts on average, where P is the probability of the
//! interval; streams refuse a P below [`MIN_PROBABILITY`]. Stability: Stable.

use std::mem::MaybeUninit;

use super::truncated_normal::support;
use crate::element::Element;
use crate::element::format::Format;
use crate::element::round::Round;
use crate::rng::words::Words;
use crate::simd::{Lane, lend};
use crate::stream::counter::fill::fill;
use crate::stream::counter::sampler::{Bounds, Sampler};
use crate::stream::counter::store::Store;

/// The smallest probability of an interval that rejection serves.
pub(crate) const MIN_PROBABILITY: f64 = 0.01;

/// Elements redrawn together.
const GROUP: usize = 128;

/// The interval, in standard deviations from the mean, and the distribution's mean and deviation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TruncatedInterval {
    pub(crate) mean: f64,
    pub(crate) stddev: f64,
    pub(crate) lower: f64,
    pub(crate) upper: f64,
}

/// A compute type whose standard normals can be drawn and scaled one by one.
pub(crate) trait Candidate: Store<Lane = Self> + Lane {
    /// The sampler of standard normals.
    type Normal: Sampler<Self>;
    /// Mean 0, standard deviation 1.
    const STANDARD: Self::Normal;
    /// `z * stddev + mean`, rounded twice, held within `bounds`.
    fn place(z: Self, stddev: Self, mean: Self, bounds: Bounds) -> Self;
}

macro_rules! candidate {
    ($t:ty, $normal:ident) => {
        impl Candidate for $t {
            type Normal = super::normal::$normal;
            const STANDARD: Self::Normal = super::normal::$normal { mean: 0.0, stddev: 1.0 };
            fn place(z: Self, stddev: Self, mean: Self, bounds: Bounds) -> Self {
                // As the vector operations do it: a zero takes the sign of a bound that equals it.
                let (x, low, high) = (z * stddev + mean, bounds.low as Self, bounds.high as Self);
                let x = if x < high { x } else { high };
                if x > low { x } else { low }
            }
        }
    };
}
candidate!(f32, NormalF32);
candidate!(f64, NormalF64);

impl TruncatedInterval {
    /// The numbers of `format` inside the interval.
    pub(crate) fn support(&self, format: Format) -> Bounds {
        support(format, self.mean, self.stddev, self.lower, self.upper)
    }

    /// Writes elements `first ..` of the tensor to the whole of `out`. `words` gives the words of
    /// an attempt.
    pub(crate) fn fill<T: Candidate, E: Element + Round<T>, W: Words>(
        &self,
        words: impl Fn(u32) -> W,
        first: u64,
        out: &mut [MaybeUninit<E>],
    ) {
        let bounds = self.support(E::DTYPE.format());
        let (stddev, mean) = (T::from_f64(self.stddev), T::from_f64(self.mean));
        let (lower, upper) = (T::from_f64(self.lower), T::from_f64(self.upper));
        let mut first = first;
        for group in out.chunks_mut(GROUP) {
            let mut candidates = [T::ZERO; GROUP];
            let candidates = &mut candidates[..group.len()];
            // The places that no attempt has filled yet, at the front.
            let mut open: [usize; GROUP] = std::array::from_fn(|place| place);
            let mut left = group.len();
            let mut attempt = 0;
            while left > 0 {
                attempt += 1;
                fill(T::STANDARD, words(attempt), None, first, lend(candidates));
                for i in 0..std::mem::take(&mut left) {
                    let place = open[i];
                    let z = candidates[place];
                    if (lower <= z) & (z <= upper) {
                        group[place].write(E::rounded(T::place(z, stddev, mean, bounds)));
                    } else {
                        open[left] = place;
                        left += 1;
                    }
                }
            }
            first += group.len() as u64;
        }
    }
}
