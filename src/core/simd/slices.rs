//! The same memory as elements of another type.

use std::mem::MaybeUninit;

use half::{bf16, f16};

use crate::element::{F8E4M3Fn, F8E5M2};

/// A type whose memory is that of a `B`.
///
/// # Safety
/// The type must be `repr(transparent)` over `B`.
pub(crate) unsafe trait Bits<B> {}

// SAFETY: `half` declares both types `repr(transparent)` over u16.
unsafe impl Bits<u16> for f16 {}
// SAFETY: as above.
unsafe impl Bits<u16> for bf16 {}
// SAFETY: declared `repr(transparent)` over u8 in `element`.
unsafe impl Bits<u8> for F8E4M3Fn {}
// SAFETY: as above.
unsafe impl Bits<u8> for F8E5M2 {}

/// The same memory as bits.
#[inline(always)]
pub(crate) fn as_bits<T: Bits<B>, B>(to: &mut [MaybeUninit<T>]) -> &mut [MaybeUninit<B>] {
    // SAFETY: `Bits` promises equal layout, and `MaybeUninit` allows any contents.
    unsafe { std::slice::from_raw_parts_mut(to.as_mut_ptr().cast(), to.len()) }
}

/// Lends initialised memory to a function that fills uninitialised memory. Such a function must
/// write values and never `MaybeUninit::uninit()`, as all of this crate do.
#[inline(always)]
pub(crate) fn lend<T: Copy>(to: &mut [T]) -> &mut [MaybeUninit<T>] {
    // SAFETY: the layouts are equal, and the borrowers, all in this crate, write only values.
    unsafe { std::slice::from_raw_parts_mut(to.as_mut_ptr().cast(), to.len()) }
}
