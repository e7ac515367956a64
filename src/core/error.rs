//! Everything that can go wrong in the core, as values.
//!
//! The bindings turn each variant into one Python exception.

use std::fmt;

/// Why a call was refused or stopped. After [`Error::Interrupted`] the contents of the output are
/// undefined; after all others they are what they were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// An argument has a value outside what the call accepts.
    Value {
        /// The argument's name as the caller knows it.
        argument: &'static str,
        /// The rule it breaks, as the predicate of a sentence: "must be > 0".
        rule: String,
        /// What was received, printed.
        received: String,
    },
    /// A number too large for the type that has to hold it.
    Overflow {
        /// The argument's name as the caller knows it.
        argument: &'static str,
        /// The rule it breaks.
        rule: String,
        /// What was received, printed.
        received: String,
    },
    /// A position outside an axis or a shape.
    Index {
        /// The argument's name as the caller knows it.
        argument: &'static str,
        /// The rule it breaks.
        rule: String,
        /// What was received, printed.
        received: String,
    },
    /// The system refused workspace of this size.
    OutOfMemory {
        /// The bytes that were asked for; `usize::MAX` if they cannot be counted in a `usize`.
        bytes: usize,
    },
    /// The system refused to start this many threads.
    NoThreads {
        /// How many were asked for.
        threads: usize,
        /// What the system said.
        reason: String,
    },
    /// The caller asked to stop.
    Interrupted,
}

impl Error {
    /// A [`Error::Value`] for `argument`.
    pub fn value(
        argument: &'static str,
        rule: impl Into<String>,
        received: impl fmt::Display,
    ) -> Self {
        Self::Value { argument, rule: rule.into(), received: received.to_string() }
    }

    /// A [`Error::Overflow`] for `argument`.
    pub fn overflow(
        argument: &'static str,
        rule: impl Into<String>,
        received: impl fmt::Display,
    ) -> Self {
        Self::Overflow { argument, rule: rule.into(), received: received.to_string() }
    }
}

/// A number as Python prints it: with as few digits as tell it from others, and an exponent where
/// it is large or small.
pub(crate) fn shown(x: f64) -> String {
    if x.is_nan() { "nan".to_owned() } else { format!("{x:?}") }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value { argument, rule, received }
            | Self::Overflow { argument, rule, received }
            | Self::Index { argument, rule, received } => {
                write!(f, "`{argument}` {rule}. Received: {argument}={received}")
            }
            Self::OutOfMemory { bytes: usize::MAX } => {
                write!(f, "cannot allocate more bytes of workspace than an address can tell apart")
            }
            Self::OutOfMemory { bytes } => write!(f, "cannot allocate {bytes} bytes of workspace"),
            Self::NoThreads { threads, reason } => {
                write!(f, "cannot start {threads} threads: {reason}")
            }
            Self::Interrupted => write!(f, "interrupted"),
        }
    }
}

impl std::error::Error for Error {}
