//! Vectors of numbers, one implementation an instruction set.
//!
//! An algorithm is written once, as a [`Kernel`] over the trait [`Simd`]; [`run`] executes it with
//! the best instruction set that the machine has and the user allows. A value of an instruction
//! set's type is a proof that the processor has it, so the operations are safe to call, and all
//! unsafe code of the kernels lives in this folder.
//!
//! Every operation is exact or rounds once to nearest even as IEEE 754 prescribes, lane by lane,
//! so a kernel gives the same bits on every instruction set. Only [`Simd::mul_add_f32`] and
//! [`Simd::mul_add_f64`] fuse.

use std::mem::MaybeUninit;
use std::sync::OnceLock;

use crate::error::Error;

#[macro_use]
mod intrinsics;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod environment;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
mod slices;
#[cfg(target_arch = "x86_64")]
mod sse2;
#[cfg(test)]
mod tests;

pub use environment::FloatEnvironment;
#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) use environment::hostile;
pub(crate) use slices::{as_bits, lend};

/// An instruction set that kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// Portable Rust.
    Scalar,
    /// x86-64's baseline.
    Sse2,
    /// AVX2 with FMA and F16C.
    Avx2,
    /// AVX-512 F, VL, DQ and BW.
    Avx512,
    /// AArch64's vectors.
    Neon,
}

impl Isa {
    /// The name users select it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Sse2 => "sse2",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Neon => "neon",
        }
    }

    /// The instruction sets this machine has, the best last.
    pub fn available() -> Vec<Self> {
        let mut all = vec![Self::Scalar];
        #[cfg(target_arch = "x86_64")]
        {
            all.push(Self::Sse2);
            all.extend(avx2::Avx2::detect().map(|_| Self::Avx2));
            all.extend(avx512::Avx512::detect().map(|_| Self::Avx512));
        }
        #[cfg(target_arch = "aarch64")]
        all.extend(neon::Neon::detect().map(|_| Self::Neon));
        all
    }
}

static SELECTED: OnceLock<Isa> = OnceLock::new();

/// Fixes the instruction set for the life of the process: `name`, or the best one if `None`.
///
/// # Errors
/// [`Error::Value`] that lists what is available, if `name` is not; the selection of the first
/// successful call stays.
pub fn select(name: Option<&str>) -> Result<Isa, Error> {
    let available = Isa::available();
    let isa = match name {
        None => available[available.len() - 1],
        Some(name) => *available.iter().find(|isa| isa.name() == name).ok_or_else(|| {
            let names: Vec<_> = available.iter().map(|isa| isa.name()).collect();
            Error::value(
                "SEEDBED_ISA",
                format!("must be available on this machine: {}", names.join(", ")),
                format!("'{name}'"),
            )
        })?,
    };
    Ok(*SELECTED.get_or_init(|| isa))
}

/// The instruction set in use.
pub fn isa() -> Isa {
    #[cfg(test)]
    if let Some(isa) = HELD.get() {
        return isa;
    }
    *SELECTED.get_or_init(|| Isa::available()[Isa::available().len() - 1])
}

#[cfg(test)]
thread_local! {
    static HELD: std::cell::Cell<Option<Isa>> = const { std::cell::Cell::new(None) };
}

/// Calls `f` with `isa` in use in this thread.
#[cfg(test)]
pub(crate) fn holding<T>(isa: Isa, f: impl FnOnce() -> T) -> T {
    let before = HELD.replace(Some(isa));
    let result = f();
    HELD.set(before);
    result
}

/// An algorithm written for any instruction set.
///
/// `run` and all it calls must be `#[inline(always)]` and free of closures that hold vector
/// operations: only then does it become one function compiled for the instruction set.
pub trait Kernel {
    /// What the algorithm returns.
    type Output;
    /// Runs with the instruction set `simd`.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// Runs `kernel` with the instruction set in use.
#[inline]
pub fn run<K: Kernel>(kernel: K) -> K::Output {
    run_on(isa(), kernel)
}

/// Runs `kernel` with `isa`, or with portable code where the machine lacks it.
#[inline]
pub fn run_on<K: Kernel>(isa: Isa, kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    match isa {
        Isa::Avx512 => {
            if let Some(simd) = avx512::Avx512::detect() {
                return avx512::run(simd, kernel);
            }
        }
        Isa::Avx2 => {
            if let Some(simd) = avx2::Avx2::detect() {
                return avx2::run(simd, kernel);
            }
        }
        Isa::Sse2 => return kernel.run(sse2::Sse2::new()),
        Isa::Scalar | Isa::Neon => {}
    }
    #[cfg(target_arch = "aarch64")]
    if isa == Isa::Neon
        && let Some(simd) = neon::Neon::detect()
    {
        return neon::run(simd, kernel);
    }
    let _ = isa;
    kernel.run(scalar::Scalar)
}

/// The most 32-bit lanes that a vector has.
const MOST_LANES: usize = 16;

/// Rows of a table that [`Simd::look_up`] looks into.
pub const ROWS: usize = 512;

/// The operations of an instruction set.
///
/// A vector of 32-bit lanes has [`Simd::LANES`] of them, one of 64-bit lanes half as many. Where
/// lanes move, "128 bits" are the 4 (2) lanes of a group that x86 shuffles within.
#[expect(clippy::wrong_self_convention, reason = "`self` is the proof that the machine has it")]
pub trait Simd: Copy + Send + Sync + 'static {
    /// 32-bit lanes of a vector; a multiple of 4.
    const LANES: usize;
    /// Registers that algorithms may count on: how many vectors are best kept in flight.
    const UNROLL: usize;
    /// Vector of f32.
    type F32: Copy;
    /// Vector of 32-bit integers, signed or not as the operation says.
    type U32: Copy;
    /// Vector of f64.
    type F64: Copy;
    /// Vector of 64-bit integers.
    type U64: Copy;

    /// Every lane `x`.
    fn splat_f32(self, x: f32) -> Self::F32;
    /// `a + b`.
    fn add_f32(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a - b`.
    fn sub_f32(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a * b`.
    fn mul_f32(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a / b`.
    fn div_f32(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `sqrt(a)`.
    fn sqrt_f32(self, a: Self::F32) -> Self::F32;
    /// The smaller; neither may be NaN.
    fn min_f32(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// The larger; neither may be NaN.
    fn max_f32(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a * b + c`, rounded once.
    fn mul_add_f32(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// The bits of `a`.
    fn bits_f32(self, a: Self::F32) -> Self::U32;
    /// The floats with bits `a`.
    fn from_bits_f32(self, a: Self::U32) -> Self::F32;
    /// The first `LANES` values of `from`.
    fn load_f32(self, from: &[f32]) -> Self::F32;
    /// Writes the first `LANES` values of `to`.
    fn store_f32(self, a: Self::F32, to: &mut [MaybeUninit<f32>]);
    /// Signed integers to f32, rounded to nearest even.
    fn i32_to_f32(self, a: Self::U32) -> Self::F32;

    /// Every lane `x`.
    fn splat_u32(self, x: u32) -> Self::U32;
    /// `a & b`.
    fn and_u32(self, a: Self::U32, b: Self::U32) -> Self::U32;
    /// `a | b`.
    fn or_u32(self, a: Self::U32, b: Self::U32) -> Self::U32;
    /// `a ^ b`.
    fn xor_u32(self, a: Self::U32, b: Self::U32) -> Self::U32;
    /// `a + b`, wrapping.
    fn add_u32(self, a: Self::U32, b: Self::U32) -> Self::U32;
    /// `a - b`, wrapping.
    fn sub_u32(self, a: Self::U32, b: Self::U32) -> Self::U32;
    /// `a << N`.
    fn shl_u32<const N: u32>(self, a: Self::U32) -> Self::U32;
    /// `a >> N`, zeros in.
    fn shr_u32<const N: u32>(self, a: Self::U32) -> Self::U32;
    /// `if a < b { x } else { y }`, comparing as signed.
    fn select_lt_i32(self, a: Self::U32, b: Self::U32, x: Self::U32, y: Self::U32) -> Self::U32;
    /// Of each 128 bits `a0 b0 a1 b1` of all groups, then `a2 b2 a3 b3`.
    fn interleave_f32(self, a: Self::F32, b: Self::F32) -> (Self::F32, Self::F32);
    /// Writes the low 16 bits of `a`'s lanes, then of `b`'s, to the first `2 * LANES` of `to`.
    /// The upper bits must be 0.
    fn store_u16(self, a: Self::U32, b: Self::U32, to: &mut [MaybeUninit<u16>]);
    /// [`Simd::store_u16`] of the upper 16 bits.
    #[inline(always)]
    fn store_high_u16(self, a: Self::U32, b: Self::U32, to: &mut [MaybeUninit<u16>]) {
        self.store_u16(self.shr_u32::<16>(a), self.shr_u32::<16>(b), to);
    }
    /// [`Simd::store_u16`] of the low 8 bits.
    fn store_u8(self, a: Self::U32, b: Self::U32, to: &mut [MaybeUninit<u8>]);
    /// Finite f32 to float16's bits, rounded to nearest even; the results must be finite.
    fn f32_to_f16_bits(self, a: Self::F32) -> Self::U32;

    /// Every lane `x`.
    fn splat_u64(self, x: u64) -> Self::U64;
    /// `a & b`.
    fn and_u64(self, a: Self::U64, b: Self::U64) -> Self::U64;
    /// `a | b`.
    fn or_u64(self, a: Self::U64, b: Self::U64) -> Self::U64;
    /// `a ^ b`.
    fn xor_u64(self, a: Self::U64, b: Self::U64) -> Self::U64;
    /// `a ^ b ^ c`.
    #[inline(always)]
    fn xor3_u64(self, a: Self::U64, b: Self::U64, c: Self::U64) -> Self::U64 {
        self.xor_u64(a, self.xor_u64(b, c))
    }
    /// `a + b`, wrapping.
    fn add_u64(self, a: Self::U64, b: Self::U64) -> Self::U64;
    /// `a - b`, wrapping.
    fn sub_u64(self, a: Self::U64, b: Self::U64) -> Self::U64;
    /// `a << N`.
    fn shl_u64<const N: u32>(self, a: Self::U64) -> Self::U64;
    /// `a >> N`, zeros in.
    fn shr_u64<const N: u32>(self, a: Self::U64) -> Self::U64;
    /// The product of the low halves; the high halves are ignored.
    fn mul_low_u64(self, a: Self::U64, b: Self::U64) -> Self::U64;
    /// The low halves of `a`, and above each that of `b`.
    fn low_halves(self, a: Self::U64, b: Self::U64) -> Self::U64;
    /// The high halves of `a`, and above each that of `b`.
    fn high_halves(self, a: Self::U64, b: Self::U64) -> Self::U64;
    /// Lane `i` holds the number of the block that [`Simd::interleave_f32`] and
    /// [`Simd::interleave_u64`] put in place: the first of each 128 bits 0, 1, .., the second the
    /// rest.
    fn block_numbers(self) -> Self::U64;
    /// Of each 128 bits the low halves `a0 b0` of all groups, then the high halves `a1 b1`.
    fn interleave_u64(self, a: Self::U64, b: Self::U64) -> (Self::U64, Self::U64);
    /// The same bits as 32-bit lanes, low half first.
    fn u64_as_u32(self, a: Self::U64) -> Self::U32;
    /// The inverse of [`Simd::u64_as_u32`].
    fn u32_as_u64(self, a: Self::U32) -> Self::U64;

    /// Every lane `x`.
    fn splat_f64(self, x: f64) -> Self::F64;
    /// `a + b`.
    fn add_f64(self, a: Self::F64, b: Self::F64) -> Self::F64;
    /// `a - b`.
    fn sub_f64(self, a: Self::F64, b: Self::F64) -> Self::F64;
    /// `a * b`.
    fn mul_f64(self, a: Self::F64, b: Self::F64) -> Self::F64;
    /// `a / b`.
    fn div_f64(self, a: Self::F64, b: Self::F64) -> Self::F64;
    /// `sqrt(a)`.
    fn sqrt_f64(self, a: Self::F64) -> Self::F64;
    /// The smaller; neither may be NaN.
    fn min_f64(self, a: Self::F64, b: Self::F64) -> Self::F64;
    /// The larger; neither may be NaN.
    fn max_f64(self, a: Self::F64, b: Self::F64) -> Self::F64;
    /// `a * b + c`, rounded once.
    fn mul_add_f64(self, a: Self::F64, b: Self::F64, c: Self::F64) -> Self::F64;
    /// The same values, none of which is used before the other three of its four have been
    /// computed. Compilers like to finish one chain of operations before they begin the next, and
    /// the processor then waits; where it pays, this holds them back.
    #[inline(always)]
    fn in_step_f64<const N: usize>(self, values: [Self::F64; N]) -> [Self::F64; N] {
        values
    }
    /// The bits of `a`.
    fn bits_f64(self, a: Self::F64) -> Self::U64;
    /// The floats with bits `a`.
    fn from_bits_f64(self, a: Self::U64) -> Self::F64;
    /// The first `LANES / 2` values of `from`.
    fn load_f64(self, from: &[f64]) -> Self::F64;
    /// Writes the first `LANES / 2` values of `to`.
    fn store_f64(self, a: Self::F64, to: &mut [MaybeUninit<f64>]);
    /// [`Simd::interleave_u64`] of floats.
    #[inline(always)]
    fn interleave_f64(self, a: Self::F64, b: Self::F64) -> (Self::F64, Self::F64) {
        let (low, high) = self.interleave_u64(self.bits_f64(a), self.bits_f64(b));
        (self.from_bits_f64(low), self.from_bits_f64(high))
    }

    // What a parse of draws needs. The code here is for the instruction sets without better.

    /// The first `LANES / 2` values of `from`.
    #[inline(always)]
    fn load_u64(self, from: &[u64]) -> Self::U64 {
        let mut lanes = [0.0; MOST_LANES / 2];
        for (lane, bits) in lanes.iter_mut().zip(&from[..Self::LANES / 2]) {
            *lane = f64::from_bits(*bits);
        }
        self.bits_f64(self.load_f64(&lanes))
    }
    /// The rows of `table` that the low bits of the first `LANES / 2` values of `numbers` name:
    /// all first entries, all second ones.
    #[inline(always)]
    fn look_up(self, numbers: &[u64], table: &[[u64; 2]; ROWS]) -> (Self::U64, Self::U64) {
        let mut columns = [[0; MOST_LANES / 2]; 2];
        for (i, number) in numbers[..Self::LANES / 2].iter().enumerate() {
            let row = table[*number as usize % ROWS];
            (columns[0][i], columns[1][i]) = (row[0], row[1]);
        }
        (self.load_u64(&columns[0]), self.load_u64(&columns[1]))
    }
    /// Bit `i` says whether `a < b` in lane `i`. Both must be below 2^63.
    #[inline(always)]
    fn less_u64(self, a: Self::U64, b: Self::U64) -> u32 {
        let mut lanes = [0.0; MOST_LANES / 2];
        self.store_f64(self.from_bits_f64(self.sub_u64(a, b)), lend(&mut lanes));
        let signs = lanes[..Self::LANES / 2].iter().map(|lane| (lane.to_bits() >> 63) as u32);
        signs.rev().fold(0, |mask, sign| mask << 1 | sign)
    }
    /// Bit `i` says whether `low <= a <= high` in lane `i`.
    #[inline(always)]
    fn within_f64(self, a: Self::F64, low: f64, high: f64) -> u32 {
        let mut lanes = [0.0; MOST_LANES / 2];
        self.store_f64(a, lend(&mut lanes));
        let within = lanes[..Self::LANES / 2].iter().map(|lane| (*lane >= low) & (*lane <= high));
        within.rev().fold(0, |mask, within| mask << 1 | u32::from(within))
    }
    /// The lanes of `a` whose bit in `mask` is set, moved to the front; what follows is anything.
    #[inline(always)]
    fn compress_f64(self, a: Self::F64, mask: u32) -> Self::F64 {
        let (mut lanes, mut kept) = ([0.0; MOST_LANES / 2], 0);
        self.store_f64(a, lend(&mut lanes));
        for i in 0..Self::LANES / 2 {
            lanes[kept] = lanes[i];
            kept += (mask >> i & 1) as usize;
        }
        self.load_f64(&lanes)
    }
    /// Writes `a`'s lanes, rounded to nearest even, to the first `LANES / 2` values of `to`.
    #[inline(always)]
    fn store_f64_as_f32(self, a: Self::F64, to: &mut [MaybeUninit<f32>]) {
        let mut lanes = [0.0; MOST_LANES / 2];
        self.store_f64(a, lend(&mut lanes));
        for (to, lane) in to[..Self::LANES / 2].iter_mut().zip(lanes) {
            *to = MaybeUninit::new(lane as f32);
        }
    }
}
