//! Fans: how many units a weight tensor connects on each side.
//!
//! The rules are those of Keras 3.15 (`compute_fans` in
//! `keras/src/initializers/random_initializers.py`). Every variance-scaling initializer divides by
//! a fan. Fans depend on the *global* shape: a block of a tensor has those of the whole.

use crate::error::Error;

/// The fans `(fan_in, fan_out)` of a weight tensor.
///
/// Where both `input_axes` and `output_axes` are given, each fan is the product of the shape over
/// its axes. Negative axes count from the end, an axis given twice counts twice, and the product
/// over no axes is 1. Where either is missing, the other is ignored, as Keras does, and the rank
/// decides: both are 1 for a scalar and the length for a vector, and they are `(rows, columns)` for
/// a matrix. Anything of higher rank is a convolution kernel `(..., input channels, output
/// channels)`, whose channels are multiplied by the size of the receptive field before them.
///
/// The products are exact up to `2**128` and then rounded once to a double.
///
/// # Errors
/// [`Error::Index`] for an axis outside `-rank .. rank`.
pub fn compute_fans(
    shape: &[usize],
    input_axes: Option<&[isize]>,
    output_axes: Option<&[isize]>,
) -> Result<(f64, f64), Error> {
    if let (Some(input), Some(output)) = (input_axes, output_axes) {
        return Ok((
            product_over(shape, "input_axes", input)?,
            product_over(shape, "output_axes", output)?,
        ));
    }
    Ok(match *shape {
        [] => (1.0, 1.0),
        [len] => (len as f64, len as f64),
        [.., input, output] => {
            let field = || shape[..shape.len() - 2].iter().copied();
            (product(field().chain([input])), product(field().chain([output])))
        }
    })
}

fn product_over(shape: &[usize], argument: &'static str, axes: &[isize]) -> Result<f64, Error> {
    let rank = shape.len() as isize;
    let dimensions = axes
        .iter()
        .map(|&axis| {
            let from_front = if axis < 0 { axis.saturating_add(rank) } else { axis };
            usize::try_from(from_front).ok().and_then(|axis| shape.get(axis).copied()).ok_or_else(
                || Error::Index {
                    argument,
                    rule: format!("must name axes of a shape of rank {rank}"),
                    received: format!("{axes:?} for shape {shape:?}"),
                },
            )
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(product(dimensions.into_iter()))
}

/// The product. Up to 128 bits it is exact and rounded once, so that a division by it equals
/// Python's division of a float by the integer.
fn product(dimensions: impl Iterator<Item = usize> + Clone) -> f64 {
    if dimensions.clone().any(|len| len == 0) {
        return 0.0; // The others may multiply to infinity, and 0 times that is NaN.
    }
    let exact = dimensions.clone().try_fold(1u128, |all, len| all.checked_mul(len as u128));
    exact.map_or_else(|| dimensions.map(|len| len as f64).product(), |exact| exact as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rank_decides() {
        let cases: [(&[usize], (f64, f64)); 8] = [
            (&[], (1.0, 1.0)),
            (&[7], (7.0, 7.0)),
            (&[3, 5], (3.0, 5.0)),
            (&[4, 3, 5], (12.0, 20.0)),
            (&[3, 3, 16, 32], (144.0, 288.0)),
            (&[2, 3, 4, 5, 6], (120.0, 144.0)),
            (&[0, 5], (0.0, 5.0)),
            (&[0, 3, 5], (0.0, 0.0)),
        ];
        for (shape, fans) in cases {
            assert_eq!(compute_fans(shape, None, None), Ok(fans), "{shape:?}");
        }
    }

    #[test]
    fn axes_decide_when_both_are_given() {
        let shape = [2, 3, 5, 7];
        let both = |input: &[isize], output: &[isize]| {
            compute_fans(&shape, Some(input), Some(output)).unwrap()
        };
        assert_eq!(both(&[0], &[1, 2]), (2.0, 15.0));
        assert_eq!(both(&[-1, -4], &[]), (14.0, 1.0));
        assert_eq!(both(&[1, 1], &[3]), (9.0, 7.0));
        let neither = compute_fans(&shape, None, None);
        assert_eq!(compute_fans(&shape, Some(&[9]), None), neither);
        assert_eq!(compute_fans(&shape, None, Some(&[9])), neither);
    }

    #[test]
    fn axes_outside_the_rank_are_named() {
        for axis in [4, -5, isize::MAX, isize::MIN] {
            let error = compute_fans(&[2, 3, 5, 7], Some(&[0]), Some(&[axis])).unwrap_err();
            assert!(matches!(error, Error::Index { argument: "output_axes", .. }), "{error}");
        }
    }

    #[test]
    fn huge_dimensions_do_not_wrap() {
        let huge = usize::MAX;
        assert_eq!(compute_fans(&[huge, 2, 0], None, None).unwrap().1, 0.0);
        assert_eq!(
            compute_fans(&[[huge; 20].as_slice(), &[0]].concat(), None, None).unwrap().1,
            0.0
        );
        let (fan_in, _) = compute_fans(&[huge, huge, huge, 1], None, None).unwrap();
        assert!((fan_in / 2f64.powi(192) - 1.0).abs() < 1e-15);
        // 2**53 + 1 times 3 rounds once, to even.
        let (fan_in, _) = compute_fans(&[3, (1 << 53) + 1, 1], None, None).unwrap();
        assert_eq!(fan_in, (3u64 * ((1 << 53) + 1)) as f64);
    }
}
