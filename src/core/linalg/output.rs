//! Writing rows of the result to the caller's memory.

use std::mem::MaybeUninit;

use ndarray::ArrayViewMut2;

use crate::simd::Lane;

/// Writes `finish(c[r][l] * scales[l])` to row r and column l of `out`, which has as many columns
/// as `scales`. Rows and columns of padding in `c` are left out.
pub(super) fn write_rows<T: Lane, O>(
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
    // `out` is laid out by columns. A few rows at a time: `c` is read column by column, and its
    // cache lines are needed again for the next columns.
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
