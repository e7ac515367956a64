//! The caller's memory, seen as the tall matrix that is computed.

use std::mem::MaybeUninit;

use half::{bf16, f16};
use ndarray::ArrayViewMut2;

use super::real::Real;
use crate::element::{F8E4M3Fn, F8E5M2};

/// An element type that results computed in `T` are rounded to, once, to nearest even.
pub(super) trait Rounded<T>: Copy + Send + Sync {
    fn round(x: T) -> Self;
}

macro_rules! rounded {
    ($($t:ty => $out:ty: |$x:ident| $e:expr;)*) => {$(
        impl Rounded<$t> for $out {
            #[inline(always)]
            fn round($x: $t) -> Self {
                $e
            }
        }
    )*};
}
rounded! {
    f32 => f32: |x| x;
    f64 => f64: |x| x;
    f32 => f16: |x| f16::from_f32(x);
    f32 => bf16: |x| bf16::from_f32(x);
    f32 => F8E4M3Fn: |x| match x.abs() {
        // Past the midpoint of 448 and what would follow; or NaN.
        m if m <= 464.0 => F8E4M3Fn::from_f32(x),
        _ => F8E4M3Fn(0x7f | (x.is_sign_negative() as u8) << 7),
    };
    f32 => F8E5M2: |x| match x.abs() {
        m if m < 61440.0 => F8E5M2::from_f32(x),
        m => F8E5M2(if m.is_nan() { 0x7e } else { 0x7c } | (x.is_sign_negative() as u8) << 7),
    };
}

/// Writes rows of the result, `finish(c[r][l] * scales[l])`, into `out`, of as many rows as `c` has
/// (padding left out) and as many columns as `scales`.
pub(super) fn write_rows<T: Real, O>(
    c: &[T],
    c_width: usize,
    scales: &[T],
    mut out: ArrayViewMut2<'_, MaybeUninit<O>>,
    finish: impl Fn(T) -> O,
) {
    let value = |x: T, scale: T| MaybeUninit::new(finish(x * scale));
    if out.strides()[0].unsigned_abs() >= out.strides()[1].unsigned_abs() {
        for (mut out, c) in out.rows_mut().into_iter().zip(c.chunks_exact(c_width)) {
            let pairs = c.iter().zip(scales);
            match out.as_slice_mut() {
                Some(out) => {
                    out.iter_mut().zip(pairs).for_each(|(out, (&x, &s))| *out = value(x, s))
                }
                None => out.iter_mut().zip(pairs).for_each(|(out, (&x, &s))| *out = value(x, s)),
            }
        }
        return;
    }
    // The transpose: a few rows at a time, so that the lines of `c` read column by column stay in
    // the cache.
    const ROWS: usize = 32;
    for (mut out, c) in
        out.axis_chunks_iter_mut(ndarray::Axis(0), ROWS).zip(c.chunks(ROWS * c_width))
    {
        for ((l, mut out), &s) in out.columns_mut().into_iter().enumerate().zip(scales) {
            let column = c[l..].iter().step_by(c_width);
            match out.as_slice_mut() {
                Some(out) => out.iter_mut().zip(column).for_each(|(out, &x)| *out = value(x, s)),
                None => out.iter_mut().zip(column).for_each(|(out, &x)| *out = value(x, s)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The edges of the 8-bit formats, as `ml_dtypes` converts: E4M3FN has no infinity.
    #[test]
    fn eight_bit_floats_overflow_to_nan_and_infinity() {
        let four = [448.0, 464.0, 464.1, -1e30, f32::INFINITY, f32::NAN];
        let bits = four.map(|x| <F8E4M3Fn as Rounded<f32>>::round(x).0);
        assert_eq!(bits, [0x7e, 0x7e, 0x7f, 0xff, 0x7f, 0x7f]);
        let five = [57344.0, 61439.0, 61440.0, -1e30, f32::INFINITY, f32::NAN];
        let bits = five.map(|x| <F8E5M2 as Rounded<f32>>::round(x).0);
        assert_eq!(bits, [0x7b, 0x7b, 0x7c, 0xfc, 0x7c, 0x7e]);
    }
}
