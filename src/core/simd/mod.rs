//! Vectors of numbers, with one implementation for each instruction set.
//!
//! An algorithm is written once, as a [`Kernel`] over the trait [`Simd`]. [`run`] executes it with
//! the best instruction set that the machine has and the user allows. A value of an instruction
//! set's type is a proof that the processor has it, so the operations are safe to call, and all
//! unsafe code of the kernels is in this folder.
//!
//! Every operation is exact or rounds once, to nearest even, as IEEE 754 prescribes, so a kernel
//! gives the same bits on every instruction set. [`Simd::mul_add_f32`] and [`Simd::mul_add_f64`]
//! always fuse, [`Simd::mul_add_either_f64`] where that is faster, and no other operation does.

use std::sync::OnceLock;

use crate::error::Error;

#[macro_use]
mod intrinsics;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod environment;
mod lane;
#[cfg(target_arch = "aarch64")]
mod neon;
mod operations;
mod scalar;
mod slices;
#[cfg(target_arch = "x86_64")]
mod sse2;
#[cfg(test)]
mod tests;

pub use environment::FloatEnvironment;
#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) use environment::hostile;
pub(crate) use lane::Lane;
pub use operations::{Kernel, Simd};
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

/// Chooses the instruction set `name`, or the best one if `None`, and returns the one in use: the
/// first successful call decides for the life of the process.
///
/// # Errors
/// [`Error::Value`] that lists what is available, if `name` is not.
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
