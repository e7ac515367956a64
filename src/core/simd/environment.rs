//! The processor's floating-point modes, held at the IEEE defaults while kernels run.
//!
//! Other libraries in the process may flush denormals to zero or change the rounding direction, in
//! the calling thread or in ours. Results must have the same bits all the same.

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
        // this either establishes it or is the caller's own state. Without `nomem`, so that
        // accesses to memory are not moved across it.
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
    /// Does nothing: there is no code here for this processor's modes.
    pub fn standard() -> Self {
        Self {}
    }
}

/// Modes that other libraries leave behind, for tests.
#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) mod hostile {
    use super::register;

    /// Each differs from the IEEE defaults by these bits of the register.
    #[cfg(target_arch = "x86_64")]
    pub(crate) const MODES: [u64; 5] = [
        0x8040, // results flushed to zero, denormals taken as zero
        0x2000, // down
        0x4000, // up
        0x6000, // towards zero
        0xe040, // towards zero, and flushed
    ];
    #[cfg(target_arch = "aarch64")]
    pub(crate) const MODES: [u64; 5] = [
        1 << 24 | 1 << 19, // flush to zero, float16 too
        2 << 22,           // down
        1 << 22,           // up
        3 << 22,           // towards zero
        1 << 26 | 3 << 24, // float16 without infinities, one NaN for all, flush to zero
    ];

    /// The bits of the register that are modes and not the flags of past exceptions.
    const MASK: u64 = if cfg!(target_arch = "x86_64") { !0x3f } else { !0 };

    /// How this thread's modes differ from the IEEE defaults.
    pub(crate) fn modes() -> u64 {
        (register::read() ^ register::standard()) & MASK
    }

    /// Calls `f` in these modes. This function computes nothing itself, for Rust
    /// assumes the default modes.
    pub(crate) fn within<T>(mode: u64, f: impl FnOnce() -> T) -> T {
        let before = register::read();
        register::write(register::standard() | mode);
        let result = f();
        register::write(before);
        result
    }
}

#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64")))]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    fn defaults_hold_while_alive_and_the_callers_modes_return() {
        for mode in hostile::MODES {
            let [before, during, after] = hostile::within(mode, || {
                let before = hostile::modes();
                let environment = FloatEnvironment::standard();
                let during = hostile::modes();
                drop(environment);
                [before, during, hostile::modes()]
            });
            assert_eq!([before, during, after], [mode, 0, mode]);
        }
    }

    #[test]
    fn numbers_follow_the_modes() {
        // Without this, the modes of the tests might change nothing.
        let compute = || {
            // The nearest number lies below the one quotient and above the other.
            let third = black_box(1f64) / black_box(3.0);
            let fifth = black_box(1f64) / black_box(5.0);
            let kept = black_box(2f64.powi(-1074)) * black_box(1.0);
            black_box([third, fifth, kept].map(f64::to_bits))
        };
        let wanted = compute();
        for mode in hostile::MODES {
            assert_ne!(hostile::within(mode, compute), wanted, "{mode:#x}");
            let held = hostile::within(mode, || {
                let _environment = FloatEnvironment::standard();
                compute()
            });
            assert_eq!(held, wanted, "{mode:#x}");
        }
    }
}
