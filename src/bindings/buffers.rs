//! Memory that crosses the border: what Rust allocates for new arrays, and views of what arrays
//! have. The bindings' only unsafe code.
//!
//! Fresh memory is aligned to a cache line, or, when it spans huge pages, to those, and Linux is
//! asked for them: page faults then cost a five-hundredth. It is uninitialized until the core has
//! filled it, and becomes an array only afterwards.

use std::alloc::{Layout, alloc, dealloc};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use numpy::ndarray::{ArrayViewMutD, Axis, IxDyn, ShapeBuilder};
use numpy::npyffi::{
    NPY_ARRAY_BEHAVED, NPY_ARRAY_CARRAY, NpyTypes, PY_ARRAY_API, get_type_object, npy_intp,
};
use numpy::{PyArrayDescr, PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::{PyBufferError, PyMemoryError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyCapsuleMethods};
use seedbed_core::element::{DType, OutMut};
use seedbed_core::init::constant::Items;

use crate::text::{text, tuple};
use crate::{dlpack, dtypes};

/// A cache line, and the widest vector.
const LINE: usize = 64;

/// A huge page of x86-64 and of AArch64 with 4 KiB pages.
const HUGE_PAGE: usize = 2 << 20;

/// Memory that Rust allocated; the base object of the array that shows it.
#[pyclass(frozen, module = "seedbed._core")]
pub(crate) struct Memory {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: `Memory` owns its allocation and never reads or writes it.
unsafe impl Send for Memory {}
// SAFETY: as above; a shared `Memory` gives access to nothing but its address.
unsafe impl Sync for Memory {}

impl Memory {
    /// At least `bytes` bytes, or `None` if there are none to be had.
    fn allocate(bytes: usize) -> Option<Self> {
        let align = if bytes >= HUGE_PAGE { HUGE_PAGE } else { LINE };
        let layout = Layout::from_size_align(bytes.max(LINE), align).ok()?;
        // SAFETY: the layout's size is not 0.
        let start = NonNull::new(unsafe { alloc(layout) })?;
        #[cfg(target_os = "linux")]
        if bytes >= HUGE_PAGE {
            // SAFETY: the range lies inside the allocation just made, and the advice changes no
            // contents. It may be refused, which only costs time.
            unsafe {
                libc::madvise(start.as_ptr().cast(), bytes, libc::MADV_HUGEPAGE);
            }
        }
        Some(Self { start, layout })
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: `allocate` made this allocation with this layout, and no array shows it any
        // longer: they hold a reference to `self`.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}

/// An array in the making.
pub(crate) struct Fresh<'py> {
    memory: Memory,
    shape: Vec<usize>,
    descriptor: Bound<'py, PyArrayDescr>,
}

impl<'py> Fresh<'py> {
    /// Uninitialized memory for a C-contiguous array.
    ///
    /// # Errors
    /// `ValueError` for more bytes than NumPy can have; `MemoryError`.
    pub(crate) fn new(shape: Vec<usize>, descriptor: Bound<'py, PyArrayDescr>) -> PyResult<Self> {
        // As NumPy, count empty dimensions as 1: strides have to fit as well.
        let bytes = shape
            .iter()
            .filter(|&&len| len != 0)
            .try_fold(descriptor.itemsize(), |bytes, &len| bytes.checked_mul(len))
            .filter(|&bytes| bytes <= isize::MAX as usize)
            .ok_or_else(|| {
                PyValueError::new_err(format!(
                    "`shape` is too big: the array would have more than 2**63-1 bytes. Received: \
                     shape={}",
                    tuple(&shape)
                ))
            })?;
        let bytes = if shape.contains(&0) { 0 } else { bytes };
        let memory = Memory::allocate(bytes).ok_or_else(|| {
            PyMemoryError::new_err(format!(
                "Unable to allocate {bytes} bytes for an array with shape {} and data type {}",
                tuple(&shape),
                text(&descriptor)
            ))
        })?;
        Ok(Self { memory, shape, descriptor })
    }

    /// The memory, to be filled.
    pub(crate) fn space(&mut self) -> Space<'_> {
        Space {
            data: self.memory.start.as_ptr(),
            size: self.descriptor.itemsize(),
            shape: &self.shape,
            strides: contiguous(&self.shape),
            memory: PhantomData,
        }
    }

    /// The array, once filled. Only NumPy may get it before, to fill it: to NumPy it is as
    /// `numpy.empty`.
    pub(crate) fn into_array(self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let Self { memory, shape, descriptor } = self;
        let data = memory.start.as_ptr();
        let base = Bound::new(py, memory)?.into_any();
        // SAFETY: `base` is the memory at `data`, which holds as many bytes as the shape and the
        // descriptor need.
        unsafe { array_over(data, &shape, None, descriptor, base) }
    }
}

/// An array over memory at `data` that `base` keeps, C-contiguous unless `strides`, in bytes, are
/// given.
///
/// # Safety
/// `base` keeps the memory of every element that the shape and strides reach, writable and aligned
/// for the descriptor.
unsafe fn array_over<'py>(
    data: *mut u8,
    shape: &[usize],
    strides: Option<&[isize]>,
    descriptor: Bound<'py, PyArrayDescr>,
    base: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = base.py();
    // Lengths fit: their product with the size does.
    let mut dims: Vec<npy_intp> = shape.iter().map(|&len| len as npy_intp).collect();
    let mut steps: Option<Vec<npy_intp>> = strides.map(<[isize]>::to_vec);
    // SAFETY: NumPy's function takes over the reference to the descriptor, copies dimensions and
    // strides, and makes an array over `data`, whose memory the caller vouches for.
    let array = unsafe {
        let subtype = get_type_object(py, NpyTypes::PyArray_Type);
        let array = PY_ARRAY_API.PyArray_NewFromDescr(
            py,
            subtype,
            descriptor.into_dtype_ptr(),
            dims.len() as i32,
            dims.as_mut_ptr(),
            steps.as_mut().map_or(std::ptr::null_mut(), |steps| steps.as_mut_ptr()),
            data.cast(),
            if strides.is_none() { NPY_ARRAY_CARRAY } else { NPY_ARRAY_BEHAVED },
            std::ptr::null_mut(),
        );
        Bound::from_owned_ptr_or_err(py, array)?
    };
    // SAFETY: `array` was just made and has no base; the reference to `base` is taken over, also on
    // failure. It keeps the memory for as long as the array lives.
    let failed =
        unsafe { PY_ARRAY_API.PyArray_SetBaseObject(py, array.as_ptr().cast(), base.into_ptr()) };
    if failed != 0 { Err(PyErr::fetch(py)) } else { Ok(array) }
}

/// Memory that a Python object offers, as it describes it: nothing is checked yet.
pub(crate) struct Offer<'py> {
    /// Keeps the memory: the array, or the capsule, whose destructor gives it back.
    owner: Bound<'py, PyAny>,
    data: *mut u8,
    shape: Vec<usize>,
    /// In bytes.
    strides: Vec<isize>,
    /// What its items are, or, if NumPy has no such thing, how the object calls them.
    descriptor: Result<Bound<'py, PyArrayDescr>, String>,
    writable: bool,
}

impl<'py> Offer<'py> {
    /// The memory of an array.
    pub(crate) fn of_array(array: &Bound<'py, PyUntypedArray>) -> PyResult<Self> {
        // SAFETY: `array` is a valid array object, whose struct NumPy's ABI fixes.
        let data = unsafe { (*array.as_array_ptr()).fields.data };
        Ok(Self {
            owner: array.clone().into_any(),
            data: data.cast(),
            shape: array.shape().to_vec(),
            strides: array.strides().to_vec(),
            descriptor: Ok(array.dtype()),
            writable: array.getattr("flags")?.getattr("writeable")?.extract()?,
        })
    }

    /// The memory of a tensor on the CPU that a DLPack 1.0 capsule describes.
    ///
    /// # Errors
    /// `BufferError` with what makes the capsule unfit.
    pub(crate) fn of_capsule(capsule: Bound<'py, PyCapsule>) -> PyResult<Self> {
        let unfit = |why: &str| PyBufferError::new_err(why.to_owned());
        let managed = capsule
            .pointer_checked(Some(dlpack::VERSIONED))
            .map_err(|_| unfit("it does not speak DLPack 1.0, which tells what may be written"))?;
        // SAFETY: a capsule of this name points to this struct and keeps it; its version comes
        // first in every version.
        let managed = unsafe { managed.cast::<dlpack::ManagedTensorVersioned>().as_ref() };
        if managed.version.major != 1 {
            return Err(unfit("its DLPack version is not 1"));
        }
        if managed.flags & dlpack::IS_COPIED != 0 {
            return Err(unfit("it lends a copy"));
        }
        let tensor = &managed.tensor;
        if tensor.device.kind != dlpack::CPU {
            return Err(unfit("its memory is not the CPU's"));
        }
        let rank = usize::try_from(tensor.rank).map_err(|_| unfit("its rank is negative"))?;
        // A scalar may have null for both its lengths and its strides.
        let numbers = |from: *const i64| match rank {
            0 => &[][..],
            // SAFETY: DLPack promises `rank` lengths at `shape`, and as many strides unless null,
            // which is looked at before this is called.
            rank => unsafe { std::slice::from_raw_parts(from, rank) },
        };
        let shape: Vec<usize> = numbers(tensor.shape)
            .iter()
            .map(|&len| usize::try_from(len))
            .collect::<Result<_, _>>()
            .map_err(|_| unfit("a length is negative"))?;
        let size = isize::from(tensor.dtype.bits / 8);
        let strides = if tensor.strides.is_null() {
            contiguous(&shape).into_iter().map(|stride| stride * size).collect()
        } else {
            numbers(tensor.strides).iter().map(|&stride| stride as isize * size).collect()
        };
        let data = if shape.contains(&0) {
            // Tensors without elements may have no address; any aligned one does.
            std::ptr::without_provenance_mut(LINE)
        } else {
            tensor.data.cast::<u8>().wrapping_add(tensor.byte_offset as usize)
        };
        let descriptor = match tensor.dtype.name() {
            Some(name) => Ok(dtypes::named(capsule.py(), &name)?),
            None => Err(tensor.dtype.describe()),
        };
        let writable = managed.flags & dlpack::READ_ONLY == 0;
        Ok(Self { owner: capsule.into_any(), data, shape, strides, descriptor, writable })
    }

    /// The shape.
    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The strides in bytes.
    pub(crate) fn strides(&self) -> &[isize] {
        &self.strides
    }

    /// What its items are, or how the object calls what NumPy does not have.
    pub(crate) fn descriptor(&self) -> Result<&Bound<'py, PyArrayDescr>, &str> {
        self.descriptor.as_ref().map_err(String::as_str)
    }

    /// The memory, if filling it as items of `descriptor` is sound.
    ///
    /// # Errors
    /// What makes it unfit.
    pub(crate) fn accept(
        self,
        descriptor: Bound<'py, PyArrayDescr>,
    ) -> Result<Lent<'py>, (Self, Unfit)> {
        let unfit = if !self.writable {
            Unfit::ReadOnly
        } else if !self.descriptor.as_ref().is_ok_and(|own| own.is_equiv_to(&descriptor)) {
            Unfit::Dtype
        } else if !self.is_aligned_to(descriptor.alignment()) {
            Unfit::Misaligned
        } else if overlaps(&self.shape, &self.strides, descriptor.itemsize()) {
            Unfit::Overlapping
        } else {
            return Ok(Lent { offer: self, descriptor });
        };
        Err((self, unfit))
    }

    /// Whether every element's address is a multiple of `size`.
    fn is_aligned_to(&self, size: usize) -> bool {
        let mut strides = self.shape.iter().zip(&self.strides).filter(|&(&len, _)| len > 1);
        self.data.addr().is_multiple_of(size)
            && strides.all(|(_, stride)| stride.unsigned_abs().is_multiple_of(size))
    }
}

/// Why memory that was offered cannot be filled.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unfit {
    /// It must not be written.
    ReadOnly,
    /// Its items are of another dtype, or in another byte order.
    Dtype,
    /// Some element's address is no multiple of the alignment.
    Misaligned,
    /// Two elements may share memory.
    Overlapping,
}

/// Whether two elements may share memory. Exact for every array that slicing, transposing and
/// reshaping make: the axes, from the shortest stride to the longest, must each step over all
/// that the ones before them span. Nested any other way, strides are taken to overlap.
fn overlaps(shape: &[usize], strides: &[isize], size: usize) -> bool {
    if shape.contains(&0) {
        return false;
    }
    let mut axes: Vec<(usize, usize)> = shape
        .iter()
        .zip(strides)
        .filter(|&(&len, _)| len > 1)
        .map(|(&len, stride)| (stride.unsigned_abs(), len))
        .collect();
    axes.sort_unstable();
    let mut span = size;
    axes.iter().any(|&(stride, len)| {
        let overlaps = stride < span;
        span = span.saturating_add(stride.saturating_mul(len - 1));
        overlaps
    })
}

/// Memory of the caller that may be filled: writable, aligned, of the descriptor's items in native
/// byte order, no two elements at the same place. Only [`Offer::accept`] makes one.
pub(crate) struct Lent<'py> {
    offer: Offer<'py>,
    descriptor: Bound<'py, PyArrayDescr>,
}

impl<'py> Lent<'py> {
    /// The memory, to be filled.
    ///
    /// As with NumPy, it is up to the caller that no other thread uses or frees it meanwhile.
    pub(crate) fn space(&mut self) -> Space<'_> {
        let Offer { data, shape, strides, .. } = &self.offer;
        let size = self.descriptor.itemsize();
        let plain = contiguous(shape);
        let strides = if shape.contains(&0) {
            plain
        } else {
            let axes = shape.iter().zip(strides).zip(plain);
            // The stride of an axis of one element means nothing, and NumPy leaves anything there.
            axes.map(
                |((&len, stride), plain)| {
                    if len == 1 { plain } else { stride / size as isize }
                },
            )
            .collect()
        };
        Space { data: *data, size, shape, strides, memory: PhantomData }
    }

    /// The memory as it was offered.
    pub(crate) fn into_offer(self) -> Offer<'py> {
        self.offer
    }

    /// The memory as an array, for NumPy to fill.
    pub(crate) fn into_array(self) -> PyResult<Bound<'py, PyAny>> {
        let Offer { owner, data, shape, strides, .. } = self.offer;
        if owner.is_instance_of::<PyUntypedArray>() {
            return Ok(owner);
        }
        // SAFETY: what `accept` checked; the capsule keeps the memory.
        unsafe { array_over(data, &shape, Some(&strides), self.descriptor, owner) }
    }
}

/// Memory that is borrowed to be filled. Only [`Fresh`] and [`Lent`] make one.
pub(crate) struct Space<'a> {
    /// The element whose coordinates are all 0.
    data: *mut u8,
    /// Bytes of an element.
    size: usize,
    shape: &'a [usize],
    /// In elements.
    strides: Vec<isize>,
    memory: PhantomData<&'a mut u8>,
}

impl<'a> Space<'a> {
    /// The memory as numbers of `dtype`, or `None` if its items have another size.
    pub(crate) fn numbers(&self, dtype: DType) -> Option<OutMut<'a>> {
        if dtype.size() != self.size {
            return None;
        }
        // SAFETY: the memory was made or accepted for items of this size, aligned for them, and
        // every bit pattern is a number. It is borrowed exclusively for `'a`.
        Some(unsafe {
            match dtype {
                DType::F16 => OutMut::F16(self.view()),
                DType::BF16 => OutMut::BF16(self.view()),
                DType::F32 => OutMut::F32(self.view()),
                DType::F64 => OutMut::F64(self.view()),
                DType::F8E4M3Fn => OutMut::F8E4M3Fn(self.view()),
                DType::F8E5M2 => OutMut::F8E5M2(self.view()),
            }
        })
    }

    /// The memory as items of bytes, or `None` if they have a size that no NumPy number has.
    pub(crate) fn items(&self) -> Option<Items<'a>> {
        // SAFETY: the items have this size, and bytes need no alignment. The memory is borrowed
        // exclusively for `'a`.
        Some(unsafe {
            match self.size {
                1 => Items::One(self.view()),
                2 => Items::Two(self.view()),
                4 => Items::Four(self.view()),
                8 => Items::Eight(self.view()),
                16 => Items::Sixteen(self.view()),
                _ => return None,
            }
        })
    }

    /// # Safety
    /// The size of `T` is that of the items, whose addresses are multiples of its alignment, and no
    /// other view of the memory is in use.
    unsafe fn view<T>(&self) -> ArrayViewMutD<'a, MaybeUninit<T>> {
        let mut lowest = self.data.cast::<MaybeUninit<T>>();
        // ndarray counts from the lowest address on and turns axes around afterwards.
        let mut steps = vec![0; self.shape.len()];
        for ((step, &len), &stride) in steps.iter_mut().zip(self.shape).zip(&self.strides) {
            if stride < 0 {
                // SAFETY: moves to the axis' last element, inside the memory. Arrays without
                // elements come with positive strides.
                lowest = unsafe { lowest.offset(stride * (len as isize - 1)) };
            }
            *step = stride.unsigned_abs();
        }
        // SAFETY: the elements are those that the caller vouches for, reached from the lowest one.
        let mut view = unsafe {
            ArrayViewMutD::from_shape_ptr(IxDyn(self.shape).strides(IxDyn(&steps)), lowest)
        };
        for (axis, &stride) in self.strides.iter().enumerate() {
            if stride < 0 {
                view.invert_axis(Axis(axis));
            }
        }
        view
    }
}

/// The strides, in elements, of a C-contiguous array. Empty axes count as 1: such an array has no
/// element to reach, but its strides, too, must not fold.
fn contiguous(shape: &[usize]) -> Vec<isize> {
    let mut strides = vec![0; shape.len()];
    let mut step = 1;
    for (stride, &len) in strides.iter_mut().zip(shape).rev() {
        *stride = step;
        // NumPy, and `Fresh::new`, refuse shapes for which this would overflow.
        step *= len.max(1) as isize;
    }
    strides
}
