//! Where the Gaussian matrix comes from.

/// A tensor's stream of standard normals in precision `T`: element `e` depends on nothing but `e`.
pub trait NormalSource<T>: Sync {
    /// Writes elements `first ..` to the whole of `out`.
    fn fill(&self, first: u64, out: &mut [T]);
}
