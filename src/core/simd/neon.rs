//! NEON, the vectors of AArch64: 4 lanes of 32 bits.

use std::arch::aarch64::*;
use std::arch::asm;
use std::mem::MaybeUninit;

use super::operations::{Kernel, Simd};

/// Proof that the processor has NEON, as every AArch64 with an operating system does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Neon(());

impl Neon {
    /// Looks at the processor.
    #[inline]
    pub(super) fn detect() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Self(()))
    }
}

/// Runs `kernel` compiled for NEON.
pub(super) fn run<K: Kernel>(simd: Neon, kernel: K) -> K::Output {
    #[target_feature(enable = "neon")]
    fn enabled<K: Kernel>(simd: Neon, kernel: K) -> K::Output {
        kernel.run(simd)
    }
    // SAFETY: a `Neon` exists only where the processor has this feature.
    unsafe { enabled(simd, kernel) }
}

/// Shifts of all lanes by a constant, to the right where the count is negative. The compiler puts
/// the count into the instruction.
macro_rules! shifts {
    ($($name:ident($t:ident) => $intrinsic:ident by $splat:ident($count:expr);)*) => {$(
        #[inline(always)]
        fn $name<const N: u32>(self, a: Self::$t) -> Self::$t {
            // SAFETY: as for the other intrinsics.
            unsafe { $intrinsic(a, $splat($count)) }
        }
    )*};
}

impl Simd for Neon {
    const LANES: usize = 4;
    const UNROLL: usize = 4;
    type F32 = float32x4_t;
    type U32 = uint32x4_t;
    type F64 = float64x2_t;
    type U64 = uint64x2_t;

    intrinsics! {
        add_f32(a: F32, b: F32) -> F32 => vaddq_f32(a, b);
        sub_f32(a: F32, b: F32) -> F32 => vsubq_f32(a, b);
        mul_f32(a: F32, b: F32) -> F32 => vmulq_f32(a, b);
        div_f32(a: F32, b: F32) -> F32 => vdivq_f32(a, b);
        sqrt_f32(a: F32) -> F32 => vsqrtq_f32(a);
        // Not FMIN and FMAX: these order zeros by their sign, unlike the other instruction sets.
        min_f32(a: F32, b: F32) -> F32 => vbslq_f32(vcltq_f32(a, b), a, b);
        max_f32(a: F32, b: F32) -> F32 => vbslq_f32(vcgtq_f32(a, b), a, b);
        bits_f32(a: F32) -> U32 => vreinterpretq_u32_f32(a);
        from_bits_f32(a: U32) -> F32 => vreinterpretq_f32_u32(a);
        i32_to_f32(a: U32) -> F32 => vcvtq_f32_s32(vreinterpretq_s32_u32(a));
        and_u32(a: U32, b: U32) -> U32 => vandq_u32(a, b);
        or_u32(a: U32, b: U32) -> U32 => vorrq_u32(a, b);
        xor_u32(a: U32, b: U32) -> U32 => veorq_u32(a, b);
        add_u32(a: U32, b: U32) -> U32 => vaddq_u32(a, b);
        sub_u32(a: U32, b: U32) -> U32 => vsubq_u32(a, b);
        and_u64(a: U64, b: U64) -> U64 => vandq_u64(a, b);
        or_u64(a: U64, b: U64) -> U64 => vorrq_u64(a, b);
        xor_u64(a: U64, b: U64) -> U64 => veorq_u64(a, b);
        add_u64(a: U64, b: U64) -> U64 => vaddq_u64(a, b);
        sub_u64(a: U64, b: U64) -> U64 => vsubq_u64(a, b);
        mul_low_u64(a: U64, b: U64) -> U64 => vmull_u32(vmovn_u64(a), vmovn_u64(b));
        add_f64(a: F64, b: F64) -> F64 => vaddq_f64(a, b);
        sub_f64(a: F64, b: F64) -> F64 => vsubq_f64(a, b);
        mul_f64(a: F64, b: F64) -> F64 => vmulq_f64(a, b);
        div_f64(a: F64, b: F64) -> F64 => vdivq_f64(a, b);
        sqrt_f64(a: F64) -> F64 => vsqrtq_f64(a);
        min_f64(a: F64, b: F64) -> F64 => vbslq_f64(vcltq_f64(a, b), a, b);
        max_f64(a: F64, b: F64) -> F64 => vbslq_f64(vcgtq_f64(a, b), a, b);
        bits_f64(a: F64) -> U64 => vreinterpretq_u64_f64(a);
        from_bits_f64(a: U64) -> F64 => vreinterpretq_f64_u64(a);
        mul_add_f32(a: F32, b: F32, c: F32) -> F32 => vfmaq_f32(c, a, b);
        mul_add_f64(a: F64, b: F64, c: F64) -> F64 => vfmaq_f64(c, a, b);
        mul_add_either_f64(a: F64, b: F64, c: F64) -> F64 => vfmaq_f64(c, a, b);
        select_lt_i32(a: U32, b: U32, x: U32, y: U32) -> U32
            => vbslq_u32(vcltq_s32(vreinterpretq_s32_u32(a), vreinterpretq_s32_u32(b)), x, y);
        f32_to_f16_bits(a: F32) -> U32 => {
            // The oldest compiler that builds this does not have the intrinsic yet.
            let bits: uint16x4_t;
            asm!(
                "fcvtn {bits:v}.4h, {a:v}.4s",
                bits = lateout(vreg) bits,
                a = in(vreg) a,
                options(pure, nomem, nostack, preserves_flags),
            );
            vmovl_u16(bits)
        };
        low_halves(a: U64, b: U64) -> U64 => vreinterpretq_u64_u32(
            vtrn1q_u32(vreinterpretq_u32_u64(a), vreinterpretq_u32_u64(b)));
        high_halves(a: U64, b: U64) -> U64 => vreinterpretq_u64_u32(
            vtrn2q_u32(vreinterpretq_u32_u64(a), vreinterpretq_u32_u64(b)));
        block_numbers() -> U64 => vcombine_u64(vcreate_u64(0), vcreate_u64(1));
        u64_as_u32(a: U64) -> U32 => vreinterpretq_u32_u64(a);
        u32_as_u64(a: U32) -> U64 => vreinterpretq_u64_u32(a);
    }

    shifts! {
        shl_u32(U32) => vshlq_u32 by vdupq_n_s32(N as i32);
        shr_u32(U32) => vshlq_u32 by vdupq_n_s32(-(N as i32));
        shl_u64(U64) => vshlq_u64 by vdupq_n_s64(i64::from(N));
        shr_u64(U64) => vshlq_u64 by vdupq_n_s64(-i64::from(N));
    }

    splats! {
        splat_f32(x: f32) -> F32 => vdupq_n_f32(x);
        splat_u32(x: u32) -> U32 => vdupq_n_u32(x);
        splat_f64(x: f64) -> F64 => vdupq_n_f64(x);
        splat_u64(x: u64) -> U64 => vdupq_n_u64(x);
    }

    loads_and_stores! {
        load_f32, store_f32(f32 as F32, Self::LANES) => vld1q_f32, vst1q_f32;
        load_f64, store_f64(f64 as F64, Self::LANES / 2) => vld1q_f64, vst1q_f64;
    }

    #[inline(always)]
    fn widen_f32(self, a: float32x4_t) -> [float64x2_t; 2] {
        // SAFETY: as for the other intrinsics.
        unsafe { [vcvt_f64_f32(vget_low_f32(a)), vcvt_high_f64_f32(a)] }
    }
    #[inline(always)]
    fn i32_to_f64(self, a: uint32x4_t) -> [float64x2_t; 2] {
        // SAFETY: as for the other intrinsics.
        unsafe {
            let a = vreinterpretq_s32_u32(a);
            [vcvtq_f64_s64(vmovl_s32(vget_low_s32(a))), vcvtq_f64_s64(vmovl_high_s32(a))]
        }
    }
    #[inline(always)]
    fn narrow_f64(self, [a, b]: [float64x2_t; 2]) -> float32x4_t {
        // SAFETY: as for the other intrinsics.
        unsafe { vcvt_high_f32_f64(vcvt_f32_f64(a), b) }
    }
    #[inline(always)]
    fn all_lt_i32(self, a: uint32x4_t, b: uint32x4_t) -> bool {
        // SAFETY: as for the other intrinsics.
        unsafe {
            let less = vcltq_s32(vreinterpretq_s32_u32(a), vreinterpretq_s32_u32(b));
            vminvq_u32(less) != 0
        }
    }
    #[inline(always)]
    fn interleave_f32(self, a: float32x4_t, b: float32x4_t) -> (float32x4_t, float32x4_t) {
        // SAFETY: as for the other intrinsics.
        unsafe { (vzip1q_f32(a, b), vzip2q_f32(a, b)) }
    }
    #[inline(always)]
    fn interleave_u64(self, a: uint64x2_t, b: uint64x2_t) -> (uint64x2_t, uint64x2_t) {
        // SAFETY: as for the other intrinsics.
        unsafe { (vzip1q_u64(a, b), vzip2q_u64(a, b)) }
    }
    #[inline(always)]
    fn store_u16(self, a: uint32x4_t, b: uint32x4_t, to: &mut [MaybeUninit<u16>]) {
        let to = &mut to[..2 * Self::LANES];
        // SAFETY: `to` has the 8 elements that are written; alignment is not needed.
        unsafe { vst1q_u16(to.as_mut_ptr().cast(), vmovn_high_u32(vmovn_u32(a), b)) }
    }
    #[inline(always)]
    fn store_u8(self, a: uint32x4_t, b: uint32x4_t, to: &mut [MaybeUninit<u8>]) {
        let to = &mut to[..2 * Self::LANES];
        // SAFETY: `to` has the 8 elements that are written; alignment is not needed.
        unsafe {
            vst1_u8(to.as_mut_ptr().cast(), vmovn_u16(vmovn_high_u32(vmovn_u32(a), b)));
        }
    }
    #[inline(always)]
    fn load_u64(self, from: &[u64]) -> uint64x2_t {
        let from = &from[..Self::LANES / 2];
        // SAFETY: `from` has as many elements as are read; alignment is not needed.
        unsafe { vld1q_u64(from.as_ptr()) }
    }
    #[inline(always)]
    fn look_up<const ROWS: usize>(
        self,
        numbers: &[u64],
        table: &[[u64; 2]; ROWS],
    ) -> (uint64x2_t, uint64x2_t) {
        let row = |i: usize| self.load_u64(&table[numbers[i] as usize % ROWS]);
        self.interleave_u64(row(0), row(1))
    }
    #[inline(always)]
    fn less_u64(self, a: uint64x2_t, b: uint64x2_t) -> u32 {
        // SAFETY: as for the other intrinsics.
        self.mask(unsafe { vcltq_u64(a, b) })
    }
    #[inline(always)]
    fn within_f64(self, a: float64x2_t, low: f64, high: f64) -> u32 {
        // SAFETY: as for the other intrinsics.
        self.mask(unsafe {
            vandq_u64(vcgeq_f64(a, vdupq_n_f64(low)), vcleq_f64(a, vdupq_n_f64(high)))
        })
    }
    #[inline(always)]
    fn compress_f64(self, a: float64x2_t, mask: u32) -> float64x2_t {
        // A lane has to move only where the upper one alone is kept.
        // SAFETY: as for the other intrinsics.
        if mask & 3 == 2 { unsafe { vdupq_laneq_f64::<1>(a) } } else { a }
    }
    #[inline(always)]
    fn store_f64_as_f32(self, a: float64x2_t, to: &mut [MaybeUninit<f32>]) {
        let to = &mut to[..Self::LANES / 2];
        // SAFETY: `to` has as many elements as are written; alignment is not needed.
        unsafe { vst1_f32(to.as_mut_ptr().cast(), vcvt_f32_f64(a)) }
    }
}

impl Neon {
    /// Bit `i` is set where lane `i` is all ones.
    #[inline(always)]
    fn mask(self, lanes: uint64x2_t) -> u32 {
        // SAFETY: as for the other intrinsics.
        unsafe { (vgetq_lane_u64::<0>(lanes) & 1 | vgetq_lane_u64::<1>(lanes) & 2) as u32 }
    }
}
