//! Which elements of a tensor a call asks for.
//!
//! A tensor's elements are numbered in C order of its *global* shape. A block selects some of them:
//! along each axis the coordinates of an arithmetic progression. Its own elements are numbered in C
//! order, too: element `p` of the block goes to flat position `p` of the output.

use crate::error::Error;

/// The coordinates that a block takes along one axis: `start + step * i`, `i = 0 .. len`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    /// First coordinate.
    pub start: usize,
    /// Distance from one coordinate to the next. It may be negative, and is 0 only where `len` is
    /// 0.
    pub step: isize,
    /// How many.
    pub len: usize,
}

/// A rectangular selection from a tensor of a given global shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    shape: Vec<usize>,
    axes: Vec<Axis>,
    len: usize,
}

/// Consecutive positions of a block whose elements form an arithmetic progression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Global number of the first element.
    pub first: u64,
    /// Distance from one element's number to the next.
    pub step: i64,
    /// How many elements.
    pub len: usize,
}

impl Block {
    /// Every element of a tensor of this shape.
    ///
    /// # Errors
    /// [`Error::Value`] if the number of elements does not fit an `isize`.
    pub fn whole(shape: &[usize]) -> Result<Self, Error> {
        let axes = shape.iter().map(|&len| Axis { start: 0, step: 1, len }).collect();
        Self::new(shape.to_vec(), axes)
    }

    /// The elements of a tensor of shape `shape` at the coordinates `axes`, one an axis.
    ///
    /// # Errors
    /// [`Error::Value`] if the ranks differ, a coordinate lies outside its axis, or the number of
    /// elements does not fit an `isize`.
    pub fn new(shape: Vec<usize>, axes: Vec<Axis>) -> Result<Self, Error> {
        if shape.len() != axes.len() {
            return Err(Error::value(
                "index",
                format!("must have one entry for each of the {} dimensions", shape.len()),
                axes.len(),
            ));
        }
        let size = |lens: &mut dyn Iterator<Item = usize>| {
            // Axes of length 0 are left out, so that (0, 2**62, 2**62) is refused, as by NumPy.
            lens.filter(|&len| len != 0).try_fold(1usize, |product, len| product.checked_mul(len))
        };
        if size(&mut shape.iter().copied()).is_none_or(|size| size > isize::MAX as usize) {
            return Err(Error::value(
                "shape",
                "must have at most 2**63-1 elements",
                format!("{shape:?}"),
            ));
        }
        for (axis, &extent) in axes.iter().zip(&shape) {
            let last = (axis.len as i128 - 1) * axis.step as i128 + axis.start as i128;
            let inside = axis.len == 0
                || (axis.start < extent && last >= 0 && last < extent as i128 && axis.step != 0);
            if !inside {
                return Err(Error::value(
                    "index",
                    format!("must stay inside a dimension of {extent}"),
                    format!("{axis:?}"),
                ));
            }
        }
        let len = axes.iter().map(|axis| axis.len).product();
        Ok(Self { shape, axes, len })
    }

    /// The shape of the whole tensor.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The coordinates taken along each axis.
    pub fn axes(&self) -> &[Axis] {
        &self.axes
    }

    /// How many elements the block has.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the block has no element.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the block is the whole tensor in its own order.
    pub fn is_whole(&self) -> bool {
        self.axes
            .iter()
            .zip(&self.shape)
            .all(|(axis, &extent)| axis.len == extent && (axis.step == 1 || extent == 1))
    }

    /// The longest runs that together are the elements at `positions` of the block, in order. Each
    /// comes with the position of its first element.
    pub fn runs(&self, positions: std::ops::Range<usize>) -> impl Iterator<Item = (usize, Run)> {
        debug_assert!(positions.end <= self.len);
        // Trailing axes that are taken whole join the run of the axis before them.
        let mut tail = self.axes.len();
        let mut width = 1usize;
        while tail > 0 {
            let (axis, extent) = (self.axes[tail - 1], self.shape[tail - 1]);
            if !(axis.len == extent && (axis.step == 1 || extent == 1)) {
                break;
            }
            width *= extent;
            tail -= 1;
        }
        // The axis before the tail makes the run longer: if its step is 1, tails follow each other
        // without a gap; if a tail is a single element, the run is the axis' own progression.
        let (run_len, step, outer, base) = match tail.checked_sub(1).map(|i| (i, self.axes[i])) {
            Some((inner, axis)) if axis.step == 1 => {
                (width * axis.len, 1, inner, (axis.start * width) as u64)
            }
            Some((inner, axis)) if width == 1 => {
                (axis.len, axis.step as i64, inner, axis.start as u64)
            }
            _ => (width, 1, tail, 0),
        };
        let mut next = positions.start;
        std::iter::from_fn(move || {
            if next >= positions.end {
                return None;
            }
            let at = next;
            let (mut row, offset) = (at / run_len, at % run_len);
            let mut first = base;
            let mut stride = self.shape[outer..].iter().product::<usize>() as u64;
            for (axis, &extent) in self.axes[..outer].iter().zip(&self.shape).rev() {
                let coordinate = axis.start as i64 + axis.step as i64 * (row % axis.len) as i64;
                row /= axis.len;
                first += coordinate as u64 * stride;
                stride *= extent as u64;
            }
            let first = first.wrapping_add_signed(step * offset as i64);
            let len = (run_len - offset).min(positions.end - at);
            next = at + len;
            Some((at, Run { first, step, len }))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(block: &Block, chunk: usize) -> Vec<u64> {
        let mut all = vec![];
        let mut at = 0;
        while at < block.len() {
            let end = (at + chunk).min(block.len());
            for (position, run) in block.runs(at..end) {
                assert_eq!(position, all.len());
                all.extend((0..run.len as i64).map(|i| (run.first as i64 + run.step * i) as u64));
            }
            at = end;
        }
        all
    }

    fn expected(block: &Block) -> Vec<u64> {
        let mut all = vec![0i64];
        for (axis, &extent) in block.axes().iter().zip(block.shape()) {
            all = all
                .iter()
                .flat_map(|&row| {
                    (0..axis.len as i64).map(move |i| {
                        row * extent as i64 + axis.start as i64 + axis.step as i64 * i
                    })
                })
                .collect();
        }
        all.into_iter().map(|e| e as u64).collect()
    }

    #[test]
    fn runs_enumerate_the_block_in_c_order() {
        let a = |start, step, len| Axis { start, step, len };
        let cases = [
            (vec![], vec![]),
            (vec![7], vec![a(0, 1, 7)]),
            (vec![7], vec![a(6, -2, 4)]),
            (vec![4, 5], vec![a(1, 1, 2), a(0, 1, 5)]),
            (vec![4, 5], vec![a(3, -1, 4), a(0, 1, 5)]),
            (vec![4, 5], vec![a(0, 1, 4), a(2, 1, 2)]),
            (vec![4, 5], vec![a(0, 2, 2), a(4, -1, 5)]),
            (vec![3, 1, 4, 2], vec![a(0, 2, 2), a(0, 1, 1), a(1, 2, 2), a(0, 1, 2)]),
            (vec![3, 4, 1], vec![a(0, 1, 3), a(3, -3, 2), a(0, -1, 1)]),
            (vec![1, 4, 1], vec![a(0, 1, 1), a(0, 3, 2), a(0, 1, 1)]),
            (vec![3, 0], vec![a(0, 1, 3), a(0, 1, 0)]),
        ];
        for (shape, axes) in cases {
            let block = Block::new(shape, axes).unwrap();
            for chunk in [1, 2, 3, 100] {
                assert_eq!(elements(&block, chunk), expected(&block), "{block:?}");
            }
        }
    }

    #[test]
    fn whole_blocks_are_one_run() {
        let block = Block::whole(&[3, 4, 5]).unwrap();
        let runs: Vec<_> = block.runs(7..50).collect();
        assert_eq!(runs, [(7, Run { first: 7, step: 1, len: 43 })]);
    }

    #[test]
    fn sizes_that_overflow_are_refused() {
        assert!(Block::whole(&[1 << 62, 2]).is_err());
        assert!(Block::whole(&[0, usize::MAX, 2]).is_err());
        assert!(Block::whole(&[0, 5]).unwrap().is_empty());
    }
}
