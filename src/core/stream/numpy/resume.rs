//! Where earlier blocks of a sequence ended, so that the tiles of a tensor cost no more than the
//! whole.
//!
//! The draws of an element are known only when all elements before it are parsed, so a block that
//! begins late costs as much as one from the start. The last draws of some recent blocks are
//! remembered, each a draw at which a pass begins, and the next tile starts from the closest. This
//! saves time and never changes a value.

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

/// The most places remembered: enough for every thread to be at work on a few tensors.
const MAX_PLACES: usize = 64;

/// The places remembered, the most recent last.
static PLACES: Mutex<Vec<(Pcg64, Rule, Place)>> = Mutex::new(Vec::new());

/// The last known place of the sequence at or before value `value`.
pub(super) fn before(start: Pcg64, rule: &Rule, value: u64) -> Place {
    let origin = Place { draw: 0, value: 0 };
    // Do not wait for the lock: in a process forked while another thread held it, it never opens.
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
    if places.len() == MAX_PLACES {
        places.remove(0);
    }
    places.push((start, *rule, place));
}
