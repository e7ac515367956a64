//! Which of torch's kernels is repeated: its numbers depend on it.

use std::sync::OnceLock;

/// A way in which torch computes normal values on CPUs. For the same words about four float32
/// values of ten differ between the two, in the last bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    /// The kernel for x86-64 processors with AVX2 and FMA, those with AVX-512 among them: float32
    /// polynomials with fused multiplications and additions.
    Avx2,
    /// The one for all others: `logf`, `sinf` and `cosf` of the system's mathematical library,
    /// which are taken to be those of glibc from 2.28 on.
    Default,
}

impl Path {
    /// The one that torch takes on this machine, as it decides on its first use: by the processor,
    /// unless the environment variable `ATEN_CPU_CAPABILITY` is `default`.
    pub(super) fn of_torch() -> Self {
        static CHOSEN: OnceLock<Path> = OnceLock::new();
        *CHOSEN.get_or_init(|| {
            let held_down =
                std::env::var_os("ATEN_CPU_CAPABILITY").is_some_and(|name| name == "default");
            if !held_down && has_avx2() { Self::Avx2 } else { Self::Default }
        })
    }
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx2() -> bool {
    false
}
