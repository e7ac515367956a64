//! The process's pool of threads.
//!
//! It is made at the first large fill and kept. Its key holds the process id: a forked child
//! inherits the pool's memory but none of its threads, so it leaks the pool and makes its own.
//! The lock is only taken, and always released, while attached to the interpreter; `os.fork`
//! needs the interpreter, too, and so cannot copy the lock while it is held.

use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use seedbed_core::parallel::Pool;

/// More threads than any machine has cores to fill memory with; a typing error beyond that.
const MAX_THREADS: usize = 1024;

/// The environment variable that sets the number of threads at import.
const VARIABLE: &str = "SEEDBED_NUM_THREADS";

struct State {
    /// What the user asked for; `None` for the cores this process may use.
    requested: Option<NonZero<usize>>,
    pool: Option<Entry>,
}

struct Entry {
    process: u32,
    requested: Option<NonZero<usize>>,
    pool: Arc<Pool>,
}

static STATE: Mutex<State> = Mutex::new(State { requested: None, pool: None });

fn with_state<T>(_attached: Python<'_>, work: impl FnOnce(&mut State) -> T) -> T {
    work(&mut STATE.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The cores this process may use: its affinity mask and control group are honoured.
fn usable_cores() -> NonZero<usize> {
    std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN)
}

/// The pool to use for a large fill, or `None` if the calling thread is to work alone: one thread
/// is configured, or the system refuses to start others.
pub(crate) fn pool(py: Python<'_>) -> Option<Arc<Pool>> {
    with_state(py, |state| {
        let process = std::process::id();
        if let Some(entry) = state.pool.take() {
            if entry.process != process {
                // Its threads do not exist here; ending them would wait for ever.
                std::mem::forget(entry.pool);
            } else if entry.requested == state.requested {
                return share(state.pool.insert(entry));
            }
        }
        let requested = state.requested;
        let pool = Arc::new(Pool::new(requested.unwrap_or_else(usable_cores)).ok()?);
        share(state.pool.insert(Entry { process, requested, pool }))
    })
}

fn share(entry: &Entry) -> Option<Arc<Pool>> {
    (entry.pool.threads().get() > 1).then(|| Arc::clone(&entry.pool))
}

fn checked(argument: &str, threads: &str) -> PyResult<NonZero<usize>> {
    threads.trim().parse().ok().filter(|threads: &NonZero<usize>| threads.get() <= MAX_THREADS).ok_or_else(
        || {
            PyValueError::new_err(format!(
                "`{argument}` must be an integer from 1 to {MAX_THREADS}. Received: {argument}={threads}"
            ))
        },
    )
}

/// Sets how many threads a large fill uses, the calling one included.
#[pyfunction]
pub(crate) fn set_num_threads(py: Python<'_>, n: &Bound<'_, PyAny>) -> PyResult<()> {
    // Through the text, so that integers of any size get the same message.
    let threads = checked("n", &super::parse::integer("n", n)?.str()?.to_string_lossy())?;
    with_state(py, |state| state.requested = Some(threads));
    Ok(())
}

/// How many threads a large fill uses, the calling one included.
#[pyfunction]
pub(crate) fn get_num_threads(py: Python<'_>) -> usize {
    with_state(py, |state| state.requested).unwrap_or_else(usable_cores).get()
}

/// Takes the number of threads from the environment.
pub(crate) fn configure(py: Python<'_>) -> PyResult<()> {
    match std::env::var_os(VARIABLE) {
        None => Ok(()),
        Some(value) if value.is_empty() => Ok(()),
        Some(value) => {
            let threads = checked(VARIABLE, &value.to_string_lossy())?;
            with_state(py, |state| state.requested = Some(threads));
            Ok(())
        }
    }
}
