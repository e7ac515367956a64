//! From draws to kept normal values: the passes of the ziggurat one after the other.
//!
//! Draws are made a buffer at a time and proposed a vector at a time; 98.5 % of them are accepted
//! as values at once. A vector ends at the first one that is not. That one is settled, which may
//! take further draws, and the next vector begins behind it. Truncation drops values without a
//! branch.
//!
//! Values are computed in float64 without fused operations, so every instruction set gives the
//! same.

use std::mem::MaybeUninit;

use super::ziggurat;
use crate::element::round::Astype;
use crate::element::{F8E4M3Fn, F8E5M2, bf16, f16};
use crate::rng::pcg64::{LANES, Pcg64, Pcg64Lanes};
use crate::simd::{self, Kernel, Simd, lend};

/// Draws that are made at a time.
const BUFFER: usize = 1024;

/// What is made of a standard normal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rule {
    pub(super) mean: f64,
    pub(super) stddev: f64,
    /// The lowest and the highest value that is kept.
    pub(super) bounds: Option<(f64, f64)>,
}

impl Rule {
    /// The value of `x` and whether it is kept. `TRUNCATED` says whether there are bounds, so that
    /// it need not be asked for each value.
    #[inline(always)]
    pub(super) fn apply<const TRUNCATED: bool>(&self, x: f64) -> (f64, bool) {
        let value = self.mean + self.stddev * x;
        match self.bounds {
            Some((lower, upper)) if TRUNCATED => (value, (value >= lower) & (value <= upper)),
            _ => (value, true),
        }
    }
}

/// A buffer of draws to parse.
#[derive(Debug)]
pub(super) struct Draws {
    lanes: Pcg64Lanes,
    buffer: [u64; BUFFER],
    at: usize,
    len: usize,
}

impl Draws {
    /// The draws of `generator`, of which about `expected` will be read.
    pub(super) fn new(generator: Pcg64, expected: u64) -> Self {
        let mut draws =
            Self { lanes: Pcg64Lanes::new(generator), buffer: [0; BUFFER], at: 0, len: 0 };
        draws.fill((expected.min(BUFFER as u64) as usize).next_multiple_of(LANES));
        draws
    }

    fn fill(&mut self, len: usize) {
        self.lanes.fill(&mut self.buffer[..len]);
        (self.at, self.len) = (0, len);
    }

    /// Unread draws, at least one.
    fn rest(&mut self) -> &[u64] {
        if self.at == self.len {
            self.fill(BUFFER);
        }
        &self.buffer[self.at..self.len]
    }

    fn next(&mut self) -> u64 {
        let draw = self.rest()[0];
        self.at += 1;
        draw
    }
}

/// How far a parse came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parsed {
    /// Values written.
    pub(super) values: usize,
    /// Draws read.
    pub(super) draws: u64,
}

/// An element type that passes are parsed into.
pub(super) trait Target: Astype {
    /// Parses the passes that begin before draw `limit`, until `out` is full. `TRUNCATED` says
    /// whether `rule` has bounds.
    fn parse<const TRUNCATED: bool>(
        draws: &mut Draws,
        limit: u64,
        rule: &Rule,
        out: &mut [MaybeUninit<Self>],
    ) -> Parsed;
}

/// An element type that vectors of float64 are stored as.
trait Lanes: Astype {
    /// Writes the lanes of `values`, converted, to the first elements of `out`.
    fn store<S: Simd>(simd: S, values: S::F64, out: &mut [MaybeUninit<Self>]);
}

impl Lanes for f64 {
    #[inline(always)]
    fn store<S: Simd>(simd: S, values: S::F64, out: &mut [MaybeUninit<Self>]) {
        simd.store_f64(values, out);
    }
}

impl Lanes for f32 {
    #[inline(always)]
    fn store<S: Simd>(simd: S, values: S::F64, out: &mut [MaybeUninit<Self>]) {
        simd.store_f64_as_f32(values, out);
    }
}

macro_rules! parsed_straight {
    ($($type:ty)*) => {$(
        impl Target for $type {
            fn parse<const TRUNCATED: bool>(
                draws: &mut Draws,
                limit: u64,
                rule: &Rule,
                out: &mut [MaybeUninit<Self>],
            ) -> Parsed {
                simd::run(Parse::<Self, TRUNCATED> { draws, limit, rule: *rule, out })
            }
        }
    )*};
}

/// For types whose conversion takes many steps: a buffer of float64 first, then all of it at once.
macro_rules! parsed_in_stages {
    ($($type:ty)*) => {$(
        impl Target for $type {
            fn parse<const TRUNCATED: bool>(
                draws: &mut Draws,
                limit: u64,
                rule: &Rule,
                out: &mut [MaybeUninit<Self>],
            ) -> Parsed {
                let mut stage = [0.0; BUFFER];
                let mut all = Parsed { values: 0, draws: 0 };
                while all.draws < limit && all.values < out.len() {
                    let stage = &mut stage[..BUFFER.min(out.len() - all.values)];
                    let part =
                        f64::parse::<TRUNCATED>(draws, limit - all.draws, rule, lend(stage));
                    let to = &mut out[all.values..all.values + part.values];
                    simd::run(Convert { from: &stage[..part.values], to });
                    all.values += part.values;
                    all.draws += part.draws;
                }
                all
            }
        }
    )*};
}

parsed_straight! { f64 f32 }
parsed_in_stages! { f16 bf16 F8E4M3Fn F8E5M2 }

struct Convert<'a, T> {
    from: &'a [f64],
    to: &'a mut [MaybeUninit<T>],
}

impl<T: Astype> Kernel for Convert<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        for (to, from) in self.to.iter_mut().zip(self.from) {
            *to = MaybeUninit::new(T::astype(*from));
        }
    }
}

struct Parse<'a, T, const TRUNCATED: bool> {
    draws: &'a mut Draws,
    limit: u64,
    rule: Rule,
    out: &'a mut [MaybeUninit<T>],
}

impl<T: Lanes, const TRUNCATED: bool> Kernel for Parse<'_, T, TRUNCATED> {
    type Output = Parsed;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Parsed {
        let Self { draws, limit, rule, out } = self;
        let (mut values, mut read) = (0, 0);
        while read < limit && values < out.len() {
            let room = out.len() - values;
            let run = draws.rest();
            let run = &run[..run.len().min(room).min((limit - read).min(BUFFER as u64) as usize)];
            let out_run = &mut out[values..values + run.len()];
            let done = parse_run::<S, T, TRUNCATED>(simd, run, &rule, out_run);
            draws.at += done.taken;
            read += done.taken as u64;
            values += done.kept;
            if let Some(draw) = done.unsettled {
                let x = ziggurat::settle(draw, || {
                    read += 1;
                    draws.next()
                });
                if let Some((value, true)) = x.map(|x| rule.apply::<TRUNCATED>(x)) {
                    out[values] = MaybeUninit::new(T::astype(value));
                    values += 1;
                }
            }
        }
        Parsed { values, draws: read }
    }
}

/// How far the parse of a run of draws came.
struct Run {
    /// Draws read.
    taken: usize,
    /// Values written.
    kept: usize,
    /// The last draw read, if its value was not accepted at once.
    unsettled: Option<u64>,
}

/// Parses `run` up to the first value that is not accepted at once. `out` is as long.
#[inline(always)]
fn parse_run<S: Simd, T: Lanes, const TRUNCATED: bool>(
    simd: S,
    run: &[u64],
    rule: &Rule,
    out: &mut [MaybeUninit<T>],
) -> Run {
    let (mut at, mut kept) = (0, 0);
    let width = S::LANES / 2;
    // Vectors of two lanes cost more to prepare than they save.
    if width > 2 {
        let (mean, stddev) = (simd.splat_f64(rule.mean), simd.splat_f64(rule.stddev));
        while at + width <= run.len() {
            let draws = &run[at..at + width];
            let (x, accepted) = ziggurat::propose_all(simd, draws);
            let mut values = simd.add_f64(mean, simd.mul_f64(stddev, x));
            let first = accepted.trailing_ones() as usize;
            let mut keeps = first;
            if let Some((lower, upper)) = rule.bounds
                && TRUNCATED
            {
                let mask = simd.within_f64(values, lower, upper) & ((1 << first) - 1);
                values = simd.compress_f64(values, mask);
                keeps = mask.count_ones() as usize;
            }
            // The whole vector is written, without a branch; the next one overwrites what is not
            // kept.
            T::store(simd, values, &mut out[kept..kept + width]);
            kept += keeps;
            if first < width {
                return Run { taken: at + first + 1, kept, unsettled: Some(draws[first]) };
            }
            at += width;
        }
    }
    for (i, &draw) in run[at..].iter().enumerate() {
        let (x, accepted) = ziggurat::propose(draw);
        if !accepted {
            return Run { taken: at + i + 1, kept, unsettled: Some(draw) };
        }
        let (value, keep) = rule.apply::<TRUNCATED>(x);
        out[kept] = MaybeUninit::new(T::astype(value));
        kept += usize::from(keep);
    }
    Run { taken: run.len(), kept, unsettled: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::seed_sequence::SeedSequence;

    fn parse_on<T: Lanes + Default, const TRUNCATED: bool>(
        isa: simd::Isa,
        rule: Rule,
        limit: u64,
        room: usize,
    ) -> (Vec<T>, usize, u64) {
        let mut draws = Draws::new(Pcg64::new(&SeedSequence::new(&[9, 0])), limit);
        let mut out = vec![T::default(); room];
        let kernel = Parse::<T, TRUNCATED> { draws: &mut draws, limit, rule, out: lend(&mut out) };
        let Parsed { values, draws } = simd::run_on(isa, kernel);
        out.truncate(values);
        (out, values, draws)
    }

    #[test]
    fn every_instruction_set_parses_the_same() {
        let wide = Rule { mean: -0.5, stddev: 1.5, bounds: None };
        let cut = Rule { bounds: Some((-3.5, 2.5)), ..wide };
        // Bounds that keep next to nothing, so that whole vectors are dropped.
        let narrow = Rule { bounds: Some((3.0, 3.5)), ..wide };
        for isa in simd::Isa::available() {
            for (limit, room) in [(1, 9), (7, 3), (100, 100), (5000, 4000), (30_000, 40_000)] {
                let portable = simd::Isa::Scalar;
                assert_eq!(
                    parse_on::<f64, false>(isa, wide, limit, room),
                    parse_on::<f64, false>(portable, wide, limit, room),
                );
                for rule in [cut, narrow] {
                    assert_eq!(
                        parse_on::<f32, true>(isa, rule, limit, room),
                        parse_on::<f32, true>(portable, rule, limit, room),
                    );
                }
            }
        }
    }

    #[test]
    fn stages_end_where_the_straight_parse_does() {
        let rule = Rule { mean: 0.0, stddev: 1.0, bounds: Some((-2.0, 2.0)) };
        for (limit, room) in [(1, 9), (100, 100), (5000, 1024), (5000, 5000), (9000, 2047)] {
            let start = Pcg64::new(&SeedSequence::new(&[4, 2]));
            let (mut straight, mut staged) = (vec![0f64; room], vec![bf16::ZERO; room]);
            let mut draws = Draws::new(start, limit);
            let want = f64::parse::<true>(&mut draws, limit, &rule, lend(&mut straight));
            let mut draws = Draws::new(start, limit);
            let got = bf16::parse::<true>(&mut draws, limit, &rule, lend(&mut staged));
            assert_eq!((got.values, got.draws), (want.values, want.draws));
            let mut both = straight.iter().zip(staged).take(want.values);
            assert!(both.all(|(x, y)| bf16::astype(*x) == y));
        }
    }
}
