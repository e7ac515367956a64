//! The sizes that fix the order of every sum (`docs/streams.md` names them B, SC, KC and RC).
//!
//! The first four are part of the native stream's definition and never change. The last two only
//! add rows and columns of zeros, which change no bit of a result.

/// Reflectors in a block (B).
pub const BLOCK_SIZE: usize = 96;
/// Rows whose squares are summed in one chain (SC). Chains end at multiples of it.
pub(super) const SQUARES_CHAIN: usize = 64;
/// Rows whose products are summed in one chain (KC). Chains end at multiples of it.
pub const PRODUCTS_CHAIN: usize = 256;
/// Rows whose chains of products are added up before they join those of other rows (RC). Chunks
/// end at multiples of it.
pub(super) const ROW_CHUNK: usize = 1024;

/// Widths of matrices are padded to a multiple of it: the longest vector of float32.
pub(super) const WIDTH_MULTIPLE: usize = 16;
/// Heights of matrices are padded to a multiple of it: the rows of the tallest tile.
pub(super) const HEIGHT_MULTIPLE: usize = 8;
