//! Memory that crosses the border: what Rust allocates for new arrays, and views of what arrays
//! have. The bindings' only unsafe code.
//!
//! Fresh memory is aligned to a cache line, or, when it spans huge pages, to those, and Linux is
//! asked for them: page faults then cost a five-hundredth. It is uninitialized until the core has
//! filled it, and becomes an array only afterwards.

use std::alloc::{Layout, alloc, dealloc};
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use numpy::ndarray::{ArrayViewMutD, Axis, IxDyn, ShapeBuilder};
use numpy::npyffi::{NPY_ARRAY_CARRAY, NpyTypes, PY_ARRAY_API, get_type_object, npy_intp};
use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::{PyBufferError, PyMemoryError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyCapsuleMethods};
use seedbed_core::element::{DType, OutMut};

use crate::output::{Lent, tuple};
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
pub(crate) struct Fresh {
    memory: Memory,
    shape: Vec<usize>,
    dtype: DType,
}

impl Fresh {
    /// Uninitialized memory for a C-contiguous array.
    ///
    /// # Errors
    /// `ValueError` for more bytes than NumPy can have; `MemoryError`.
    pub(crate) fn new(shape: Vec<usize>, dtype: DType) -> PyResult<Self> {
        // As NumPy, count empty dimensions as 1: strides have to fit as well.
        let bytes = shape
            .iter()
            .filter(|&&len| len != 0)
            .try_fold(dtype.size(), |bytes, &len| bytes.checked_mul(len))
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
                dtype.name()
            ))
        })?;
        Ok(Self { memory, shape, dtype })
    }

    /// The memory, to be filled.
    pub(crate) fn view(&mut self) -> OutMut<'_> {
        let strides = contiguous(&self.shape);
        // SAFETY: the memory has the size of such an array and is borrowed exclusively.
        unsafe { out_mut(self.memory.start.as_ptr(), self.dtype, &self.shape, &strides) }
    }

    /// The array, once filled.
    pub(crate) fn into_array(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        let Self { memory, shape, dtype } = self;
        let data = memory.start.as_ptr();
        let base = Bound::new(py, memory)?;
        // Lengths fit: their product with the size does.
        let mut dims: Vec<npy_intp> = shape.iter().map(|&len| len as npy_intp).collect();
        let descriptor = dtypes::descriptor(py, dtype)?.clone().into_dtype_ptr();
        // SAFETY: NumPy's function takes over the reference to the descriptor, copies the
        // dimensions, and makes an array over `data`, which holds as many bytes as the shape and
        // dtype need, all written by the core: a fill that succeeds has written every element.
        let array = unsafe {
            let subtype = get_type_object(py, NpyTypes::PyArray_Type);
            let array = PY_ARRAY_API.PyArray_NewFromDescr(
                py,
                subtype,
                descriptor,
                dims.len() as i32,
                dims.as_mut_ptr(),
                std::ptr::null_mut(),
                data.cast(),
                NPY_ARRAY_CARRAY,
                std::ptr::null_mut(),
            );
            Bound::from_owned_ptr_or_err(py, array)?
        };
        // SAFETY: `array` was just made and has no base; the reference to `base` is taken over,
        // also on failure. It keeps the memory for as long as the array lives.
        let failed = unsafe {
            PY_ARRAY_API.PyArray_SetBaseObject(py, array.as_ptr().cast(), base.into_ptr())
        };
        if failed != 0 { Err(PyErr::fetch(py)) } else { Ok(array) }
    }
}

/// Memory that a Python object lends, as it describes it: nothing is checked yet.
pub(crate) struct Loan<'py> {
    /// Keeps the memory: the array, or the capsule, whose destructor gives it back.
    _owner: Bound<'py, PyAny>,
    data: *mut u8,
    shape: Vec<usize>,
    /// In bytes.
    strides: Vec<isize>,
}

impl<'py> Loan<'py> {
    /// The memory of an array.
    pub(crate) fn of_array(array: &Bound<'py, PyUntypedArray>) -> Self {
        // SAFETY: `array` is a valid array object, whose struct NumPy's ABI fixes.
        let data = unsafe { (*array.as_array_ptr()).fields.data };
        Self {
            _owner: array.clone().into_any(),
            data: data.cast(),
            shape: array.shape().to_vec(),
            strides: array.strides().to_vec(),
        }
    }

    /// The memory of a tensor on the CPU that a DLPack 1.0 capsule describes, its dtype, if that
    /// is one of ours, and whether it may be written.
    ///
    /// # Errors
    /// `BufferError` with what makes the capsule unfit.
    pub(crate) fn of_capsule(
        capsule: Bound<'py, PyCapsule>,
    ) -> PyResult<(Self, Option<DType>, bool)> {
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
        let writable = managed.flags & dlpack::READ_ONLY == 0;
        let dtype = tensor.dtype.known();
        Ok((Self { _owner: capsule.into_any(), data, shape, strides }, dtype, writable))
    }

    /// The shape.
    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The strides in bytes.
    pub(crate) fn strides(&self) -> &[isize] {
        &self.strides
    }

    /// Whether every element's address is a multiple of `size`.
    pub(crate) fn is_aligned_to(&self, size: usize) -> bool {
        let mut strides = self.shape.iter().zip(&self.strides).filter(|&(&len, _)| len > 1);
        self.data.addr().is_multiple_of(size)
            && strides.all(|(_, stride)| stride.unsigned_abs().is_multiple_of(size))
    }
}

/// The memory of the caller's `out`, to be filled.
///
/// As with NumPy, it is up to the caller that no other thread uses or frees it meanwhile.
pub(crate) fn lent<'a>(lent: &'a Lent<'_>) -> OutMut<'a> {
    let (loan, dtype) = (lent.loan(), lent.dtype());
    let size = dtype.size() as isize;
    let plain = contiguous(&loan.shape);
    let strides: Vec<isize> = if loan.shape.contains(&0) {
        plain
    } else {
        let axes = loan.shape.iter().zip(&loan.strides).zip(plain);
        // The stride of an axis of one element means nothing, and NumPy leaves anything there.
        axes.map(|((&len, stride), plain)| if len == 1 { plain } else { stride / size }).collect()
    };
    // SAFETY: the memory that a `Lent` has is writable, aligned, of this dtype in native byte
    // order, kept by its owner, and reached without overlaps by strides that are multiples of the
    // size: it only comes from `output::parse`, which checks just that.
    unsafe { out_mut(loan.data, dtype, &loan.shape, &strides) }
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

/// A view of memory whose first element, all coordinates 0, is at `data`.
///
/// # Safety
/// Every element that `shape` and `strides` (in elements) reach is writable memory, valid for
/// `'a` and accessed through nothing else; `data` is aligned for `dtype`; elements do not overlap.
/// Without elements, strides are positive.
unsafe fn out_mut<'a>(
    data: *mut u8,
    dtype: DType,
    shape: &[usize],
    strides: &[isize],
) -> OutMut<'a> {
    // SAFETY: in each arm, the element type is the one of `dtype`, and the rest is passed on.
    unsafe {
        match dtype {
            DType::F16 => OutMut::F16(view(data.cast(), shape, strides)),
            DType::BF16 => OutMut::BF16(view(data.cast(), shape, strides)),
            DType::F32 => OutMut::F32(view(data.cast(), shape, strides)),
            DType::F64 => OutMut::F64(view(data.cast(), shape, strides)),
            DType::F8E4M3Fn => OutMut::F8E4M3Fn(view(data.cast(), shape, strides)),
            DType::F8E5M2 => OutMut::F8E5M2(view(data.cast(), shape, strides)),
        }
    }
}

/// # Safety
/// As [`out_mut`].
unsafe fn view<'a, T>(
    data: *mut MaybeUninit<T>,
    shape: &[usize],
    strides: &[isize],
) -> ArrayViewMutD<'a, MaybeUninit<T>> {
    // ndarray counts from the lowest address on and turns axes around afterwards.
    let mut lowest = data;
    let mut steps = vec![0; shape.len()];
    for ((step, &len), &stride) in steps.iter_mut().zip(shape).zip(strides) {
        if stride < 0 {
            // SAFETY: moves to the axis' last element, inside the memory lent. Arrays without
            // elements come with positive strides.
            lowest = unsafe { lowest.offset(stride * (len as isize - 1)) };
        }
        *step = stride.unsigned_abs();
    }
    // SAFETY: the elements are those that the caller vouches for, reached from the lowest one.
    let mut view =
        unsafe { ArrayViewMutD::from_shape_ptr(IxDyn(shape).strides(IxDyn(&steps)), lowest) };
    for (axis, &stride) in strides.iter().enumerate() {
        if stride < 0 {
            view.invert_axis(Axis(axis));
        }
    }
    view
}
