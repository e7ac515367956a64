//! The processor's floating-point modes, held at the IEEE defaults while kernels run.
//!
//! Libraries in the same process may flush denormals to zero or change the rounding direction in
//! the calling thread or in ours; neither may change a bit of a result.

/// While alive, this thread rounds to nearest even and keeps denormals; dropping it restores the
/// modes found.
#[must_use]
#[derive(Debug)]
pub struct FloatEnvironment {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    found: u64,
}

#[cfg(target_arch = "x86_64")]
mod register {
    use std::arch::asm;

    /// All exceptions masked, round to nearest, no flush to zero, denormals are denormals.
    const STANDARD: u32 = 0x1f80;

    pub(super) fn read() -> u64 {
        let mut value = 0u32;
        // SAFETY: stores MXCSR, which every x86-64 has, into `value`.
        unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut value, options(nostack, preserves_flags)) }
        u64::from(value)
    }

    pub(super) fn write(value: u64) {
        let value = value as u32;
        // SAFETY: `value` was read from MXCSR or is `STANDARD`, so no reserved bit is set. Rust
        // assumes the default modes; this either establishes them or is the caller's own state.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const value, options(nostack, preserves_flags)) }
    }

    pub(super) fn standard() -> u64 {
        u64::from(STANDARD)
    }
}

#[cfg(target_arch = "aarch64")]
mod register {
    use std::arch::asm;

    pub(super) fn read() -> u64 {
        let value: u64;
        // SAFETY: reads FPCR, which every AArch64 has.
        unsafe { asm!("mrs {}, fpcr", out(reg) value, options(nomem, nostack, preserves_flags)) }
        value
    }

    pub(super) fn write(value: u64) {
        // SAFETY: `value` was read from FPCR or is the architecture's default, which Rust assumes;
        // this either establishes it or is the caller's own state. Not `nomem`: what is read and
        // written stays on its side.
        unsafe { asm!("msr fpcr, {}", in(reg) value, options(nostack, preserves_flags)) }
    }

    /// Round to nearest, no flush to zero, IEEE float16, no trapped exceptions.
    pub(super) fn standard() -> u64 {
        0
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
impl FloatEnvironment {
    /// Sets the IEEE defaults.
    pub fn standard() -> Self {
        let found = register::read();
        if found != register::standard() {
            register::write(register::standard());
        }
        Self { found }
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
impl Drop for FloatEnvironment {
    fn drop(&mut self) {
        if self.found != register::standard() {
            register::write(self.found);
        }
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
impl FloatEnvironment {
    /// Nothing to set: the modes of this processor cannot be changed from here.
    pub fn standard() -> Self {
        Self {}
    }
}
