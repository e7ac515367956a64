//! Orthogonal matrices as Keras makes them with `numpy.linalg.qr`.
//!
//! The QR is computed in float64 for every dtype. For bfloat16 the Gaussian is bfloat16, and Q is
//! scaled in float64. For all others the Gaussian is float32, and Q is rounded to float32 and
//! scaled in it.

use ndarray::ArrayViewMutD;

use crate::block::Block;
use crate::element::OutMut;
use crate::element::round::Round;
use crate::error::Error;
use crate::linalg::qr;
use crate::parallel::Exec;

/// Writes the elements `block` of the orthogonal tensor made of the matrix that `gaussian` draws,
/// times `gain`. `gaussian` gets a block of the matrix and memory for it, in bfloat16 or float32.
///
/// # Errors
/// As [`qr::fill`].
pub(super) fn fill(
    gain: f64,
    block: &Block,
    out: OutMut<'_>,
    exec: &Exec<'_>,
    gaussian: impl Fn(&Block, OutMut<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let draw = |block: &Block, to: ArrayViewMutD<'_, _>| gaussian(block, OutMut::F32(to));
    let factor = gain as f32;
    let scaled = |x: f64| x as f32 * factor;
    match out {
        OutMut::F16(out) => qr::fill(block, out, exec, draw, |x| Round::rounded(scaled(x))),
        OutMut::F32(out) => qr::fill(block, out, exec, draw, scaled),
        OutMut::F64(out) => qr::fill(block, out, exec, draw, |x| f64::from(scaled(x))),
        OutMut::F8E4M3Fn(out) => qr::fill(block, out, exec, draw, |x| Round::rounded(scaled(x))),
        OutMut::F8E5M2(out) => qr::fill(block, out, exec, draw, |x| Round::rounded(scaled(x))),
        OutMut::BF16(out) => {
            let draw = |block: &Block, to: ArrayViewMutD<'_, _>| gaussian(block, OutMut::BF16(to));
            qr::fill(block, out, exec, draw, |x| Round::rounded((x * gain) as f32))
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, ArrayD, IxDyn};

    use super::*;
    use crate::simd::lend;

    /// The result is rounded to float32 before it is scaled in float32, and then once more.
    #[test]
    fn results_are_rounded_as_numpy_does() {
        let a = Array2::from_shape_fn((7, 4), |(i, k)| ((i * i + 3 * k) as f32 * 1.7).sin());
        let block = Block::whole(&[2, 2, 7]).unwrap();
        let mut out = ArrayD::<f64>::zeros(IxDyn(&[2, 2, 7]));
        let draw = |block: &Block, to: OutMut<'_>| {
            assert_eq!(block.shape(), [7, 4]);
            let OutMut::F32(mut to) = to else { panic!("float32") };
            to.iter_mut().zip(&a).for_each(|(to, &x)| {
                to.write(x);
            });
            Ok(())
        };
        let memory = lend(out.as_slice_mut().unwrap());
        let view = ArrayViewMutD::from_shape(IxDyn(&[2, 2, 7]), memory).unwrap();
        fill(1.1, &block, OutMut::F64(view), &Exec::serial(), draw).unwrap();
        let out = out.into_shape_with_order((4, 7)).unwrap();
        let mut q = Array2::<f64>::zeros((7, 4));
        let memory = lend(q.as_slice_mut().unwrap());
        let view = ArrayViewMutD::from_shape(IxDyn(&[7, 4]), memory).unwrap();
        let draw = |_: &Block, mut to: ArrayViewMutD<'_, std::mem::MaybeUninit<f32>>| {
            to.iter_mut().zip(&a).for_each(|(to, &x)| {
                to.write(x);
            });
            Ok(())
        };
        let whole = Block::whole(&[7, 4]).unwrap();
        qr::fill(&whole, view, &Exec::serial(), draw, |x| x).unwrap();
        assert_eq!(out.t(), q.mapv(|x| f64::from(x as f32 * 1.1f32)));
    }
}
