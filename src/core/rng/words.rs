//! Random words of counter-based engines, each a function of its number.
//!
//! An engine implements [`Words`], and samplers and fills work with any that does. Words come in
//! blocks of four, several vectors of blocks at a time.

use crate::simd::Simd;

/// Blocks of four words, up to 2^64 of them: an engine with its key.
pub(crate) trait Words: Copy + Send + Sync {
    /// Blocks with the same upper part of their number, prepared for an instruction set.
    type Blocks<S: Simd>: WordBlocks<S>;

    /// How many lower bits of a block's number [`WordBlocks`] tell blocks apart by, at most 32.
    #[inline(always)]
    fn lower_bits(&self) -> u32 {
        32
    }

    /// Prepares the blocks whose numbers have the upper bits `upper`.
    fn blocks<S: Simd>(self, simd: S, upper: u32) -> Self::Blocks<S>;
}

/// Blocks whose numbers differ in their [`Words::lower_bits`] only.
///
/// Methods must be `#[inline(always)]`, as all that kernels call.
pub(crate) trait WordBlocks<S: Simd>: Copy {
    /// Where a walk over the blocks is, in whatever form the engine continues from best.
    type Place: Copy;

    /// The place of the block with the lower bits `first`. A walk must end before those wrap.
    fn start(&self, first: u32) -> Self::Place;

    /// The words of `U` vectors of blocks from `place` on, and the place after them.
    ///
    /// Each vector gives two of words: 0 and 2 of its blocks, then 1 and 3. A lane has the word
    /// with the lower number in its low half. Lanes are in the order of [`Simd::block_numbers`].
    fn words<const U: usize>(&self, place: Self::Place) -> ([[S::U64; 2]; U], Self::Place);
}
