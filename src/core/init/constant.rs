//! Filling memory with one value.
//!
//! Items are filled by their bytes, up to 16 of them, so no type of item has to be known here.

use std::mem::MaybeUninit;

use ndarray::ArrayViewMutD;

use crate::block::Block;
use crate::error::Error;
use crate::parallel::Exec;
use crate::stream::counter::random_access::fill_block;

/// Memory of the caller, as items of a number of bytes.
#[derive(Debug)]
pub enum Items<'a> {
    /// Items of one byte.
    One(ArrayViewMutD<'a, MaybeUninit<[u8; 1]>>),
    /// Items of two bytes.
    Two(ArrayViewMutD<'a, MaybeUninit<[u8; 2]>>),
    /// Items of four bytes.
    Four(ArrayViewMutD<'a, MaybeUninit<[u8; 4]>>),
    /// Items of eight bytes.
    Eight(ArrayViewMutD<'a, MaybeUninit<[u8; 8]>>),
    /// Items of sixteen bytes.
    Sixteen(ArrayViewMutD<'a, MaybeUninit<[u8; 16]>>),
}

/// Writes `value` to every item of `out`.
///
/// # Errors
/// [`Error::Value`] if `value` has another number of bytes than the items; [`Error::Interrupted`].
pub fn fill_constant(value: &[u8], out: Items<'_>, exec: &Exec<'_>) -> Result<(), Error> {
    match out {
        Items::One(out) => fill_items(value, out, exec),
        Items::Two(out) => fill_items(value, out, exec),
        Items::Four(out) => fill_items(value, out, exec),
        Items::Eight(out) => fill_items(value, out, exec),
        Items::Sixteen(out) => fill_items(value, out, exec),
    }
}

fn fill_items<const N: usize>(
    value: &[u8],
    out: ArrayViewMutD<'_, MaybeUninit<[u8; N]>>,
    exec: &Exec<'_>,
) -> Result<(), Error> {
    let value: [u8; N] = value
        .try_into()
        .map_err(|_| Error::value("value", format!("must have {N} bytes"), value.len()))?;
    let block = Block::whole(out.shape())?;
    fill_block(&block, out, exec, |_, part| part.fill(MaybeUninit::new(value)))
}

#[cfg(test)]
mod tests {
    use std::num::NonZero;

    use ndarray::{ArrayViewMut3, s};

    use super::*;
    use crate::parallel::Pool;
    use crate::simd::lend;

    #[test]
    fn every_item_and_no_other_is_written() {
        let pool = Pool::new(NonZero::new(2).unwrap()).unwrap();
        for exec in [Exec::serial(), Exec::new(Some(&pool), &|| false)] {
            let mut memory = vec![[9; 4]; 5 * 7 * 3000];
            let mut whole = ArrayViewMut3::from_shape((5, 7, 3000), lend(&mut memory)).unwrap();
            let part = whole.slice_mut(s![1..4, ..;2, ..;-3]).into_dyn();
            fill_constant(&[1, 2, 3, 4], Items::Four(part), &exec).unwrap();
            for (at, item) in memory.iter().enumerate() {
                let (i, j, k) = (at / 21_000, at / 3000 % 7, at % 3000);
                let inside = (1..4).contains(&i) && j % 2 == 0 && k % 3 == 2;
                assert_eq!(*item, if inside { [1, 2, 3, 4] } else { [9; 4] }, "{i} {j} {k}");
            }
        }
    }

    #[test]
    fn values_of_another_size_are_refused() {
        let mut memory = vec![[0; 2]; 6];
        let view = ArrayViewMut3::from_shape((1, 2, 3), lend(&mut memory)).unwrap();
        let error = fill_constant(&[1], Items::Two(view.into_dyn()), &Exec::serial()).unwrap_err();
        assert_eq!(error, Error::value("value", "must have 2 bytes", 1));
    }
}
