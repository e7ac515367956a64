//! Known answers of TensorFlow, and that they depend on nothing but the elements' numbers.

use std::num::NonZero;

use ndarray::{ArrayViewMutD, IxDyn};

use super::*;
use crate::block::Axis;
use crate::parallel::Pool;
use crate::simd::{Isa, holding};

/// A row of the vectors.
struct Row {
    values: Values,
    dtype: DType,
    key: Key,
    first: usize,
    bits: Vec<u64>,
}

fn rows() -> Vec<Row> {
    let table = include_str!("../../../../tests/vectors/tensorflow_stream.txt");
    let rows: Vec<Row> = table.lines().filter(|line| !line.starts_with('#')).map(row).collect();
    assert!(rows.len() > 300);
    rows
}

fn row(line: &str) -> Row {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let number = |i: usize| fields[i].parse::<f64>().unwrap();
    Row {
        values: Values::Independent(distribution(fields[0], number(4), number(5))),
        dtype: DType::ALL.into_iter().find(|dtype| dtype.name() == fields[1]).unwrap(),
        key: Key { seed: fields[2].parse().unwrap(), draw: fields[3].parse().unwrap() },
        first: fields[6].parse().unwrap(),
        bits: fields[7..].iter().map(|word| u64::from_str_radix(word, 16).unwrap()).collect(),
    }
}

fn distribution(name: &str, a: f64, b: f64) -> Distribution {
    match name {
        "uniform" => Distribution::Uniform { low: a, high: b },
        "normal" => Distribution::Normal { mean: a, stddev: b },
        "truncated_normal" => {
            Distribution::TruncatedNormal { mean: a, stddev: b, lower: -2.0, upper: 2.0 }
        }
        _ => panic!("{name}"),
    }
}

/// The bits of elements `first ..`, `len` of them `step` apart, of a long vector.
fn draw(plan: &dyn Plan, dtype: DType, (first, step, len): (usize, isize, usize)) -> Vec<u64> {
    fn of<E: Copy + Default>(
        out: impl FnOnce(ArrayViewMutD<'_, std::mem::MaybeUninit<E>>),
        len: usize,
    ) -> Vec<E> {
        let mut memory = vec![E::default(); len];
        out(ArrayViewMutD::from_shape(IxDyn(&[len]), lend(&mut memory)).unwrap());
        memory
    }
    let block = Block::new(vec![1 << 40], vec![Axis { start: first, step, len }]).unwrap();
    let fill = |out: OutMut<'_>| plan.fill(&block, out, &Exec::serial()).unwrap();
    match dtype {
        DType::F16 => bits(of(|out| fill(OutMut::F16(out)), len), |x: f16| x.to_bits().into()),
        DType::BF16 => bits(of(|out| fill(OutMut::BF16(out)), len), |x: bf16| x.to_bits().into()),
        DType::F32 => bits(of(|out| fill(OutMut::F32(out)), len), |x: f32| x.to_bits().into()),
        DType::F64 => bits(of(|out| fill(OutMut::F64(out)), len), |x: f64| x.to_bits()),
        DType::F8E4M3Fn | DType::F8E5M2 => panic!("TensorFlow does not draw them"),
    }
}

fn bits<E>(values: Vec<E>, bits: impl Fn(E) -> u64) -> Vec<u64> {
    values.into_iter().map(bits).collect()
}

#[test]
fn known_answers_on_every_instruction_set() {
    for row in rows() {
        let plan = TensorFlow.plan(&row.values, row.key, &[1 << 40], row.dtype).unwrap();
        for isa in Isa::available() {
            let got = holding(isa, || draw(&*plan, row.dtype, (row.first, 1, row.bits.len())));
            assert_eq!(got, row.bits, "{:?} {:?} {isa:?}", row.values, row.dtype);
        }
    }
}

#[test]
fn elements_depend_on_their_number_alone() {
    let carry = 1 << 26;
    let parameters = [(0.25, 0.75), (0.25, 2e-38)];
    for (a, b) in parameters {
        for name in ["uniform", "normal", "truncated_normal"] {
            let values = Values::Independent(distribution(name, a, b));
            for dtype in [DType::F16, DType::BF16, DType::F32, DType::F64] {
                let key = Key { seed: 9, draw: 1 };
                let plan = TensorFlow.plan(&values, key, &[1 << 40], dtype).unwrap();
                let base = carry - 9000;
                let whole = draw(&*plan, dtype, (base, 1, 18_000));
                for isa in Isa::available() {
                    for (first, step, len) in [
                        (0, 1, 18_000),
                        (1, 1, 17_999),
                        (2, 1, 255),
                        (3, 1, 256),
                        (5, 1, 257),
                        (8999, 1, 1),
                        (8998, 1, 4),
                        (4095, 1, 5000),
                        (7, 3, 3000),
                        (17_999, -1, 18_000),
                        (17_000, -50, 300),
                    ] {
                        let got = holding(isa, || draw(&*plan, dtype, (base + first, step, len)));
                        let expected = (0..len as isize).map(|i| first as isize + step * i);
                        let expected = expected.map(|i| whole[i as usize]);
                        assert!(
                            expected.eq(got),
                            "{values:?} {dtype:?} {isa:?} {first} {step} {len}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same() {
    let values = Values::Independent(distribution("truncated_normal", 0.0, 1.0));
    let key = Key { seed: 1, draw: 0 };
    let plan = TensorFlow.plan(&values, key, &[1 << 20], DType::F32).unwrap();
    let block = Block::whole(&[1 << 20]).unwrap();
    let draw = |exec: &Exec<'_>| {
        let mut memory = vec![0f32; 1 << 20];
        let out = ArrayViewMutD::from_shape(IxDyn(&[1 << 20]), lend(&mut memory)).unwrap();
        plan.fill(&block, OutMut::F32(out), exec).unwrap();
        memory
    };
    let expected = draw(&Exec::serial());
    for threads in [2, 3, 7] {
        let pool = Pool::new(NonZero::new(threads).unwrap()).unwrap();
        assert!(draw(&Exec::new(Some(&pool), &|| false)) == expected, "{threads}");
    }
}

#[test]
fn states_are_taken_modulo_keras_period() {
    let start = |seed, draw| {
        let PhiloxWords { key, counter } = words(Key { seed, draw });
        [key, counter]
    };
    assert_eq!(start(42, 0), [[0x89e7_4cef, 0x5393_9b05], [0x8e91_81c6, 0xb2ca_7bfa]]);
    assert_eq!(start(0, 0), [[0xdd5b_9083, 0xdf7a_3ef6], [0x33da_8054, 0xff2f_51a8]]);
    assert_eq!(start(2_147_483_645, 0), [[0xf9e2_8417, 0x06d0_6928], [0x14ad_4452, 0x9a30_8f17]]);
    assert_eq!(start(u64::MAX, 0), start(2_147_483_645, 0));
    assert_eq!(start(STATE_END as u64 + 42, 7), start(42, 7));
    assert_ne!(start(42, 0), start(42, 1));
    assert_eq!(start(42, STATE_END as u32 + 3), start(42, 3));
}

#[test]
fn what_tensorflow_does_not_draw_is_refused() {
    let key = Key { seed: 0, draw: 0 };
    let refused = |values: Values, dtype| {
        let Err(error) = TensorFlow.plan(&values, key, &[4, 4], dtype) else {
            panic!("{values:?} {dtype:?}")
        };
        error.to_string()
    };
    let uniform = |low, high| Values::Independent(distribution("uniform", low, high));
    let error = refused(uniform(0.0, 1.0), DType::F8E5M2);
    assert!(error.starts_with("`dtype` must be float16, bfloat16, float32 or float64"), "{error}");
    for dtype in [DType::F32, DType::F64] {
        let error = refused(uniform(-1e39, 1.0), dtype);
        assert!(error.starts_with("`minval` must be within the range of float32"), "{error}");
    }
    let error = refused(Values::Orthogonal { gain: 1.0 }, DType::BF16);
    assert!(error.starts_with("`dtype` must be float16, float32 or float64"), "{error}");
    let mut cut = distribution("truncated_normal", 0.0, 1.0);
    if let Distribution::TruncatedNormal { upper, .. } = &mut cut {
        *upper = 3.0;
    }
    let error = refused(Values::Independent(cut), DType::F32);
    assert!(error.starts_with("`lower` must be -2, and `upper` 2"), "{error}");
}
