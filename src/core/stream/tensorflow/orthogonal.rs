//! Orthogonal matrices as Keras makes them with `tf.linalg.qr`: the Gaussian and all that is done
//! with Q are of the tensor's dtype. TensorFlow computes the QR in it as well; here it is computed
//! in float64 and rounded.

use ndarray::ArrayViewMutD;

use crate::block::Block;
use crate::element::round::Round;
use crate::element::{OutMut, f16};
use crate::error::Error;
use crate::linalg::qr;
use crate::parallel::Exec;

/// Writes the elements `block` of the orthogonal tensor made of the matrix that `gaussian` draws,
/// times `gain`. `gaussian` gets a block of the matrix and memory for it, in the dtype of `out`.
///
/// # Errors
/// As [`qr::fill`]; [`Error::Value`] for an `out` in which TensorFlow computes no QR.
pub(super) fn fill(
    gain: f64,
    block: &Block,
    out: OutMut<'_>,
    exec: &Exec<'_>,
    gaussian: impl Fn(&Block, OutMut<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    match out {
        OutMut::F16(out) => {
            let draw = |block: &Block, to: ArrayViewMutD<'_, _>| gaussian(block, OutMut::F16(to));
            let gain = f32::from(f16::from_f32(gain as f32));
            let finish = |x| f16::rounded(f32::from(<f16 as Round<f64>>::rounded(x)) * gain);
            qr::fill(block, out, exec, draw, finish)
        }
        OutMut::F32(out) => {
            let draw = |block: &Block, to: ArrayViewMutD<'_, _>| gaussian(block, OutMut::F32(to));
            qr::fill(block, out, exec, draw, |x| x as f32 * gain as f32)
        }
        OutMut::F64(out) => {
            let draw = |block: &Block, to: ArrayViewMutD<'_, _>| gaussian(block, OutMut::F64(to));
            qr::fill(block, out, exec, draw, |x| x * gain)
        }
        other => {
            let rule = "must be float16, float32 or float64";
            Err(Error::value("out", rule, other.dtype().name()))
        }
    }
}
