//! What callers ask for: the values that a tensor is to hold.

/// What the elements of a tensor follow. Parameters are those of the untruncated distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distribution {
    /// Uniform on [low, high).
    Uniform {
        /// Included bound.
        low: f64,
        /// Excluded bound.
        high: f64,
    },
    /// Normal.
    Normal {
        /// Mean.
        mean: f64,
        /// Standard deviation, >= 0.
        stddev: f64,
    },
    /// Normal, held within `lower` and `upper` standard deviations of the mean by redrawing.
    TruncatedNormal {
        /// Mean before truncation.
        mean: f64,
        /// Standard deviation before truncation, >= 0.
        stddev: f64,
        /// Lower bound in standard deviations from the mean; -2 in Keras.
        lower: f64,
        /// Upper bound in standard deviations from the mean; 2 in Keras.
        upper: f64,
    },
}

/// What a tensor is to hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Values {
    /// Elements that follow a distribution, independently.
    Independent(Distribution),
    /// An orthogonal matrix, drawn uniformly. The tensor is seen as a matrix by flattening all axes
    /// but the last.
    Orthogonal {
        /// Factor of the matrix.
        gain: f64,
    },
}
