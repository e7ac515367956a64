//! Macros for what the files of instruction sets have in common: methods of one intrinsic each.

/// Methods that are one expression of intrinsics, without access to memory.
macro_rules! intrinsics {
    ($($name:ident($($arg:ident: $t:ident),*) -> $r:ident => $value:expr;)*) => {$(
        #[inline(always)]
        fn $name(self, $($arg: Self::$t),*) -> Self::$r {
            // SAFETY: `self` proves that the processor has the instruction set; nothing touches
            // memory.
            unsafe { $value }
        }
    )*};
}

/// Methods that spread a number to all lanes.
macro_rules! splats {
    ($($name:ident($x:ident: $number:ty) -> $r:ident => $value:expr;)*) => {$(
        #[inline(always)]
        fn $name(self, $x: $number) -> Self::$r {
            // SAFETY: as for the other intrinsics.
            unsafe { $value }
        }
    )*};
}

/// Methods that read and write vectors of `$len` numbers.
macro_rules! loads_and_stores {
    ($($load:ident, $store:ident($number:ty as $v:ident, $len:expr) => $read:ident, $write:ident;)*) => {$(
        #[inline(always)]
        fn $load(self, from: &[$number]) -> Self::$v {
            let from = &from[..$len];
            // SAFETY: `from` has as many elements as are read; alignment is not needed.
            unsafe { $read(from.as_ptr()) }
        }
        #[inline(always)]
        fn $store(self, a: Self::$v, to: &mut [MaybeUninit<$number>]) {
            let to = &mut to[..$len];
            // SAFETY: `to` has as many elements as are written; alignment is not needed.
            unsafe { $write(to.as_mut_ptr().cast(), a) }
        }
    )*};
}

/// Shifts of all lanes by a constant. x86 takes the count from the low lane of a vector.
#[cfg(target_arch = "x86_64")]
macro_rules! x86_shifts {
    ($($name:ident($t:ident) => $intrinsic:ident;)*) => {$(
        #[inline(always)]
        fn $name<const N: u32>(self, a: Self::$t) -> Self::$t {
            // SAFETY: as for the other intrinsics.
            unsafe { $intrinsic(a, _mm_cvtsi32_si128(N as i32)) }
        }
    )*};
}
