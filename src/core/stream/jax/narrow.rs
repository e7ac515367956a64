//! Values of 16 and 8 bits of the jax stream, by a table of all there are.
//!
//! JAX makes such a value of as many random bits as its fraction has, so there are 1024 (float16),
//! 128 (bfloat16), 8 (float8_e4m3fn) or 4 (float8_e5m2) of each distribution. XLA computes every
//! operation in float32, rounds the result to the dtype, and takes subnormal numbers of float32 for
//! zero. Consumes the low 16 bits of a word an element, the low 8 where the fraction is shorter.
//! Stability: Exact.

use std::f32::consts::SQRT_2;
use std::mem::MaybeUninit;
use std::sync::OnceLock;

use super::affine::flushed;
use super::erf_inv::erf_inv;
use crate::block::Block;
use crate::element::round::Round;
use crate::element::{Element, F8E4M3Fn, F8E5M2, OutMut, bf16, f16};
use crate::error::Error;
use crate::parallel::Exec;
use crate::rng::threefry::ThreefryWords;
use crate::simd::{Kernel, Simd, lend, run};
use crate::stream::counter::fill::fill;
use crate::stream::counter::random_access::fill_block;
use crate::stream::counter::sampler::{Group, Sampler, in_order};
use crate::stream::plan::Plan;

/// A dtype that JAX computes in float32, rounding each result.
pub(super) trait Narrow: Element + Round<f32> {
    /// Stored bits of the significand.
    const FRACTION: u32;
    /// erf(sqrt(2)) as XLA rounds it on the way, from 2 over the dtype's square root of 2 on; None
    /// where values have no bounds, for want of infinity.
    const ERF_BOUND: Option<f32>;

    /// The same number.
    fn to_f32(self) -> f32;

    /// Where the values of the standard normal and truncated normal are kept.
    fn standard() -> &'static [OnceLock<Vec<f32>>; 2];
}

macro_rules! narrow {
    ($($t:ty: $fraction:literal, $bound:expr, |$x:ident| $value:expr;)*) => {$(
        impl Narrow for $t {
            const FRACTION: u32 = $fraction;
            const ERF_BOUND: Option<f32> = $bound;

            fn to_f32(self) -> f32 {
                let $x = self;
                $value
            }

            fn standard() -> &'static [OnceLock<Vec<f32>>; 2] {
                static STANDARD: [OnceLock<Vec<f32>>; 2] = [OnceLock::new(), OnceLock::new()];
                &STANDARD
            }
        }
    )*};
}
narrow! {
    f16: 10, Some(0.954_589_84), |x| x.to_f32();
    bf16: 7, Some(0.953_125), |x| x.to_f32();
    // The number above -2, where values are to be held, is found on the way to infinity: NaN.
    F8E4M3Fn: 3, None, |x| {
        let (magnitude, sign) = (x.0 & 0x7f, x.0 >> 7);
        let (exponent, fraction) = (i32::from(magnitude >> 3), f32::from(magnitude & 7));
        let value = match magnitude {
            0x7f => f32::NAN,
            0..8 => fraction * 2f32.powi(-9),
            _ => (8.0 + fraction) * 2f32.powi(exponent - 10),
        };
        if sign == 1 { -value } else { value }
    };
    F8E5M2: 2, Some(0.875), |x| f16::from_bits(u16::from(x.0) << 8).to_f32();
}

/// The result of an operation, as the dtype has it.
fn rounded<E: Narrow>(x: f32) -> f32 {
    E::rounded(flushed(x)).to_f32()
}

/// A parameter, which becomes float32 first.
fn parameter<E: Narrow>(x: f64) -> f32 {
    rounded::<E>(x as f32)
}

/// `fraction * range + low` for each fraction.
fn affine_fractions<E: Narrow>(low: f32, range: f32) -> Vec<f32> {
    let count = 1 << E::FRACTION;
    let fraction = |k: u16| f32::from(k) / f32::from(count);
    (0..count).map(|k| rounded::<E>(rounded::<E>(fraction(k) * range) + low)).collect()
}

/// All values of [`Uniform`](crate::distribution::Distribution::Uniform).
pub(super) fn uniform<E: Narrow>(low: f64, high: f64) -> Vec<E> {
    let (low, high) = (parameter::<E>(low), parameter::<E>(high));
    let values = affine_fractions::<E>(low, rounded::<E>(high - low));
    // NaN stays: it is not below anything.
    values.into_iter().map(|x| E::rounded(if low > x { low } else { x })).collect()
}

/// All values of a normal distribution.
pub(super) fn normal<E: Narrow>(mean: f64, stddev: f64) -> Vec<E> {
    let standard = E::standard()[0].get_or_init(|| {
        let below_one = 1.0 - 0.5 / (1 << E::FRACTION) as f32;
        times_sqrt_2::<E>(affine_fractions::<E>(-below_one, rounded::<E>(1.0 + below_one)))
    });
    scaled(standard, mean, stddev)
}

/// All values of a normal distribution within two standard deviations.
pub(super) fn truncated_normal<E: Narrow>(mean: f64, stddev: f64) -> Vec<E> {
    let standard = E::standard()[1].get_or_init(|| {
        let Some(bound) = E::ERF_BOUND else { return vec![f32::NAN; 1 << E::FRACTION] };
        let mut values =
            times_sqrt_2::<E>(affine_fractions::<E>(-bound, rounded::<E>(2.0 * bound)));
        let below_two = 2.0 - 1.0 / (1 << E::FRACTION) as f32;
        values.iter_mut().for_each(|z| *z = z.clamp(-below_two, below_two));
        values
    });
    scaled(standard, mean, stddev)
}

/// `sqrt(2) * erf_inv(u)` of each u.
fn times_sqrt_2<E: Narrow>(mut u: Vec<f32>) -> Vec<f32> {
    let sqrt_2 = rounded::<E>(SQRT_2);
    run(ErfInv(&mut u));
    u.iter_mut().for_each(|z| *z = rounded::<E>(rounded::<E>(*z) * sqrt_2));
    u
}

/// `z * stddev + mean` of each z.
fn scaled<E: Narrow>(standard: &[f32], mean: f64, stddev: f64) -> Vec<E> {
    let (mean, stddev) = (parameter::<E>(mean), parameter::<E>(stddev));
    let value = |z: &f32| E::rounded(flushed(rounded::<E>(z * stddev) + mean));
    standard.iter().map(value).collect()
}

/// Replaces numbers by their [`erf_inv`].
struct ErfInv<'a>(&'a mut [f32]);

impl Kernel for ErfInv<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let mut lanes = [0.0; 16];
        for chunk in self.0.chunks_mut(S::LANES) {
            lanes[..chunk.len()].copy_from_slice(chunk);
            let [z] = erf_inv(simd, [simd.load_f32(&lanes)]);
            simd.store_f32(z, lend(&mut lanes));
            chunk.copy_from_slice(&lanes[..chunk.len()]);
        }
    }
}

/// A tensor whose elements are looked up by the bits of their words.
pub(super) struct TablePlan<E> {
    pub(super) table: Vec<E>,
    pub(super) words: ThreefryWords<false>,
}

/// Words as the bits of floats.
#[derive(Clone, Copy)]
struct Bits;

impl Sampler<f32> for Bits {
    const HOLDS: bool = false;

    type Splat<S: Simd> = ();

    #[inline(always)]
    fn splat<S: Simd>(&self, _simd: S) {}

    #[inline(always)]
    fn sample<S: Simd>(simd: S, (): (), words: Group<S::U64>) -> Group<S::F32> {
        let float = |word| simd.from_bits_f32(simd.u64_as_u32(word));
        in_order(simd, words.map(|[even, odd]| [float(even), float(odd)]))
    }
}

/// Words drawn before they are looked up: few enough to stay in the cache.
const SPAN: usize = 1024;

impl<E: Narrow> TablePlan<E> {
    /// Writes what the words say to the whole of `to`.
    fn look_up(&self, words: &[f32], to: &mut [MaybeUninit<E>]) {
        const { assert!(E::FRACTION < 16) };
        let taken = if E::FRACTION < 8 { 8 } else { 16 };
        let table = &self.table[..1 << E::FRACTION];
        for (to, word) in to.iter_mut().zip(words) {
            let number = word.to_bits() >> (taken - E::FRACTION);
            to.write(table[number as usize % (1 << E::FRACTION)]);
        }
    }
}

impl<E: Narrow> Plan for TablePlan<E> {
    fn cost(&self, block: &Block) -> usize {
        block.len()
    }

    fn fill(&self, block: &Block, out: OutMut<'_>, exec: &Exec<'_>) -> Result<(), Error> {
        fill_block(block, E::of(out)?, exec, |mut first, to| {
            let mut words = [0.0; SPAN];
            for to in to.chunks_mut(SPAN) {
                let words = &mut words[..to.len()];
                fill::<f32, _>(Bits, self.words, None, first, lend(words));
                self.look_up(words, to);
                first = first.wrapping_add(to.len() as u64);
            }
        })
    }
}
