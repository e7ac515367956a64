//! Orthogonal matrices as Keras makes them with `torch.linalg.qr`.

use ndarray::ArrayViewMutD;

use crate::block::Block;
use crate::element::OutMut;
use crate::error::Error;
use crate::linalg::qr;
use crate::parallel::Exec;

/// Writes the elements `block` of the orthogonal tensor made of the matrix that `gaussian` draws,
/// times `gain`. `gaussian` gets a block of the matrix and memory for it, in the dtype of `out`.
/// Q is rounded to that dtype before it is scaled in it.
///
/// # Errors
/// As [`qr::fill`]; [`Error::Value`] for an `out` that is neither float32 nor float64.
pub(super) fn fill(
    gain: f64,
    block: &Block,
    out: OutMut<'_>,
    exec: &Exec<'_>,
    gaussian: impl Fn(&Block, OutMut<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    match out {
        OutMut::F32(out) => {
            let draw = |block: &Block, to: ArrayViewMutD<'_, _>| gaussian(block, OutMut::F32(to));
            let gain = gain as f32;
            qr::fill(block, out, exec, draw, |x| x as f32 * gain)
        }
        OutMut::F64(out) => {
            let draw = |block: &Block, to: ArrayViewMutD<'_, _>| gaussian(block, OutMut::F64(to));
            qr::fill(block, out, exec, draw, |x| x * gain)
        }
        other => Err(super::no_dtype(other.dtype(), "factors matrices of")),
    }
}
