//! The inverse of the error function as XLA compiles `chlo.erf_inv` of float32 for processors.
//!
//! M. Giles, "Approximating the erfinv function", GPU Computing Gems Jade Edition (2011): with
//! w = -log(1 - u^2), u times a polynomial in w - 2.5 where w < 5, in sqrt(w) - 3 elsewhere. The
//! logarithm is XLA's log1p: a rational function (of Cephes) where u^2 < sqrt(2) - 1, else Cephes'
//! `logf` of 1 - u^2. Products and sums are fused where the compiler fuses them, so the result has
//! XLA's bits for every u that a normal or truncated normal value is made of: the tests try all
//! 2^23 of each. Stability: exact, jaxlib 0.9.0 to 0.10.2 with fused multiply-add.
//!
//! Signs are folded into the constants: what XLA computes in y = -u^2, -t or -w is here computed
//! in u^2, t or w, and negation changes no rounding.

use crate::simd::Simd;

/// Bits of the constants, as they stand in XLA's kernels.
const fn floats<const N: usize>(bits: [u32; N]) -> [f32; N] {
    let mut floats = [0.0; N];
    let mut i = 0;
    while i < N {
        floats[i] = f32::from_bits(bits[i]);
        i += 1;
    }
    floats
}

/// sqrt(2) - 1: below, log1p is rational.
const RATIONAL_BELOW: f32 = f32::from_bits(0x3ed4_13cd);
/// log1p(y) = y - y^2/2 + y^3 P(y)/Q(y), both from the highest power of -y on.
const P: [f32; 7] = floats([
    0x383d_e01f,
    0xbeff_40c5,
    0x40d2_84fa,
    0xc1ef_4b9c,
    0x4273_cc76,
    0xc264_73ad,
    0x41a0_5101,
]);
/// The first coefficient is 1.
const Q: [f32; 6] =
    floats([0xc171_01ad, 0x42a6_185b, 0xc35d_c32d, 0x439a_8ca3, 0xc358_6d8a, 0x4270_7982]);

/// The bits of sqrt(1/2): mantissas are taken from here to twice it.
const MANTISSA_FROM: u32 = 0x3f35_04f3;
/// log(1 + t) = t - t^2/2 + t^3 (A(t) t^6 + B(t) t^3 + C(t)), each of degree 2.
const A: [f32; 3] = floats([0x3d90_21bb, 0x3deb_d1b8, 0x3def_251a]);
const B: [f32; 3] = floats([0x3dfe_5d4f, 0x3e11_e9bf, 0x3e2a_ae50]);
const C: [f32; 3] = floats([0x3e4c_ceac, 0x3e7f_fffc, 0x3eaa_aaaa]);
/// log(2) in two parts, the first of few bits, and the second negative.
const LOG_2: [f32; 2] = floats([0x3f31_8000, 0xb95e_8083]);

/// Where the polynomials change.
const CENTRAL_BELOW: f32 = 5.0;
/// The polynomial in w - 2.5, from the highest power on.
const CENTRAL: [f32; 9] = floats([
    0x32f1_6588,
    0x34b8_4b36,
    0xb66c_7357,
    0xb693_5ac1,
    0x3965_32db,
    0xbaa4_5408,
    0xbb88_e4ef,
    0x3e7c_8f63,
    0x3fc0_2e2f,
]);
/// The polynomial in sqrt(w) - 3, from the highest power on.
const TAIL: [f32; 9] = floats([
    0xb951_f09b,
    0x38d3_b56b,
    0x3ab0_dc72,
    0xbb70_bde7,
    0x3bbc_127b,
    0xbbf9_c5d7,
    0x3c1a_a57e,
    0x3f80_36db,
    0x4035_4f7e,
]);

/// Horner's rule from the highest power on, each step fused.
#[inline(always)]
fn horner<S: Simd, const N: usize>(
    simd: S,
    start: [S::F32; N],
    rest: &[f32],
    x: [S::F32; N],
) -> [S::F32; N] {
    let mut sums = start;
    for coefficient in rest {
        for (sum, x) in sums.iter_mut().zip(x) {
            *sum = simd.mul_add_f32(*sum, x, simd.splat_f32(*coefficient));
        }
    }
    sums
}

/// -log1p(-s), for s in [0, 1 - 2^-24].
#[inline(always)]
fn minus_log1p<S: Simd, const N: usize>(simd: S, s: [S::F32; N]) -> [S::F32; N] {
    let p = horner(simd, [simd.splat_f32(P[0]); N], &P[1..], s);
    let mut q = s;
    for q in &mut q {
        // The leading coefficient is 1 and the number of the others even.
        *q = simd.add_f32(*q, simd.splat_f32(Q[0]));
    }
    let q = horner(simd, q, &Q[1..], s);
    let mut w = s;
    for i in 0..N {
        let square = simd.mul_f32(s[i], s[i]);
        let cube = simd.mul_f32(s[i], square);
        let rest = simd.mul_f32(cube, simd.div_f32(p[i], q[i]));
        w[i] = simd.add_f32(s[i], simd.mul_add_f32(simd.splat_f32(0.5), square, rest));
    }
    let large = minus_log(simd, s);
    for i in 0..N {
        let small = simd.bits_f32(w[i]);
        let bound = simd.splat_u32(RATIONAL_BELOW.to_bits());
        let bits = simd.bits_f32(s[i]);
        let chosen = simd.select_lt_i32(bits, bound, small, simd.bits_f32(large[i]));
        w[i] = simd.from_bits_f32(chosen);
    }
    w
}

/// -log(1 - s), for s in [sqrt(2) - 1, 1 - 2^-24].
#[inline(always)]
fn minus_log<S: Simd, const N: usize>(simd: S, s: [S::F32; N]) -> [S::F32; N] {
    let f32 = |x| simd.splat_f32(x);
    let mut w = s;
    for w in &mut w {
        let bits = simd.bits_f32(simd.sub_f32(f32(1.0), *w));
        // 1 - s = 2^-e m with m in [sqrt(1/2), sqrt(2)) and e > 0.
        let above = simd.sub_u32(simd.splat_u32(MANTISSA_FROM - 1 + (1 << 23)), bits);
        let e = simd.i32_to_f32(simd.shr_u32::<23>(above));
        let offset = simd.sub_u32(bits, simd.splat_u32(MANTISSA_FROM));
        let offset = simd.and_u32(offset, simd.splat_u32(0x7f_ffff));
        let m = simd.from_bits_f32(simd.add_u32(offset, simd.splat_u32(MANTISSA_FROM)));
        // t of the definition is m - 1, which is exact; this is -t.
        let t = simd.sub_f32(f32(1.0), m);
        let square = simd.mul_f32(t, t);
        let cube = simd.mul_f32(square, t);
        let quadratic = |[c2, c1, c0]: [f32; 3]| {
            let sum = simd.mul_add_f32(t, f32(c2), f32(c1));
            simd.mul_add_f32(sum, t, f32(c0))
        };
        let sum = simd.mul_add_f32(quadratic(A), cube, quadratic(B));
        let sum = simd.mul_add_f32(sum, cube, quadratic(C));
        let sum = simd.mul_add_f32(sum, cube, simd.mul_f32(e, f32(LOG_2[1])));
        let sum = simd.add_f32(simd.mul_add_f32(f32(0.5), square, t), sum);
        *w = simd.mul_add_f32(e, f32(LOG_2[0]), sum);
    }
    w
}

/// erf_inv of numbers whose w is below 5, such as those of a truncated normal.
#[inline(always)]
pub(super) fn erf_inv_central<S: Simd, const N: usize>(simd: S, u: [S::F32; N]) -> [S::F32; N] {
    central(simd, u).0
}

/// [`erf_inv_central`], and w.
#[inline(always)]
fn central<S: Simd, const N: usize>(simd: S, u: [S::F32; N]) -> ([S::F32; N], [S::F32; N]) {
    let mut s = u;
    for s in &mut s {
        *s = simd.mul_f32(*s, *s);
    }
    let w = minus_log1p(simd, s);
    let mut x = w;
    for x in &mut x {
        *x = simd.sub_f32(*x, simd.splat_f32(2.5));
    }
    let mut result = horner(simd, [simd.splat_f32(CENTRAL[0]); N], &CENTRAL[1..], x);
    for (result, u) in result.iter_mut().zip(u) {
        *result = simd.mul_f32(u, *result);
    }
    (result, w)
}

/// erf_inv of numbers in (-1, 1).
#[inline(always)]
pub(super) fn erf_inv<S: Simd, const N: usize>(simd: S, u: [S::F32; N]) -> [S::F32; N] {
    let (mut result, w) = central(simd, u);
    for i in 0..N {
        // One number in 300.
        let bound = simd.splat_u32(CENTRAL_BELOW.to_bits());
        let bits = simd.bits_f32(w[i]);
        if simd.all_lt_i32(bits, bound) {
            continue;
        }
        let x = simd.sub_f32(simd.sqrt_f32(w[i]), simd.splat_f32(3.0));
        let [tail] = horner(simd, [simd.splat_f32(TAIL[0])], &TAIL[1..], [x]);
        let tail = simd.bits_f32(simd.mul_f32(u[i], tail));
        let chosen = simd.select_lt_i32(bits, bound, simd.bits_f32(result[i]), tail);
        result[i] = simd.from_bits_f32(chosen);
    }
    result
}
