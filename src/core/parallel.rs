//! How a call uses the machine: the threads it may use and how it is asked to stop.
//!
//! Work is a list of independent tasks. They are handed out in order, one at a time, to the calling
//! thread and the pool's. Small tasks, rather than a fixed range for each thread, keep all busy
//! when another program holds a core: on two cores, one of them held, 2^26 truncated normals took
//! 55 to 58 ms rather than 70 (medians of two rounds that vary by a third), uniforms 36 rather than
//! 35 to 42; up to 2^24, and on a quiet machine, no difference stood out from the noise. Which
//! thread runs which task never changes a result.
//!
//! The pool is rayon's, whose scope lends helpers the caller's data without unsafe code. rayon's
//! scope ends only when every helper has taken its job. A helper busy with another call checks
//! between tasks and yields, so a call waits for at most one foreign task.

use std::cell::Cell;
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::Error;
use crate::simd;

/// Threads that sleep until there is work. They end when the pool is dropped.
#[derive(Debug)]
pub struct Pool {
    threads: NonZero<usize>,
    helpers: Option<rayon::ThreadPool>,
    /// How many calls have started their last task and wait for every helper to take its job.
    waiting: AtomicUsize,
}

impl Pool {
    /// A pool that, with the calling thread, makes `threads` threads.
    ///
    /// # Errors
    /// [`Error::NoThreads`] if the system refuses to start one.
    pub fn new(threads: NonZero<usize>) -> Result<Self, Error> {
        let helpers = match threads.get() - 1 {
            0 => None,
            helpers => Some(
                rayon::ThreadPoolBuilder::new()
                    .num_threads(helpers)
                    .thread_name(|i| format!("seedbed-{i}"))
                    .build()
                    .map_err(|error| Error::NoThreads {
                        threads: helpers,
                        reason: error.to_string(),
                    })?,
            ),
        };
        Ok(Self { threads, helpers, waiting: AtomicUsize::new(0) })
    }

    /// How many threads work on a call, the calling one included.
    pub fn threads(&self) -> NonZero<usize> {
        self.threads
    }
}

/// What a call may use: a pool, or only the calling thread, and a function that says whether it is
/// to stop.
#[derive(Clone, Copy)]
pub struct Exec<'a> {
    pool: Option<&'a Pool>,
    stop: &'a dyn Fn() -> bool,
}

impl<'a> Exec<'a> {
    /// Uses `pool`'s threads, or only the calling one. The calling thread asks `stop` between two
    /// tasks whether the call is to be given up.
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
    /// task to task. Floating-point modes are the default ones inside `work`.
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
        match self.pool.and_then(|pool| Some((pool, pool.helpers.as_ref()?))) {
            None => drain(self.stop),
            Some((pool, helpers)) => {
                let make_way = || {
                    if pool.waiting.load(Ordering::Relaxed) > 0 {
                        rayon::yield_local();
                    }
                    false
                };
                let mut waiting = None;
                helpers.in_place_scope(|scope| {
                    // Every helper gets one job, in a queue of its own.
                    scope.spawn_broadcast(|_, _| {
                        // A helper that yielded between two tasks of another call goes back to
                        // that one. The caller does all the tasks that nobody else takes.
                        if let Some(_busy) = Busy::unless_already() {
                            drain(&make_way);
                        }
                    });
                    drain(self.stop);
                    waiting = Some(Waiting::among(&pool.waiting));
                });
                drop(waiting);
            }
        }
        failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }
}

thread_local! {
    /// Whether this thread, one of a pool's, is in the middle of a call.
    static BUSY: Cell<bool> = const { Cell::new(false) };
}

/// Marks its thread as busy while it lives.
struct Busy;

impl Busy {
    fn unless_already() -> Option<Self> {
        // `then` makes the value, whose drop resets the mark, only if the thread was not busy.
        (!BUSY.replace(true)).then(|| Self)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        BUSY.set(false);
    }
}

/// Counts a call among those that wait while it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn among(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
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
    fn threads_are_busy_once() {
        let busy = Busy::unless_already();
        assert!(busy.is_some());
        assert!(Busy::unless_already().is_none());
        assert!(Busy::unless_already().is_none());
        drop(busy);
        assert!(Busy::unless_already().is_some());
        assert!(Busy::unless_already().is_some());
    }

    #[test]
    fn helpers_busy_with_one_call_keep_no_other_waiting() {
        let pool = Pool::new(NonZero::new(3).unwrap()).unwrap();
        let others = AtomicUsize::new(0);
        let started = std::sync::Barrier::new(4);
        std::thread::scope(|scope| {
            // Takes all three threads until the calls below are over.
            scope.spawn(|| {
                let long = |first: &mut bool, _| {
                    if std::mem::take(first) {
                        started.wait();
                    }
                    // Long, so that a busy machine is not taken for a call that waits.
                    std::thread::sleep(std::time::Duration::from_millis(10));
                    Ok(())
                };
                let tasks = std::iter::repeat(()).take_while(|()| {
                    // Ends by itself, too, if the calls below have to wait for it.
                    let asked = others.fetch_add(1, Ordering::Relaxed);
                    asked < 3000
                });
                Exec::new(Some(&pool), &|| false).for_each(tasks, || true, long).unwrap();
            });
            started.wait();
            let before = others.load(Ordering::Relaxed);
            for interrupted in [false, true] {
                let done = AtomicUsize::new(0);
                let short = |_: &mut (), _| {
                    done.fetch_add(1, Ordering::Relaxed);
                    Ok(())
                };
                let stop = || interrupted;
                let result = Exec::new(Some(&pool), &stop).for_each(0..50, || (), short);
                assert_eq!(result.is_err(), interrupted);
                assert_eq!(done.into_inner(), if interrupted { 0 } else { 50 });
            }
            let waited = others.fetch_add(1 << 20, Ordering::Relaxed) - before;
            assert!(waited < 1000, "{waited} tasks of the other call");
        });
        // Helpers that have refused a job take the next one.
        let all = std::sync::Barrier::new(3);
        let meet = |_: &mut (), _| {
            all.wait();
            Ok(())
        };
        Exec::new(Some(&pool), &|| false).for_each(0..3, || (), meet).unwrap();
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
