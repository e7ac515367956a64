//! Logarithm, sine and cosine of torch's kernel for processors without AVX2, which calls `logf`,
//! `sinf` and `cosf` of the system's library, taken to be glibc's.

use crate::simd::Simd;
use crate::stream::glibc;

/// The functions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Functions;

impl super::normal::Functions for Functions {
    const FUSED: bool = false;

    #[inline(always)]
    fn log<S: Simd, const P: usize>(simd: S, x: [S::F32; P]) -> [S::F32; P] {
        let mut values = x;
        for value in &mut values {
            *value = glibc::log(simd, *value);
        }
        values
    }

    #[inline(always)]
    fn sin_cos<S: Simd, const P: usize>(simd: S, bits: [S::U32; P]) -> [[S::F32; 2]; P] {
        let mut values = [[simd.splat_f32(0.0); 2]; P];
        for (value, bits) in values.iter_mut().zip(bits) {
            let (sin, cos) = glibc::sin_cos_turns(simd, bits);
            *value = [sin, cos];
        }
        values
    }
}
