//! float32 logarithm, sine and cosine as the GNU C library computes them.
//!
//! Method: that of its releases from 2.28 on, which is ARM's (optimized-routines): a table and short
//! polynomials, all in float64, rounded to float32 at the end. The results are within 0.82 units in
//! the last place (0.56 for sine and cosine), so not always the nearest float32, and another method
//! would not give the same.
//!
//! Stability: Exact(`logf`, `sincosf`, `sinf`, `cosf`, glibc 2.28 to 2.43, every architecture) for
//! the arguments of the tests, which are all that the streams have. For these it makes no
//! difference whether products and sums are fused.

use crate::simd::Simd;

/// Where the table begins: bits of a float32 somewhat below 0.7.
const FIRST: u32 = 0x3f33_0000;

/// 1 / c and ln c, for a c near the middle of each 16th of an octave from [`FIRST`] on.
const INVERSE: [f64; 16] = [
    f64::from_bits(0x3ff6_61ec_79f8_f3be),
    f64::from_bits(0x3ff5_71ed_4aaf_883d),
    f64::from_bits(0x3ff4_9539_f0f0_10b0),
    f64::from_bits(0x3ff3_c995_b0b8_0385),
    f64::from_bits(0x3ff3_0d19_0c88_64a5),
    f64::from_bits(0x3ff2_5e22_7b0b_8ea0),
    f64::from_bits(0x3ff1_bb4a_4a1a_343f),
    f64::from_bits(0x3ff1_2358_f08a_e5ba),
    f64::from_bits(0x3ff0_953f_4199_00a7),
    f64::from_bits(0x3ff0_0000_0000_0000),
    f64::from_bits(0x3fee_608c_fd9a_47ac),
    f64::from_bits(0x3fec_a4b3_1f02_6aa0),
    f64::from_bits(0x3feb_2036_576a_fce6),
    f64::from_bits(0x3fe9_c2d1_63a1_aa2d),
    f64::from_bits(0x3fe8_86e6_0378_41ed),
    f64::from_bits(0x3fe7_67dc_f553_4862),
];
/// See [`INVERSE`].
const LOGARITHM: [f64; 16] = [
    f64::from_bits(0xbfd5_7bf7_808c_aade),
    f64::from_bits(0xbfd2_bef0_a7c0_6ddb),
    f64::from_bits(0xbfd0_1eae_7f51_3a67),
    f64::from_bits(0xbfcb_31d8_a682_24e9),
    f64::from_bits(0xbfc6_574f_0ac0_7758),
    f64::from_bits(0xbfc1_aa2b_c79c_8100),
    f64::from_bits(0xbfba_4e76_ce8c_0e5e),
    f64::from_bits(0xbfb1_973c_5a61_1ccc),
    f64::from_bits(0xbfa2_52f4_38e1_0c1e),
    f64::from_bits(0x0000_0000_0000_0000),
    f64::from_bits(0x3faa_a5aa_5df2_5984),
    f64::from_bits(0x3fbc_5e53_aa36_2eb4),
    f64::from_bits(0x3fc5_26e5_7720_db08),
    f64::from_bits(0x3fcb_c286_0d22_4770),
    f64::from_bits(0x3fd1_058b_c8a0_7ee1),
    f64::from_bits(0x3fd4_0430_57b6_ee09),
];
/// ln(1 + r) = r + r^2 (LOG\[2\] + LOG\[1\] r + LOG\[0\] r^2).
const LOG: [f64; 3] = [
    f64::from_bits(0xbfd0_0ea3_48b8_8334),
    f64::from_bits(0x3fd5_575b_0be0_0b6a),
    f64::from_bits(0xbfdf_fffe_f20a_4123),
];
/// sin x = x + SIN\[0\] x^3 + x^5 (SIN\[1\] + SIN\[2\] x^2).
const SIN: [f64; 3] = [
    f64::from_bits(0xbfc5_5554_5995_a603),
    f64::from_bits(0x3f81_1076_0523_0bc4),
    f64::from_bits(0xbf29_94eb_3774_cf24),
];
/// cos x = 1 + COS\[0\] x^2 + COS\[1\] x^4 + x^6 (COS\[2\] + COS\[3\] x^2).
const COS: [f64; 4] = [
    f64::from_bits(0xbfdf_ffff_fd0c_621c),
    f64::from_bits(0x3fa5_5553_e106_8f19),
    f64::from_bits(0xbf56_c087_e89a_359d),
    f64::from_bits(0x3ef9_9343_027b_f8c3),
];

/// Bits of the numbers of turns.
const TURN_BITS: u32 = 24;

/// The natural logarithm of each lane, which must be positive and normal.
#[inline(always)]
pub(crate) fn log<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    let bits = simd.bits_f32(x);
    let above = simd.sub_u32(bits, simd.splat_u32(FIRST));
    // k * 2^23 for the number k of the octave: it needs no shift, as ln 2 is divided by 2^23.
    let octave = simd.and_u32(above, simd.splat_u32(0xff80_0000));
    let z = simd.widen_f32(simd.from_bits_f32(simd.sub_u32(bits, octave)));
    let sixteenth = simd.shr_u32::<19>(above);
    let inverse = simd.pick_f64(&INVERSE, sixteenth);
    let logarithm = simd.pick_f64(&LOGARITHM, sixteenth);
    let octave = simd.i32_to_f64(octave);
    let ln_2 = simd.splat_f64(std::f64::consts::LN_2 / (1 << 23) as f64);
    let mut y = z;
    for i in 0..2 {
        let r = simd.mul_add_either_f64(z[i], inverse[i], simd.splat_f64(-1.0));
        let whole = simd.mul_add_either_f64(octave[i], ln_2, logarithm[i]);
        let square = simd.mul_f64(r, r);
        let p = simd.mul_add_either_f64(simd.splat_f64(LOG[1]), r, simd.splat_f64(LOG[2]));
        let p = simd.mul_add_either_f64(simd.splat_f64(LOG[0]), square, p);
        y[i] = simd.mul_add_either_f64(p, square, simd.add_f64(whole, r));
    }
    simd.narrow_f64(y)
}

/// Sine and cosine of the float32 nearest to 2 pi / 2^24 times each lane, an integer below 2^24.
#[inline(always)]
pub(crate) fn sin_cos_turns<S: Simd>(simd: S, turns: S::U32) -> (S::F32, S::F32) {
    const TURN: f64 = std::f64::consts::TAU / (1 << TURN_BITS) as f64;
    const QUARTER: u32 = 1 << (TURN_BITS - 2);
    let mut y = simd.i32_to_f64(turns);
    for y in &mut y {
        *y = simd.mul_f64(*y, simd.splat_f64(TURN));
    }
    let y = simd.widen_f32(simd.narrow_f64(y));
    // n quarters, rounded to the nearest: the rest is at most an eighth of a turn. glibc finds n
    // from the angle, and it is the same.
    let nearest = simd.add_u32(turns, simd.splat_u32(QUARTER / 2));
    let quarters = simd.and_u32(nearest, simd.splat_u32(0u32.wrapping_sub(QUARTER)));
    let n = simd.i32_to_f64(quarters);
    let [mut sin, mut cos] = [y; 2];
    for i in 0..2 {
        let x = simd.mul_add_either_f64(n[i], simd.splat_f64(-TURN), y[i]);
        let x2 = simd.mul_f64(x, x);
        let (x3, x4) = (simd.mul_f64(x2, x), simd.mul_f64(x2, x2));
        let (x5, x6) = (simd.mul_f64(x3, x2), simd.mul_f64(x4, x2));
        let first = simd.mul_add_either_f64(x3, simd.splat_f64(SIN[0]), x);
        let rest = simd.mul_add_either_f64(x2, simd.splat_f64(SIN[2]), simd.splat_f64(SIN[1]));
        sin[i] = simd.mul_add_either_f64(x5, rest, first);
        let first = simd.mul_add_either_f64(x2, simd.splat_f64(COS[0]), simd.splat_f64(1.0));
        let first = simd.mul_add_either_f64(x4, simd.splat_f64(COS[1]), first);
        let rest = simd.mul_add_either_f64(x2, simd.splat_f64(COS[3]), simd.splat_f64(COS[2]));
        cos[i] = simd.mul_add_either_f64(x6, rest, first);
    }
    let sin = simd.bits_f32(simd.narrow_f64(sin));
    let cos = simd.bits_f32(simd.narrow_f64(cos));
    // Where n is odd, sine and cosine change places. The sine is negative from n = 2 on, the
    // cosine at n = 1 and 2.
    const SIGN: u32 = 1 << 31;
    let zero = simd.splat_u32(0);
    let odd = simd.shl_u32::<{ 33 - TURN_BITS }>(quarters);
    let swapped_sin = simd.select_lt_i32(odd, zero, cos, sin);
    let swapped_cos = simd.select_lt_i32(odd, zero, sin, cos);
    let later = simd.add_u32(quarters, simd.splat_u32(QUARTER));
    let sign = simd.splat_u32(SIGN);
    let minus_sin = simd.and_u32(simd.shl_u32::<{ 32 - TURN_BITS }>(quarters), sign);
    let minus_cos = simd.and_u32(simd.shl_u32::<{ 32 - TURN_BITS }>(later), sign);
    (
        simd.from_bits_f32(simd.xor_u32(swapped_sin, minus_sin)),
        simd.from_bits_f32(simd.xor_u32(swapped_cos, minus_cos)),
    )
}

#[cfg(test)]
mod tests;
