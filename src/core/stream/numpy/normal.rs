//! Normal values of the numpy stream, all of them or those inside two bounds, in order, on any
//! number of threads.
//!
//! A value takes one draw or more, so the place of element `i` among the draws is known only when
//! all before it are parsed. The draws are therefore cut into chunks of a fixed number. A thread
//! jumps to a chunk and parses it as if a pass of the ziggurat began at its first draw, as is so
//! for 98 % of them. Then chunks take turns, in order: a chunk learns where its first pass really
//! begins, is corrected (the true parse and the assumed one meet after a few draws), and claims its
//! part of the output. It copies its values there while the next chunks take their turns. Chunk
//! size and threads never change a value.
//!
//! Reference: `numpy.random.Generator.normal`, and the loop of Keras' `truncated_normal`, whose
//! batches continue one generator and so keep the first accepted values of the sequence.

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use super::parse::{Draws, Parsed, Rule, Target};
use super::ziggurat;
use crate::error::Error;
use crate::parallel::Exec;
use crate::rng::pcg64::{LANES, Pcg64};

/// The most draws in a chunk: 150 us of work, and scratch that stays in the cache.
pub(super) const MAX_CHUNK: u64 = 1 << 16;
/// Draws a normal value takes on average, rounded up.
const DRAWS_PER_VALUE: f64 = 1.0221;

/// Takes the values of a sequence, in order.
pub(super) trait Sink<T>: Send {
    /// The part of the output that some values go to. Any thread can copy them there later.
    type Part: Send;
    /// How many more values it takes.
    fn wanted(&self) -> u64;
    /// Takes the next values, at most as many as are wanted.
    fn claim(&mut self, values: [&[MaybeUninit<T>]; 2]) -> Self::Part;
    /// Copies the values that `claim` was given.
    fn store(part: Self::Part, values: [&[MaybeUninit<T>]; 2]);
}

/// Contiguous output for the elements from number `skip` of the sequence on.
#[derive(Debug)]
pub(super) struct Contiguous<'a, T> {
    pub(super) skip: u64,
    pub(super) out: &'a mut [MaybeUninit<T>],
}

impl<'a, T: Copy + Send> Sink<T> for Contiguous<'a, T> {
    type Part = (usize, &'a mut [MaybeUninit<T>]);

    fn wanted(&self) -> u64 {
        self.skip + self.out.len() as u64
    }

    fn claim(&mut self, values: [&[MaybeUninit<T>]; 2]) -> Self::Part {
        let count = values[0].len() + values[1].len();
        let skipped = self.skip.min(count as u64) as usize;
        self.skip -= skipped as u64;
        let (part, rest) = std::mem::take(&mut self.out).split_at_mut(count - skipped);
        self.out = rest;
        (skipped, part)
    }

    fn store((skipped, part): Self::Part, [head, tail]: [&[MaybeUninit<T>]; 2]) {
        let (head, tail) = match skipped.checked_sub(head.len()) {
            Some(of_tail) => (&head[..0], &tail[of_tail..]),
            None => (&head[skipped..], tail),
        };
        let (front, back) = part.split_at_mut(head.len());
        front.copy_from_slice(head);
        back.copy_from_slice(tail);
    }
}

impl<T, I> Sink<T> for super::pick::Picker<'_, T, I>
where
    T: Copy + Send,
    I: Iterator<Item = (usize, crate::block::Run)> + Send,
{
    type Part = ();

    fn wanted(&self) -> u64 {
        Self::wanted(self)
    }

    fn claim(&mut self, values: [&[MaybeUninit<T>]; 2]) {
        values.into_iter().for_each(|values| self.take(values));
    }

    fn store((): (), _values: [&[MaybeUninit<T>]; 2]) {}
}

/// Whose turn it is to claim output, and what that chunk needs to know.
struct Turn<S> {
    /// The number of the chunk.
    chunk: u64,
    /// Draws of this chunk that passes of earlier chunks read.
    entry: u64,
    sink: S,
}

/// A thread's scratch.
struct Scratch<T> {
    /// The values of the assumed parse.
    values: Vec<MaybeUninit<T>>,
    /// True values that come before the first assumed one that is right.
    head: Vec<MaybeUninit<T>>,
}

/// Sends the values of the sequence whose draws `start` makes to `sink` until it wants no more,
/// parsing `chunk` draws at a time.
///
/// Returns a draw at which a pass begins and how many values come before it, close to the end.
///
/// # Errors
/// [`Error::Interrupted`].
pub(super) fn run<T: Target, S: Sink<T>>(
    start: Pcg64,
    rule: &Rule,
    sink: S,
    chunk: u64,
    exec: &Exec<'_>,
) -> Result<(u64, u64), Error> {
    match rule.bounds {
        Some(_) => run_chunks::<T, S, true>(start, rule, sink, chunk, exec),
        None => run_chunks::<T, S, false>(start, rule, sink, chunk, exec),
    }
}

fn run_chunks<T: Target, S: Sink<T>, const TRUNCATED: bool>(
    start: Pcg64,
    rule: &Rule,
    sink: S,
    chunk: u64,
    exec: &Exec<'_>,
) -> Result<(u64, u64), Error> {
    let wanted = sink.wanted();
    // A chunk that begins after this draw may not be needed. It waits for its turn before it is
    // parsed.
    let needed = wanted as f64 * DRAWS_PER_VALUE;
    let turn = Mutex::new(Turn { chunk: 0, entry: 0, sink });
    let next_turn = Condvar::new();
    let done = AtomicBool::new(wanted == 0);
    let last_start = Mutex::new((0, 0));
    // Tasks start in order and always finish, so a chunk that others wait for is being worked on.
    let wait = |k: u64| {
        let guard = turn.lock().unwrap_or_else(PoisonError::into_inner);
        next_turn.wait_while(guard, |turn| turn.chunk != k).unwrap_or_else(PoisonError::into_inner)
    };
    exec.for_each(
        (0u64..).take_while(|_| !done.load(Ordering::Relaxed)),
        || Scratch { values: vec![MaybeUninit::uninit(); chunk as usize], head: vec![] },
        |scratch, k| {
            let generator = start.advanced(u128::from(k) * u128::from(chunk));
            if (k * chunk) as f64 > needed {
                let mut turn = wait(k);
                if turn.sink.wanted() == 0 {
                    turn.chunk = k + 1;
                    next_turn.notify_all();
                    return Ok(());
                }
            }
            let mut draws = Draws::new(generator, chunk);
            let parsed = T::parse::<TRUNCATED>(&mut draws, chunk, rule, &mut scratch.values);
            let mut turn = wait(k);
            let left = turn.sink.wanted();
            let entered = Entered::at::<T, TRUNCATED>(
                turn.entry,
                generator,
                chunk,
                rule,
                parsed,
                &mut scratch.head,
            );
            let head = &scratch.head[..scratch.head.len().min(left as usize)];
            let tail = &scratch.values[entered.dropped..parsed.values];
            let tail = &tail[..tail.len().min(left as usize - head.len())];
            if left > 0 {
                let mut last = last_start.lock().unwrap_or_else(PoisonError::into_inner);
                *last = (k * chunk + turn.entry, wanted - left);
            }
            let part = turn.sink.claim([head, tail]);
            done.store(turn.sink.wanted() == 0, Ordering::Relaxed);
            turn.entry = entered.exit;
            turn.chunk = k + 1;
            drop(turn);
            next_turn.notify_all();
            S::store(part, [head, tail]);
            Ok(())
        },
    )?;
    Ok(last_start.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// How a chunk's assumed parse is corrected.
struct Entered {
    /// How many assumed values, the first ones, are wrong and replaced by the head.
    dropped: usize,
    /// Draws of the next chunk that were read.
    exit: u64,
}

impl Entered {
    /// The true parse begins at draw `entry` of the chunk, the assumed one, `parsed`, at 0. The one
    /// that is behind takes a pass until both are at the same draw. The true values before that
    /// draw become `head`.
    fn at<T: Target, const TRUNCATED: bool>(
        entry: u64,
        generator: Pcg64,
        chunk: u64,
        rule: &Rule,
        parsed: Parsed,
        head: &mut Vec<MaybeUninit<T>>,
    ) -> Self {
        let step = |from: u64| {
            let mut generator = generator.advanced(from.into());
            let mut to = from;
            let x = ziggurat::pass(|| {
                to += 1;
                generator.next_u64()
            });
            let value = x.map(|x| rule.apply::<TRUNCATED>(x)).filter(|&(_, keep)| keep);
            (value.map(|(value, _)| value), to)
        };
        head.clear();
        let (mut assumed, mut truth, mut dropped) = (0, entry, 0);
        while assumed != truth && truth < chunk {
            if assumed < truth {
                let (value, next) = step(assumed);
                dropped += usize::from(value.is_some());
                assumed = next;
            } else {
                let (value, next) = step(truth);
                head.extend(value.map(|value| MaybeUninit::new(T::astype(value))));
                truth = next;
            }
        }
        if truth < chunk {
            Self { dropped, exit: parsed.draws - chunk }
        } else {
            Self { dropped: parsed.values, exit: truth - chunk }
        }
    }
}

/// Writes the first values of the sequence to `out` on one thread, without chunks and copies.
///
/// # Errors
/// [`Error::Interrupted`].
pub(super) fn fill_in_order<T: Target>(
    start: Pcg64,
    rule: &Rule,
    out: &mut [MaybeUninit<T>],
    exec: &Exec<'_>,
) -> Result<(), Error> {
    let expected = (out.len() as f64 * DRAWS_PER_VALUE) as u64 + LANES as u64 / 2;
    let state = Mutex::new((Draws::new(start, expected), out));
    let done = AtomicBool::new(false);
    exec.for_each(
        (0u64..).take_while(|_| !done.load(Ordering::Relaxed)),
        || (),
        |(), _| {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            let (draws, out) = &mut *state;
            let parsed = match rule.bounds {
                Some(_) => T::parse::<true>(draws, MAX_CHUNK, rule, out),
                None => T::parse::<false>(draws, MAX_CHUNK, rule, out),
            };
            *out = &mut std::mem::take(out)[parsed.values..];
            done.store(out.is_empty(), Ordering::Relaxed);
            Ok(())
        },
    )
}
