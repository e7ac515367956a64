//! The stream against vectors of Keras on JAX, and every way to fill it against every other.

use std::num::NonZero;

use ndarray::{ArrayViewMutD, IxDyn};

use super::Jax;
use crate::block::{Axis, Block};
use crate::distribution::{Distribution, Values};
use crate::element::{DType, F8E4M3Fn, F8E5M2, OutMut, bf16, f16};
use crate::parallel::{Exec, Pool};
use crate::rng::threefry;
use crate::simd::{Isa, Kernel, Simd, holding, lend, run_on};
use crate::stream::counter::sampler::{GROUP, Sampler};
use crate::stream::plan::{Key, Stream};

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

fn fnv1a(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

/// The distribution that a row of vectors means.
fn distribution(sampler: &str, a: f64, b: f64) -> Distribution {
    match sampler {
        "uniform" => Distribution::Uniform { low: a, high: b },
        "normal" => Distribution::Normal { mean: a, stddev: b },
        "truncated_normal" => {
            Distribution::TruncatedNormal { mean: a, stddev: b, lower: -2.0, upper: 2.0 }
        }
        other => panic!("no sampler {other}"),
    }
}

/// The bytes of a block, filled on this thread or, with a pool, on several.
fn bytes(
    distribution: Distribution,
    key: Key,
    dtype: DType,
    block: &Block,
    pool: Option<&Pool>,
) -> Vec<u8> {
    let plan = Jax.plan(&Values::Independent(distribution), key, block.shape(), dtype).unwrap();
    let exec = Exec::new(pool, &|| false);
    macro_rules! filled {
        ($t:ty, $zero:expr, $variant:ident, |$x:ident| $bytes:expr) => {{
            let mut memory: Vec<$t> = vec![$zero; block.len()];
            let out = ArrayViewMutD::from_shape(IxDyn(&[block.len()]), lend(&mut memory)).unwrap();
            plan.fill(block, OutMut::$variant(out), &exec).unwrap();
            memory.into_iter().flat_map(|$x| $bytes).collect()
        }};
    }
    match dtype {
        DType::F16 => filled!(f16, f16::ZERO, F16, |x| x.to_le_bytes()),
        DType::BF16 => filled!(bf16, bf16::ZERO, BF16, |x| x.to_le_bytes()),
        DType::F32 => filled!(f32, 0.0, F32, |x| x.to_le_bytes()),
        DType::F64 => filled!(f64, 0.0, F64, |x| x.to_le_bytes()),
        DType::F8E4M3Fn => filled!(F8E4M3Fn, F8E4M3Fn(0), F8E4M3Fn, |x| [x.0]),
        DType::F8E5M2 => filled!(F8E5M2, F8E5M2(0), F8E5M2, |x| [x.0]),
    }
}

#[test]
fn the_vectors_of_keras_on_jax() {
    let table = include_str!("../../../../tests/vectors/jax_stream.txt");
    let mut rows = 0;
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [sampler, name, seed, draw, count, a, b, ":", hash] = words[..] else {
            panic!("9 words a row: {line}")
        };
        let dtype = *DType::ALL.iter().find(|dtype| dtype.name() == name).unwrap();
        let number = |bits| f64::from_bits(u64::from_str_radix(bits, 16).unwrap());
        let key = Key { seed: seed.parse().unwrap(), draw: draw.parse().unwrap() };
        let block = Block::whole(&[count.parse().unwrap()]).unwrap();
        let made = bytes(distribution(sampler, number(a), number(b)), key, dtype, &block, None);
        assert_eq!(format!("{:016x}", fnv1a(made)), hash, "{line}");
        rows += 1;
    }
    assert!(rows > 500);
}

/// What a sampler makes of every fraction k / 2^23 in order, as a hash of its bits.
struct AllFractions<D>(D);

impl<D: Sampler<f32>> Kernel for AllFractions<D> {
    type Output = u64;
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> u64 {
        let parameters = self.0.splat(simd);
        let size = 2 * GROUP * S::LANES;
        let mut lanes = vec![OFFSET; 4096];
        let mut values = vec![0f32; size];
        for first in (0..1u32 << 23).step_by(size) {
            let mut words = [[simd.splat_u64(0); 2]; GROUP];
            for (i, pair) in words.iter_mut().enumerate() {
                // The words of even number, then those of odd number, as the engine gives them.
                let [mut even, mut odd] = [[0f32; 16]; 2];
                for j in 0..S::LANES {
                    let number = first + (2 * i * S::LANES + position::<S>(simd, j)) as u32;
                    even[j] = f32::from_bits(number << 9);
                    odd[j] = f32::from_bits((number + 1) << 9);
                }
                let load = |from: &[f32]| simd.u32_as_u64(simd.bits_f32(simd.load_f32(from)));
                *pair = [load(&even), load(&odd)];
            }
            let made = D::sample(simd, parameters, words);
            for (i, vector) in made.as_flattened().iter().enumerate() {
                simd.store_f32(*vector, lend(&mut values[i * S::LANES..]));
            }
            for (i, value) in values.iter().enumerate() {
                let lane = &mut lanes[(first as usize + i) % 4096];
                *lane = (*lane ^ u64::from(value.to_bits())).wrapping_mul(PRIME);
            }
        }
        fnv1a(lanes.into_iter().flat_map(u64::to_le_bytes))
    }
}

/// The number, within a vector of blocks, of the even word that lane `j` of 32 bits has.
#[inline(always)]
fn position<S: Simd>(simd: S, j: usize) -> usize {
    let mut numbers = [0f64; 8];
    simd.store_f64(simd.from_bits_f64(simd.block_numbers()), lend(&mut numbers));
    4 * numbers[j / 2].to_bits() as usize + 2 * (j % 2)
}

#[test]
fn every_number_that_a_float32_normal_is_made_of() {
    let table = include_str!("../../../../tests/vectors/jax_erf_inv.txt");
    let standard = || super::Affine::new(0.0, 1.0);
    let mut rows = 0;
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let (sampler, hash) = line.split_once(" : ").unwrap();
        for isa in Isa::available() {
            let made = match sampler {
                "normal" => run_on(isa, AllFractions(super::Normal(standard()))),
                "truncated_normal" => run_on(isa, AllFractions(super::TruncatedNormal(standard()))),
                other => panic!("no sampler {other}"),
            };
            assert_eq!(format!("{made:016x}"), hash, "{isa:?} {sampler}");
        }
        rows += 1;
    }
    assert_eq!(rows, 2);
}

#[test]
fn blocks_threads_and_instruction_sets_agree() {
    let shape = [3, 1201, 37];
    let whole = Block::whole(&shape).unwrap();
    let axis = |start, step, len| Axis { start, step, len };
    let axes = vec![axis(2, -2, 2), axis(7, 1, 1100), axis(36, -3, 11)];
    let part = Block::new(shape.to_vec(), axes).unwrap();
    let pool = Pool::new(NonZero::new(3).unwrap()).unwrap();
    let key = Key { seed: 77, draw: 5 };
    let tiny = Distribution::Normal { mean: 2e-38, stddev: 1e-38 };
    let all = ["uniform", "normal", "truncated_normal"].map(|name| distribution(name, -0.3, 0.7));
    for distribution in all.into_iter().chain([tiny]) {
        for dtype in DType::ALL {
            if distribution == tiny && dtype == DType::F64 {
                continue;
            }
            let expected = bytes(distribution, key, dtype, &whole, None);
            let element = |at: [usize; 3]| {
                let number = (at[0] * shape[1] + at[1]) * shape[2] + at[2];
                &expected[number * dtype.size()..][..dtype.size()]
            };
            let mut expected_part = vec![];
            for i in [2, 0] {
                for j in 7..1107 {
                    for k in (6..=36).rev().step_by(3) {
                        expected_part.extend_from_slice(element([i, j, k]));
                    }
                }
            }
            for isa in Isa::available() {
                let made = |block| holding(isa, || bytes(distribution, key, dtype, block, None));
                assert!(made(&whole) == expected, "{isa:?} {dtype:?} {distribution:?}");
                assert!(made(&part) == expected_part, "{isa:?} {dtype:?} {distribution:?}");
            }
            let shared = |block| bytes(distribution, key, dtype, block, Some(&pool));
            assert!(shared(&whole) == expected, "{dtype:?} {distribution:?}");
            assert!(shared(&part) == expected_part, "{dtype:?} {distribution:?}");
        }
    }
}

#[test]
fn counters_go_on_past_32_bits() {
    let key = Key { seed: 0xdead_beef, draw: 9 };
    let uniform = distribution("uniform", 0.0, 1.0);
    let words = [key.seed as u32, key.draw];
    for first in [(1u64 << 32) - 70, (1 << 40) - 3, (1 << 62) - 200] {
        let axes = vec![Axis { start: first as usize, step: 1, len: 200 }];
        let block = Block::new(vec![1 << 62], axes).unwrap();
        let expected = |number: u64| {
            let [a, b] = threefry::block(words, [(number >> 32) as u32, number as u32]);
            (f64::from((a ^ b) >> 9) / 8_388_608.0) as f32
        };
        for isa in Isa::available() {
            let made = holding(isa, || bytes(uniform, key, DType::F32, &block, None));
            let expected: Vec<u8> =
                (first..first + 200).flat_map(|number| expected(number).to_le_bytes()).collect();
            assert_eq!(made, expected, "{isa:?}");
            let made = holding(isa, || bytes(uniform, key, DType::F64, &block, None));
            for (number, value) in (first..).zip(made.as_chunks::<8>().0) {
                let [a, b] = threefry::block(words, [(number >> 32) as u32, number as u32]);
                let bits = u64::from(a) << 20 | u64::from(b) >> 12;
                let expected = bits as f64 / (1u64 << 52) as f64;
                assert_eq!(f64::from_le_bytes(*value), expected, "{isa:?} {number}");
            }
        }
    }
}

#[test]
fn what_the_stream_does_not_draw_is_refused() {
    let key = Key { seed: 1, draw: 0 };
    let values = |d| Values::Independent(d);
    let cut = Distribution::TruncatedNormal { mean: 0.0, stddev: 1.0, lower: -1.0, upper: 2.0 };
    assert!(Jax.plan(&values(cut), key, &[2], DType::F32).is_err());
    let uniform = values(distribution("uniform", 0.0, 1.0));
    assert!(Jax.plan(&uniform, Key { seed: 1 << 32, draw: 0 }, &[2], DType::F32).is_err());
    let subnormal = values(distribution("normal", 0.0, 1e-300));
    assert!(Jax.plan(&subnormal, key, &[2], DType::F64).is_err());
    let orthogonal = Values::Orthogonal { gain: 1.0 };
    assert!(Jax.plan(&orthogonal, key, &[2, 2], DType::BF16).is_err());
    assert!(Jax.plan(&orthogonal, key, &[2, 2], DType::F32).is_ok());
}
