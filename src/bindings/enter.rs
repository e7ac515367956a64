//! The one door into the core: detach from the interpreter, watch for signals, convert errors.

use std::cell::Cell;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use seedbed_core::error::Error;
use seedbed_core::parallel::Exec;
use seedbed_core::simd::FloatEnvironment;

use crate::errors::to_exception;
use crate::threads;

/// Work of at least this many elements is shared among threads: below, waking them costs more
/// than they save.
const PARALLEL_FROM: usize = 1 << 18;

/// Work of fewer elements than this keeps the interpreter: it takes some ten microseconds, while
/// getting the interpreter back from a busy thread can take milliseconds.
const DETACH_FROM: usize = 1 << 12;

/// How long a signal may wait. Asking takes the interpreter, so it is done rarely.
const SIGNALS_EVERY: Duration = Duration::from_millis(20);

/// Runs `work`, which amounts to drawing `elements` elements, with the threads it may use, and
/// lets Ctrl-C stop it.
pub(crate) fn enter<F>(py: Python<'_>, elements: usize, work: F) -> PyResult<()>
where
    F: FnOnce(&Exec<'_>) -> Result<(), Error> + Send,
{
    let pool = if elements >= PARALLEL_FROM { threads::pool(py) } else { None };
    // What is computed before the kernels run, scales and bounds, decides bits as well.
    let _environment = FloatEnvironment::standard();
    if elements < DETACH_FROM {
        return work(&Exec::new(None, &|| false)).map_err(|error| to_exception(error, None));
    }
    let (done, pending) = py.detach(|| {
        let asked = Cell::new(Instant::now());
        let pending = Cell::new(None);
        let stop = || {
            if asked.get().elapsed() < SIGNALS_EVERY {
                return false;
            }
            // No interpreter to attach to means that the process is ending.
            let signalled = match Python::try_attach(|py| py.check_signals()) {
                Some(Ok(())) => false,
                Some(Err(raised)) => {
                    pending.set(Some(raised));
                    true
                }
                None => true,
            };
            asked.set(Instant::now());
            signalled
        };
        let done = work(&Exec::new(pool.as_deref(), &stop));
        (done, pending.take())
    });
    done.map_err(|error| to_exception(error, pending))
}
