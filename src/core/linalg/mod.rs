//! Orthogonal matrices from Householder reflectors.
