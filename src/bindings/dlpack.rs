//! DLPack's description of a tensor: the structs and numbers of dlpack.h 1.1
//! (<https://github.com/dmlc/dlpack>), as far as they are read here.
//!
//! NumPy's own reader knows neither bfloat16 nor 8-bit floats.

use std::ffi::{CStr, c_void};

use seedbed_core::element::DType;

/// The name of a capsule that holds a [`ManagedTensorVersioned`] nobody has taken over.
pub(crate) const VERSIONED: &CStr = c"dltensor_versioned";

/// `kDLCPU`.
pub(crate) const CPU: i32 = 1;

/// `DLPACK_FLAG_BITMASK_READ_ONLY`.
pub(crate) const READ_ONLY: u64 = 1;

/// `DLPACK_FLAG_BITMASK_IS_COPIED`.
pub(crate) const IS_COPIED: u64 = 2;

/// `DLPackVersion`.
#[repr(C)]
pub(crate) struct Version {
    pub(crate) major: u32,
    pub(crate) minor: u32,
}

/// `DLDevice`.
#[repr(C)]
pub(crate) struct Device {
    pub(crate) kind: i32,
    pub(crate) id: i32,
}

/// `DLDataType`.
#[repr(C)]
pub(crate) struct DataType {
    pub(crate) code: u8,
    pub(crate) bits: u8,
    pub(crate) lanes: u16,
}

impl DataType {
    /// The same type in our words, if it is one that can be filled.
    pub(crate) fn known(&self) -> Option<DType> {
        match (self.code, self.bits, self.lanes) {
            (2, 16, 1) => Some(DType::F16),
            (2, 32, 1) => Some(DType::F32),
            (2, 64, 1) => Some(DType::F64),
            (4, 16, 1) => Some(DType::BF16),
            (10, 8, 1) => Some(DType::F8E4M3Fn),
            (12, 8, 1) => Some(DType::F8E5M2),
            _ => None,
        }
    }
}

/// `DLTensor`.
#[repr(C)]
pub(crate) struct Tensor {
    pub(crate) data: *mut c_void,
    pub(crate) device: Device,
    pub(crate) rank: i32,
    pub(crate) dtype: DataType,
    pub(crate) shape: *const i64,
    /// In elements; null if C-contiguous.
    pub(crate) strides: *const i64,
    pub(crate) byte_offset: u64,
}

/// `DLManagedTensorVersioned`.
#[repr(C)]
pub(crate) struct ManagedTensorVersioned {
    pub(crate) version: Version,
    context: *mut c_void,
    deleter: *mut c_void,
    pub(crate) flags: u64,
    pub(crate) tensor: Tensor,
}
