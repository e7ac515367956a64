//! The product `H_0 H_1 .. H_(n-1)` applied to the first n columns of the identity, scaled and
//! written out: the second half of Stewart's method, and of any QR.
//!
//! A block of reflectors is `I - V U^-1 V^T` (C. Puglisi, SIAM J. Sci. Stat. Comput. 13 (1992) 723;
//! Joffrain et al., ACM Trans. Math. Softw. 32 (2006) 169). The last block is applied first.
//!
//! The result is made in strips of [`BLOCK_SIZE`] columns, which do not depend on each other. Strip
//! s starts as columns of the identity, zero above the first row of block s, so the blocks after s
//! do not change it, and it begins with block s. Threads share the strips, or, where there are few
//! strips of many rows, the row chunks of one strip at a time. Both ways give the same bits.

use std::mem::MaybeUninit;
use std::sync::{Mutex, PoisonError};

use ndarray::{ArrayViewMut2, Axis};

use super::definition::{BLOCK_SIZE, HEIGHT_MULTIPLE, ROW_CHUNK, WIDTH_MULTIPLE};
use super::output::write_rows;
use super::panels::{Panel, Reflectors, cut_rows};
use super::product::{Dot, Solve, Update, add_to};
use super::workspace::{Workspace, zeroed};
use crate::error::Error;
use crate::pages::touch_matrix;
use crate::parallel::Exec;
use crate::simd::{self, Lane};

/// The most numbers that a strip may have for one thread to work on it alone. Applying a block to
/// that many takes some 10 ms in float64, and no interrupt is heard before it is done.
pub(super) const MAX_STRIP: usize = 1 << 20;

/// A task that applies several blocks ends once it has passed through so many numbers.
pub(super) const MAX_TASK: usize = 1 << 19;

/// The scratch of a task.
struct Scratch<T> {
    /// The strip, or one chunk of it.
    c: Workspace<T>,
    /// `U^-1 V^T C`, of a block and the strip.
    y: Workspace<T>,
    /// What one row chunk adds to it.
    w: Workspace<T>,
}

impl<T: Lane> Scratch<T> {
    fn allocate(strip: usize, blocks: [usize; 2]) -> Result<Self, Error> {
        Ok(Self { c: zeroed(strip)?, y: zeroed(blocks[0])?, w: zeroed(blocks[1])? })
    }
}

/// How threads share the work. Every way gives the same bits.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// Each thread works on a strip of its own and has a scratch for it.
    Strips,
    /// All threads work on the row chunks of one strip, for which there is one scratch. Sums of
    /// products go where those of the Gram matrices were.
    Rows,
    /// One block of reflectors; row chunks are independent. One scratch per thread; the last holds
    /// the shared Y.
    Block,
}

/// Memory for [`Former::form`], allocated before the reflectors are made so that a call that does
/// not fit is refused at once.
pub(super) struct Former<T> {
    cut: Cut,
    scratches: Vec<Scratch<T>>,
}

impl<T: Lane> Former<T> {
    /// Memory for a result of `rows` by `columns` (rows >= columns >= 1) on `exec`'s threads.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub(super) fn allocate(rows: usize, columns: usize, exec: &Exec<'_>) -> Result<Self, Error> {
        let threads = exec.threads();
        let strips = columns.div_ceil(BLOCK_SIZE);
        let width = BLOCK_SIZE.min(columns.next_multiple_of(WIDTH_MULTIPLE));
        let strip = rows
            .checked_next_multiple_of(HEIGHT_MULTIPLE)
            .and_then(|padded| padded.checked_mul(width));
        let strip = strip.ok_or(Error::OutOfMemory { bytes: usize::MAX })?;
        let unbalanced = threads > 1 && strips < 4 * threads && rows > 4 * columns;
        let (cut, count, len, blocks) = if strips == 1 {
            (Cut::Block, threads, strip.min(ROW_CHUNK * width), [0, 0])
        } else if strip > MAX_STRIP || unbalanced {
            (Cut::Rows, 1, strip, [BLOCK_SIZE * BLOCK_SIZE, 0])
        } else {
            (
                Cut::Strips,
                threads.min(strips),
                strip,
                [BLOCK_SIZE * BLOCK_SIZE, BLOCK_SIZE * BLOCK_SIZE],
            )
        };
        let mut scratches =
            (0..count).map(|_| Scratch::allocate(len, blocks)).collect::<Result<Vec<_>, _>>()?;
        if let Cut::Block = cut {
            scratches.push(Scratch::allocate(
                0,
                [columns.next_multiple_of(HEIGHT_MULTIPLE) * BLOCK_SIZE, 0],
            )?);
        }
        Ok(Self { cut, scratches })
    }

    /// Writes the result, `reflectors.rows` by `reflectors.columns`, to `out`. `finish` makes an
    /// element of each scaled number.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub(super) fn form<O: Copy + Send + Sync>(
        mut self,
        reflectors: &mut Reflectors<T>,
        mut out: ArrayViewMut2<'_, MaybeUninit<O>>,
        exec: &Exec<'_>,
        finish: impl Fn(T) -> O + Sync,
    ) -> Result<(), Error> {
        let finish = &finish;
        if !matches!(self.cut, Cut::Block) {
            touch_matrix(out.view_mut(), finish(T::ZERO), exec)?;
        }
        match self.cut {
            Cut::Block => single_block(reflectors, out, self.scratches, exec, finish),
            Cut::Strips => by_strips(reflectors, out, self.scratches, exec, finish),
            Cut::Rows => {
                let mut partials = std::mem::replace(&mut reflectors.partials, zeroed(0)?);
                let scratch = &mut self.scratches[0];
                for (s, out) in out.axis_chunks_iter_mut(Axis(1), BLOCK_SIZE).enumerate() {
                    by_rows(reflectors, s, out, scratch, &mut partials, exec, finish)?;
                }
                Ok(())
            }
        }
    }
}

/// Makes `c` the panel's columns of the identity: in column l, row `panel.first + l` is one. `c`
/// holds the rows from `first` on.
fn set_identity<T: Lane>(c: &mut [T], width: usize, first: usize, panel: &Panel) {
    c.fill(T::ZERO);
    for l in 0..panel.count {
        if let Some(row) = (panel.first + l).checked_sub(first)
            && let Some(x) = c.get_mut(row * width + l)
        {
            *x = T::ONE;
        }
    }
}

/// `y = U^-1 V^T C` for block `s` and strip `s`, whose columns are still those of the identity, so
/// that `V^T C` is the transpose of V's first rows.
fn start<T: Lane>(reflectors: &Reflectors<T>, s: usize, y: &mut [T]) {
    let (panel, v) = reflectors.panel(s);
    let (height, width) = (panel.height(), panel.width);
    y[..height * BLOCK_SIZE].fill(T::ZERO);
    for (l, row) in v.chunks_exact(width).take(panel.count).enumerate() {
        row[..=l].iter().zip(y[l..].iter_mut().step_by(BLOCK_SIZE)).for_each(|(&x, y)| *y = x);
    }
    simd::run(Solve { u: reflectors.triangle(s), y, height, width, upper: true });
}

/// `c -= V y` for block `j`. `c` holds rows from `first` on, which must not be above the panel's
/// first. `upper` says that `y` is zero below its diagonal.
pub(super) fn subtract<T: Lane>(
    reflectors: &Reflectors<T>,
    j: usize,
    first: usize,
    y: &[T],
    c: &mut [T],
    width: usize,
    upper: bool,
) {
    let (panel, v) = reflectors.panel(j);
    let v = &v[(first - panel.first) * panel.width..][..c.len() / width * panel.width];
    let (v_width, depth) = (panel.width, panel.height());
    let columns = 0..width;
    simd::run(Update { v, v_width, y, c, c_width: width, depth, columns, upper });
}

/// `w = V^T c` for block `j`. `c` holds rows from `first` on, all of one row chunk.
pub(super) fn project<T: Lane>(
    reflectors: &Reflectors<T>,
    j: usize,
    first: usize,
    c: &[T],
    width: usize,
    w: &mut [T],
) {
    let (panel, v) = reflectors.panel(j);
    let v = &v[(first - panel.first) * panel.width..][..c.len() / width * panel.width];
    let (v_width, height) = (panel.width, panel.height());
    let (columns, upper) = (0..width, false);
    simd::run(Dot { first_row: first, v, v_width, c, c_width: width, height, columns, upper, w });
}

/// The result where there is one block: every row chunk is that of `I - V Y`, with the same `Y`.
fn single_block<T: Lane, O: Copy + Send>(
    reflectors: &Reflectors<T>,
    mut out: ArrayViewMut2<'_, MaybeUninit<O>>,
    scratches: Vec<Scratch<T>>,
    exec: &Exec<'_>,
    finish: &(impl Fn(T) -> O + Sync),
) -> Result<(), Error> {
    let panel = &reflectors.panels[0];
    let width = panel.width;
    let scratches = Mutex::new(scratches);
    let take = || {
        let mut scratches = scratches.lock().unwrap_or_else(PoisonError::into_inner);
        scratches.pop().expect("there is one for each thread, and the common one")
    };
    let mut common = take();
    start(reflectors, 0, &mut common.y);
    let y = &common.y;
    exec.for_each(
        out.axis_chunks_iter_mut(Axis(0), ROW_CHUNK).enumerate(),
        take,
        |scratch, (q, out)| {
            let len = out.nrows().next_multiple_of(HEIGHT_MULTIPLE) * width;
            let c = &mut scratch.c[..len];
            set_identity(c, width, q * ROW_CHUNK, panel);
            subtract(reflectors, 0, q * ROW_CHUNK, y, c, width, true);
            write_rows(c, width, &reflectors.scales, out, finish);
            Ok(())
        },
    )
}

/// A strip under way.
struct Strip<'a, T, O> {
    /// The panel of the same columns.
    panel: &'a Panel,
    /// The number of the strip and of the panel.
    index: usize,
    /// The next block to apply; then come those before it, down to 0.
    next: usize,
    scratch: Scratch<T>,
    out: ArrayViewMut2<'a, MaybeUninit<O>>,
}

/// The result by strips. The last ones, which take most blocks, come first. A task applies some
/// blocks to one strip and puts it back if blocks are left; the next task takes up such a strip
/// rather than begin another, so there are never more of them than threads.
fn by_strips<T: Lane, O: Copy + Send>(
    reflectors: &Reflectors<T>,
    mut out: ArrayViewMut2<'_, MaybeUninit<O>>,
    scratches: Vec<Scratch<T>>,
    exec: &Exec<'_>,
    finish: &(impl Fn(T) -> O + Sync),
) -> Result<(), Error> {
    let waiting = Mutex::new(Vec::<Strip<'_, T, O>>::with_capacity(scratches.len()));
    let free = Mutex::new(scratches);
    let (waiting, free) = (&waiting, &free);
    let mut fresh = out.axis_chunks_iter_mut(Axis(1), BLOCK_SIZE).enumerate().rev();
    let next = move || {
        if let Some(strip) = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            return Some(strip);
        }
        // This thread has no strip, so one of the scratches is free.
        if fresh.len() == 0 {
            return None;
        }
        let scratch = free.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        let (index, out) = fresh.next()?;
        let panel = &reflectors.panels[index];
        Some(Strip { panel, index, next: index, scratch, out })
    };
    exec.for_each(
        std::iter::from_fn(next),
        || (),
        |(), mut strip| {
            let mut budget = MAX_TASK;
            loop {
                let passed = advance(reflectors, &mut strip);
                if strip.next == 0 {
                    break;
                }
                strip.next -= 1;
                budget = budget.saturating_sub(passed);
                if budget == 0 {
                    waiting.lock().unwrap_or_else(PoisonError::into_inner).push(strip);
                    return Ok(());
                }
            }
            let width = strip.panel.width;
            let scales = &reflectors.scales[strip.panel.first..][..strip.panel.count];
            write_rows(&strip.scratch.c, width, scales, strip.out, finish);
            free.lock().unwrap_or_else(PoisonError::into_inner).push(strip.scratch);
            Ok(())
        },
    )
}

/// Applies the next block to a strip. Returns how many of the strip's numbers that changed.
fn advance<T: Lane, O>(reflectors: &Reflectors<T>, strip: &mut Strip<'_, T, O>) -> usize {
    let (j, width) = (strip.next, strip.panel.width);
    let Scratch { c, y, w } = &mut strip.scratch;
    let c = &mut c[..reflectors.padded * width];
    let panel = &reflectors.panels[j];
    if j == strip.index {
        set_identity(c, width, 0, panel);
        start(reflectors, j, y);
    } else {
        // The strip is zero above the block that it began with.
        let mut row = panel.first + BLOCK_SIZE;
        let mut fresh = true;
        while row < reflectors.padded {
            let end = reflectors.padded.min((row / ROW_CHUNK + 1) * ROW_CHUNK);
            let c = &c[row * width..end * width];
            if std::mem::take(&mut fresh) {
                project(reflectors, j, row, c, width, y);
            } else {
                project(reflectors, j, row, c, width, w);
                add_to(y, w, BLOCK_SIZE, width);
            }
            row = end;
        }
        simd::run(Solve { u: reflectors.triangle(j), y, height: BLOCK_SIZE, width, upper: false });
    }
    let c = &mut c[panel.first * width..];
    subtract(reflectors, j, panel.first, y, c, width, j == strip.index);
    c.len()
}

/// One strip, cut into row chunks; two barriers per block. After subtracting block j, a chunk at
/// once computes its part for j-1.
fn by_rows<T: Lane, O: Copy + Send>(
    reflectors: &Reflectors<T>,
    s: usize,
    mut out: ArrayViewMut2<'_, MaybeUninit<O>>,
    scratch: &mut Scratch<T>,
    partials: &mut [T],
    exec: &Exec<'_>,
    finish: &(impl Fn(T) -> O + Sync),
) -> Result<(), Error> {
    let panel = &reflectors.panels[s];
    let width = panel.width;
    let y = &mut scratch.y;
    let c = &mut scratch.c[..reflectors.padded * width];
    exec.for_each(
        cut_rows(c, width, 0, ROW_CHUNK),
        || (),
        |(), (row, c)| {
            set_identity(c, width, row, panel);
            Ok(())
        },
    )?;
    start(reflectors, s, y);
    for j in (0..=s).rev() {
        let first = reflectors.panels[j].first;
        exec.for_each(
            cut_rows(&mut c[first * width..], width, first, ROW_CHUNK)
                .zip(partials.chunks_exact_mut(BLOCK_SIZE * BLOCK_SIZE)),
            || (),
            |(), ((row, c), partial)| {
                subtract(reflectors, j, row, y, c, width, j == s);
                if j > 0 {
                    project(reflectors, j - 1, row, c, width, partial);
                }
                Ok(())
            },
        )?;
        if j > 0 {
            let chunks = reflectors.padded.div_ceil(ROW_CHUNK) - first / ROW_CHUNK;
            y.copy_from_slice(&partials[..BLOCK_SIZE * BLOCK_SIZE]);
            for partial in partials.chunks_exact(BLOCK_SIZE * BLOCK_SIZE).take(chunks).skip(1) {
                add_to(y, partial, BLOCK_SIZE, width);
            }
            let u = reflectors.triangle(j - 1);
            simd::run(Solve { u, y, height: BLOCK_SIZE, width, upper: false });
        }
    }
    let scales = &reflectors.scales[panel.first..][..panel.count];
    exec.for_each(
        out.axis_chunks_iter_mut(Axis(0), ROW_CHUNK).zip(c.chunks(ROW_CHUNK * width)),
        || (),
        |(), (out, c)| {
            write_rows(c, width, scales, out, finish);
            Ok(())
        },
    )
}
