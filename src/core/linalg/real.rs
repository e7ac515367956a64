//! The two precisions that matrices are computed in, with their vectors.

use std::ops::{Add, Mul, Sub};

use super::orthogonal::NormalSource;
use crate::simd::{Simd, lend};

/// f32 or f64. Each operation rounds once; `mul_add` is fused.
pub(super) trait Real:
    Copy
    + Send
    + Sync
    + PartialEq
    + bytemuck::Pod
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + 'static
{
    const ZERO: Self;
    const ONE: Self;
    /// Whether it is f64 itself.
    const DOUBLE: bool;
    /// An instruction set's vector of this type.
    type Vector<S: Simd>: Copy;
    /// Numbers in a vector.
    fn lanes<S: Simd>() -> usize;
    fn splat<S: Simd>(simd: S, x: Self) -> Self::Vector<S>;
    fn load<S: Simd>(simd: S, from: &[Self]) -> Self::Vector<S>;
    fn store<S: Simd>(simd: S, a: Self::Vector<S>, to: &mut [Self]);
    fn plus<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    fn minus<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// `a * b + c`, rounded once.
    fn fused<S: Simd>(
        simd: S,
        a: Self::Vector<S>,
        b: Self::Vector<S>,
        c: Self::Vector<S>,
    ) -> Self::Vector<S>;
    /// `self * b + c`, rounded once.
    fn mul_add_to(self, b: Self, c: Self) -> Self;
    fn from_f64(x: f64) -> Self;
    fn to_f64(self) -> f64;
    /// Elements `first ..` of `source`'s stream in this precision.
    fn normals(source: &(dyn NormalSource + Sync), first: u64, out: &mut [Self]);
}

macro_rules! real {
    ($t:ty, $v:ident, $halved:literal, $splat:ident, $load:ident, $store:ident, $add:ident,
     $sub:ident, $mul_add:ident, $fill:ident) => {
        impl Real for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const DOUBLE: bool = $halved == 2;
            type Vector<S: Simd> = S::$v;
            #[inline(always)]
            fn lanes<S: Simd>() -> usize {
                S::LANES / $halved
            }
            #[inline(always)]
            fn splat<S: Simd>(simd: S, x: Self) -> S::$v {
                simd.$splat(x)
            }
            #[inline(always)]
            fn load<S: Simd>(simd: S, from: &[Self]) -> S::$v {
                simd.$load(from)
            }
            #[inline(always)]
            fn store<S: Simd>(simd: S, a: S::$v, to: &mut [Self]) {
                simd.$store(a, lend(to));
            }
            #[inline(always)]
            fn plus<S: Simd>(simd: S, a: S::$v, b: S::$v) -> S::$v {
                simd.$add(a, b)
            }
            #[inline(always)]
            fn minus<S: Simd>(simd: S, a: S::$v, b: S::$v) -> S::$v {
                simd.$sub(a, b)
            }
            #[inline(always)]
            fn fused<S: Simd>(simd: S, a: S::$v, b: S::$v, c: S::$v) -> S::$v {
                simd.$mul_add(a, b, c)
            }
            #[inline(always)]
            fn mul_add_to(self, b: Self, c: Self) -> Self {
                self.mul_add(b, c)
            }
            #[inline(always)]
            #[allow(clippy::unnecessary_cast, reason = "f64 to itself, in a macro for both")]
            fn from_f64(x: f64) -> Self {
                x as Self
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self.into()
            }
            #[inline]
            fn normals(source: &(dyn NormalSource + Sync), first: u64, out: &mut [Self]) {
                source.$fill(first, out);
            }
        }
    };
}
real!(f32, F32, 1, splat_f32, load_f32, store_f32, add_f32, sub_f32, mul_add_f32, fill_f32);
real!(f64, F64, 2, splat_f64, load_f64, store_f64, add_f64, sub_f64, mul_add_f64, fill_f64);
