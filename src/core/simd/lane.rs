//! float32 and float64 behind one trait, as numbers and as lanes of vectors.

use std::ops::{Add, Mul, Sub};

use super::operations::Simd;
use super::slices::lend;

/// float32 or float64: what values and matrices are computed in.
///
/// Every operation rounds once, to nearest even; [`Lane::fused`] and [`Lane::mul_add_to`] are
/// fused.
pub(crate) trait Lane:
    Copy
    + Send
    + Sync
    + PartialOrd
    + bytemuck::Pod
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + 'static
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// Whether this is float64.
    const DOUBLE: bool;
    /// A vector of them.
    type Vector<S: Simd>: Copy;
    /// How many of them a vector has.
    fn lanes<S: Simd>() -> usize;
    /// Every lane `x`.
    fn splat<S: Simd>(simd: S, x: Self) -> Self::Vector<S>;
    /// The first numbers of `from`, a vector full.
    fn load<S: Simd>(simd: S, from: &[Self]) -> Self::Vector<S>;
    /// Writes `a`'s lanes to the first numbers of `to`.
    fn store<S: Simd>(simd: S, a: Self::Vector<S>, to: &mut [Self]);
    /// `a + b`.
    fn plus<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// `a - b`.
    fn minus<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// `a * b`.
    fn times<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// `a * b + c`.
    fn fused<S: Simd>(
        simd: S,
        a: Self::Vector<S>,
        b: Self::Vector<S>,
        c: Self::Vector<S>,
    ) -> Self::Vector<S>;
    /// The nearest number from `low` to `high`. A zero takes the sign of a bound that equals it.
    fn hold<S: Simd>(
        simd: S,
        a: Self::Vector<S>,
        low: Self::Vector<S>,
        high: Self::Vector<S>,
    ) -> Self::Vector<S>;
    /// `self * b + c`.
    fn mul_add_to(self, b: Self, c: Self) -> Self;
    /// The nearest number of this type.
    fn from_f64(x: f64) -> Self;
    /// The same number.
    fn to_f64(self) -> f64;
}

macro_rules! lane {
    ($t:ty, $v:ident, $words:literal, $splat:ident, $load:ident, $store:ident, $add:ident,
     $sub:ident, $mul:ident, $mul_add:ident, $min:ident, $max:ident) => {
        impl Lane for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const DOUBLE: bool = $words == 2;
            type Vector<S: Simd> = S::$v;
            #[inline(always)]
            fn lanes<S: Simd>() -> usize {
                S::LANES / $words
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
            fn times<S: Simd>(simd: S, a: S::$v, b: S::$v) -> S::$v {
                simd.$mul(a, b)
            }
            #[inline(always)]
            fn fused<S: Simd>(simd: S, a: S::$v, b: S::$v, c: S::$v) -> S::$v {
                simd.$mul_add(a, b, c)
            }
            #[inline(always)]
            fn hold<S: Simd>(simd: S, a: S::$v, low: S::$v, high: S::$v) -> S::$v {
                simd.$max(simd.$min(a, high), low)
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
        }
    };
}
lane!(
    f32,
    F32,
    1,
    splat_f32,
    load_f32,
    store_f32,
    add_f32,
    sub_f32,
    mul_f32,
    mul_add_f32,
    min_f32,
    max_f32
);
lane!(
    f64,
    F64,
    2,
    splat_f64,
    load_f64,
    store_f64,
    add_f64,
    sub_f64,
    mul_f64,
    mul_add_f64,
    min_f64,
    max_f64
);
