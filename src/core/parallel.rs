//! How a call uses the machine: the threads it may use and how it is asked to stop.
//!
//! Work is a list of independent tasks handed out in order, one at a time, to the calling thread
//! and the pool's. Handing out small tasks rather than fixed ranges keeps every thread busy when
//! another program holds a core. Which thread runs which task never changes a result.

use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::Error;
use crate::simd;

/// Threads that wait, parked, for work. Dropping it ends them.
#[derive(Debug)]
pub struct Pool {
    threads: NonZero<usize>,
    helpers: Option<rayon::ThreadPool>,
}

impl Pool {
    /// A pool that, with the calling thread, makes `threads` threads.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if the system refuses to start a thread.
    pub fn new(threads: NonZero<usize>) -> Result<Self, Error> {
        let helpers = match threads.get() - 1 {
            0 => None,
            helpers => Some(
                rayon::ThreadPoolBuilder::new()
                    .num_threads(helpers)
                    .thread_name(|i| format!("seedbed-{i}"))
                    .build()
                    .map_err(|_| Error::OutOfMemory { bytes: 0 })?,
            ),
        };
        Ok(Self { threads, helpers })
    }

    /// How many threads work on a call, the calling one included.
    pub fn threads(&self) -> NonZero<usize> {
        self.threads
    }
}

/// The means a call has: a pool, or none for the calling thread alone, and a question to ask now
/// and then whether to go on.
#[derive(Clone, Copy)]
pub struct Exec<'a> {
    pool: Option<&'a Pool>,
    stop: &'a dyn Fn() -> bool,
}

impl<'a> Exec<'a> {
    /// Uses `pool`'s threads, or only the calling one, and asks `stop` between two tasks, on the
    /// calling thread only, whether the call is to be given up.
    pub fn new(pool: Option<&'a Pool>, stop: &'a dyn Fn() -> bool) -> Self {
        Self { pool, stop }
    }

    /// The calling thread alone, never stopped.
    pub fn serial() -> Exec<'static> {
        Exec { pool: None, stop: &|| false }
    }

    /// How many threads will share the work.
    pub fn threads(&self) -> usize {
        self.pool.map_or(1, |pool| pool.threads.get())
    }

    /// Runs `work` once on every task, on all threads, and returns when the last one is done.
    /// Tasks start in order. Every thread makes its own scratch with `scratch` and keeps it from
    /// task to task. The floating-point environment is the default one inside.
    ///
    /// # Errors
    /// [`Error::Interrupted`] if told to stop, or the first error that `work` returned; tasks not
    /// yet started are then dropped.
    pub fn for_each<T: Send, S>(
        &self,
        tasks: impl IntoIterator<Item = T, IntoIter: Send>,
        scratch: impl Fn() -> S + Sync,
        work: impl Fn(&mut S, T) -> Result<(), Error> + Sync,
    ) -> Result<(), Error> {
        let tasks = Mutex::new(tasks.into_iter());
        let halt = AtomicBool::new(false);
        let failure = Mutex::new(None);
        let fail = |error| {
            halt.store(true, Ordering::Relaxed);
            failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        };
        let drain = |stop: &dyn Fn() -> bool| {
            let _environment = simd::FloatEnvironment::standard();
            let mut scratch = scratch();
            loop {
                if stop() {
                    fail(Error::Interrupted);
                }
                if halt.load(Ordering::Relaxed) {
                    break;
                }
                let task = tasks.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some(task) = task else { break };
                if let Err(error) = work(&mut scratch, task) {
                    fail(error);
                }
            }
        };
        match self.pool.and_then(|pool| pool.helpers.as_ref()) {
            None => drain(self.stop),
            Some(helpers) => {
                let drain = &drain;
                let stop = self.stop;
                helpers.in_place_scope(|scope| {
                    for _ in 0..helpers.current_num_threads() {
                        scope.spawn(|_| drain(&|| false));
                    }
                    drain(stop);
                });
            }
        }
        failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }
}

impl std::fmt::Debug for Exec<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exec").field("pool", &self.pool).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn every_task_runs_once_on_any_number_of_threads() {
        for threads in [1, 2, 3, 8] {
            let pool = Pool::new(NonZero::new(threads).unwrap()).unwrap();
            let mut out = vec![0u32; 10_000];
            Exec::new(Some(&pool), &|| false)
                .for_each(
                    out.chunks_mut(7),
                    || (),
                    |_, chunk| {
                        chunk.iter_mut().for_each(|x| *x += 1);
                        Ok(())
                    },
                )
                .unwrap();
            assert!(out.iter().all(|&x| x == 1));
        }
    }

    #[test]
    fn stopping_and_failing_drop_the_rest() {
        let pool = Pool::new(NonZero::new(3).unwrap()).unwrap();
        let asked = Cell::new(0);
        let stop = || {
            asked.set(asked.get() + 1);
            asked.get() > 3
        };
        let done = AtomicUsize::new(0);
        let count = |_: &mut (), _| {
            done.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(std::time::Duration::from_millis(1));
            Ok(())
        };
        let result = Exec::new(Some(&pool), &stop).for_each(0..100_000, || (), count);
        assert_eq!(result, Err(Error::Interrupted));
        assert!(done.into_inner() < 1000);

        let error = Error::OutOfMemory { bytes: 1 };
        let result = Exec::new(Some(&pool), &|| false).for_each(
            0..100,
            || (),
            |_, i| {
                if i == 5 { Err(error.clone()) } else { Ok(()) }
            },
        );
        assert_eq!(result, Err(error.clone()));
    }

    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    #[test]
    fn floating_point_modes_of_callers_and_pools_reach_no_task() {
        use crate::simd::hostile;

        for mode in hostile::MODES {
            // Threads start in the modes of the one that starts them, on Linux at least.
            let (pool, inherited) = hostile::within(mode, || {
                let inherited = std::thread::spawn(hostile::modes).join().unwrap();
                (Pool::new(NonZero::new(3).unwrap()).unwrap(), inherited)
            });
            assert!(inherited == mode || cfg!(not(target_os = "linux")));
            // Every thread takes one of the tasks, for each waits for the others.
            let all = std::sync::Barrier::new(3);
            let seen = Mutex::new(vec![]);
            let after = hostile::within(mode, || {
                let look = |_: &mut (), _| {
                    all.wait();
                    seen.lock().unwrap().push(hostile::modes());
                    Ok(())
                };
                Exec::new(Some(&pool), &|| false).for_each(0..3, || (), look).unwrap();
                hostile::modes()
            });
            assert_eq!(seen.into_inner().unwrap(), [0; 3]);
            assert_eq!(after, mode);
        }
    }
}
