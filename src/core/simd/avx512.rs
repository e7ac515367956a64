//! AVX-512: 16 lanes of 32 bits.

use std::arch::asm;
use std::arch::x86_64::*;
use std::mem::MaybeUninit;

use super::operations::{Kernel, Simd};

/// Proof that the processor has AVX-512 F, VL, DQ and BW, and F16C.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx512(());

impl Avx512 {
    /// Looks at the processor.
    #[inline]
    pub(super) fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        has.then_some(Self(()))
    }
}

/// Runs `kernel` compiled for AVX-512 F, VL, DQ and BW, and F16C.
pub(super) fn run<K: Kernel>(simd: Avx512, kernel: K) -> K::Output {
    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma,f16c")]
    fn enabled<K: Kernel>(simd: Avx512, kernel: K) -> K::Output {
        kernel.run(simd)
    }
    // SAFETY: a `Avx512` exists only where the processor has these features.
    unsafe { enabled(simd, kernel) }
}

/// [`Simd::in_step_f64`]: for every four vectors an assembly statement that contains no instruction
/// but, as the compiler sees it, needs and changes all four.
#[target_feature(enable = "avx512f")]
#[inline]
fn in_step<const N: usize>(mut values: [__m512d; N]) -> [__m512d; N] {
    for four in values.as_chunks_mut::<4>().0 {
        // SAFETY: the assembly is a comment.
        unsafe {
            asm!(
                "/* {} {} {} {} */",
                inout(zmm_reg) four[0],
                inout(zmm_reg) four[1],
                inout(zmm_reg) four[2],
                inout(zmm_reg) four[3],
                options(pure, nomem, nostack, preserves_flags),
            );
        }
    }
    values
}

impl Simd for Avx512 {
    const LANES: usize = 16;
    const UNROLL: usize = 4;
    type F32 = __m512;
    type U32 = __m512i;
    type F64 = __m512d;
    type U64 = __m512i;

    intrinsics! {
        add_f32(a: F32, b: F32) -> F32 => _mm512_add_ps(a, b);
        sub_f32(a: F32, b: F32) -> F32 => _mm512_sub_ps(a, b);
        mul_f32(a: F32, b: F32) -> F32 => _mm512_mul_ps(a, b);
        div_f32(a: F32, b: F32) -> F32 => _mm512_div_ps(a, b);
        sqrt_f32(a: F32) -> F32 => _mm512_sqrt_ps(a);
        min_f32(a: F32, b: F32) -> F32 => _mm512_min_ps(a, b);
        max_f32(a: F32, b: F32) -> F32 => _mm512_max_ps(a, b);
        bits_f32(a: F32) -> U32 => _mm512_castps_si512(a);
        from_bits_f32(a: U32) -> F32 => _mm512_castsi512_ps(a);
        i32_to_f32(a: U32) -> F32 => _mm512_cvtepi32_ps(a);
        and_u32(a: U32, b: U32) -> U32 => _mm512_and_si512(a, b);
        or_u32(a: U32, b: U32) -> U32 => _mm512_or_si512(a, b);
        xor_u32(a: U32, b: U32) -> U32 => _mm512_xor_si512(a, b);
        add_u32(a: U32, b: U32) -> U32 => _mm512_add_epi32(a, b);
        sub_u32(a: U32, b: U32) -> U32 => _mm512_sub_epi32(a, b);
        and_u64(a: U64, b: U64) -> U64 => _mm512_and_si512(a, b);
        or_u64(a: U64, b: U64) -> U64 => _mm512_or_si512(a, b);
        xor_u64(a: U64, b: U64) -> U64 => _mm512_xor_si512(a, b);
        add_u64(a: U64, b: U64) -> U64 => _mm512_add_epi64(a, b);
        sub_u64(a: U64, b: U64) -> U64 => _mm512_sub_epi64(a, b);
        mul_low_u64(a: U64, b: U64) -> U64 => _mm512_mul_epu32(a, b);
        add_f64(a: F64, b: F64) -> F64 => _mm512_add_pd(a, b);
        sub_f64(a: F64, b: F64) -> F64 => _mm512_sub_pd(a, b);
        mul_f64(a: F64, b: F64) -> F64 => _mm512_mul_pd(a, b);
        div_f64(a: F64, b: F64) -> F64 => _mm512_div_pd(a, b);
        sqrt_f64(a: F64) -> F64 => _mm512_sqrt_pd(a);
        min_f64(a: F64, b: F64) -> F64 => _mm512_min_pd(a, b);
        max_f64(a: F64, b: F64) -> F64 => _mm512_max_pd(a, b);
        bits_f64(a: F64) -> U64 => _mm512_castpd_si512(a);
        from_bits_f64(a: U64) -> F64 => _mm512_castsi512_pd(a);
        mul_add_f32(a: F32, b: F32, c: F32) -> F32 => _mm512_fmadd_ps(a, b, c);
        mul_add_f64(a: F64, b: F64, c: F64) -> F64 => _mm512_fmadd_pd(a, b, c);
        mul_add_either_f64(a: F64, b: F64, c: F64) -> F64 => _mm512_fmadd_pd(a, b, c);
        select_lt_i32(a: U32, b: U32, x: U32, y: U32) -> U32
            => _mm512_mask_blend_epi32(_mm512_cmplt_epi32_mask(a, b), y, x);
        f32_to_f16_bits(a: F32) -> U32
            => _mm512_cvtepu16_epi32(_mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(a));
        xor3_u64(a: U64, b: U64, c: U64) -> U64 => _mm512_ternarylogic_epi64::<0x96>(a, b, c);
        low_halves(a: U64, b: U64) -> U64
            => _mm512_mask_shuffle_epi32::<0b10_10_00_00>(a, 0xaaaa, b);
        high_halves(a: U64, b: U64) -> U64
            => _mm512_mask_shuffle_epi32::<0b11_11_01_01>(b, 0x5555, a);
        block_numbers() -> U64 => _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);
    }

    x86_shifts! {
        shl_u32(U32) => _mm512_sll_epi32;
        shr_u32(U32) => _mm512_srl_epi32;
        shl_u64(U64) => _mm512_sll_epi64;
        shr_u64(U64) => _mm512_srl_epi64;
    }

    splats! {
        splat_f32(x: f32) -> F32 => _mm512_set1_ps(x);
        splat_u32(x: u32) -> U32 => _mm512_set1_epi32(x as i32);
        splat_f64(x: f64) -> F64 => _mm512_set1_pd(x);
        splat_u64(x: u64) -> U64 => _mm512_set1_epi64(x as i64);
    }
    #[inline(always)]
    fn u64_as_u32(self, a: __m512i) -> __m512i {
        a
    }
    #[inline(always)]
    fn u32_as_u64(self, a: __m512i) -> __m512i {
        a
    }
    #[inline(always)]
    fn widen_f32(self, a: __m512) -> [__m512d; 2] {
        // SAFETY: as for the other intrinsics.
        unsafe {
            let upper = _mm512_extractf32x8_ps::<1>(a);
            [_mm512_cvtps_pd(_mm512_castps512_ps256(a)), _mm512_cvtps_pd(upper)]
        }
    }
    #[inline(always)]
    fn i32_to_f64(self, a: __m512i) -> [__m512d; 2] {
        // SAFETY: as for the other intrinsics.
        unsafe {
            let upper = _mm512_extracti32x8_epi32::<1>(a);
            [_mm512_cvtepi32_pd(_mm512_castsi512_si256(a)), _mm512_cvtepi32_pd(upper)]
        }
    }
    #[inline(always)]
    fn narrow_f64(self, [a, b]: [__m512d; 2]) -> __m512 {
        // SAFETY: as for the other intrinsics.
        unsafe {
            let lower = _mm512_castps256_ps512(_mm512_cvtpd_ps(a));
            _mm512_insertf32x8::<1>(lower, _mm512_cvtpd_ps(b))
        }
    }
    #[inline(always)]
    fn pick_f64(self, table: &[f64; 16], numbers: __m512i) -> [__m512d; 2] {
        // SAFETY: as for the other intrinsics.
        let [low, high] = unsafe {
            let upper = _mm512_extracti32x8_epi32::<1>(numbers);
            let lower = _mm512_castsi512_si256(numbers);
            [_mm512_cvtepu32_epi64(lower), _mm512_cvtepu32_epi64(upper)]
        };
        let (a, b) = (self.load_f64(table), self.load_f64(&table[8..]));
        // SAFETY: as for the other intrinsics. Only the lowest four bits of a number count.
        unsafe { [_mm512_permutex2var_pd(a, low, b), _mm512_permutex2var_pd(a, high, b)] }
    }
    #[inline(always)]
    fn in_step_f64<const N: usize>(self, values: [__m512d; N]) -> [__m512d; N] {
        // SAFETY: as for the other intrinsics.
        unsafe { in_step(values) }
    }
    loads_and_stores! {
        load_f32, store_f32(f32 as F32, Self::LANES) => _mm512_loadu_ps, _mm512_storeu_ps;
        load_f64, store_f64(f64 as F64, Self::LANES / 2) => _mm512_loadu_pd, _mm512_storeu_pd;
    }

    #[inline(always)]
    fn all_lt_i32(self, a: __m512i, b: __m512i) -> bool {
        // SAFETY: as for the other intrinsics.
        unsafe { _mm512_cmplt_epi32_mask(a, b) == !0 }
    }
    #[inline(always)]
    fn interleave_f32(self, a: __m512, b: __m512) -> (__m512, __m512) {
        // SAFETY: as for the other intrinsics.
        unsafe { (_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)) }
    }
    #[inline(always)]
    fn interleave_u64(self, a: __m512i, b: __m512i) -> (__m512i, __m512i) {
        // SAFETY: as for the other intrinsics.
        unsafe { (_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b)) }
    }
    #[inline(always)]
    fn store_u16(self, a: __m512i, b: __m512i, to: &mut [MaybeUninit<u16>]) {
        let to = &mut to[..2 * Self::LANES];
        // SAFETY: `to` has the 32 elements that are written; alignment is not needed.
        unsafe {
            let both = _mm512_inserti64x4::<1>(
                _mm512_castsi256_si512(_mm512_cvtepi32_epi16(a)),
                _mm512_cvtepi32_epi16(b),
            );
            _mm512_storeu_si512(to.as_mut_ptr().cast(), both);
        }
    }
    #[inline(always)]
    fn store_high_u16(self, a: __m512i, b: __m512i, to: &mut [MaybeUninit<u16>]) {
        const UPPER: [u16; 32] = {
            let mut index = [0; 32];
            let mut i = 0;
            while i < 32 {
                index[i] = 2 * i as u16 + 1;
                i += 1;
            }
            index
        };
        let to = &mut to[..2 * Self::LANES];
        // SAFETY: `UPPER` has the 32 elements that are read, `to` those that are written;
        // alignment is not needed.
        unsafe {
            let upper = _mm512_loadu_si512(UPPER.as_ptr().cast());
            let both = _mm512_permutex2var_epi16(a, upper, b);
            _mm512_storeu_si512(to.as_mut_ptr().cast(), both);
        }
    }
    #[inline(always)]
    fn store_u8(self, a: __m512i, b: __m512i, to: &mut [MaybeUninit<u8>]) {
        for (a, to) in [a, b].into_iter().zip(to[..2 * Self::LANES].chunks_exact_mut(Self::LANES)) {
            // SAFETY: `to` has the 16 elements that are written; alignment is not needed.
            unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(a)) }
        }
    }

    #[inline(always)]
    fn load_fourths_u32(self, from: &[u32]) -> __m512i {
        let from = &from[..4 * Self::LANES];
        let from: &[f32] = bytemuck::cast_slice(from);
        let (a, b) = (self.load_f32(from), self.load_f32(&from[Self::LANES..]));
        let c = self.load_f32(&from[2 * Self::LANES..]);
        let d = self.load_f32(&from[3 * Self::LANES..]);
        let (low, high) = (self.interleave_f32(a, b).0, self.interleave_f32(c, d).0);
        let both = self.interleave_u64(self.bits_f32(low), self.bits_f32(high)).0;
        // A group has the fourths of the same group of each row.
        // SAFETY: as for the other intrinsics.
        unsafe {
            let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            _mm512_permutexvar_epi32(order, both)
        }
    }
    #[inline(always)]
    fn less_f32(self, a: __m512, b: __m512) -> u32 {
        // SAFETY: as for the other intrinsics.
        unsafe { _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b).into() }
    }
    #[inline(always)]
    fn halves_f32(self, a: __m512, b: __m512) -> (__m512, __m512) {
        // SAFETY: as for the other intrinsics.
        unsafe {
            (
                _mm512_shuffle_f32x4::<0b01_00_01_00>(a, b),
                _mm512_shuffle_f32x4::<0b11_10_11_10>(a, b),
            )
        }
    }

    #[inline(always)]
    fn load_u64(self, from: &[u64]) -> __m512i {
        let from = &from[..Self::LANES / 2];
        // SAFETY: `from` has as many elements as are read; alignment is not needed.
        unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
    }
    #[inline(always)]
    fn look_up<const ROWS: usize>(
        self,
        numbers: &[u64],
        table: &[[u64; 2]; ROWS],
    ) -> (__m512i, __m512i) {
        let numbers = &numbers[..Self::LANES / 2];
        // Whole rows are loaded, then transposed: that takes half as many loads as a gather.
        let row = |i: usize| {
            let row = &table[numbers[i] as usize % ROWS];
            // SAFETY: a row has the 16 bytes that are read; alignment is not needed.
            unsafe { _mm_loadu_si128(row.as_ptr().cast()) }
        };
        // SAFETY: as for the other intrinsics.
        let rows = |a, b, c, d| unsafe {
            let low = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(a), b);
            let high = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(c), d);
            _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
        };
        let even = rows(row(0), row(2), row(4), row(6));
        let odd = rows(row(1), row(3), row(5), row(7));
        self.interleave_u64(even, odd)
    }
    #[inline(always)]
    fn less_u64(self, a: __m512i, b: __m512i) -> u32 {
        // SAFETY: as for the other intrinsics.
        unsafe { _mm512_cmplt_epu64_mask(a, b).into() }
    }
    #[inline(always)]
    fn within_f64(self, a: __m512d, low: f64, high: f64) -> u32 {
        // SAFETY: as for the other intrinsics.
        unsafe {
            let above = _mm512_cmp_pd_mask::<_CMP_GE_OQ>(a, _mm512_set1_pd(low));
            _mm512_mask_cmp_pd_mask::<_CMP_LE_OQ>(above, a, _mm512_set1_pd(high)).into()
        }
    }
    #[inline(always)]
    fn compress_f64(self, a: __m512d, mask: u32) -> __m512d {
        // SAFETY: as for the other intrinsics.
        unsafe { _mm512_maskz_compress_pd(mask as u8, a) }
    }
    #[inline(always)]
    fn store_f64_as_f32(self, a: __m512d, to: &mut [MaybeUninit<f32>]) {
        let to = &mut to[..Self::LANES / 2];
        // SAFETY: `to` has as many elements as are written; alignment is not needed.
        unsafe { _mm256_storeu_ps(to.as_mut_ptr().cast(), _mm512_cvtpd_ps(a)) }
    }
}
