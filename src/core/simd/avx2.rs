//! AVX2: 8 lanes of 32 bits.

use std::arch::x86_64::*;
use std::mem::MaybeUninit;

use super::operations::{Kernel, Simd};

/// Proof that the processor has AVX2, FMA and F16C.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx2(());

impl Avx2 {
    /// Looks at the processor.
    #[inline]
    pub(super) fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        has.then_some(Self(()))
    }
}

/// Runs `kernel` compiled for AVX2, FMA and F16C.
pub(super) fn run<K: Kernel>(simd: Avx2, kernel: K) -> K::Output {
    #[target_feature(enable = "avx2,fma,f16c")]
    fn enabled<K: Kernel>(simd: Avx2, kernel: K) -> K::Output {
        kernel.run(simd)
    }
    // SAFETY: a `Avx2` exists only where the processor has these features.
    unsafe { enabled(simd, kernel) }
}

impl Simd for Avx2 {
    const LANES: usize = 8;
    const UNROLL: usize = 2;
    type F32 = __m256;
    type U32 = __m256i;
    type F64 = __m256d;
    type U64 = __m256i;

    intrinsics! {
        add_f32(a: F32, b: F32) -> F32 => _mm256_add_ps(a, b);
        sub_f32(a: F32, b: F32) -> F32 => _mm256_sub_ps(a, b);
        mul_f32(a: F32, b: F32) -> F32 => _mm256_mul_ps(a, b);
        div_f32(a: F32, b: F32) -> F32 => _mm256_div_ps(a, b);
        sqrt_f32(a: F32) -> F32 => _mm256_sqrt_ps(a);
        min_f32(a: F32, b: F32) -> F32 => _mm256_min_ps(a, b);
        max_f32(a: F32, b: F32) -> F32 => _mm256_max_ps(a, b);
        bits_f32(a: F32) -> U32 => _mm256_castps_si256(a);
        from_bits_f32(a: U32) -> F32 => _mm256_castsi256_ps(a);
        i32_to_f32(a: U32) -> F32 => _mm256_cvtepi32_ps(a);
        and_u32(a: U32, b: U32) -> U32 => _mm256_and_si256(a, b);
        or_u32(a: U32, b: U32) -> U32 => _mm256_or_si256(a, b);
        xor_u32(a: U32, b: U32) -> U32 => _mm256_xor_si256(a, b);
        add_u32(a: U32, b: U32) -> U32 => _mm256_add_epi32(a, b);
        sub_u32(a: U32, b: U32) -> U32 => _mm256_sub_epi32(a, b);
        and_u64(a: U64, b: U64) -> U64 => _mm256_and_si256(a, b);
        or_u64(a: U64, b: U64) -> U64 => _mm256_or_si256(a, b);
        xor_u64(a: U64, b: U64) -> U64 => _mm256_xor_si256(a, b);
        add_u64(a: U64, b: U64) -> U64 => _mm256_add_epi64(a, b);
        sub_u64(a: U64, b: U64) -> U64 => _mm256_sub_epi64(a, b);
        mul_low_u64(a: U64, b: U64) -> U64 => _mm256_mul_epu32(a, b);
        add_f64(a: F64, b: F64) -> F64 => _mm256_add_pd(a, b);
        sub_f64(a: F64, b: F64) -> F64 => _mm256_sub_pd(a, b);
        mul_f64(a: F64, b: F64) -> F64 => _mm256_mul_pd(a, b);
        div_f64(a: F64, b: F64) -> F64 => _mm256_div_pd(a, b);
        sqrt_f64(a: F64) -> F64 => _mm256_sqrt_pd(a);
        min_f64(a: F64, b: F64) -> F64 => _mm256_min_pd(a, b);
        max_f64(a: F64, b: F64) -> F64 => _mm256_max_pd(a, b);
        bits_f64(a: F64) -> U64 => _mm256_castpd_si256(a);
        from_bits_f64(a: U64) -> F64 => _mm256_castsi256_pd(a);
        mul_add_f32(a: F32, b: F32, c: F32) -> F32 => _mm256_fmadd_ps(a, b, c);
        mul_add_f64(a: F64, b: F64, c: F64) -> F64 => _mm256_fmadd_pd(a, b, c);
        mul_add_either_f64(a: F64, b: F64, c: F64) -> F64 => _mm256_fmadd_pd(a, b, c);
        select_lt_i32(a: U32, b: U32, x: U32, y: U32) -> U32
            => _mm256_blendv_epi8(y, x, _mm256_cmpgt_epi32(b, a));
        f32_to_f16_bits(a: F32) -> U32
            => _mm256_cvtepu16_epi32(_mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(a));
        low_halves(a: U64, b: U64) -> U64
            => _mm256_blend_epi32::<0b1010_1010>(a, _mm256_shuffle_epi32::<0b10_10_00_00>(b));
        high_halves(a: U64, b: U64) -> U64
            => _mm256_blend_epi32::<0b1010_1010>(_mm256_shuffle_epi32::<0b11_11_01_01>(a), b);
        block_numbers() -> U64 => _mm256_setr_epi64x(0, 2, 1, 3);
    }

    x86_shifts! {
        shl_u32(U32) => _mm256_sll_epi32;
        shr_u32(U32) => _mm256_srl_epi32;
        shl_u64(U64) => _mm256_sll_epi64;
        shr_u64(U64) => _mm256_srl_epi64;
    }

    splats! {
        splat_f32(x: f32) -> F32 => _mm256_set1_ps(x);
        splat_u32(x: u32) -> U32 => _mm256_set1_epi32(x as i32);
        splat_f64(x: f64) -> F64 => _mm256_set1_pd(x);
        splat_u64(x: u64) -> U64 => _mm256_set1_epi64x(x as i64);
    }
    #[inline(always)]
    fn u64_as_u32(self, a: __m256i) -> __m256i {
        a
    }
    #[inline(always)]
    fn u32_as_u64(self, a: __m256i) -> __m256i {
        a
    }

    #[inline(always)]
    fn widen_f32(self, a: __m256) -> [__m256d; 2] {
        // SAFETY: as for the other intrinsics.
        unsafe {
            let upper = _mm256_extractf128_ps::<1>(a);
            [_mm256_cvtps_pd(_mm256_castps256_ps128(a)), _mm256_cvtps_pd(upper)]
        }
    }
    #[inline(always)]
    fn i32_to_f64(self, a: __m256i) -> [__m256d; 2] {
        // SAFETY: as for the other intrinsics.
        unsafe {
            let upper = _mm256_extracti128_si256::<1>(a);
            [_mm256_cvtepi32_pd(_mm256_castsi256_si128(a)), _mm256_cvtepi32_pd(upper)]
        }
    }
    #[inline(always)]
    fn narrow_f64(self, [a, b]: [__m256d; 2]) -> __m256 {
        // SAFETY: as for the other intrinsics.
        unsafe {
            let lower = _mm256_castps128_ps256(_mm256_cvtpd_ps(a));
            _mm256_insertf128_ps::<1>(lower, _mm256_cvtpd_ps(b))
        }
    }
    #[inline(always)]
    fn pick_f64(self, table: &[f64; 16], numbers: __m256i) -> [__m256d; 2] {
        // SAFETY: numbers below 16 are inside the table; the rest as for the other intrinsics.
        unsafe {
            let numbers = _mm256_and_si256(numbers, _mm256_set1_epi32(15));
            let (low, high) =
                (_mm256_castsi256_si128(numbers), _mm256_extracti128_si256::<1>(numbers));
            let table = table.as_ptr();
            [_mm256_i32gather_pd::<8>(table, low), _mm256_i32gather_pd::<8>(table, high)]
        }
    }

    loads_and_stores! {
        load_f32, store_f32(f32 as F32, Self::LANES) => _mm256_loadu_ps, _mm256_storeu_ps;
        load_f64, store_f64(f64 as F64, Self::LANES / 2) => _mm256_loadu_pd, _mm256_storeu_pd;
    }

    #[inline(always)]
    fn all_lt_i32(self, a: __m256i, b: __m256i) -> bool {
        // SAFETY: as for the other intrinsics.
        unsafe { _mm256_movemask_epi8(_mm256_cmpgt_epi32(b, a)) == -1 }
    }
    #[inline(always)]
    fn interleave_f32(self, a: __m256, b: __m256) -> (__m256, __m256) {
        // SAFETY: as for the other intrinsics.
        unsafe { (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b)) }
    }
    #[inline(always)]
    fn interleave_u64(self, a: __m256i, b: __m256i) -> (__m256i, __m256i) {
        // SAFETY: as for the other intrinsics.
        unsafe { (_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b)) }
    }
    #[inline(always)]
    fn store_u16(self, a: __m256i, b: __m256i, to: &mut [MaybeUninit<u16>]) {
        let to = &mut to[..2 * Self::LANES];
        // SAFETY: `to` has the 16 elements that are written; alignment is not needed.
        unsafe {
            // Packing works within 128 bits: the four quarters have to be put in order.
            let both = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi32(a, b));
            _mm256_storeu_si256(to.as_mut_ptr().cast(), both);
        }
    }
    #[inline(always)]
    fn store_u8(self, a: __m256i, b: __m256i, to: &mut [MaybeUninit<u8>]) {
        let to = &mut to[..2 * Self::LANES];
        // SAFETY: `to` has the 16 elements that are written; alignment is not needed.
        unsafe {
            let both = _mm256_packus_epi32(a, b);
            // Groups of 4 bytes lie as a0 b0 a0 b0 a1 b1 a1 b1.
            let both = _mm256_packus_epi16(both, both);
            let order = _mm256_setr_epi32(0, 4, 1, 5, 0, 4, 1, 5);
            let both = _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(both, order));
            _mm_storeu_si128(to.as_mut_ptr().cast(), both);
        }
    }

    #[inline(always)]
    fn load_fourths_u32(self, from: &[u32]) -> __m256i {
        let from = &from[..4 * Self::LANES];
        let from: &[f32] = bytemuck::cast_slice(from);
        let (a, b) = (self.load_f32(from), self.load_f32(&from[Self::LANES..]));
        let c = self.load_f32(&from[2 * Self::LANES..]);
        let d = self.load_f32(&from[3 * Self::LANES..]);
        let (low, high) = (self.interleave_f32(a, b).0, self.interleave_f32(c, d).0);
        let both = self.interleave_u64(self.bits_f32(low), self.bits_f32(high)).0;
        // A group has the fourths of the same group of each row.
        // SAFETY: as for the other intrinsics.
        unsafe { _mm256_permutevar8x32_epi32(both, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)) }
    }
    #[inline(always)]
    fn less_f32(self, a: __m256, b: __m256) -> u32 {
        // SAFETY: as for the other intrinsics.
        unsafe { _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(a, b)) as u32 }
    }

    #[inline(always)]
    fn load_u64(self, from: &[u64]) -> __m256i {
        let from = &from[..Self::LANES / 2];
        // SAFETY: `from` has as many elements as are read; alignment is not needed.
        unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
    }
    #[inline(always)]
    fn look_up<const ROWS: usize>(
        self,
        numbers: &[u64],
        table: &[[u64; 2]; ROWS],
    ) -> (__m256i, __m256i) {
        let numbers = &numbers[..Self::LANES / 2];
        // Whole rows are loaded, then transposed: that takes half as many loads as a gather.
        let row = |i: usize| {
            let row = &table[numbers[i] as usize % ROWS];
            // SAFETY: a row has the 16 bytes that are read; alignment is not needed.
            unsafe { _mm_loadu_si128(row.as_ptr().cast()) }
        };
        // SAFETY: as for the other intrinsics.
        let rows = |a, b| unsafe { _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(a), b) };
        self.interleave_u64(rows(row(0), row(2)), rows(row(1), row(3)))
    }
    #[inline(always)]
    fn less_u64(self, a: __m256i, b: __m256i) -> u32 {
        // SAFETY: as for the other intrinsics.
        unsafe { _mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpgt_epi64(b, a))) as u32 }
    }
    #[inline(always)]
    fn within_f64(self, a: __m256d, low: f64, high: f64) -> u32 {
        // SAFETY: as for the other intrinsics.
        unsafe {
            let above = _mm256_cmp_pd::<_CMP_GE_OQ>(a, _mm256_set1_pd(low));
            let below = _mm256_cmp_pd::<_CMP_LE_OQ>(a, _mm256_set1_pd(high));
            _mm256_movemask_pd(_mm256_and_pd(above, below)) as u32
        }
    }
    #[inline(always)]
    fn compress_f64(self, a: __m256d, mask: u32) -> __m256d {
        let order = &FRONT[(mask & 15) as usize];
        // SAFETY: `order` has the 32 bytes that are read; the rest as for the other intrinsics.
        unsafe {
            let order = _mm256_loadu_si256(order.as_ptr().cast());
            let lanes = _mm256_permutevar8x32_epi32(_mm256_castpd_si256(a), order);
            _mm256_castsi256_pd(lanes)
        }
    }
    #[inline(always)]
    fn store_f64_as_f32(self, a: __m256d, to: &mut [MaybeUninit<f32>]) {
        let to = &mut to[..Self::LANES / 2];
        // SAFETY: `to` has as many elements as are written; alignment is not needed.
        unsafe { _mm_storeu_ps(to.as_mut_ptr().cast(), _mm256_cvtpd_ps(a)) }
    }
}

/// For every mask of four lanes the numbers, in order, of the 32-bit halves of the lanes set.
static FRONT: [[u32; 8]; 16] = {
    let mut front = [[0; 8]; 16];
    let mut mask = 0;
    while mask < 16 {
        let (mut lane, mut at) = (0, 0);
        while lane < 4 {
            if mask >> lane & 1 == 1 {
                front[mask][at] = 2 * lane;
                front[mask][at + 1] = 2 * lane + 1;
                at += 2;
            }
            lane += 1;
        }
        mask += 1;
    }
    front
};
