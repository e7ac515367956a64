//! Orthogonal matrices as Keras makes them with `jax.numpy.linalg.qr`.
//!
//! The Gaussian is the stream's, exactly. JAX factors it with LAPACK in the matrix' own dtype, whose
//! bits depend on the library; here Q is computed in float64, rounded to the dtype, and scaled in
//! it. Q is unique, so both agree up to LAPACK's rounding.

use ndarray::ArrayViewMutD;

use crate::block::Block;
use crate::element::OutMut;
use crate::error::Error;
use crate::linalg::qr;
use crate::parallel::Exec;
use crate::stream::plan::Plan;

/// A plan for Q of the tensor's Gaussian, times `gain`.
pub(super) struct OrthogonalPlan {
    /// The standard normals of the matrix, in the dtype of the tensor: float32 or float64.
    pub(super) gaussian: Box<dyn Plan>,
    pub(super) gain: f64,
    pub(super) cost: usize,
}

impl Plan for OrthogonalPlan {
    fn cost(&self, _block: &Block) -> usize {
        self.cost
    }

    fn fill(&self, block: &Block, out: OutMut<'_>, exec: &Exec<'_>) -> Result<(), Error> {
        let gain = self.gain;
        match out {
            OutMut::F64(out) => {
                let draw = |block: &Block, to: ArrayViewMutD<'_, _>| {
                    self.gaussian.fill(block, OutMut::F64(to), exec)
                };
                qr::fill(block, out, exec, draw, |x| x * gain)
            }
            OutMut::F32(out) => {
                let draw = |block: &Block, to: ArrayViewMutD<'_, _>| {
                    self.gaussian.fill(block, OutMut::F32(to), exec)
                };
                qr::fill(block, out, exec, draw, |x| x as f32 * gain as f32)
            }
            other => Err(refused(other.dtype())),
        }
    }
}

/// Why there is no orthogonal matrix of a dtype.
pub(super) fn refused(dtype: crate::element::DType) -> Error {
    Error::value("dtype", "must be float32 or float64 for orthogonal matrices", dtype.name())
}
