//! The operations of an instruction set, and the algorithms that are written in them.

use std::mem::MaybeUninit;

use super::slices::lend;

/// An algorithm written for any instruction set.
///
/// `run` and all it calls must be `#[inline(always)]`, and closures must not hold vector
/// operations. Otherwise a part is compiled without the instruction set and is many times slower.
pub trait Kernel {
    /// What the algorithm returns.
    type Output;
    /// Runs with the instruction set `simd`.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// The largest number of 32-bit lanes that a vector has.
pub(super) const MAX_LANES: usize = 16;

/// The operations of an instruction set.
///
/// A vector of 32-bit lanes has [`Simd::LANES`] of them, one of 64-bit lanes half as many. A vector
/// consists of groups of 128 bits, 4 or 2 lanes, within which x86 moves lanes.
#[expect(clippy::wrong_self_convention, reason = "`self` is the proof that the machine has it")]
pub trait Simd: Copy + Send + Sync + 'static {
    /// 32-bit lanes of a vector; a multiple of 4.
    const LANES: usize;
    /// How many vectors are best worked on at a time, given the registers.
    const UNROLL: usize;
    /// Vector of f32.
    type F32: Copy;
    /// Vector of 32-bit integers, signed or not as the operation says.
    type U32: Copy;
    /// Vector of f64.
    type F64: Copy;
    /// Vector of 64-bit integers.
    type U64: Copy;

    /// Every lane `x`.
    fn splat_f32(self, x: f32) -> Self::F32;
    /// `a + b`.
    fn add_f32(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a - b`.
    fn sub_f32(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a * b`.
    fn mul_f32(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a / b`.
    fn div_f32(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `sqrt(a)`.
    fn sqrt_f32(self, a: Self::F32) -> Self::F32;
    /// The smaller, `b` where neither is.
    fn min_f32(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// The larger, `b` where neither is: where both are equal, or one is NaN.
    fn max_f32(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a * b + c`, rounded once.
    fn mul_add_f32(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// The bits of `a`.
    fn bits_f32(self, a: Self::F32) -> Self::U32;
    /// The floats with bits `a`.
    fn from_bits_f32(self, a: Self::U32) -> Self::F32;
    /// The first `LANES` values of `from`.
    fn load_f32(self, from: &[f32]) -> Self::F32;
    /// Writes the first `LANES` values of `to`.
    fn store_f32(self, a: Self::F32, to: &mut [MaybeUninit<f32>]);
    /// Signed integers to f32, rounded to nearest even.
    fn i32_to_f32(self, a: Self::U32) -> Self::F32;

    /// Every lane `x`.
    fn splat_u32(self, x: u32) -> Self::U32;
    /// The first `LANES` values of `from`.
    #[inline(always)]
    fn load_u32(self, from: &[u32]) -> Self::U32 {
        self.bits_f32(self.load_f32(bytemuck::cast_slice(&from[..Self::LANES])))
    }
    /// Writes the first `LANES` values of `to`.
    #[inline(always)]
    fn store_u32(self, a: Self::U32, to: &mut [u32]) {
        let to: &mut [f32] = bytemuck::cast_slice_mut(&mut to[..Self::LANES]);
        self.store_f32(self.from_bits_f32(a), lend(to));
    }
    /// The values number 0, 4, 8, ... of the first `4 * LANES` of `from`.
    #[inline(always)]
    fn load_fourths_u32(self, from: &[u32]) -> Self::U32 {
        let mut fourths = [0; MAX_LANES];
        for (fourth, four) in fourths.iter_mut().zip(from[..4 * Self::LANES].chunks_exact(4)) {
            *fourth = four[0];
        }
        self.load_u32(&fourths)
    }
    /// Bit `i` says whether `a < b` in lane `i`. NaN is less than nothing.
    #[inline(always)]
    fn less_f32(self, a: Self::F32, b: Self::F32) -> u32 {
        let [mut x, mut y] = [[0.0; MAX_LANES]; 2];
        self.store_f32(a, lend(&mut x));
        self.store_f32(b, lend(&mut y));
        let less = x.iter().zip(&y).take(Self::LANES).map(|(x, y)| u32::from(x < y));
        less.rev().fold(0, |mask, less| mask << 1 | less)
    }
    /// Two vectors: the first halves of `a` and of `b`, and their second halves.
    #[inline(always)]
    fn halves_f32(self, a: Self::F32, b: Self::F32) -> (Self::F32, Self::F32) {
        let mut lanes = [0.0; 2 * MAX_LANES];
        let (half, len) = (Self::LANES / 2, Self::LANES);
        self.store_f32(a, lend(&mut lanes));
        self.store_f32(b, lend(&mut lanes[len..]));
        let mut low = [0.0; MAX_LANES];
        let mut high = [0.0; MAX_LANES];
        low[..half].copy_from_slice(&lanes[..half]);
        low[half..len].copy_from_slice(&lanes[len..len + half]);
        high[..half].copy_from_slice(&lanes[half..len]);
        high[half..len].copy_from_slice(&lanes[len + half..2 * len]);
        (self.load_f32(&low), self.load_f32(&high))
    }

    /// `a & b`.
    fn and_u32(self, a: Self::U32, b: Self::U32) -> Self::U32;
    /// `a | b`.
    fn or_u32(self, a: Self::U32, b: Self::U32) -> Self::U32;
    /// `a ^ b`.
    fn xor_u32(self, a: Self::U32, b: Self::U32) -> Self::U32;
    /// `a + b`, wrapping.
    fn add_u32(self, a: Self::U32, b: Self::U32) -> Self::U32;
    /// `a - b`, wrapping.
    fn sub_u32(self, a: Self::U32, b: Self::U32) -> Self::U32;
    /// `a << N`.
    fn shl_u32<const N: u32>(self, a: Self::U32) -> Self::U32;
    /// `a >> N`, zeros in.
    fn shr_u32<const N: u32>(self, a: Self::U32) -> Self::U32;
    /// `if a < b { x } else { y }`, comparing as signed.
    fn select_lt_i32(self, a: Self::U32, b: Self::U32, x: Self::U32, y: Self::U32) -> Self::U32;
    /// Whether `a < b` in every lane, comparing as signed.
    fn all_lt_i32(self, a: Self::U32, b: Self::U32) -> bool;
    /// Two vectors: of every group `a0 b0 a1 b1`, and of every group `a2 b2 a3 b3`.
    fn interleave_f32(self, a: Self::F32, b: Self::F32) -> (Self::F32, Self::F32);
    /// Writes the low 16 bits of `a`'s lanes, then of `b`'s, to the first `2 * LANES` of `to`.
    /// The upper bits must be 0.
    fn store_u16(self, a: Self::U32, b: Self::U32, to: &mut [MaybeUninit<u16>]);
    /// Writes the upper 16 bits of `a`'s lanes, then of `b`'s, as [`Simd::store_u16`] does.
    #[inline(always)]
    fn store_high_u16(self, a: Self::U32, b: Self::U32, to: &mut [MaybeUninit<u16>]) {
        self.store_u16(self.shr_u32::<16>(a), self.shr_u32::<16>(b), to);
    }
    /// Writes the low 8 bits of `a`'s lanes, then of `b`'s. The upper bits must be 0.
    fn store_u8(self, a: Self::U32, b: Self::U32, to: &mut [MaybeUninit<u8>]);
    /// The bits of float16s, rounded to nearest even.
    fn f32_to_f16_bits(self, a: Self::F32) -> Self::U32;

    /// Every lane `x`.
    fn splat_u64(self, x: u64) -> Self::U64;
    /// `a & b`.
    fn and_u64(self, a: Self::U64, b: Self::U64) -> Self::U64;
    /// `a | b`.
    fn or_u64(self, a: Self::U64, b: Self::U64) -> Self::U64;
    /// `a ^ b`.
    fn xor_u64(self, a: Self::U64, b: Self::U64) -> Self::U64;
    /// `a ^ b ^ c`.
    #[inline(always)]
    fn xor3_u64(self, a: Self::U64, b: Self::U64, c: Self::U64) -> Self::U64 {
        self.xor_u64(a, self.xor_u64(b, c))
    }
    /// `a + b`, wrapping.
    fn add_u64(self, a: Self::U64, b: Self::U64) -> Self::U64;
    /// `a - b`, wrapping.
    fn sub_u64(self, a: Self::U64, b: Self::U64) -> Self::U64;
    /// `a << N`.
    fn shl_u64<const N: u32>(self, a: Self::U64) -> Self::U64;
    /// `a >> N`, zeros in.
    fn shr_u64<const N: u32>(self, a: Self::U64) -> Self::U64;
    /// The product of the low halves. The high halves are ignored.
    fn mul_low_u64(self, a: Self::U64, b: Self::U64) -> Self::U64;
    /// In each lane the low half of `a`, and above it the low half of `b`.
    fn low_halves(self, a: Self::U64, b: Self::U64) -> Self::U64;
    /// In each lane the high half of `a`, and above it the high half of `b`.
    fn high_halves(self, a: Self::U64, b: Self::U64) -> Self::U64;
    /// Which block each 64-bit lane computes so that [`Simd::interleave_f32`] and
    /// [`Simd::interleave_u64`] yield natural order.
    fn block_numbers(self) -> Self::U64;
    /// Two vectors: of every group `a0 b0`, and of every group `a1 b1`.
    fn interleave_u64(self, a: Self::U64, b: Self::U64) -> (Self::U64, Self::U64);
    /// The same bits as 32-bit lanes, low half first.
    fn u64_as_u32(self, a: Self::U64) -> Self::U32;
    /// The inverse of [`Simd::u64_as_u32`].
    fn u32_as_u64(self, a: Self::U32) -> Self::U64;

    /// Every lane `x`.
    fn splat_f64(self, x: f64) -> Self::F64;
    /// `a + b`.
    fn add_f64(self, a: Self::F64, b: Self::F64) -> Self::F64;
    /// `a - b`.
    fn sub_f64(self, a: Self::F64, b: Self::F64) -> Self::F64;
    /// `a * b`.
    fn mul_f64(self, a: Self::F64, b: Self::F64) -> Self::F64;
    /// `a / b`.
    fn div_f64(self, a: Self::F64, b: Self::F64) -> Self::F64;
    /// `sqrt(a)`.
    fn sqrt_f64(self, a: Self::F64) -> Self::F64;
    /// The smaller; neither may be NaN.
    fn min_f64(self, a: Self::F64, b: Self::F64) -> Self::F64;
    /// The larger; neither may be NaN.
    fn max_f64(self, a: Self::F64, b: Self::F64) -> Self::F64;
    /// `a * b + c`, rounded once.
    fn mul_add_f64(self, a: Self::F64, b: Self::F64, c: Self::F64) -> Self::F64;
    /// Optimisation barrier: keeps the compiler from finishing one dependency chain before starting
    /// the next. Returns its input.
    #[inline(always)]
    fn in_step_f64<const N: usize>(self, values: [Self::F64; N]) -> [Self::F64; N] {
        values
    }
    /// The bits of `a`.
    fn bits_f64(self, a: Self::F64) -> Self::U64;
    /// The floats with bits `a`.
    fn from_bits_f64(self, a: Self::U64) -> Self::F64;
    /// The first `LANES / 2` values of `from`.
    fn load_f64(self, from: &[f64]) -> Self::F64;
    /// Writes the first `LANES / 2` values of `to`.
    fn store_f64(self, a: Self::F64, to: &mut [MaybeUninit<f64>]);
    /// [`Simd::interleave_u64`] of floats.
    #[inline(always)]
    fn interleave_f64(self, a: Self::F64, b: Self::F64) -> (Self::F64, Self::F64) {
        let (low, high) = self.interleave_u64(self.bits_f64(a), self.bits_f64(b));
        (self.from_bits_f64(low), self.from_bits_f64(high))
    }

    // What is needed to compute in float64 for float32 lanes. Vectors of 32-bit lanes become two of
    // 64-bit lanes, of their lower half and of their upper half.

    /// The same numbers as float64.
    #[inline(always)]
    fn widen_f32(self, a: Self::F32) -> [Self::F64; 2] {
        let mut lanes = [0f32; MAX_LANES];
        self.store_f32(a, lend(&mut lanes));
        let wide = lanes.map(f64::from);
        [self.load_f64(&wide), self.load_f64(&wide[Self::LANES / 2..])]
    }
    /// Signed integers as float64.
    #[inline(always)]
    fn i32_to_f64(self, a: Self::U32) -> [Self::F64; 2] {
        let mut lanes = [0f32; MAX_LANES];
        self.store_f32(self.from_bits_f32(a), lend(&mut lanes));
        let wide = lanes.map(|lane| f64::from(lane.to_bits() as i32));
        [self.load_f64(&wide), self.load_f64(&wide[Self::LANES / 2..])]
    }
    /// The inverse of [`Simd::widen_f32`], rounded to nearest even.
    #[inline(always)]
    fn narrow_f64(self, a: [Self::F64; 2]) -> Self::F32 {
        let mut wide = [0f64; MAX_LANES];
        self.store_f64(a[0], lend(&mut wide));
        self.store_f64(a[1], lend(&mut wide[Self::LANES / 2..]));
        self.load_f32(&wide.map(|lane| lane as f32))
    }
    /// The entries of `table` that the lanes number, modulo 16.
    #[inline(always)]
    fn pick_f64(self, table: &[f64; 16], numbers: Self::U32) -> [Self::F64; 2] {
        let mut lanes = [0f32; MAX_LANES];
        self.store_f32(self.from_bits_f32(numbers), lend(&mut lanes));
        let picked = lanes.map(|lane| table[lane.to_bits() as usize % 16]);
        [self.load_f64(&picked), self.load_f64(&picked[Self::LANES / 2..])]
    }
    /// `a * b + c`, rounded once where that is faster, else twice: for expressions whose final
    /// result was shown not to depend on it.
    #[inline(always)]
    fn mul_add_either_f64(self, a: Self::F64, b: Self::F64, c: Self::F64) -> Self::F64 {
        self.add_f64(self.mul_f64(a, b), c)
    }

    // What is needed to accept and reject draws. The code here is for instruction sets that have no
    // instruction for it.

    /// The first `LANES / 2` values of `from`.
    #[inline(always)]
    fn load_u64(self, from: &[u64]) -> Self::U64 {
        let mut lanes = [0.0; MAX_LANES / 2];
        for (lane, bits) in lanes.iter_mut().zip(&from[..Self::LANES / 2]) {
            *lane = f64::from_bits(*bits);
        }
        self.bits_f64(self.load_f64(&lanes))
    }
    /// The rows of `table` whose numbers are the first `LANES / 2` values of `numbers`, modulo
    /// `ROWS`: a vector of their first entries and one of their second. `ROWS` must be a power of
    /// two.
    #[inline(always)]
    fn look_up<const ROWS: usize>(
        self,
        numbers: &[u64],
        table: &[[u64; 2]; ROWS],
    ) -> (Self::U64, Self::U64) {
        let mut columns = [[0; MAX_LANES / 2]; 2];
        for (i, number) in numbers[..Self::LANES / 2].iter().enumerate() {
            let row = table[*number as usize % ROWS];
            (columns[0][i], columns[1][i]) = (row[0], row[1]);
        }
        (self.load_u64(&columns[0]), self.load_u64(&columns[1]))
    }
    /// Bit `i` says whether `a < b` in lane `i`. Both must be below 2^63.
    #[inline(always)]
    fn less_u64(self, a: Self::U64, b: Self::U64) -> u32 {
        let mut lanes = [0.0; MAX_LANES / 2];
        self.store_f64(self.from_bits_f64(self.sub_u64(a, b)), lend(&mut lanes));
        let signs = lanes[..Self::LANES / 2].iter().map(|lane| (lane.to_bits() >> 63) as u32);
        signs.rev().fold(0, |mask, sign| mask << 1 | sign)
    }
    /// Bit `i` says whether `low <= a <= high` in lane `i`.
    #[inline(always)]
    fn within_f64(self, a: Self::F64, low: f64, high: f64) -> u32 {
        let mut lanes = [0.0; MAX_LANES / 2];
        self.store_f64(a, lend(&mut lanes));
        let within = lanes[..Self::LANES / 2].iter().map(|lane| (*lane >= low) & (*lane <= high));
        within.rev().fold(0, |mask, within| mask << 1 | u32::from(within))
    }
    /// The lanes of `a` whose bit in `mask` is set, moved to the front. The lanes behind them may
    /// hold anything.
    #[inline(always)]
    fn compress_f64(self, a: Self::F64, mask: u32) -> Self::F64 {
        let (mut lanes, mut kept) = ([0.0; MAX_LANES / 2], 0);
        self.store_f64(a, lend(&mut lanes));
        for i in 0..Self::LANES / 2 {
            lanes[kept] = lanes[i];
            kept += (mask >> i & 1) as usize;
        }
        self.load_f64(&lanes)
    }
    /// Writes `a`'s lanes, rounded to nearest even, to the first `LANES / 2` values of `to`.
    #[inline(always)]
    fn store_f64_as_f32(self, a: Self::F64, to: &mut [MaybeUninit<f32>]) {
        let mut lanes = [0.0; MAX_LANES / 2];
        self.store_f64(a, lend(&mut lanes));
        for (to, lane) in to[..Self::LANES / 2].iter_mut().zip(lanes) {
            *to = MaybeUninit::new(lane as f32);
        }
    }
}
