//! Fresh memory, which the system gives out page by page.
//!
//! A page comes at its first write, after the system has filled it with zeros. A strip of columns
//! passes through every row of a matrix, so a task that writes the first strip of a fresh matrix
//! would wait for all its pages: for half a second where the matrix has 512 MB, in which nobody
//! asks whether the call is to stop. [`touch`] and [`touch_matrix`] get the pages before that, some
//! at a time.

use std::mem::MaybeUninit;

use bytemuck::Pod;
use ndarray::{ArrayViewMut2, Axis};

use crate::error::Error;
use crate::parallel::Exec;

/// Bytes of a page: of the smallest that processors have, so that larger ones are met as well.
pub(crate) const PAGE: usize = 4096;

/// The most bytes whose pages one task gets: milliseconds where pages are slow to come.
const MAX_TASK: usize = 4 << 20;

/// Gets the pages of `memory`, whose numbers are still zero.
///
/// # Errors
/// [`Error::Interrupted`].
pub(crate) fn touch<T: Pod + Send>(memory: &mut [T], exec: &Exec<'_>) -> Result<(), Error> {
    exec.for_each(
        memory.chunks_mut(MAX_TASK / size_of::<T>()),
        || (),
        |(), part| {
            part.iter_mut().step_by(PAGE / size_of::<T>()).for_each(|x| *x = T::zeroed());
            Ok(())
        },
    )
}

/// Gets the pages of `matrix` by writing `value` to some of its elements, at least one a page.
///
/// # Errors
/// [`Error::Interrupted`].
pub(crate) fn touch_matrix<T: Copy + Send + Sync>(
    matrix: ArrayViewMut2<'_, MaybeUninit<T>>,
    value: T,
    exec: &Exec<'_>,
) -> Result<(), Error> {
    let far = |matrix: &ArrayViewMut2<'_, _>, axis: usize| {
        (matrix.strides()[axis].unsigned_abs() * size_of::<T>()).max(1)
    };
    let mut matrix = matrix;
    if far(&matrix, 0) < far(&matrix, 1) {
        matrix = matrix.reversed_axes();
    }
    let (row, element) = (far(&matrix, 0), far(&matrix, 1));
    let steps = [row, element].map(|bytes| (PAGE / bytes).max(1));
    // Rows are cut where they are longer than a task.
    for mut part in matrix.axis_chunks_iter_mut(Axis(1), (MAX_TASK / element).max(1)) {
        exec.for_each(
            part.axis_chunks_iter_mut(Axis(0), (MAX_TASK / row).max(1)),
            || (),
            |(), mut part| {
                let (rows, columns) = part.dim();
                for i in (0..rows).step_by(steps[0]).chain([rows - 1]) {
                    for k in (0..columns).step_by(steps[1]).chain([columns - 1]) {
                        part[[i, k]].write(value);
                    }
                }
                Ok(())
            },
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use ndarray::{Array2, ShapeBuilder};

    use super::*;
    use crate::simd::lend;

    /// Whether every page that holds a number of `memory` holds one that `is_written`.
    fn all_pages<T>(memory: &[T], is_written: impl Fn(&T) -> bool) -> bool {
        let page = |i: usize| (memory.as_ptr() as usize + i * size_of::<T>()) / PAGE;
        let mut written: Vec<_> =
            (0..memory.len()).filter(|&i| is_written(&memory[i])).map(page).collect();
        written.dedup();
        let mut all: Vec<_> = (0..memory.len()).map(page).collect();
        all.dedup();
        written == all
    }

    #[test]
    fn every_page_of_a_matrix_is_written_in_small_tasks() {
        let shapes = [(1, 1), (1, 5000), (5000, 1), (3, 700_000), (3000, 1000), (90_000, 13)];
        for (rows, columns) in shapes {
            for transposed in [false, true] {
                let shape = (rows, columns).set_f(transposed);
                let mut matrix = Array2::<f64>::from_elem(shape, 1.0);
                let asked = Cell::new(0);
                let stop = || {
                    asked.set(asked.get() + 1);
                    false
                };
                let view = matrix.view_mut();
                let (shape, strides) = (view.raw_dim(), view.strides().to_vec());
                let strides = [strides[0] as usize, strides[1] as usize];
                let memory = matrix.as_slice_memory_order_mut().unwrap();
                let shape = shape.strides(ndarray::Dim(strides));
                let view = ArrayViewMut2::from_shape(shape, lend(memory)).unwrap();
                touch_matrix(view, 0.0, &Exec::new(None, &stop)).unwrap();
                assert!(all_pages(memory, |&x| x == 0.0), "{rows} x {columns}");
                assert!(asked.get() > memory.len() * 8 / MAX_TASK, "{rows} x {columns}");
                if memory.len() > 1 << 20 {
                    let written = memory.iter().filter(|&&x| x == 0.0).count();
                    assert!(written < memory.len() / 100, "{rows} x {columns}: {written}");
                }
            }
        }
    }

    #[test]
    fn a_call_can_be_stopped_between_two_tasks() {
        let mut memory = vec![0f32; 5 * MAX_TASK / 4];
        let asked = Cell::new(0);
        let stop = || {
            asked.set(asked.get() + 1);
            asked.get() == 3
        };
        assert_eq!(touch(&mut memory, &Exec::new(None, &stop)), Err(Error::Interrupted));
        assert_eq!(asked.get(), 3);
        assert_eq!(touch(&mut memory, &Exec::serial()), Ok(()));
    }
}
