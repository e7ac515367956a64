//! The stream of Keras' torch backend.
//!
//! Method: the sum of seed and call number, modulo 2^32, seeds MT19937; values are made as
//! `torch.rand` and `torch.normal` make them on a CPU, by the method of Box and Muller in blocks of
//! 16, truncated as Keras does it: of four normal values the first within two standard deviations,
//! or the first of all if none is.
//!
//! Consumes a word for each uniform and normal value, four for each truncated one, twice as many in
//! float64. The words of a value have known places, which are reached by making the words before
//! them or, where far, by a jump. Memory beside the output: 60 KiB a thread.
//!
//! Stability: Exact(`keras.initializers` and `keras.random`, Keras 3.15, on torch 2.13 to 2.15, CPU,
//! x86-64 Linux). torch's numbers depend on the processor: [`Path`] says how. float64 is made with
//! the system's mathematical library, as torch's is. Orthogonal: the Gaussian exactly, its QR factor
//! to rounding.

use super::plan::{Key, Plan, Stream};
use crate::block::Block;
use crate::distribution::{Distribution, Values};
use crate::element::{DType, Element, OutMut, bf16, f16};
use crate::error::{Error, shown};
use crate::linalg;
use crate::parallel::Exec;
use crate::rng::mt19937::Mt19937;

mod avx2;
mod default;
mod double;
mod fill;
mod normal;
mod orthogonal;
mod path;
mod sampler;
mod scalar;
#[cfg(test)]
mod tests;
mod truncated_normal;
mod uniform;

use double::{NormalF64, TruncatedNormalF64, UniformF64};
use normal::Normal;
use path::Path;
use sampler::{Affine, Sampler, Single};
use truncated_normal::TruncatedNormal;
use uniform::Uniform;

/// Where Keras cuts truncated normals, in standard deviations.
const CUT: f32 = 2.0;

/// The stream of Keras' torch backend.
#[derive(Debug)]
pub(super) struct Torch;

impl Stream for Torch {
    fn id(&self) -> &'static str {
        "torch"
    }

    fn plan(
        &self,
        values: &Values,
        key: Key,
        shape: &[usize],
        dtype: DType,
    ) -> Result<Box<dyn Plan>, Error> {
        plan_on(Path::of_torch(), values, key, shape, dtype)
    }
}

/// [`Stream::plan`] as torch's kernel `path` computes.
fn plan_on(
    path: Path,
    values: &Values,
    key: Key,
    shape: &[usize],
    dtype: DType,
) -> Result<Box<dyn Plan>, Error> {
    let seed = key.seed.wrapping_add(key.draw.into()) as u32;
    match *values {
        Values::Independent(distribution) => {
            check(&distribution)?;
            let len = Block::whole(shape)?.len() as u64;
            match dtype {
                DType::F16 => Ok(single::<f16>(distribution, seed, len, path)),
                DType::BF16 => Ok(single::<bf16>(distribution, seed, len, path)),
                DType::F32 => Ok(single::<f32>(distribution, seed, len, path)),
                DType::F64 => Ok(double(distribution, seed, len, path)),
                DType::F8E4M3Fn | DType::F8E5M2 => Err(no_dtype(dtype, "draws")),
            }
        }
        Values::Orthogonal { gain } => {
            if !matches!(dtype, DType::F32 | DType::F64) {
                return Err(no_dtype(dtype, "factors matrices of"));
            }
            let cost = linalg::orthogonal::cost(gain, shape)?;
            Ok(Box::new(OrthogonalPlan { seed, path, gain, cost }))
        }
    }
}

/// The refusal of a dtype.
fn no_dtype(dtype: DType, does: &str) -> Error {
    Error::value("dtype", format!("must be one that torch {does}"), format!("'{}'", dtype.name()))
}

/// Refuses what torch refuses.
fn check(distribution: &Distribution) -> Result<(), Error> {
    match *distribution {
        Distribution::Normal { stddev, .. } if stddev.is_nan() || stddev < 0.0 => {
            Err(Error::value("stddev", "must be >= 0", shown(stddev)))
        }
        Distribution::TruncatedNormal { lower, upper, .. }
            if (lower, upper) != (f64::from(-CUT), f64::from(CUT)) =>
        {
            let rule = "must be -2, and `upper` 2, on this stream";
            Err(Error::value("lower", rule, format!("{lower:?}, upper={upper:?}")))
        }
        _ => Ok(()),
    }
}

/// A plan for values computed in float32.
fn single<E: Single>(distribution: Distribution, seed: u32, len: u64, path: Path) -> Box<dyn Plan> {
    match distribution {
        Distribution::Uniform { low, high } => {
            let affine = Affine::new::<E>(high - low, low);
            planned(Uniform::<E>::new(affine), seed, len)
        }
        Distribution::Normal { mean, stddev } => match path {
            Path::Avx2 => planned(Normal::<E, avx2::Functions>::new(mean, stddev), seed, len),
            Path::Default => planned(Normal::<E, default::Functions>::new(mean, stddev), seed, len),
        },
        Distribution::TruncatedNormal { mean, stddev, .. } => {
            let affine = Affine::new::<E>(stddev, mean);
            match path {
                Path::Avx2 => {
                    planned(TruncatedNormal::<E, avx2::Functions>::new(affine), seed, len)
                }
                Path::Default => {
                    planned(TruncatedNormal::<E, default::Functions>::new(affine), seed, len)
                }
            }
        }
    }
}

/// A plan for values computed in float64.
fn double(distribution: Distribution, seed: u32, len: u64, path: Path) -> Box<dyn Plan> {
    match distribution {
        Distribution::Uniform { low, high } => {
            planned(UniformF64 { factor: high - low, shift: low }, seed, len)
        }
        Distribution::Normal { mean, stddev } => {
            planned(NormalF64 { mean, stddev, path }, seed, len)
        }
        Distribution::TruncatedNormal { mean, stddev, .. } => {
            planned(TruncatedNormalF64 { mean, stddev, path }, seed, len)
        }
    }
}

fn planned<D: Sampler + 'static>(sampler: D, seed: u32, len: u64) -> Box<dyn Plan> {
    Box::new(SamplerPlan { sampler, seed, len })
}

/// A plan for a tensor of `len` elements that a sampler makes.
struct SamplerPlan<D> {
    sampler: D,
    seed: u32,
    len: u64,
}

impl<D: Sampler> Plan for SamplerPlan<D> {
    fn cost(&self, block: &Block) -> usize {
        fill::cost::<D>(block)
    }

    fn fill(&self, block: &Block, out: OutMut<'_>, exec: &Exec<'_>) -> Result<(), Error> {
        let start = Mt19937::new(self.seed);
        fill::fill(&start, self.sampler, self.len, block, D::Element::of(out)?, exec)
    }
}

/// A plan for Q of the tensor's Gaussian.
struct OrthogonalPlan {
    seed: u32,
    path: Path,
    gain: f64,
    cost: usize,
}

impl Plan for OrthogonalPlan {
    fn cost(&self, _block: &Block) -> usize {
        self.cost
    }

    fn fill(&self, block: &Block, out: OutMut<'_>, exec: &Exec<'_>) -> Result<(), Error> {
        let standard = Distribution::Normal { mean: 0.0, stddev: 1.0 };
        orthogonal::fill(self.gain, block, out, exec, |block, to| {
            let len = block.len() as u64;
            let plan = match to.dtype() {
                DType::F64 => double(standard, self.seed, len, self.path),
                _ => single::<f32>(standard, self.seed, len, self.path),
            };
            plan.fill(block, to, exec)
        })
    }
}
