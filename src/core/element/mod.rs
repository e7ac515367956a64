//! The element types that a tensor of random values can have, and how numbers are rounded to them.

use std::mem::MaybeUninit;

use ndarray::ArrayViewMutD;

pub(crate) mod format;
pub mod round;

pub use half::{bf16, f16};

use crate::error::Error;

/// An 8-bit float with 4 exponent and 3 mantissa bits, no infinity, largest value 448
/// (OCP 8-bit floating point specification, E4M3; `ml_dtypes.float8_e4m3fn`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct F8E4M3Fn(pub u8);

/// An 8-bit float with 5 exponent and 2 mantissa bits, largest finite value 57344
/// (OCP 8-bit floating point specification, E5M2; `ml_dtypes.float8_e5m2`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct F8E5M2(pub u8);

/// The dtype of a tensor of random values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// IEEE binary16.
    F16,
    /// The upper half of a binary32.
    BF16,
    /// IEEE binary32.
    F32,
    /// IEEE binary64.
    F64,
    /// [`F8E4M3Fn`].
    F8E4M3Fn,
    /// [`F8E5M2`].
    F8E5M2,
}

impl DType {
    /// Every dtype, in the order of the definition.
    pub const ALL: [Self; 6] =
        [Self::F16, Self::BF16, Self::F32, Self::F64, Self::F8E4M3Fn, Self::F8E5M2];

    /// The name NumPy and ml_dtypes use.
    pub fn name(self) -> &'static str {
        match self {
            Self::F16 => "float16",
            Self::BF16 => "bfloat16",
            Self::F32 => "float32",
            Self::F64 => "float64",
            Self::F8E4M3Fn => "float8_e4m3fn",
            Self::F8E5M2 => "float8_e5m2",
        }
    }

    /// Bytes an element takes.
    pub fn size(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::F8E4M3Fn | Self::F8E5M2 => 1,
        }
    }
}

/// Memory of the caller that a call writes from end to end: one kind of view for each dtype. It may
/// have any rank, and any strides under which no two elements overlap.
#[derive(Debug)]
pub enum OutMut<'a> {
    /// float16.
    F16(ArrayViewMutD<'a, MaybeUninit<f16>>),
    /// bfloat16.
    BF16(ArrayViewMutD<'a, MaybeUninit<bf16>>),
    /// float32.
    F32(ArrayViewMutD<'a, MaybeUninit<f32>>),
    /// float64.
    F64(ArrayViewMutD<'a, MaybeUninit<f64>>),
    /// float8_e4m3fn.
    F8E4M3Fn(ArrayViewMutD<'a, MaybeUninit<F8E4M3Fn>>),
    /// float8_e5m2.
    F8E5M2(ArrayViewMutD<'a, MaybeUninit<F8E5M2>>),
}

impl OutMut<'_> {
    /// The dtype of the elements.
    pub fn dtype(&self) -> DType {
        match self {
            Self::F16(_) => DType::F16,
            Self::BF16(_) => DType::BF16,
            Self::F32(_) => DType::F32,
            Self::F64(_) => DType::F64,
            Self::F8E4M3Fn(_) => DType::F8E4M3Fn,
            Self::F8E5M2(_) => DType::F8E5M2,
        }
    }
}

/// A type that a tensor of random values can have.
pub trait Element: Copy + Send + Sync + 'static {
    /// The same type as a value.
    const DTYPE: DType;

    /// `out`, whose elements are of this type.
    ///
    /// # Errors
    /// [`Error::Value`] if they are not.
    fn of(out: OutMut<'_>) -> Result<ArrayViewMutD<'_, MaybeUninit<Self>>, Error>;
}

macro_rules! element {
    ($($type:ty, $variant:ident;)*) => {$(
        impl Element for $type {
            const DTYPE: DType = DType::$variant;

            fn of(out: OutMut<'_>) -> Result<ArrayViewMutD<'_, MaybeUninit<Self>>, Error> {
                match out {
                    OutMut::$variant(view) => Ok(view),
                    other => {
                        let rule = format!("must have the dtype {}", Self::DTYPE.name());
                        Err(Error::value("out", rule, other.dtype().name()))
                    }
                }
            }
        }
    )*};
}
element! {
    f16, F16;
    bf16, BF16;
    f32, F32;
    f64, F64;
    F8E4M3Fn, F8E4M3Fn;
    F8E5M2, F8E5M2;
}
