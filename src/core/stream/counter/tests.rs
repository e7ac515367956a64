//! A toy stream, added as `docs/architecture.md` says: an engine's words, a `Stream`, and a line in
//! the table.

use std::num::NonZero;

use ndarray::{ArrayD, ArrayViewMutD, IxDyn, Slice};

use super::plan::SamplerPlan;
use crate::block::{Axis, Block};
use crate::distribution::{Distribution, Values};
use crate::element::{DType, OutMut};
use crate::error::Error;
use crate::parallel::{Exec, Pool};
use crate::rng::words::{WordBlocks, Words};
use crate::simd::{Isa, Simd, holding, lend};
use crate::stream::philox::uniform::{UniformF32, support};
use crate::stream::plan::{Key, Plan, Stream};
use crate::stream::{ALL, find};

/// An engine that counts: the upper 24 bits of word `e` are `e`.
#[derive(Clone, Copy)]
struct Counting;

/// The blocks of [`Counting`], whose numbers must be below 2^22.
#[derive(Clone, Copy)]
struct CountingBlocks<S>(S);

impl Words for Counting {
    type Blocks<S: Simd> = CountingBlocks<S>;

    #[inline(always)]
    fn blocks<S: Simd>(self, simd: S, _upper: u32) -> CountingBlocks<S> {
        CountingBlocks(simd)
    }
}

impl<S: Simd> WordBlocks<S> for CountingBlocks<S> {
    /// The numbers of a vector's blocks.
    type Place = S::U64;

    #[inline(always)]
    fn start(&self, first: u32) -> S::U64 {
        self.0.add_u64(self.0.splat_u64(first.into()), self.0.block_numbers())
    }

    #[inline(always)]
    fn words<const U: usize>(&self, place: S::U64) -> ([[S::U64; 2]; U], S::U64) {
        let simd = self.0;
        let mut numbers = place;
        let mut words = [[numbers; 2]; U];
        for words in &mut words {
            let zeroth = simd.shl_u64::<10>(numbers);
            let [first, second, third] =
                [1, 2, 3].map(|word| simd.add_u64(zeroth, simd.splat_u64(word << 8)));
            *words = [simd.low_halves(zeroth, second), simd.low_halves(first, third)];
            numbers = simd.add_u64(numbers, simd.splat_u64(S::LANES as u64 / 2));
        }
        (words, numbers)
    }
}

/// A stream of float32 uniforms over [`Counting`].
struct Toy;

impl Stream for Toy {
    fn id(&self) -> &'static str {
        "toy"
    }

    fn plan(
        &self,
        values: &Values,
        _key: Key,
        _shape: &[usize],
        dtype: DType,
    ) -> Result<Box<dyn Plan>, Error> {
        match *values {
            Values::Independent(Distribution::Uniform { low, high }) if dtype == DType::F32 => {
                let sampler = UniformF32::new(low, high, support(dtype.format(), low, high));
                Ok(Box::new(SamplerPlan::<f32, _, _>::new(sampler, Counting, None)))
            }
            _ => Err(Error::value("distribution", "must be uniform", format!("{values:?}"))),
        }
    }
}

const KEY: Key = Key { seed: 0, draw: 0 };

/// Where the values of [`Toy`] are the numbers of the elements.
const COUNT: Values =
    Values::Independent(Distribution::Uniform { low: 0.0, high: (1u32 << 24) as f64 });

#[test]
fn a_line_in_the_table_is_enough_to_find_a_stream() {
    let table: Vec<&'static dyn Stream> = ALL.iter().copied().chain([&Toy as _]).collect();
    assert_eq!(find(&table, "toy").map(Stream::id), Ok("toy"));
    let Err(error) = find(&table, "tox") else { panic!("no such stream") };
    assert!(error.to_string().contains("'toy'"), "{error}");
    assert!(find(ALL, "toy").is_err());
}

#[test]
fn a_new_engine_gets_blocks_layouts_threads_and_instruction_sets() {
    let shape = [5, 70, 300];
    let axis = |start, step, len| Axis { start, step, len };
    let plan = Toy.plan(&COUNT, KEY, &shape, DType::F32).unwrap();
    let whole = Block::whole(&shape).unwrap();
    let part = vec![axis(4, -2, 2), axis(3, 1, 50), axis(1, 7, 40)];
    let part = Block::new(shape.to_vec(), part).unwrap();
    let pool = Pool::new(NonZero::new(3).unwrap()).unwrap();
    for isa in Isa::available() {
        for exec in [Exec::serial(), Exec::new(Some(&pool), &|| false)] {
            for block in [&whole, &part] {
                let lens: Vec<usize> = block.axes().iter().map(|axis| axis.len).collect();
                let expected = ArrayD::from_shape_fn(IxDyn(&lens), |at| {
                    (0..3).fold(0, |number, i| {
                        let Axis { start, step, .. } = block.axes()[i];
                        let coordinate = start as isize + step * at[i] as isize;
                        number * shape[i] as isize + coordinate
                    }) as f32
                });
                // Every other place along the last axis: nothing is side by side.
                let room = [lens[0], lens[1], 2 * lens[2]];
                let mut memory = vec![-1f32; room.iter().product()];
                for step in [1, 2] {
                    let mut out =
                        ArrayViewMutD::from_shape(IxDyn(&room), lend(&mut memory)).unwrap();
                    out.slice_axis_inplace(ndarray::Axis(2), Slice::from(..lens[2] * step));
                    out.slice_axis_inplace(
                        ndarray::Axis(2),
                        Slice::from(..).step_by(step as isize),
                    );
                    holding(isa, || plan.fill(block, OutMut::F32(out), &exec)).unwrap();
                    let mut values =
                        ndarray::ArrayView::from_shape(IxDyn(&room), &memory[..]).unwrap();
                    values.slice_axis_inplace(ndarray::Axis(2), Slice::from(..lens[2] * step));
                    values.slice_axis_inplace(
                        ndarray::Axis(2),
                        Slice::from(..).step_by(step as isize),
                    );
                    assert_eq!(values, expected, "{isa:?} {block:?}");
                }
            }
        }
    }
}

#[test]
fn what_the_plan_was_not_made_for_is_refused() {
    let plan = Toy.plan(&COUNT, KEY, &[4], DType::F32).unwrap();
    let mut memory = [0f64; 4];
    let out = ArrayViewMutD::from_shape(IxDyn(&[4]), lend(&mut memory)).unwrap();
    let block = Block::whole(&[4]).unwrap();
    let result = plan.fill(&block, OutMut::F64(out), &Exec::serial());
    assert!(matches!(result, Err(Error::Value { argument: "out", .. })));
    let normal = Values::Independent(Distribution::Normal { mean: 0.0, stddev: 1.0 });
    assert!(Toy.plan(&normal, KEY, &[4], DType::F32).is_err());
}
