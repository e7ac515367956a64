//! Normal values by the method of Box and Muller, as TensorFlow has it: of two numbers on [0, 1) the
//! first gives the radius sqrt(-2 ln u), u held at 1e-7 or above, the second an angle. The sine comes
//! first, the cosine second. No value is beyond 5.68 standard deviations.

use std::marker::PhantomData;

use super::scale::Computed;
use super::uniform::{unit_f32, unit_f64};
use crate::simd::{Simd, lend};
use crate::stream::counter::sampler::{GROUP, Group, Sampler};
use crate::stream::glibc;

/// The standard normal distribution, rounded to `E`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Normal<E>(PhantomData<fn() -> E>);

impl<E> Normal<E> {
    pub(super) const NEW: Self = Self(PhantomData);
}

/// The least number whose logarithm is taken.
const LEAST: f64 = 1e-7;

impl<E: Computed<Lane = f32>> Sampler<f32> for Normal<E> {
    const HOLDS: bool = false;
    type Splat<S: Simd> = ();

    #[inline(always)]
    fn splat<S: Simd>(&self, _simd: S) {}

    #[inline(always)]
    fn sample<S: Simd>(simd: S, _: (), words: Group<S::U64>) -> Group<S::F32> {
        let mut values = [[simd.splat_f32(0.0); 2]; GROUP];
        for (values, [radius_words, angle_words]) in values.iter_mut().zip(words) {
            let u = unit_f32::<S, 23>(simd, simd.u64_as_u32(radius_words));
            let u = simd.max_f32(u, simd.splat_f32(LEAST as f32));
            let squared = simd.mul_f32(simd.splat_f32(-2.0), glibc::log(simd, u));
            let radius = simd.sqrt_f32(squared);
            // The low 23 bits, with a 0 behind them.
            let angle_words = simd.shl_u32::<9>(simd.u64_as_u32(angle_words));
            let (sin, cos) = glibc::sin_cos_turns(simd, simd.shr_u32::<8>(angle_words));
            let sin = E::nearest(simd, simd.mul_f32(sin, radius));
            let cos = E::nearest(simd, simd.mul_f32(cos, radius));
            let (first, second) = simd.interleave_f32(sin, cos);
            *values = [first, second];
        }
        values
    }
}

impl Sampler<f64> for Normal<f64> {
    const HOLDS: bool = false;
    type Splat<S: Simd> = ();

    #[inline(always)]
    fn splat<S: Simd>(&self, _simd: S) {}

    /// Lane by lane: the functions are the C library's.
    #[inline(always)]
    fn sample<S: Simd>(simd: S, _: (), words: Group<S::U64>) -> Group<S::F64> {
        let mut values = [[simd.splat_f64(0.0); 2]; GROUP];
        for (values, words) in values.iter_mut().zip(words) {
            let mut lanes = [[0f64; 8]; 2];
            for (lanes, uniform) in lanes.iter_mut().zip(unit_f64(simd, words)) {
                simd.store_f64(uniform, lend(lanes));
            }
            let [radii, angles] = &mut lanes;
            for (radius, angle) in radii.iter_mut().zip(angles).take(S::LANES / 2) {
                let length = (-2.0 * radius.max(LEAST).ln()).sqrt();
                let (sin, cos) = (std::f64::consts::TAU * *angle).sin_cos();
                (*radius, *angle) = (sin * length, cos * length);
            }
            let [sin, cos] = [simd.load_f64(&lanes[0]), simd.load_f64(&lanes[1])];
            let (first, second) = simd.interleave_f64(sin, cos);
            *values = [first, second];
        }
        values
    }
}
