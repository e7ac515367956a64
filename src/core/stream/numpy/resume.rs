//! Where earlier blocks of a sequence ended, so that tiling a tensor costs no more than the whole.
//!
//! Element numbers say nothing about draws, so a block that begins late has to parse all before
//! it. A few recent ends, each a draw at which a pass begins, are kept; the next tile starts from
//! the closest. They only save time: a process without them makes the same values.

use std::sync::Mutex;

use super::parse::Rule;
use crate::rng::pcg64::Pcg64;

/// A draw at which a pass begins, and how many kept values come before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) draw: u64,
    pub(super) value: u64,
}

impl Place {
    /// The place that many draws and values further on.
    pub(super) fn later(self, draws: u64, values: u64) -> Self {
        Self { draw: self.draw + draws, value: self.value + values }
    }
}

/// How many places are kept: those of a few tensors in the making on every thread.
const KEPT: usize = 64;

/// The most recent last.
static PLACES: Mutex<Vec<(Pcg64, Rule, Place)>> = Mutex::new(Vec::new());

/// The last known place of the sequence at or before value `value`.
pub(super) fn before(start: Pcg64, rule: &Rule, value: u64) -> Place {
    let origin = Place { draw: 0, value: 0 };
    // Never waited for: a process forked while another thread held it would wait for ever.
    let Ok(places) = PLACES.try_lock() else { return origin };
    let of_sequence = places.iter().filter(|(s, r, _)| *s == start && r == rule);
    let usable = of_sequence.map(|&(_, _, place)| place).filter(|place| place.value <= value);
    usable.max_by_key(|place| place.value).unwrap_or(origin)
}

/// Keeps a place of the sequence.
pub(super) fn remember(start: Pcg64, rule: &Rule, place: Place) {
    let Ok(mut places) = PLACES.try_lock() else { return };
    if places.contains(&(start, *rule, place)) {
        return;
    }
    if places.len() == KEPT {
        places.remove(0);
    }
    places.push((start, *rule, place));
}
