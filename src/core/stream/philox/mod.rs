//! The native stream: element e of a tensor is a function of the seed, the call and e alone.
//!
//! Engine: [`crate::rng::philox`]. The key is the seed; the counter is (block low, block high,
//! call on the seed generator, attempt). All elements have random access. Stability: Stable;
//! docs/streams.md is the definition.

use std::marker::PhantomData;

use super::counter::fill::fill;
use super::counter::plan::SamplerPlan;
use super::counter::random_access::fill_block;
use super::counter::sampler::{Bounds, Sampler};
use super::counter::store::Store;
use super::plan::{Key, Plan, Stream};
use crate::block::Block;
use crate::distribution::{Distribution, Values};
use crate::element::round::Round;
use crate::element::{DType, Element, F8E4M3Fn, F8E5M2, OutMut, bf16, f16};
use crate::error::{Error, shown};
use crate::linalg::normals::NormalSource;
use crate::linalg::orthogonal;
use crate::parallel::Exec;
use crate::rng::philox::PhiloxWords;
use crate::simd::lend;

mod normal;
#[cfg(test)]
mod tests;
mod truncated_interval;
mod truncated_normal;
pub(super) mod uniform;

use normal::{MAX_DEVIATIONS, NormalF32, NormalF64};
use truncated_interval::{Candidate, MIN_PROBABILITY, TruncatedInterval};
use truncated_normal::{TWO_SIGMA, TruncatedNormalF32, TruncatedNormalF64, support};
use uniform::{UniformF32, UniformF64};

/// The native stream: Philox4x32-10.
#[derive(Debug)]
pub(super) struct Philox;

impl Stream for Philox {
    fn id(&self) -> &'static str {
        "philox"
    }

    fn plan(
        &self,
        values: &Values,
        key: Key,
        shape: &[usize],
        dtype: DType,
    ) -> Result<Box<dyn Plan>, Error> {
        let d = match *values {
            Values::Independent(distribution) => distribution,
            Values::Orthogonal { gain } => {
                let cost = orthogonal::cost(gain, shape)?;
                return Ok(Box::new(OrthogonalPlan { normals: StandardNormals(key), gain, cost }));
            }
        };
        check(&d, dtype)?;
        Ok(match dtype {
            DType::F16 => single::<f16>(d, key),
            DType::BF16 => single::<bf16>(d, key),
            DType::F32 => single::<f32>(d, key),
            DType::F8E4M3Fn => single::<F8E4M3Fn>(d, key),
            DType::F8E5M2 => single::<F8E5M2>(d, key),
            DType::F64 => double(d, key),
        })
    }
}

/// The words of a tensor: for rejection those of an attempt, counted from 1, else of attempt 0.
fn words(key: Key, attempt: u32) -> PhiloxWords {
    PhiloxWords { key: [key.seed as u32, (key.seed >> 32) as u32], counter: [key.draw, attempt] }
}

/// A plan for normal values, computed in `L`, that are redrawn until they lie within the interval.
struct IntervalPlan<E, L> {
    interval: TruncatedInterval,
    key: Key,
    types: PhantomData<fn(L) -> E>,
}

impl<E: Element + Round<L>, L: Candidate> Plan for IntervalPlan<E, L> {
    fn cost(&self, block: &Block) -> usize {
        block.len()
    }

    fn fill(&self, block: &Block, out: OutMut<'_>, exec: &Exec<'_>) -> Result<(), Error> {
        fill_block(block, E::of(out)?, exec, |first, to| {
            self.interval.fill::<L, E, _>(|attempt| words(self.key, attempt), first, to);
        })
    }
}

/// A plan for an orthogonal matrix.
struct OrthogonalPlan {
    normals: StandardNormals,
    gain: f64,
    cost: usize,
}

impl Plan for OrthogonalPlan {
    fn cost(&self, _block: &Block) -> usize {
        self.cost
    }

    fn fill(&self, block: &Block, out: OutMut<'_>, exec: &Exec<'_>) -> Result<(), Error> {
        orthogonal::fill(&self.normals, self.gain, block, out, exec)
    }
}

/// The elements of a tensor of normals with mean 0 and standard deviation 1.
struct StandardNormals(Key);

impl<T: Candidate> NormalSource<T> for StandardNormals {
    fn fill(&self, first: u64, out: &mut [T]) {
        fill(T::STANDARD, words(self.0, 0), None, first, lend(out));
    }
}

/// Refuses parameters for which some value would be infinite or not a number.
fn check(distribution: &Distribution, dtype: DType) -> Result<(), Error> {
    let computed_in = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
    let largest = computed_in.format().max();
    let finite = |name, x: f64| {
        if x.is_finite() { Ok(()) } else { Err(Error::value(name, "must be finite", shown(x))) }
    };
    let spread = |mean: f64, stddev: f64, reach: f64| {
        finite("mean", mean)?;
        finite("stddev", stddev)?;
        if stddev < 0.0 {
            return Err(Error::value("stddev", "must be >= 0", shown(stddev)));
        }
        if mean.abs() + reach * stddev > largest {
            let rule = format!(
                "must keep `mean` +- {reach} `stddev` within the range of {}",
                computed_in.name()
            );
            return Err(Error::overflow("stddev", rule, shown(stddev)));
        }
        Ok(())
    };
    match *distribution {
        Distribution::Uniform { low, high } => {
            finite("minval", low)?;
            finite("maxval", high)?;
            if high < low {
                return Err(Error::value(
                    "maxval",
                    format!("must be >= `minval`={low:?}"),
                    shown(high),
                ));
            }
            if high - low > largest || low.abs().max(high.abs()) > largest {
                let rule = format!(
                    "must differ from `minval`={low:?} by a number of {}",
                    computed_in.name()
                );
                return Err(Error::overflow("maxval", rule, shown(high)));
            }
        }
        Distribution::Normal { mean, stddev } => spread(mean, stddev, MAX_DEVIATIONS)?,
        Distribution::TruncatedNormal { mean, stddev, lower, upper } => {
            spread(mean, stddev, MAX_DEVIATIONS)?;
            if lower.is_nan() || upper.is_nan() || lower >= upper {
                let rule = format!("must be above `lower`={lower:?}");
                return Err(Error::value("upper", rule, shown(upper)));
            }
            let probability = probability(lower, upper);
            if probability < MIN_PROBABILITY {
                let rule = format!(
                    "and `upper`={upper:?} must hold at least {MIN_PROBABILITY} of the normal \
                     distribution, not {probability:.2e}"
                );
                return Err(Error::value("lower", rule, shown(lower)));
            }
        }
    }
    Ok(())
}

/// The probability that a standard normal lies between `lower` and `upper`, to about 1e-7
/// (Abramowitz and Stegun 7.1.26). It decides whether rejection is worth while, and nothing else.
fn probability(lower: f64, upper: f64) -> f64 {
    let below = |x: f64| {
        let z = x.abs() / std::f64::consts::SQRT_2;
        let t = 1.0 / (1.0 + 0.3275911 * z);
        let series = [0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429];
        let sum = series.iter().rev().fold(0.0, |sum, c| (sum + c) * t);
        let tail = 0.5 * sum * (-z * z).exp();
        if x < 0.0 { tail } else { 1.0 - tail }
    };
    below(upper) - below(lower)
}

/// A plan for values computed in float32.
fn single<E: Store<Lane = f32> + Round<f32>>(
    distribution: Distribution,
    key: Key,
) -> Box<dyn Plan> {
    let format = E::DTYPE.format();
    match distribution {
        Distribution::Uniform { low, high } => {
            let bounds = uniform::support(format, low, high);
            let compute = uniform::support(DType::F32.format(), low, high);
            let sampler = UniformF32::new(low, high, compute);
            // The scale keeps float32 values inside, unless there is no number inside.
            let hold = E::DTYPE != DType::F32 || compute.low == compute.high;
            planned::<E, _>(sampler, hold.then_some(bounds), key)
        }
        Distribution::Normal { mean, stddev } => {
            let sampler = NormalF32 { mean: mean as f32, stddev: stddev as f32 };
            let finite = Bounds { low: -format.max(), high: format.max() };
            planned::<E, _>(sampler, finite.needed_by(sampler.range()), key)
        }
        Distribution::TruncatedNormal { mean, stddev, lower, upper }
            if (lower, upper) == (-TWO_SIGMA, TWO_SIGMA) =>
        {
            let bounds = support(format, mean, stddev, lower, upper);
            let sampler = TruncatedNormalF32::new(mean, stddev);
            planned::<E, _>(sampler, bounds.needed_by(sampler.range()), key)
        }
        Distribution::TruncatedNormal { mean, stddev, lower, upper } => {
            let interval = TruncatedInterval { mean, stddev, lower, upper };
            Box::new(IntervalPlan::<E, f32> { interval, key, types: PhantomData })
        }
    }
}

/// A plan for values computed in float64.
fn double(distribution: Distribution, key: Key) -> Box<dyn Plan> {
    let format = DType::F64.format();
    match distribution {
        Distribution::Uniform { low, high } => {
            let bounds = uniform::support(format, low, high);
            let hold = bounds.low == bounds.high;
            let sampler = UniformF64::new(low, high, bounds);
            planned::<f64, _>(sampler, hold.then_some(bounds), key)
        }
        Distribution::Normal { mean, stddev } => {
            planned::<f64, _>(NormalF64 { mean, stddev }, None, key)
        }
        Distribution::TruncatedNormal { mean, stddev, lower, upper }
            if (lower, upper) == (-TWO_SIGMA, TWO_SIGMA) =>
        {
            let bounds = support(format, mean, stddev, lower, upper);
            planned::<f64, _>(TruncatedNormalF64 { mean, stddev }, Some(bounds), key)
        }
        Distribution::TruncatedNormal { mean, stddev, lower, upper } => {
            let interval = TruncatedInterval { mean, stddev, lower, upper };
            Box::new(IntervalPlan::<f64, f64> { interval, key, types: PhantomData })
        }
    }
}

fn planned<E: Store, D: Sampler<E::Lane> + 'static>(
    sampler: D,
    bounds: Option<Bounds>,
    key: Key,
) -> Box<dyn Plan> {
    Box::new(SamplerPlan::<E, _, _>::new(sampler, words(key, 0), bounds))
}
