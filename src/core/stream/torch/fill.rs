//! Filling any block into any layout from a sequence whose words have to be made one after another.
//!
//! The elements wanted are taken in ascending order and cut into pieces, one for a thread at a
//! time. Whoever takes a piece first moves the generator on to it, which is quick, keeps a copy,
//! and makes the values while the next piece is taken. Where very many threads wait for the
//! generator, the output is cut into segments, each with a generator of its own that begins by a
//! jump. No choice of these changes a value.

use std::mem::MaybeUninit;
use std::sync::{Mutex, PoisonError};

use ndarray::{ArrayViewMut1, ArrayViewMutD, Axis, IxDyn};

use super::sampler::{Ending, LANES, Sampler};
use crate::block::Block;
use crate::error::Error;
use crate::parallel::Exec;
use crate::rng::mt19937::{Jump, Mt19937, N, extend};
use crate::simd::{self, Kernel, Simd};
use crate::stream::ascending::ascending;
use crate::stream::counter::random_access::fill_positions;

/// The most bytes of the output in a piece: a huge page, so that no two threads wait for the same.
const MAX_PIECE: usize = 2 << 20;

/// The fewest pieces for each thread, where pieces need not be smaller than a page.
const MIN_PIECES: usize = 4;

/// How many threads one generator keeps at work. Making words takes a fourth of the time that
/// making uniform values of them does, and less for all others.
const THREADS_A_GENERATOR: usize = 4;

/// The fewest words of a segment: making them takes several times as long as a jump.
const MIN_SEGMENT: u64 = 1 << 24;

/// Words that are made in the time of an element of the native stream.
const WORDS_AN_ELEMENT: u64 = 8;

/// What it costs to fill `block`, in elements of the native stream.
pub(super) fn cost<D: Sampler>(block: &Block) -> usize {
    let last = ascending(block).ok().and_then(|(block, _)| {
        let last = block.len().checked_sub(1)?;
        block.runs(last..last + 1).next().map(|(_, run)| run.first)
    });
    let words = last.unwrap_or(0) / D::VALUES as u64 * D::WORDS as u64;
    let walk = words.min(Jump::WORTH_FROM) / WORDS_AN_ELEMENT;
    block.len().saturating_mul(D::COST).saturating_add(walk as usize)
}

/// Writes the elements `block` of a tensor of `len` elements, which `sampler` makes of the words
/// from `start` on.
///
/// # Errors
/// [`Error::Interrupted`].
pub(super) fn fill<D: Sampler>(
    start: &Mt19937,
    sampler: D,
    len: u64,
    block: &Block,
    out: ArrayViewMutD<'_, MaybeUninit<D::Element>>,
    exec: &Exec<'_>,
) -> Result<(), Error> {
    let segments = |words: u64| {
        let most = (words / MIN_SEGMENT).min(exec.threads() as u64) as usize;
        (exec.threads() / THREADS_A_GENERATOR).clamp(1, most.max(1))
    };
    fill_in_segments(start, sampler, len, block, out, exec, segments)
}

/// [`fill`] where `segments` says how many segments some words are cut into.
pub(super) fn fill_in_segments<D: Sampler>(
    start: &Mt19937,
    sampler: D,
    len: u64,
    block: &Block,
    mut out: ArrayViewMutD<'_, MaybeUninit<D::Element>>,
    exec: &Exec<'_>,
    segments: impl Fn(u64) -> usize,
) -> Result<(), Error> {
    let (block, turned) = ascending(block)?;
    if turned.contains(&true) {
        out = of_shape_of(&block, out)?;
        for (axis, _) in turned.into_iter().enumerate().filter(|&(_, turned)| turned) {
            out.invert_axis(Axis(axis));
        }
    }
    let tensor = Tensor { start, sampler, ending: sampler.ending(len), len };
    let size = piece_size::<D>(out.len(), exec);
    let mut pieces = vec![];
    if out.is_standard_layout() {
        let memory = out.into_slice().unwrap_or_default();
        let numbers = (0..).step_by(size);
        for (position, piece) in numbers.zip(memory.chunks_mut(size)) {
            pieces.push((position, ArrayViewMut1::from(piece).into_dyn()));
        }
    } else {
        cut(out, 0, size, &mut pieces);
    }
    // Where pieces begin, in words.
    let first_word = |position: usize| {
        let first = block.runs(position..position + 1).next().map_or(0, |(_, run)| run.first);
        tensor.page(first) * D::WORDS as u64
    };
    let words = match (pieces.first(), pieces.last()) {
        (Some((first, _)), Some((last, _))) => first_word(*last) - first_word(*first),
        _ => return Ok(()),
    };
    let count = segments(words);
    let (tickets, share) = (0..pieces.len(), pieces.len().div_ceil(count));
    let mut rest = pieces.into_iter();
    let mut all = vec![];
    for _ in 0..count {
        let mut pieces: Vec<_> = rest.by_ref().take(share).collect();
        pieces.reverse();
        all.push(Mutex::new(Segment { pieces, generator: start.clone(), word: 0 }));
    }
    let scratch = || Scratch::<D>::new();
    // A ticket for each piece, but not for a certain one: whoever holds the generator takes the next.
    exec.for_each(tickets, scratch, |scratch, ticket| {
        for i in 0..count {
            let segment = &all[(ticket + i) % count];
            let mut segment = segment.lock().unwrap_or_else(PoisonError::into_inner);
            let Some((position, piece)) = segment.pieces.pop() else { continue };
            let word = first_word(position);
            let ahead = word - segment.word;
            segment.generator.skip(ahead);
            segment.word = word;
            let mut cursor = Cursor {
                tensor: &tensor,
                generator: segment.generator.clone(),
                page: word / D::WORDS as u64,
                scratch,
            };
            drop(segment);
            cursor.fill(&block, position, piece);
            break;
        }
        Ok(())
    })
}

/// `out` with the axes of the block: it may lack some that have one element.
fn of_shape_of<'a, E>(
    block: &Block,
    mut out: ArrayViewMutD<'a, E>,
) -> Result<ArrayViewMutD<'a, E>, Error> {
    let lens: Vec<_> = block.axes().iter().map(|axis| axis.len).collect();
    let received = format!("shape {:?}", out.shape());
    let wrong = || Error::value("out", format!("must have the shape {lens:?}"), received.clone());
    if out.is_standard_layout() {
        let memory = out.into_slice().unwrap_or_default();
        return ArrayViewMutD::from_shape(IxDyn(&lens), memory).map_err(|_| wrong());
    }
    for (axis, &len) in lens.iter().enumerate() {
        if len == 1 && out.shape().get(axis) != Some(&1) {
            out = out.insert_axis(Axis(axis));
        }
    }
    if out.shape() == lens { Ok(out) } else { Err(wrong()) }
}

/// Pieces of the output with the positions of their first elements.
type Pieces<'a, E> = Vec<(usize, ArrayViewMutD<'a, MaybeUninit<E>>)>;

/// A part of the output with a generator of its own.
struct Segment<'a, E> {
    /// Pieces that no thread has taken, the first last.
    pieces: Pieces<'a, E>,
    generator: Mt19937,
    /// The number of the generator's next word.
    word: u64,
}

/// The number of elements in a piece of an output of `len`.
fn piece_size<D: Sampler>(len: usize, exec: &Exec<'_>) -> usize {
    let most = MAX_PIECE / size_of::<D::Element>();
    if exec.threads() == 1 {
        return most;
    }
    // Pieces that end with a page, so that none is made twice.
    (len / (MIN_PIECES * exec.threads())).next_multiple_of(D::VALUES).clamp(D::VALUES, most)
}

/// Cuts `view`, whose first element is at `position`, into pieces of at most `size` elements in C
/// order, and more than half as many where it can.
fn cut<'a, E>(
    view: ArrayViewMutD<'a, MaybeUninit<E>>,
    position: usize,
    size: usize,
    pieces: &mut Pieces<'a, E>,
) {
    if view.len() <= size {
        if !view.is_empty() {
            pieces.push((position, view));
        }
        return;
    }
    let rows = view.len_of(Axis(0));
    let row = view.len() / rows;
    if row > size {
        let mut rest = view;
        for i in 0..rows {
            let (first, later) = rest.split_at(Axis(0), 1);
            cut(first.index_axis_move(Axis(0), 0), position + i * row, size, pieces);
            rest = later;
        }
    } else {
        let mut rest = view;
        let mut position = position;
        while !rest.is_empty() {
            let now = (size / row).min(rest.len_of(Axis(0)));
            let (piece, later) = rest.split_at(Axis(0), now);
            pieces.push((position, piece));
            position += now * row;
            rest = later;
        }
    }
}

/// What is drawn.
struct Tensor<'a, D> {
    start: &'a Mt19937,
    sampler: D,
    ending: Ending,
    len: u64,
}

impl<D: Sampler> Tensor<'_, D> {
    /// The first element that is not made in a page.
    fn paged(&self) -> u64 {
        match self.ending {
            Ending::None => self.len,
            Ending::Block { len, .. } => self.len - len,
            Ending::Few => 0,
        }
    }

    /// The page of an element; for those that are in none, the last that begins before them.
    fn page(&self, element: u64) -> u64 {
        element.min(self.paged()) / D::VALUES as u64
    }
}

/// A thread's memory.
struct Scratch<D: Sampler> {
    /// The words of a page and those that follow.
    words: Vec<u32>,
    /// The elements of a page of which a part was wanted.
    values: Vec<MaybeUninit<D::Element>>,
    /// Which page that is.
    page: Option<u64>,
    /// The elements that are in no page, where they were wanted.
    ending: Option<Vec<MaybeUninit<D::Element>>>,
}

impl<D: Sampler> Scratch<D> {
    fn new() -> Self {
        let words = vec![0; D::WORDS + N];
        Self { words, values: vec![], page: None, ending: None }
    }
}

/// A generator at the beginning of a page.
struct Cursor<'a, 'b, D: Sampler> {
    tensor: &'a Tensor<'a, D>,
    generator: Mt19937,
    page: u64,
    scratch: &'b mut Scratch<D>,
}

impl<D: Sampler> Cursor<'_, '_, D> {
    /// Writes the elements of the block from `position` on to `piece`.
    fn fill(
        &mut self,
        block: &Block,
        position: usize,
        mut piece: ArrayViewMutD<'_, MaybeUninit<D::Element>>,
    ) {
        let mut fill_run = |first, to: &mut [MaybeUninit<D::Element>]| self.fill_run(first, to);
        if let Some(to) = piece.as_slice_mut() {
            return fill_positions(block, position, to, &mut fill_run);
        }
        let mut memory = vec![MaybeUninit::uninit(); D::VALUES];
        let mut places = piece.iter_mut();
        let mut position = position;
        let mut left = places.len();
        while left > 0 {
            let from = &mut memory[..left.min(D::VALUES)];
            fill_positions(block, position, from, &mut fill_run);
            // In this order, so that the end of `from` takes no place.
            from.iter().zip(places.by_ref()).for_each(|(from, to)| *to = *from);
            position += from.len();
            left -= from.len();
        }
    }

    /// Writes elements `first ..` of the tensor to the whole of `to`.
    fn fill_run(&mut self, first: u64, to: &mut [MaybeUninit<D::Element>]) {
        let paged = self.tensor.paged();
        let in_pages = paged.saturating_sub(first).min(to.len() as u64) as usize;
        let (to, ending) = to.split_at_mut(in_pages);
        self.fill_pages(first, to);
        if !ending.is_empty() {
            let from = (first + in_pages as u64 - paged) as usize;
            let to = ending;
            to.copy_from_slice(&self.ending()[from..from + to.len()]);
        }
    }

    /// [`Self::fill_run`] for elements in pages.
    fn fill_pages(&mut self, first: u64, to: &mut [MaybeUninit<D::Element>]) {
        let (mut first, mut to) = (first, to);
        while !to.is_empty() {
            let (page, skip) = (first / D::VALUES as u64, (first % D::VALUES as u64) as usize);
            let whole = if skip == 0 { to.len() / D::VALUES * D::VALUES } else { 0 };
            let done = if whole > 0 && self.scratch.page != Some(page) {
                self.seek(page);
                self.make(whole, to);
                self.page += (whole / D::VALUES) as u64;
                whole
            } else {
                let done = to.len().min(D::VALUES - skip);
                to[..done].copy_from_slice(&self.values(page)[skip..skip + done]);
                done
            };
            to = &mut to[done..];
            first += done as u64;
        }
    }

    /// Moves the generator to the beginning of a page.
    fn seek(&mut self, page: u64) {
        if page < self.page {
            (self.generator, self.page) = (self.tensor.start.clone(), 0);
        }
        self.generator.skip((page - self.page) * D::WORDS as u64);
        self.page = page;
    }

    /// The elements of a page, as many as the tensor has in it.
    fn values(&mut self, page: u64) -> &[MaybeUninit<D::Element>] {
        if self.scratch.page != Some(page) {
            self.seek(page);
            let left = self.tensor.paged() - page * D::VALUES as u64;
            let mut values = std::mem::take(&mut self.scratch.values);
            values.resize(left.min(D::VALUES as u64) as usize, MaybeUninit::uninit());
            self.make(0, &mut values);
            self.scratch.values = values;
            self.scratch.page = Some(page);
        }
        &self.scratch.values
    }

    /// Writes the first `whole` elements from the generator's place on, which are whole pages, and
    /// moves it past them; or, if there are none, the elements of one page to the whole of `to`,
    /// and leaves it where it is.
    fn make(&mut self, whole: usize, to: &mut [MaybeUninit<D::Element>]) {
        simd::run(Make {
            sampler: self.tensor.sampler,
            generator: &mut self.generator,
            words: &mut self.scratch.words,
            stay: whole == 0,
            out: if whole == 0 { to } else { &mut to[..whole] },
        });
    }

    /// The elements that are in no page.
    fn ending(&mut self) -> &[MaybeUninit<D::Element>] {
        if self.scratch.ending.is_none() {
            let sampler = self.tensor.sampler;
            let mut values =
                vec![MaybeUninit::uninit(); (self.tensor.len - self.tensor.paged()) as usize];
            match self.tensor.ending {
                Ending::None => {}
                Ending::Few => sampler.sample_few(self.tensor.start.words(), &mut values),
                Ending::Block { word, .. } => {
                    self.seek(word / D::WORDS as u64);
                    let mut generator = self.generator.clone();
                    generator.skip(word % D::WORDS as u64);
                    simd::run(Make {
                        sampler,
                        generator: &mut generator,
                        words: &mut self.scratch.words,
                        stay: true,
                        out: &mut values,
                    });
                }
            }
            self.scratch.ending = Some(values);
        }
        self.scratch.ending.as_deref().unwrap_or_default()
    }
}

/// Makes pages of elements.
struct Make<'a, D: Sampler> {
    sampler: D,
    generator: &'a mut Mt19937,
    words: &'a mut [u32],
    /// Whether the generator stays where it is.
    stay: bool,
    out: &'a mut [MaybeUninit<D::Element>],
}

impl<D: Sampler> Kernel for Make<'_, D> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { sampler, generator, words, stay, out } = self;
        words[..N].copy_from_slice(generator.words());
        for out in out.chunks_mut(D::VALUES) {
            let known = if stay {
                // Full blocks: elements of an incomplete one have words behind them.
                let needed = out.len() * D::WORDS / D::VALUES;
                needed.next_multiple_of(2 * LANES).max(N)
            } else {
                D::WORDS + N
            };
            extend(simd, &mut words[..known], N);
            sampler.sample(simd, &words[..D::WORDS], out);
            if !stay {
                words.copy_within(D::WORDS..D::WORDS + N, 0);
            }
        }
        if !stay {
            *generator = Mt19937::from_words(*words.first_chunk().expect("as many are held"));
        }
    }
}
