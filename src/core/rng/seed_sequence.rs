//! NumPy's `SeedSequence`: from a few words of entropy to the state of a bit generator.
//!
//! Method: M. E. O'Neill's `seed_seq_fe`, as NumPy adopted it (`numpy/random/bit_generator.pyx`,
//! equal in 1.17 to 2.4): every word is hashed into a pool of four, every pool word is mixed into
//! every other, and output words are hashes of the pool in rotation.
//!
//! Consumes 32-bit words, the least significant first. Promises the words of
//! `numpy.random.SeedSequence(entropy).generate_state(n)`, without `spawn_key`.

/// Words of the pool (`DEFAULT_POOL_SIZE`).
const POOL: usize = 4;
/// First value of the multiplier that input hashes share, and what advances it (`INIT_A`,
/// `MULT_A`).
const HASH_IN: (u32, u32) = (0x43b0_d7e5, 0x931e_8875);
/// The same for output hashes (`INIT_B`, `MULT_B`).
const HASH_OUT: (u32, u32) = (0x8b51_f9dd, 0x58f3_8ded);
/// The weights of two words that are mixed (`MIX_MULT_L`, `MIX_MULT_R`).
const MIX: (u32, u32) = (0xca01_f9dd, 0x4973_f715);

/// A pool of hashed entropy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedSequence {
    pool: [u32; POOL],
}

/// A hash whose multiplier changes at every use.
struct Hash {
    constant: u32,
    multiplier: u32,
}

impl Hash {
    fn new((constant, multiplier): (u32, u32)) -> Self {
        Self { constant, multiplier }
    }

    fn apply(&mut self, word: u32) -> u32 {
        let word = word ^ self.constant;
        self.constant = self.constant.wrapping_mul(self.multiplier);
        let word = word.wrapping_mul(self.constant);
        word ^ (word >> 16)
    }
}

fn mix(x: u32, y: u32) -> u32 {
    let mixed = MIX.0.wrapping_mul(x).wrapping_sub(MIX.1.wrapping_mul(y));
    mixed ^ (mixed >> 16)
}

impl SeedSequence {
    /// The pool that `entropy` makes. NumPy splits a larger integer into such words.
    pub fn new(entropy: &[u32]) -> Self {
        let mut hash = Hash::new(HASH_IN);
        let mut pool = [0; POOL];
        for (i, word) in pool.iter_mut().enumerate() {
            *word = hash.apply(entropy.get(i).copied().unwrap_or(0));
        }
        for from in 0..POOL {
            for to in (0..POOL).filter(|&to| to != from) {
                pool[to] = mix(pool[to], hash.apply(pool[from]));
            }
        }
        for &word in entropy.get(POOL..).unwrap_or_default() {
            for to in &mut pool {
                *to = mix(*to, hash.apply(word));
            }
        }
        Self { pool }
    }

    /// The first `N` 64-bit words of state, each of two 32-bit words, the lower first.
    pub fn generate_u64<const N: usize>(&self) -> [u64; N] {
        let mut hash = Hash::new(HASH_OUT);
        let mut words = self.pool.iter().cycle().map(|&word| u64::from(hash.apply(word)));
        std::array::from_fn(|_| {
            let low = words.next().unwrap_or_default();
            low | words.next().unwrap_or_default() << 32
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_numpys() {
        let mut rows = 0;
        for line in include_str!("../../../tests/vectors/numpy_seed_sequence.txt").lines() {
            let Some((entropy, state)) = line.split_once(':') else { continue };
            let entropy: Vec<u32> =
                entropy.split_whitespace().map(|word| word.parse().unwrap()).collect();
            let state: Vec<u64> = state
                .split_whitespace()
                .map(|word| u64::from_str_radix(word, 16).unwrap())
                .collect();
            assert_eq!(SeedSequence::new(&entropy).generate_u64::<6>()[..], state, "{entropy:?}");
            rows += 1;
        }
        assert!(rows >= 12, "{rows} rows read");
    }
}
