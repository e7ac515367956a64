//! Scaling as TensorFlow does it: `x * scale + shift` in the arithmetic of the element type.
//!
//! Both operations round to the type; float16 and bfloat16 compute in float32 and round the result.
//! TensorFlow has the processor take subnormal operands of float32 and float64 as zeros, and make
//! zeros of subnormal results. Here that is written out, because the rest of this crate keeps them,
//! and only where the parameters are so small that it makes a difference.

use std::mem::MaybeUninit;

use crate::element::round::Round;
use crate::element::{bf16, f16};
use crate::simd::{Kernel, Lane, Simd, run};
use crate::stream::counter::sampler::{Group, Sampler};
use crate::stream::counter::store::Store;

/// float32 or float64.
pub(super) trait Wide: Lane + Store<Lane = Self> {
    /// Parameters that are 0 or have at least this magnitude make no subnormal number of a standard
    /// value: those that are not 0 are at least 2^-40 (float64: 2^-80), and so the results and
    /// their units in the last place are normal numbers.
    const SMALL: f64;

    /// Whether the magnitude is at least 2.
    fn is_outside(self) -> bool;
    /// `self * b`, subnormal numbers being zeros.
    fn product(self, b: Self) -> Self;
    /// `self + b`, subnormal numbers being zeros.
    fn sum(self, b: Self) -> Self;
}

/// The number, or a zero of its sign if it is subnormal.
macro_rules! without_subnormal {
    ($x:expr) => {
        if $x.is_subnormal() { $x * 0.0 } else { $x }
    };
}

macro_rules! wide {
    ($t:ty, $small:expr, $exponent_bit:literal) => {
        impl Wide for $t {
            const SMALL: f64 = $small;

            #[inline(always)]
            fn is_outside(self) -> bool {
                // The exponent's uppermost bit is that of 2 and of all that is larger.
                self.to_bits() >> $exponent_bit & 1 == 1
            }

            fn product(self, b: Self) -> Self {
                // Two times, the second with a larger exponent: a product is subnormal if it is so
                // after it is rounded to all bits of the significand.
                const LIFT: $t = (1u64 << 62) as $t;
                let (a, b) = (without_subnormal!(self), without_subnormal!(b));
                let product = a * b;
                let lifted = (a * LIFT) * b;
                if lifted.abs() < <$t>::MIN_POSITIVE * LIFT {
                    (0.0 as $t).copysign(product)
                } else {
                    product
                }
            }

            fn sum(self, b: Self) -> Self {
                // Subnormal sums are exact.
                let sum = without_subnormal!(self) + without_subnormal!(b);
                without_subnormal!(sum)
            }
        }
    };
}

wide!(f32, 1.0 / (1u64 << 60) as f64, 30);
wide!(f64, f64::MIN_POSITIVE * (1u128 << 127) as f64 * (1u64 << 63) as f64, 62);

/// An element type that TensorFlow draws.
pub(super) trait Computed: Store<Lane: Wide> + Round<Self::Lane> {
    /// The numbers of the type nearest to `x`.
    fn nearest<S: Simd>(
        simd: S,
        x: <Self::Lane as Lane>::Vector<S>,
    ) -> <Self::Lane as Lane>::Vector<S>;
    /// The same number.
    fn wide(self) -> Self::Lane;
    /// The number of the type that TensorFlow makes of a parameter.
    fn constant(x: f64) -> Self::Lane {
        // Of all NaNs one whose rounding carries nothing into the sign.
        let x = if x.is_nan() { f64::NAN } else { x };
        Self::rounded(Self::Lane::from_f64(x)).wide()
    }
}

impl Computed for f32 {
    #[inline(always)]
    fn nearest<S: Simd>(_simd: S, x: S::F32) -> S::F32 {
        x
    }
    fn wide(self) -> f32 {
        self
    }
}

impl Computed for f64 {
    #[inline(always)]
    fn nearest<S: Simd>(_simd: S, x: S::F64) -> S::F64 {
        x
    }
    fn wide(self) -> f64 {
        self
    }
}

impl Computed for bf16 {
    #[inline(always)]
    fn nearest<S: Simd>(simd: S, x: S::F32) -> S::F32 {
        let bits = round_up::<S, 16>(simd, simd.bits_f32(x));
        simd.from_bits_f32(simd.and_u32(bits, simd.splat_u32(0xffff_0000)))
    }
    fn wide(self) -> f32 {
        self.into()
    }
}

impl Computed for f16 {
    #[inline(always)]
    fn nearest<S: Simd>(simd: S, x: S::F32) -> S::F32 {
        let bits = simd.bits_f32(x);
        let sign = simd.and_u32(bits, simd.splat_u32(1 << 31));
        let magnitude = simd.xor_u32(bits, sign);
        let normal = simd.and_u32(round_up::<S, 13>(simd, magnitude), simd.splat_u32(0xffff_e000));
        // The unit in the last place of 0.5 is 2^-24, float16's smallest number.
        let half = simd.splat_f32(0.5);
        let subnormal = simd.sub_f32(simd.add_f32(simd.from_bits_f32(magnitude), half), half);
        let smallest_normal = simd.splat_u32(113 << 23);
        let finite =
            simd.select_lt_i32(magnitude, smallest_normal, simd.bits_f32(subnormal), normal);
        // Infinity or, above its bits, NaN.
        let infinity = simd.splat_u32(0x7f80_0000);
        let beyond = simd.select_lt_i32(infinity, magnitude, magnitude, infinity);
        let overflow = simd.splat_u32(65520f32.to_bits());
        let magnitude = simd.select_lt_i32(magnitude, overflow, finite, beyond);
        simd.from_bits_f32(simd.or_u32(magnitude, sign))
    }
    fn wide(self) -> f32 {
        self.into()
    }
}

/// `bits` plus what makes cutting off the low `DROP` bits round to nearest even.
#[inline(always)]
fn round_up<S: Simd, const DROP: u32>(simd: S, bits: S::U32) -> S::U32 {
    let odd = simd.and_u32(simd.shr_u32::<DROP>(bits), simd.splat_u32(1));
    simd.add_u32(bits, simd.add_u32(odd, simd.splat_u32((1 << (DROP - 1)) - 1)))
}

/// `x * scale + shift` for numbers x of the type `E`.
#[derive(Clone, Copy)]
pub(super) struct Affine<E: Computed> {
    scale: E::Lane,
    shift: E::Lane,
}

/// The parameters of an [`Affine`] in every lane.
type Splat<S, E> = [<<E as Store>::Lane as Lane>::Vector<S>; 2];

impl<E: Computed> Affine<E> {
    /// Changes nothing, but for the sign of a zero.
    pub(super) const IDENTITY: Self = Self { scale: E::Lane::ONE, shift: E::Lane::ZERO };

    /// Both must be numbers of `E`.
    pub(super) fn new(scale: E::Lane, shift: E::Lane) -> Self {
        Self { scale, shift }
    }

    /// From the numbers on [0, 1) to those from `low` on and below `high`.
    pub(super) fn between(low: E::Lane, high: E::Lane) -> Self {
        let width = high.sum(low * E::Lane::from_f64(-1.0));
        Self { scale: E::rounded(width).wide(), shift: low }
    }

    /// Whether numbers on the way may be subnormal.
    pub(super) fn may_underflow(&self) -> bool {
        [self.scale, self.shift].into_iter().any(|parameter| {
            let magnitude = parameter.to_f64().abs();
            magnitude != 0.0 && magnitude < E::Lane::SMALL
        })
    }

    #[inline(always)]
    fn splat<S: Simd>(&self, simd: S) -> Splat<S, E> {
        [E::Lane::splat(simd, self.scale), E::Lane::splat(simd, self.shift)]
    }

    /// Both operations where nothing underflows; the second is rounded when it is stored.
    #[inline(always)]
    fn apply<S: Simd>(
        simd: S,
        [scale, shift]: Splat<S, E>,
        x: <E::Lane as Lane>::Vector<S>,
    ) -> <E::Lane as Lane>::Vector<S> {
        E::Lane::plus(simd, E::nearest(simd, E::Lane::times(simd, x, scale)), shift)
    }

    /// Both operations with zeros for subnormal numbers.
    pub(super) fn without_subnormals(&self, x: E) -> E {
        let product = E::rounded(x.wide().product(self.scale)).wide();
        E::rounded(product.sum(self.shift))
    }

    /// Both operations on each of `values`, rounded to the type first, written to `to`, which is as
    /// long.
    pub(super) fn write(&self, values: &[E::Lane], to: &mut [MaybeUninit<E>]) {
        if !self.may_underflow() {
            run(Write { affine: *self, values, to });
            return;
        }
        for (to, value) in to.iter_mut().zip(values) {
            to.write(self.without_subnormals(E::rounded(*value)));
        }
    }
}

/// [`Affine::write`] where nothing underflows.
struct Write<'a, E: Computed> {
    affine: Affine<E>,
    values: &'a [E::Lane],
    to: &'a mut [MaybeUninit<E>],
}

impl<E: Computed> Kernel for Write<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        /// Elements of the largest pair of vectors.
        const MAX_PAIR: usize = 32;
        let lanes = E::Lane::lanes::<S>();
        let splat = self.affine.splat(simd);
        let mut values = self.values.chunks_exact(2 * lanes);
        let mut to = self.to.chunks_exact_mut(2 * lanes);
        for (values, to) in (&mut values).zip(&mut to) {
            Self::pair(simd, splat, values, to);
        }
        let (rest, to) = (values.remainder(), to.into_remainder());
        let mut last = [E::Lane::ZERO; MAX_PAIR];
        last[..rest.len()].copy_from_slice(rest);
        let mut edge = [MaybeUninit::uninit(); MAX_PAIR];
        Self::pair(simd, splat, &last, &mut edge);
        to.copy_from_slice(&edge[..to.len()]);
    }
}

impl<E: Computed> Write<'_, E> {
    /// Two vectors of values.
    #[inline(always)]
    fn pair<S: Simd>(simd: S, splat: Splat<S, E>, values: &[E::Lane], to: &mut [MaybeUninit<E>]) {
        let a = E::nearest(simd, E::Lane::load(simd, values));
        let b = E::nearest(simd, E::Lane::load(simd, &values[E::Lane::lanes::<S>()..]));
        let pair = [Affine::<E>::apply(simd, splat, a), Affine::<E>::apply(simd, splat, b)];
        E::store(simd, pair, to);
    }
}

/// The values of a sampler, scaled.
#[derive(Clone, Copy)]
pub(super) struct Scaled<E: Computed, D> {
    /// Draws numbers of `E`.
    pub(super) standard: D,
    pub(super) affine: Affine<E>,
}

impl<E: Computed, D: Sampler<E::Lane>> Sampler<E::Lane> for Scaled<E, D> {
    const HOLDS: bool = false;
    type Splat<S: Simd> = (D::Splat<S>, Splat<S, E>);

    #[inline(always)]
    fn splat<S: Simd>(&self, simd: S) -> Self::Splat<S> {
        (self.standard.splat(simd), self.affine.splat(simd))
    }

    #[inline(always)]
    fn sample<S: Simd>(
        simd: S,
        (standard, affine): Self::Splat<S>,
        words: Group<S::U64>,
    ) -> Group<<E::Lane as Lane>::Vector<S>> {
        let mut values = D::sample(simd, standard, words);
        for value in values.as_flattened_mut() {
            *value = Affine::<E>::apply(simd, affine, *value);
        }
        values
    }
}
