//! DLPack's description of a tensor: the structs and numbers of dlpack.h 1.1
//! (<https://github.com/dmlc/dlpack>), as far as they are read here.
//!
//! NumPy's own reader knows neither bfloat16 nor 8-bit floats.

use std::ffi::{CStr, c_void};

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
    /// The name of the same type in NumPy or ml_dtypes, if there is one.
    pub(crate) fn name(&self) -> Option<String> {
        let prefix = match (self.code, self.bits) {
            (0, 8 | 16 | 32 | 64) => "int",
            (1, 8 | 16 | 32 | 64) => "uint",
            (2, 16 | 32 | 64) => "float",
            (4, 16) => "bfloat",
            (5, 64 | 128) => "complex",
            (6, 8) => return (self.lanes == 1).then(|| "bool".to_owned()),
            (10, 8) => return (self.lanes == 1).then(|| "float8_e4m3fn".to_owned()),
            (12, 8) => return (self.lanes == 1).then(|| "float8_e5m2".to_owned()),
            _ => return None,
        };
        (self.lanes == 1).then(|| format!("{prefix}{}", self.bits))
    }

    /// What a type that NumPy does not have is called in messages.
    pub(crate) fn describe(&self) -> String {
        format!("of DLPack code {}, {} bits, {} lanes", self.code, self.bits, self.lanes)
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
