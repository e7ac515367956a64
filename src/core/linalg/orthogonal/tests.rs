//! The definition against an unblocked model in f64, and its invariances.

use std::num::NonZero;

use ndarray::{Array2, ArrayD, IxDyn};

use super::*;
use crate::block::Axis;
use crate::element::{bf16, f16};
use crate::parallel::Pool;

/// Approximate normals by a hash of the element's number: sums of twelve uniforms. The matrix's
/// algebra does not depend on their law.
struct Hashed(u64);

impl Hashed {
    fn at(&self, e: u64) -> f64 {
        let mut state = e.wrapping_add(self.0 << 40);
        (0..12)
            .map(|_| {
                state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let z = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
                (z >> 11) as f64 / (1u64 << 53) as f64
            })
            .sum::<f64>()
            - 6.0
    }
}

impl<T: Lane> NormalSource<T> for Hashed {
    fn fill(&self, first: u64, out: &mut [T]) {
        out.iter_mut().zip(first..).for_each(|(x, e)| *x = T::from_f64(self.at(e)));
    }
}

/// All elements the same.
struct Constant(f64);

impl<T: Lane> NormalSource<T> for Constant {
    fn fill(&self, _: u64, out: &mut [T]) {
        out.fill(T::from_f64(self.0));
    }
}

macro_rules! computed {
    ($name:ident, $t:ty, $variant:ident) => {
        fn $name(
            source: &(impl NormalSource<f32> + NormalSource<f64>),
            gain: f64,
            block: &Block,
            exec: &Exec<'_>,
        ) -> ArrayD<$t> {
            let shape: Vec<_> = block.axes().iter().map(|axis| axis.len).collect();
            let mut out = ArrayD::uninit(IxDyn(&shape));
            fill(source, gain, block, OutMut::$variant(out.view_mut()), exec).unwrap();
            // SAFETY: a fill that returns without an error has written every element.
            unsafe { out.assume_init() }
        }
    };
}
computed!(single, f32, F32);
computed!(double, f64, F64);

/// Householder's product in f64, one reflector at a time: the definition without its blocks.
fn model<T: Lane>(source: &dyn NormalSource<T>, rows: usize, columns: usize) -> Array2<f64> {
    let (m, n) = (rows.max(columns), rows.min(columns));
    let mut v = Array2::<f64>::zeros((m, n));
    let mut signs = vec![0.0; n];
    for k in 0..n {
        let column: Vec<f64> = (k..m)
            .map(|i| {
                let e = (i * n + k) as u64;
                let mut x = [T::ZERO];
                source.fill(e, &mut x);
                x[0].to_f64()
            })
            .collect();
        let sign = if column[0] < 0.0 { -1.0 } else { 1.0 };
        let norm = column.iter().map(|x| x * x).sum::<f64>().sqrt();
        signs[k] = if norm == 0.0 || k + 1 == m { sign } else { -sign };
        if norm == 0.0 || k + 1 == m {
            continue;
        }
        let reach = norm + column[0].abs();
        let scale = 1.0 / (norm * reach).sqrt();
        for (i, x) in column.iter().enumerate() {
            v[[k + i, k]] = if i == 0 { sign * reach * scale } else { x * scale };
        }
    }
    let mut q = Array2::from_shape_fn((m, n), |(i, k)| f64::from(u8::from(i == k)));
    for k in (0..n).rev() {
        for l in k..n {
            let dot: f64 = (k..m).map(|i| v[[i, k]] * q[[i, l]]).sum();
            (k..m).for_each(|i| q[[i, l]] -= v[[i, k]] * dot);
        }
    }
    (0..n).for_each(|k| q.column_mut(k).iter_mut().for_each(|x| *x *= signs[k]));
    if rows >= columns { q } else { q.reversed_axes() }
}

const SHAPES: [(usize, usize); 20] = [
    (1, 1),
    (2, 1),
    (1, 5),
    (2, 2),
    (3, 2),
    (7, 7),
    (16, 17),
    (95, 95),
    (96, 96),
    (97, 97),
    (96, 200),
    (191, 130),
    (193, 193),
    (257, 255),
    (1023, 5),
    (1025, 1),
    (1030, 97),
    (2100, 100),
    (3000, 3),
    (2050, 200),
];

fn largest(a: impl Iterator<Item = f64>) -> f64 {
    a.fold(0.0, |a, b| a.max(b.abs()))
}

/// Elements are of order one and pass some tens of roundings of random sign; the model, itself in
/// f64, has as many.
#[test]
fn agrees_with_the_unblocked_model() {
    let exec = Exec::serial();
    for (rows, columns) in SHAPES {
        let block = Block::whole(&[rows, columns]).unwrap();
        let source = Hashed(3);
        let q = double(&source, 1.0, &block, &exec).into_dimensionality::<Ix2>().unwrap();
        let error = largest((&q - &model::<f64>(&source, rows, columns)).iter().copied());
        assert!(error <= 10.0 * f64::EPSILON, "{rows} x {columns}: {error:e}");
        let q = single(&source, 1.0, &block, &exec).into_dimensionality::<Ix2>().unwrap();
        let q = q.mapv(f64::from);
        let error = largest((&q - &model::<f32>(&source, rows, columns)).iter().copied());
        assert!(error <= 10.0 * f64::from(f32::EPSILON), "{rows} x {columns}: {error:e}");
        let tall = if rows >= columns { q } else { q.reversed_axes() };
        let rest = tall.t().dot(&tall) - Array2::<f64>::eye(tall.ncols());
        assert!(largest(rest.iter().copied()) <= 10.0 * f64::from(f32::EPSILON));
    }
}

#[test]
fn threads_and_instruction_sets_do_not_show() {
    for (rows, columns) in SHAPES.into_iter().chain([(5000, 96), (300, 300), (2500, 210)]) {
        let block = Block::whole(&[rows, columns]).unwrap();
        let whole = single(&Hashed(5), 0.5, &block, &Exec::serial());
        for threads in [2, 3, 8] {
            let pool = Pool::new(NonZero::new(threads).unwrap()).unwrap();
            let exec = Exec::new(Some(&pool), &|| false);
            assert_eq!(single(&Hashed(5), 0.5, &block, &exec), whole, "{rows} x {columns}");
        }
        let transposed = Block::whole(&[columns, rows]).unwrap();
        let transposed = single(&Hashed(5), 0.5, &transposed, &Exec::serial());
        if rows != columns {
            assert_eq!(transposed.reversed_axes(), whole);
        }
    }
}

#[test]
fn leading_dimensions_are_rows_and_blocks_are_parts() {
    let exec = Exec::serial();
    let flat = double(&Hashed(1), 2.0, &Block::whole(&[30, 7]).unwrap(), &exec);
    let block = Block::whole(&[5, 3, 2, 7]).unwrap();
    let deep = double(&Hashed(1), 2.0, &block, &exec);
    assert_eq!(deep.flatten(), flat.flatten());
    let axis = |start, step, len| Axis { start, step, len };
    let axes = vec![axis(4, -2, 2), axis(1, 1, 2), axis(0, 1, 1), axis(5, -3, 2)];
    let block = Block::new(vec![5, 3, 2, 7], axes).unwrap();
    let part = double(&Hashed(1), 2.0, &block, &exec);
    // ndarray's negative steps start at the end of their range.
    let expected = deep.slice(ndarray::s![2..5;-2, 1..3, 0..1, 2..6;-3]);
    assert_eq!(part, expected.to_owned().into_dyn());
    for shape in [vec![0, 4], vec![4, 0], vec![3, 0, 2]] {
        assert!(double(&Hashed(1), 1.0, &Block::whole(&shape).unwrap(), &exec).is_empty());
    }
    for shape in [vec![], vec![4]] {
        let mut out = ArrayD::<f32>::uninit(IxDyn(&shape));
        let block = Block::whole(&shape).unwrap();
        let result = fill(&Hashed(1), 1.0, &block, OutMut::F32(out.view_mut()), &exec);
        assert!(matches!(result, Err(Error::Value { argument: "shape", .. })));
    }
}

#[test]
fn small_floats_are_the_single_ones_rounded() {
    let block = Block::whole(&[40, 30]).unwrap();
    let whole = single(&Hashed(8), 3.0, &block, &Exec::serial());
    let mut out = ArrayD::<f16>::uninit(IxDyn(&[40, 30]));
    fill(&Hashed(8), 3.0, &block, OutMut::F16(out.view_mut()), &Exec::serial()).unwrap();
    // SAFETY: filled.
    let out = unsafe { out.assume_init() };
    assert_eq!(out, whole.mapv(f16::from_f32));
    let mut out = ArrayD::<bf16>::uninit(IxDyn(&[40, 30]));
    fill(&Hashed(8), 3.0, &block, OutMut::BF16(out.view_mut()), &Exec::serial()).unwrap();
    // SAFETY: filled.
    let out = unsafe { out.assume_init() };
    assert_eq!(out, whole.mapv(bf16::from_f32));
}

/// A vector of norm zero reflects nothing; no value of the stream makes a NaN.
#[test]
fn degenerate_normals_are_defined() {
    let block = Block::whole(&[130, 120]).unwrap();
    let q = single(&Constant(0.0), 2.0, &block, &Exec::serial());
    for ((i, k), &x) in q.into_dimensionality::<Ix2>().unwrap().indexed_iter() {
        assert_eq!(x, if i == k { 2.0 } else { 0.0 });
    }
    for x in [1.0, -1.0, 1e-300, f64::MIN_POSITIVE] {
        let q = single(&Constant(x), 1.0, &block, &Exec::serial());
        assert!(q.iter().all(|x| x.is_finite()));
        let q = double(&Constant(x), 1.0, &block, &Exec::serial());
        assert!(q.iter().all(|x| x.is_finite()));
    }
}

#[test]
fn workspace_that_cannot_be_had_is_an_error() {
    let axis = Axis { start: 0, step: 1, len: 1 };
    for shape in [[1usize << 40, 1 << 20], [1 << 62, 1], [1 << 30, 1 << 31]] {
        let block = Block::new(shape.to_vec(), vec![axis; 2]).unwrap();
        let mut out = ArrayD::<f32>::uninit(IxDyn(&[1, 1]));
        let result = fill(&Hashed(1), 1.0, &block, OutMut::F32(out.view_mut()), &Exec::serial());
        assert!(matches!(result, Err(Error::OutOfMemory { .. })), "{shape:?}");
    }
}
