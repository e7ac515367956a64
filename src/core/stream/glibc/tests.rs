//! Every argument that a stream has, on every instruction set, against the C library and against a
//! checksum of what it gave.

use super::*;
use crate::simd::{Isa, Kernel, lend, run_on};

/// Arguments of a call.
const CHUNK: usize = 1 << 10;

/// The functions at consecutive arguments: logarithms, sines and cosines.
struct Functions {
    x: [f32; CHUNK],
    turns: [u32; CHUNK],
}

impl Kernel for Functions {
    type Output = [[f32; CHUNK]; 3];

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Self::Output {
        let turns = self.turns.map(f32::from_bits);
        let mut out = [[0f32; CHUNK]; 3];
        for at in (0..CHUNK).step_by(S::LANES) {
            let x = log(simd, simd.load_f32(&self.x[at..]));
            let (sin, cos) = sin_cos_turns(simd, simd.bits_f32(simd.load_f32(&turns[at..])));
            for (out, values) in out.iter_mut().zip([x, sin, cos]) {
                simd.store_f32(values, lend(&mut out[at..]));
            }
        }
        out
    }
}

/// Argument `k` of the logarithm: multiples of 2^-24 above 0 up to 1.
fn argument(k: u32) -> f32 {
    (k + 1) as f32 / (1 << 24) as f32
}

/// Each chunk of all 2^24 arguments with its results.
fn each_chunk(isa: Isa, mut see: impl FnMut(u32, &[[f32; CHUNK]; 3])) {
    for first in (0..1 << 24).step_by(CHUNK) {
        let turns = std::array::from_fn(|i| first + i as u32);
        let results = run_on(isa, Functions { x: turns.map(argument), turns });
        see(first, &results);
    }
}

#[test]
fn every_result_is_what_the_checksums_say() {
    let table = include_str!("../../../../tests/vectors/glibc_float32.txt");
    let expected: Vec<u64> = table
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap())
        .collect();
    assert_eq!(expected.len(), 4);
    for isa in Isa::available() {
        let mut sums = [0u64; 3];
        each_chunk(isa, |first, results| {
            for (sum, results) in sums.iter_mut().zip(results) {
                for (i, result) in results.iter().enumerate() {
                    let weight = 2 * u64::from(first + i as u32) + 1;
                    *sum = sum.wrapping_add(weight.wrapping_mul(result.to_bits().into()));
                }
            }
        });
        assert_eq!(sums, expected[..3], "{isa:?}");
    }
    // TensorFlow's least argument is no multiple of 2^-24.
    let mut turns = [0; CHUNK];
    turns[0] = 0;
    let least = run_on(Isa::Scalar, Functions { x: [1e-7; CHUNK], turns })[0][0];
    assert_eq!(u64::from(least.to_bits()), expected[3]);
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn every_result_is_that_of_this_machines_library() {
    let isa = *Isa::available().last().unwrap();
    each_chunk(isa, |first, [logs, sines, cosines]| {
        for i in 0..CHUNK {
            let k = first + i as u32;
            let angle = (std::f64::consts::TAU / (1 << 24) as f64 * f64::from(k)) as f32;
            assert_eq!(logs[i].to_bits(), argument(k).ln().to_bits(), "ln {k}");
            assert_eq!(sines[i].to_bits(), angle.sin().to_bits(), "sin {k}");
            assert_eq!(cosines[i].to_bits(), angle.cos().to_bits(), "cos {k}");
        }
    });
}
