//! Q of a given matrix: against nalgebra's QR, and the zero column.

use ndarray::Array2;

use super::*;

fn orthogonal(a: &Array2<f64>, threads: usize) -> Array2<f64> {
    let pool = crate::parallel::Pool::new(std::num::NonZero::new(threads).unwrap()).unwrap();
    let exec = Exec::new(Some(&pool), &|| false);
    let (m, n) = a.dim();
    let mut reflectors = Reflectors::<f64>::allocate(m, n).unwrap();
    let factoring = Factoring::allocate(&reflectors, &exec).unwrap();
    let former = Former::allocate(m, n, &exec).unwrap();
    factoring.run(a.as_slice().unwrap(), &mut reflectors, &exec).unwrap();
    let mut out = Array2::uninit((m, n));
    former.form(&mut reflectors, out.view_mut(), &exec, |x| x).unwrap();
    // SAFETY: a former that returns without an error has written every element.
    unsafe { out.assume_init() }
}

fn matrix(m: usize, n: usize) -> Array2<f64> {
    let mut state = 1u64;
    Array2::from_shape_fn((m, n), |_| {
        (0..12)
            .map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 11) as f64 / (1u64 << 53) as f64 - 0.5
            })
            .sum()
    })
}

/// Q's columns differ by the rounding of either factorization times the condition number of the
/// leading columns, which is at most about a thousand for Gaussian-like matrices of these sizes.
#[test]
fn agrees_with_nalgebra() {
    for (m, n) in [
        (1, 1),
        (3, 1),
        (2, 2),
        (17, 16),
        (96, 96),
        (97, 97),
        (130, 100),
        (1100, 40),
        (2100, 200),
        (300, 299),
        (1100, 900),
        (17_500, 50),
    ] {
        let a = matrix(m, n);
        let q = orthogonal(&a, 1);
        assert_eq!(q, orthogonal(&a, 3));
        let (oracle, r) = nalgebra::DMatrix::from_fn(m, n, |i, k| a[[i, k]]).qr().unpack();
        for ((i, k), x) in q.indexed_iter() {
            let expected = oracle[(i, k)] * r[(k, k)].signum();
            assert!((x - expected).abs() < 1e3 * 10.0 * f64::EPSILON, "{m} x {n} at {i}, {k}");
        }
        let rest = q.t().dot(&q) - Array2::<f64>::eye(n);
        assert!(rest.iter().all(|x| x.abs() < 10.0 * f64::EPSILON));
    }
}

/// sign(0) is 0.
#[test]
fn a_zero_on_the_diagonal_of_r_gives_a_zero_column() {
    let mut a = matrix(5, 3);
    a.column_mut(1).fill(0.0);
    let q = orthogonal(&a, 1);
    assert!(q.column(1).iter().all(|&x| x == 0.0));
    assert!((q.column(0).dot(&q.column(0)) - 1.0).abs() < 1e-14);
    assert_eq!(orthogonal(&Array2::zeros((1, 1)), 1)[[0, 0]], 0.0);
    assert_eq!(orthogonal(&Array2::from_elem((1, 1), -3.0), 1)[[0, 0]], -1.0);
}
