//! Threads of the engine: named, and their panic is the process's end.

use std::thread::{Builder, JoinHandle};

/// Starts a thread. If it panics, the process aborts: a half-dead engine must not go on acking.
///
/// # Panics
/// When the system has no thread left; this happens at start only.
pub fn spawn<T: Send + 'static>(name: &str, run: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let run = move || {
        let _abort = AbortOnPanic;
        run()
    };
    Builder::new().name(name.to_owned()).spawn(run).expect("the system gives a thread")
}

struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}
