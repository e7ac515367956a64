//! Logarithm, sine and cosine of torch's kernel for processors without AVX2, which calls `logf`,
//! `sinf` and `cosf` of the system's library: those of glibc from 2.28 on, bit for bit.
//!
//! The functions are those of ARM's optimized routines, computed in float64 without fused
//! operations. For numbers of 24 bits, which are all that occur, fused ones give the same.

use std::f64::consts::{FRAC_PI_2, LN_2, TAU};

use super::sampler::MAX_LANES;
use crate::simd::{Simd, lend};

/// The functions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Functions;

/// For 16 intervals of [0x1.66p-1, 0x1.66p0) a number close to the reciprocal of the middle, and
/// minus its logarithm.
const LOG_TABLE: [[f64; 2]; 16] = [
    [1.398907162146528, -0.33569133332882284],
    [1.3403141896637998, -0.2929040563774074],
    [1.286432210124115, -0.2518726580937369],
    [1.2367150214269895, -0.21245868807117255],
    [1.1906977166711752, -0.17453945183745634],
    [1.1479821020556429, -0.1380057072319758],
    [1.1082251448272158, -0.10275976698545139],
    [1.0711297413057381, -0.06871392447020525],
    [1.036437278977283, -0.0357891387398228],
    [1.0, 0.0],
    [0.9492859795739057, 0.05204517742929496],
    [0.8951049428609004, 0.11081431298787942],
    [0.8476821620351103, 0.1652495223695143],
    [0.8050314851692001, 0.21687389031699977],
    [0.7664671008843108, 0.2659635028121397],
    [0.731428603316328, 0.3127556664073557],
];
/// log(1 + r) = r + r^2 (C2 + C1 r + C0 r^2).
const LOG: [f64; 3] = [-0.25089342214237154, 0.333456765744066, -0.4999997485802103];
/// Bits of the float32 at which the octaves begin.
const OCTAVE: u32 = 0x3f33_0000;

/// sin(x) = x + x^3 (S0 + S1 x^2 + S2 x^4).
const SIN: [f64; 3] = [-0.16666654943701084, 0.008332178146138854, -0.00019517298981385725];
/// cos(x) = 1 + C0 x^2 + C1 x^4 + C2 x^6 + C3 x^8.
const COS: [f64; 4] =
    [-0.49999999725108224, 0.041666623324344516, -0.001388676379437604, 2.4390450703564542e-05];
/// 2^24 / (pi / 2).
const QUARTERS: f64 = 10680707.430881744;

impl super::normal::Functions for Functions {
    const FUSED: bool = false;

    #[inline(always)]
    fn log<S: Simd, const P: usize>(simd: S, x: [S::F32; P]) -> [S::F32; P] {
        let mut values = x;
        let mut lanes = [0.0; MAX_LANES];
        for value in &mut values {
            simd.store_f32(*value, lend(&mut lanes));
            for lane in &mut lanes[..S::LANES] {
                *lane = log(*lane);
            }
            *value = simd.load_f32(&lanes);
        }
        values
    }

    #[inline(always)]
    fn sin_cos<S: Simd, const P: usize>(simd: S, bits: [S::U32; P]) -> [[S::F32; 2]; P] {
        let mut values = [[simd.splat_f32(0.0); 2]; P];
        let mut numbers = [0; MAX_LANES];
        let [mut sines, mut cosines] = [[0.0; MAX_LANES]; 2];
        for (value, bits) in values.iter_mut().zip(bits) {
            simd.store_u32(bits, &mut numbers);
            for i in 0..S::LANES {
                let turns = f64::from(numbers[i]) / (1 << 24) as f64;
                [sines[i], cosines[i]] = sin_cos((TAU * turns) as f32);
            }
            *value = [simd.load_f32(&sines), simd.load_f32(&cosines)];
        }
        values
    }
}

/// The logarithm of a positive number that is not subnormal.
#[inline(always)]
fn log(x: f32) -> f32 {
    let bits = x.to_bits();
    let octaves = bits.wrapping_sub(OCTAVE);
    let [reciprocal, middle] = LOG_TABLE[(octaves >> 19) as usize % LOG_TABLE.len()];
    let exponent = f64::from(octaves as i32 >> 23);
    let z = f32::from_bits(bits.wrapping_sub(octaves & 0xff80_0000));
    let r = f64::from(z) * reciprocal - 1.0;
    let base = middle + exponent * LN_2;
    let square = r * r;
    let y = LOG[1] * r + LOG[2];
    let y = LOG[0] * square + y;
    (y * square + (base + r)) as f32
}

/// Sine and cosine of an angle in [0, 2 pi].
#[inline(always)]
fn sin_cos(angle: f32) -> [f32; 2] {
    /// The upper 12 bits of 2^-12, below which an angle is its own sine, and of pi/4.
    const TINY: u32 = 0x398;
    const EIGHTH: u32 = 0x3f4;
    let top = angle.to_bits() >> 20;
    let x = f64::from(angle);
    let nearest = ((x * QUARTERS) as i32 + (1 << 23)) >> 24;
    let quarter = if top < EIGHTH { 0 } else { nearest };
    let x = x - f64::from(quarter) * FRAC_PI_2;
    let square = x * x;
    // The signs enter before the sums, as there.
    let x = if (quarter + 1) & 2 == 0 { x } else { -x };
    let side = if quarter & 2 == 0 { 1.0 } else { -1.0 };
    let (fourth, cube) = (square * square, square * x);
    let sin = x + cube * SIN[0];
    let sin = (sin + cube * square * (SIN[1] + square * SIN[2])) as f32;
    let cos = side + square * (side * COS[0]) + fourth * (side * COS[1]);
    let rest = side * COS[2] + square * (side * COS[3]);
    let cos = (cos + fourth * square * rest) as f32;
    let [sin, cos] = if quarter & 1 == 0 { [sin, cos] } else { [cos, sin] };
    if top < TINY { [angle, 1.0] } else { [sin, cos] }
}
