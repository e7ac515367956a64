//! Uniform values computed in float32: the low 24 bits of a word are a number in [0, 1).
//!
//! As `torch.rand`: rounded to the element type, in which a 1 becomes 0. As Keras goes on: times
//! `maxval - minval`, plus `minval`. An element consumes one word. Stability: Exact.

use std::marker::PhantomData;
use std::mem::MaybeUninit;

use super::sampler::{Affine, Ending, Sampler, Single, VALUES, in_steps, low_bits, unit};
use crate::simd::Simd;

#[derive(Clone, Copy, Debug)]
pub(super) struct Uniform<E> {
    affine: Affine,
    element: PhantomData<E>,
}

impl<E> Uniform<E> {
    pub(super) fn new(affine: Affine) -> Self {
        Self { affine, element: PhantomData }
    }
}

impl<E: Single> Sampler for Uniform<E> {
    type Element = E;
    const VALUES: usize = VALUES;
    const WORDS: usize = VALUES;

    fn ending(&self, _len: u64) -> Ending {
        Ending::None
    }

    #[inline(always)]
    fn sample<S: Simd>(self, simd: S, words: &[u32], out: &mut [MaybeUninit<E>]) {
        in_steps!(out, 2 * S::LANES, |at, to, len| {
            let mut values = [simd.splat_f32(0.0); 2];
            for (i, value) in values.iter_mut().enumerate() {
                let words = simd.load_u32(&words[at + i * S::LANES..]);
                let mut x = E::nearest(simd, unit(simd, low_bits(simd, words)));
                if size_of::<E>() == 2 {
                    let (bits, one) = (simd.bits_f32(x), simd.splat_u32(1f32.to_bits()));
                    let below_one = simd.select_lt_i32(bits, one, bits, simd.splat_u32(0));
                    x = simd.from_bits_f32(below_one);
                }
                *value = self.affine.apply::<S, E>(simd, x);
            }
            E::store(simd, values, to);
        });
    }
}
