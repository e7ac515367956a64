//! Memory for intermediate results, zero at first.
//!
//! Getting a fresh page costs about as much as computing what fills it. Large workspace therefore
//! gets pages of its own, and Linux is asked to make them huge. Small workspace comes from the
//! heap, which keeps its pages for the next call.

use std::marker::PhantomData;
use std::mem::size_of;
use std::ops::{Deref, DerefMut};

use bytemuck::Pod;
use memmap2::MmapMut;

use crate::error::Error;

/// The fewest bytes for which memory comes straight from the system: two huge pages of x86-64.
const MIN_PAGED: usize = 4 << 20;

/// A slice that the computation owns.
#[derive(Debug)]
pub(super) enum Workspace<T> {
    /// From the heap.
    Heap(Vec<T>),
    /// From the system: whole pages, of which so many numbers are used.
    Pages(MmapMut, usize, PhantomData<T>),
}

/// `len` zeros.
///
/// # Errors
/// [`Error::OutOfMemory`].
pub(super) fn zeroed<T: Pod>(len: usize) -> Result<Workspace<T>, Error> {
    let bytes = len.saturating_mul(size_of::<T>());
    let refused = Error::OutOfMemory { bytes };
    if bytes > isize::MAX as usize {
        return Err(refused);
    }
    if bytes < MIN_PAGED {
        let heap = bytemuck::allocation::try_zeroed_vec(len);
        return heap.map(Workspace::Heap).map_err(|()| refused);
    }
    let pages = MmapMut::map_anon(bytes).map_err(|_| refused)?;
    // Only advice: if it is refused, pages are small and cost more time.
    #[cfg(target_os = "linux")]
    let _ = pages.advise(memmap2::Advice::HugePage);
    Ok(Workspace::Pages(pages, len, PhantomData))
}

impl<T: Pod> Deref for Workspace<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        match self {
            Self::Heap(heap) => heap,
            Self::Pages(pages, len, _) => bytemuck::cast_slice(&pages[..len * size_of::<T>()]),
        }
    }
}

impl<T: Pod> DerefMut for Workspace<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match self {
            Self::Heap(heap) => heap,
            Self::Pages(pages, len, _) => {
                bytemuck::cast_slice_mut(&mut pages[..*len * size_of::<T>()])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_zero_and_writable_from_heap_and_pages() {
        for len in [0, 1, 1000, MIN_PAGED / 8 - 1, MIN_PAGED / 8, MIN_PAGED / 8 + 1] {
            let mut space = zeroed::<f64>(len).unwrap();
            assert_eq!(space.len(), len);
            assert!(space.iter().all(|&x| x == 0.0));
            space.fill(1.0);
            assert!(space.iter().all(|&x| x == 1.0));
        }
    }

    #[test]
    fn what_cannot_be_had_is_an_error() {
        for len in [usize::MAX, isize::MAX as usize / 8, 1 << 58] {
            assert!(matches!(zeroed::<f64>(len), Err(Error::OutOfMemory { .. })));
        }
    }
}
