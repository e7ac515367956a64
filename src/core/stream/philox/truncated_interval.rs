//! Normal values held within any interval, by rejection.
//!
//! Attempt k = 1, 2, ... of an element is the standard normal of the same number drawn with k in
//! the counter's last word. The first attempt inside the interval is kept, so an element depends on
//! its number alone. Consumes 1 / P attempts on average, where P is the probability of the
//! interval; streams refuse a P below [`MIN_PROBABILITY`]. Stability: Stable.

use std::mem::MaybeUninit;

use super::truncated_normal::support;
use crate::element::DType;
use crate::element::format::Format;
use crate::simd::{Lane, lend};
use crate::stream::counter::fill::{Purpose, fill};
use crate::stream::counter::sampler::Bounds;
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
    type Normal: crate::stream::counter::sampler::Sampler<Self>;
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

    /// Writes elements `first ..` of the tensor to the whole of `out`; `round` makes elements
    /// from values held within `dtype`'s support.
    pub(crate) fn fill<T: Candidate, E>(
        &self,
        seed: u64,
        draw: u32,
        dtype: DType,
        round: impl Fn(T) -> E,
        first: u64,
        out: &mut [MaybeUninit<E>],
    ) {
        let bounds = self.support(dtype.format());
        let (stddev, mean) = (T::from_f64(self.stddev), T::from_f64(self.mean));
        let (lower, upper) = (T::from_f64(self.lower), T::from_f64(self.upper));
        let mut first = first;
        for group in out.chunks_mut(GROUP) {
            let mut candidates = [T::ZERO; GROUP];
            let candidates = &mut candidates[..group.len()];
            let mut open = [true; GROUP];
            let mut left = group.len();
            let mut attempt = 0;
            while left > 0 {
                attempt += 1;
                let purpose = Purpose { draw, attempt };
                fill(T::STANDARD, seed, purpose, None, first, lend(candidates));
                for ((&z, open), to) in candidates.iter().zip(&mut open).zip(&mut *group) {
                    if *open && lower <= z && z <= upper {
                        to.write(round(T::place(z, stddev, mean, bounds)));
                        *open = false;
                        left -= 1;
                    }
                }
            }
            first += group.len() as u64;
        }
    }
}
