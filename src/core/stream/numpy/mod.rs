//! The stream of Keras' NumPy backend.
//!
//! Method: the seed and the call number are the two words of a `SeedSequence` that seeds PCG64;
//! values are computed in float64 as `numpy.random.Generator` does, by uniform doubles and the
//! ziggurat, truncated by rejection as Keras' loop does, and converted once at the end.
//!
//! A uniform value consumes one draw, a normal one 1.0221 on average. Uniform values have random
//! access, by a jump. For normal ones the draws before are parsed, on all threads, from the start
//! or from where an earlier block of the same tensor ended. Memory beside the output: one chunk for
//! each thread.
//!
//! Stability: Exact(`keras.initializers` and `keras.random`, Keras 3.15, on `numpy.random`, NumPy
//! 1.17 to 2.4, x86-64 and glibc). NumPy's builds for other processors may fuse the scale and the
//! shift, and another libm may differ in the last bit of the tail's logarithm. Orthogonal: the
//! Gaussian exactly, its QR factor to rounding.

use std::mem::MaybeUninit;

use ndarray::ArrayViewMutD;

use super::plan::{Key, Plan, Stream};
use crate::block::Block;
use crate::distribution::{Distribution, Values};
use crate::element::{DType, OutMut};
use crate::error::{Error, shown};
use crate::linalg;
use crate::parallel::Exec;
use crate::rng::pcg64::Pcg64;
use crate::rng::seed_sequence::SeedSequence;

mod normal;
mod orthogonal;
mod parse;
mod pick;
mod resume;
mod uniform;
mod ziggurat;
mod ziggurat_tables;

/// The fewest values that are worth sharing among threads.
const MIN_SHARED: usize = 1 << 15;
/// The fewest draws in a chunk: some hundred times what its correction costs.
const MIN_CHUNK: u64 = 1 << 12;

/// The stream of Keras' NumPy backend.
#[derive(Debug)]
pub(super) struct Numpy;

/// The generator that `numpy.random.default_rng` makes of Keras' two words.
fn generator(key: Key) -> Result<Pcg64, Error> {
    let seed = u32::try_from(key.seed)
        .map_err(|_| Error::overflow("seed", "must be below 2**32 on this stream", key.seed))?;
    Ok(Pcg64::new(&SeedSequence::new(&[seed, key.draw])))
}

/// Refuses what `numpy.random.Generator.uniform` refuses.
fn uniform_range(low: f64, high: f64) -> Result<uniform::Range, Error> {
    let width = high - low;
    let received = format!("{low} to {high}");
    if !width.is_finite() {
        return Err(Error::overflow("high - low", "must be finite", received));
    }
    // NumPy looks at the sign bit, so it refuses 0.0 to -0.0.
    if width.is_sign_negative() {
        return Err(Error::value("high - low", "must be >= 0", received));
    }
    Ok(uniform::Range { low, width })
}

/// Refuses what `numpy.random.Generator.normal` refuses.
fn normal_rule(mean: f64, stddev: f64) -> Result<parse::Rule, Error> {
    // NumPy looks at the sign bit, so it refuses -0.0 and takes NaN.
    if !stddev.is_nan() && stddev.is_sign_negative() {
        return Err(Error::value("stddev", "must be >= 0 (and not -0.0)", shown(stddev)));
    }
    Ok(parse::Rule { mean, stddev, bounds: None })
}

/// As [`normal_rule`]. Also refuses bounds that no value satisfies, where Keras' loop would never
/// end.
fn truncated_rule(mean: f64, stddev: f64, lower: f64, upper: f64) -> Result<parse::Rule, Error> {
    let rule = normal_rule(mean, stddev)?;
    if stddev.is_nan() {
        return Err(Error::value(
            "stddev",
            "must not be NaN for a truncated normal",
            shown(stddev),
        ));
    }
    if lower.is_nan() || upper.is_nan() || lower >= upper {
        return Err(Error::value("lower", "must be below `upper`", format!("{lower} to {upper}")));
    }
    let bounds = (mean + lower * stddev, mean + upper * stddev);
    if bounds.0.is_nan() || bounds.1.is_nan() {
        let rule = "must, with `stddev`, give bounds that are not NaN";
        return Err(Error::value("mean", rule, format!("{mean}, stddev={stddev}")));
    }
    Ok(parse::Rule { bounds: Some(bounds), ..rule })
}

/// What is drawn of parameters that NumPy takes.
#[derive(Clone, Copy)]
enum Rule {
    Uniform(uniform::Range),
    Normal(parse::Rule),
    /// Nothing is drawn, and no parameter refused: Keras' loop does not run for an empty tensor.
    Nothing,
}

impl Rule {
    fn new(distribution: &Distribution, shape: &[usize]) -> Result<Self, Error> {
        Ok(match *distribution {
            Distribution::Uniform { low, high } => Self::Uniform(uniform_range(low, high)?),
            Distribution::Normal { mean, stddev } => Self::Normal(normal_rule(mean, stddev)?),
            Distribution::TruncatedNormal { .. } if shape.contains(&0) => Self::Nothing,
            Distribution::TruncatedNormal { mean, stddev, lower, upper } => {
                Self::Normal(truncated_rule(mean, stddev, lower, upper)?)
            }
        })
    }
}

/// A plan for elements drawn one after another from where the generator starts.
struct SequencePlan {
    start: Pcg64,
    rule: Rule,
}

impl SequencePlan {
    fn fill_as<T: parse::Target>(
        &self,
        block: &Block,
        out: ArrayViewMutD<'_, MaybeUninit<T>>,
        exec: &Exec<'_>,
    ) -> Result<(), Error> {
        if block.is_empty() {
            return Ok(());
        }
        match self.rule {
            Rule::Uniform(range) => uniform::fill(self.start, range, block, out, exec),
            Rule::Normal(rule) => fill_normal(self.start, &rule, block, out, exec),
            Rule::Nothing => Ok(()),
        }
    }
}

impl Plan for SequencePlan {
    fn cost(&self, block: &Block) -> usize {
        match self.rule {
            Rule::Uniform(_) => block.len(),
            // A block with negative steps ends before it begins.
            Rule::Normal(_) => ends(block).map_or(0, |(first, end)| first.max(end) as usize),
            Rule::Nothing => 0,
        }
    }

    fn fill(&self, block: &Block, out: OutMut<'_>, exec: &Exec<'_>) -> Result<(), Error> {
        match out {
            OutMut::F16(out) => self.fill_as(block, out, exec),
            OutMut::BF16(out) => self.fill_as(block, out, exec),
            OutMut::F32(out) => self.fill_as(block, out, exec),
            OutMut::F64(out) => self.fill_as(block, out, exec),
            OutMut::F8E4M3Fn(out) => self.fill_as(block, out, exec),
            OutMut::F8E5M2(out) => self.fill_as(block, out, exec),
        }
    }
}

/// A plan for Q of the tensor's Gaussian.
struct OrthogonalPlan {
    gaussian: SequencePlan,
    gain: f64,
    cost: usize,
}

impl Plan for OrthogonalPlan {
    fn cost(&self, _block: &Block) -> usize {
        self.cost
    }

    fn fill(&self, block: &Block, out: OutMut<'_>, exec: &Exec<'_>) -> Result<(), Error> {
        orthogonal::fill(self.gain, block, out, exec, |block, to| {
            self.gaussian.fill(block, to, exec)
        })
    }
}

/// The number of draws in a chunk where about `values` values are wanted: there are enough chunks
/// that all threads finish at about the same time.
fn chunk_draws(values: u64, exec: &Exec<'_>) -> u64 {
    let share = values / (8 * exec.threads() as u64);
    share.next_multiple_of(MIN_CHUNK).clamp(MIN_CHUNK, normal::MAX_CHUNK)
}

fn fill_normal<T: parse::Target>(
    start: Pcg64,
    rule: &parse::Rule,
    block: &Block,
    out: ArrayViewMutD<'_, MaybeUninit<T>>,
    exec: &Exec<'_>,
) -> Result<(), Error> {
    let (block, mirror) = pick::Mirror::ascending(block)?;
    let Some((first, end)) = ends(&block) else { return Ok(()) };
    let one_run = end - first == block.len() as u64;
    let in_order = exec.threads() == 1 || block.len() < MIN_SHARED;
    let mut slots = pick::Slots::new(out, &mirror);
    if let pick::Slots::Slice(out) = &mut slots
        && one_run
        && first == 0
        && in_order
        && mirror.is_identity()
    {
        return normal::fill_in_order(start, rule, out, exec);
    }
    let from = resume::before(start, rule, first);
    let chunk = chunk_draws(end - from.value, exec);
    let start_here = start.advanced(from.draw.into());
    let (draw, value) = match slots {
        pick::Slots::Slice(out) if one_run && mirror.is_identity() => {
            let sink = normal::Contiguous { skip: first - from.value, out };
            normal::run(start_here, rule, sink, chunk, exec)?
        }
        slots => {
            let runs = block.runs(0..block.len());
            let sink = pick::Picker::new(runs, from.value, end, slots, mirror);
            normal::run(start_here, rule, sink, chunk, exec)?
        }
    };
    if !block.is_whole() {
        resume::remember(start, rule, from.later(draw, value));
    }
    Ok(())
}

/// The number of an ascending block's first element and the one past its last.
fn ends(block: &Block) -> Option<(u64, u64)> {
    let (_, first) = block.runs(0..block.len()).next()?;
    let (_, last) = block.runs(block.len() - 1..block.len()).next()?;
    Some((first.first, last.first + 1))
}

impl Stream for Numpy {
    fn id(&self) -> &'static str {
        "numpy"
    }

    fn plan(
        &self,
        values: &Values,
        key: Key,
        shape: &[usize],
        _dtype: DType,
    ) -> Result<Box<dyn Plan>, Error> {
        let start = generator(key)?;
        Ok(match *values {
            Values::Independent(distribution) => {
                Box::new(SequencePlan { start, rule: Rule::new(&distribution, shape)? })
            }
            Values::Orthogonal { gain } => {
                let cost = linalg::orthogonal::cost(gain, shape)?;
                let gaussian = SequencePlan { start, rule: Rule::Normal(normal_rule(0.0, 1.0)?) };
                Box::new(OrthogonalPlan { gaussian, gain, cost })
            }
        })
    }
}

#[cfg(test)]
mod tests;
