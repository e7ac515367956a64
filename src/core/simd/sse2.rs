//! SSE2, the baseline of x86-64: 4 lanes of 32 bits.

use std::arch::x86_64::*;
use std::array::from_fn;
use std::mem::{MaybeUninit, transmute};

use super::operations::Simd;

/// Proof that the processor has SSE2, as every x86-64 does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sse2(());

impl Sse2 {
    /// Every x86-64 has it.
    #[inline]
    pub(super) fn new() -> Self {
        Self(())
    }
}

impl Simd for Sse2 {
    const LANES: usize = 4;
    const UNROLL: usize = 2;
    type F32 = __m128;
    type U32 = __m128i;
    type F64 = __m128d;
    type U64 = __m128i;

    intrinsics! {
        add_f32(a: F32, b: F32) -> F32 => _mm_add_ps(a, b);
        sub_f32(a: F32, b: F32) -> F32 => _mm_sub_ps(a, b);
        mul_f32(a: F32, b: F32) -> F32 => _mm_mul_ps(a, b);
        div_f32(a: F32, b: F32) -> F32 => _mm_div_ps(a, b);
        sqrt_f32(a: F32) -> F32 => _mm_sqrt_ps(a);
        min_f32(a: F32, b: F32) -> F32 => _mm_min_ps(a, b);
        max_f32(a: F32, b: F32) -> F32 => _mm_max_ps(a, b);
        bits_f32(a: F32) -> U32 => _mm_castps_si128(a);
        from_bits_f32(a: U32) -> F32 => _mm_castsi128_ps(a);
        i32_to_f32(a: U32) -> F32 => _mm_cvtepi32_ps(a);
        and_u32(a: U32, b: U32) -> U32 => _mm_and_si128(a, b);
        or_u32(a: U32, b: U32) -> U32 => _mm_or_si128(a, b);
        xor_u32(a: U32, b: U32) -> U32 => _mm_xor_si128(a, b);
        add_u32(a: U32, b: U32) -> U32 => _mm_add_epi32(a, b);
        sub_u32(a: U32, b: U32) -> U32 => _mm_sub_epi32(a, b);
        and_u64(a: U64, b: U64) -> U64 => _mm_and_si128(a, b);
        or_u64(a: U64, b: U64) -> U64 => _mm_or_si128(a, b);
        xor_u64(a: U64, b: U64) -> U64 => _mm_xor_si128(a, b);
        add_u64(a: U64, b: U64) -> U64 => _mm_add_epi64(a, b);
        sub_u64(a: U64, b: U64) -> U64 => _mm_sub_epi64(a, b);
        mul_low_u64(a: U64, b: U64) -> U64 => _mm_mul_epu32(a, b);
        add_f64(a: F64, b: F64) -> F64 => _mm_add_pd(a, b);
        sub_f64(a: F64, b: F64) -> F64 => _mm_sub_pd(a, b);
        mul_f64(a: F64, b: F64) -> F64 => _mm_mul_pd(a, b);
        div_f64(a: F64, b: F64) -> F64 => _mm_div_pd(a, b);
        sqrt_f64(a: F64) -> F64 => _mm_sqrt_pd(a);
        min_f64(a: F64, b: F64) -> F64 => _mm_min_pd(a, b);
        max_f64(a: F64, b: F64) -> F64 => _mm_max_pd(a, b);
        bits_f64(a: F64) -> U64 => _mm_castpd_si128(a);
        from_bits_f64(a: U64) -> F64 => _mm_castsi128_pd(a);
        select_lt_i32(a: U32, b: U32, x: U32, y: U32) -> U32 => {
            let mask = _mm_cmplt_epi32(a, b);
            _mm_or_si128(_mm_and_si128(mask, x), _mm_andnot_si128(mask, y))
        };
        low_halves(a: U64, b: U64) -> U64 => {
            let (a, b) = (_mm_castsi128_ps(a), _mm_castsi128_ps(b));
            let both = _mm_castps_si128(_mm_shuffle_ps::<0b10_00_10_00>(a, b));
            _mm_shuffle_epi32::<0b11_01_10_00>(both)
        };
        high_halves(a: U64, b: U64) -> U64 => {
            let (a, b) = (_mm_castsi128_ps(a), _mm_castsi128_ps(b));
            let both = _mm_castps_si128(_mm_shuffle_ps::<0b11_01_11_01>(a, b));
            _mm_shuffle_epi32::<0b11_01_10_00>(both)
        };
        block_numbers() -> U64 => _mm_set_epi64x(1, 0);
    }

    x86_shifts! {
        shl_u32(U32) => _mm_sll_epi32;
        shr_u32(U32) => _mm_srl_epi32;
        shl_u64(U64) => _mm_sll_epi64;
        shr_u64(U64) => _mm_srl_epi64;
    }

    splats! {
        splat_f32(x: f32) -> F32 => _mm_set1_ps(x);
        splat_u32(x: u32) -> U32 => _mm_set1_epi32(x as i32);
        splat_f64(x: f64) -> F64 => _mm_set1_pd(x);
        splat_u64(x: u64) -> U64 => _mm_set1_epi64x(x as i64);
    }
    #[inline(always)]
    fn u64_as_u32(self, a: __m128i) -> __m128i {
        a
    }
    #[inline(always)]
    fn u32_as_u64(self, a: __m128i) -> __m128i {
        a
    }

    #[inline(always)]
    fn widen_f32(self, a: __m128) -> [__m128d; 2] {
        // SAFETY: as for the other intrinsics.
        unsafe { [_mm_cvtps_pd(a), _mm_cvtps_pd(_mm_movehl_ps(a, a))] }
    }
    #[inline(always)]
    fn i32_to_f64(self, a: __m128i) -> [__m128d; 2] {
        // SAFETY: as for the other intrinsics.
        unsafe { [_mm_cvtepi32_pd(a), _mm_cvtepi32_pd(_mm_unpackhi_epi64(a, a))] }
    }
    #[inline(always)]
    fn narrow_f64(self, [a, b]: [__m128d; 2]) -> __m128 {
        // SAFETY: as for the other intrinsics.
        unsafe { _mm_movelh_ps(_mm_cvtpd_ps(a), _mm_cvtpd_ps(b)) }
    }

    loads_and_stores! {
        load_f32, store_f32(f32 as F32, Self::LANES) => _mm_loadu_ps, _mm_storeu_ps;
        load_f64, store_f64(f64 as F64, Self::LANES / 2) => _mm_loadu_pd, _mm_storeu_pd;
    }

    #[inline(always)]
    fn mul_add_f32(self, a: __m128, b: __m128, c: __m128) -> __m128 {
        // SAFETY: vectors and arrays of the same lanes have the same size and no invalid bits.
        let [a, b, c] = unsafe { transmute::<[__m128; 3], [[f32; 4]; 3]>([a, b, c]) };
        let fused: [f32; 4] = from_fn(|i| a[i].mul_add(b[i], c[i]));
        // SAFETY: as above.
        unsafe { transmute(fused) }
    }
    #[inline(always)]
    fn mul_add_f64(self, a: __m128d, b: __m128d, c: __m128d) -> __m128d {
        // SAFETY: as above.
        let [a, b, c] = unsafe { transmute::<[__m128d; 3], [[f64; 2]; 3]>([a, b, c]) };
        let fused: [f64; 2] = from_fn(|i| a[i].mul_add(b[i], c[i]));
        // SAFETY: as above.
        unsafe { transmute(fused) }
    }
    /// There is no instruction for it. Normal results are rounded as integers, subnormal ones by
    /// the addition of a power of two.
    #[inline(always)]
    fn f32_to_f16_bits(self, a: __m128) -> __m128i {
        let bits = self.bits_f32(a);
        let sign = self.shl_u32::<15>(self.shr_u32::<31>(bits));
        let magnitude = self.and_u32(bits, self.splat_u32(0x7fff_ffff));
        let odd = self.and_u32(self.shr_u32::<13>(magnitude), self.splat_u32(1));
        let rounded = self.add_u32(magnitude, self.add_u32(odd, self.splat_u32(0xfff)));
        let normal = self.sub_u32(self.shr_u32::<13>(rounded), self.splat_u32(112 << 10));
        // The unit in the last place of 0.5 is 2^-24, float16's smallest number.
        let half = self.splat_f32(0.5);
        let sum = self.bits_f32(self.add_f32(self.from_bits_f32(magnitude), half));
        let subnormal = self.sub_u32(sum, self.bits_f32(half));
        let smallest_normal = self.splat_u32(113 << 23);
        let finite = self.select_lt_i32(magnitude, smallest_normal, subnormal, normal);
        let (infinity, nan) = (self.splat_u32(0x7c00), self.splat_u32(0x7e00));
        let beyond = self.select_lt_i32(self.splat_u32(0x7f80_0000), magnitude, nan, infinity);
        let overflow = self.splat_u32(65520f32.to_bits());
        self.or_u32(sign, self.select_lt_i32(magnitude, overflow, finite, beyond))
    }
    #[inline(always)]
    fn all_lt_i32(self, a: __m128i, b: __m128i) -> bool {
        // SAFETY: as for the other intrinsics.
        unsafe { _mm_movemask_epi8(_mm_cmplt_epi32(a, b)) == 0xffff }
    }
    #[inline(always)]
    fn load_fourths_u32(self, from: &[u32]) -> __m128i {
        let from = &from[..4 * Self::LANES];
        let from: &[f32] = bytemuck::cast_slice(from);
        let (a, b) = (self.load_f32(from), self.load_f32(&from[Self::LANES..]));
        let c = self.load_f32(&from[2 * Self::LANES..]);
        let d = self.load_f32(&from[3 * Self::LANES..]);
        let (low, high) = (self.interleave_f32(a, b).0, self.interleave_f32(c, d).0);
        self.interleave_u64(self.bits_f32(low), self.bits_f32(high)).0
    }
    #[inline(always)]
    fn less_f32(self, a: __m128, b: __m128) -> u32 {
        // SAFETY: as for the other intrinsics.
        unsafe { _mm_movemask_ps(_mm_cmplt_ps(a, b)) as u32 }
    }
    #[inline(always)]
    fn interleave_f32(self, a: __m128, b: __m128) -> (__m128, __m128) {
        // SAFETY: as for the other intrinsics.
        unsafe { (_mm_unpacklo_ps(a, b), _mm_unpackhi_ps(a, b)) }
    }
    #[inline(always)]
    fn interleave_u64(self, a: __m128i, b: __m128i) -> (__m128i, __m128i) {
        // SAFETY: as for the other intrinsics.
        unsafe { (_mm_unpacklo_epi64(a, b), _mm_unpackhi_epi64(a, b)) }
    }
    #[inline(always)]
    fn store_u16(self, a: __m128i, b: __m128i, to: &mut [MaybeUninit<u16>]) {
        let to = &mut to[..2 * Self::LANES];
        // SAFETY: `to` has the 8 elements that are written; alignment is not needed.
        unsafe {
            // SSE2 packs with signed saturation: extend bit 15 so that nothing saturates.
            let extend = |x| _mm_srai_epi32::<16>(_mm_slli_epi32::<16>(x));
            _mm_storeu_si128(to.as_mut_ptr().cast(), _mm_packs_epi32(extend(a), extend(b)));
        }
    }
    #[inline(always)]
    fn store_u8(self, a: __m128i, b: __m128i, to: &mut [MaybeUninit<u8>]) {
        let to = &mut to[..2 * Self::LANES];
        // SAFETY: `to` has the 8 elements that are written; alignment is not needed.
        unsafe {
            let both = _mm_packs_epi32(a, b);
            _mm_storel_epi64(to.as_mut_ptr().cast(), _mm_packus_epi16(both, both));
        }
    }
}
