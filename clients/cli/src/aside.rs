//! What is said on stderr beside the output, and held back while a full screen is shown.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::limits::HELD_LINES_MAX;

/// None: nothing is held back.
static HELD: Mutex<Option<Vec<u8>>> = Mutex::new(None);

/// While this lives, what is said waits; then it is said.
#[derive(Debug)]
pub(crate) struct Held(());

/// Begins to hold back.
pub(crate) fn hold() -> Held {
    lock().get_or_insert_default();
    Held(())
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(text) = lock().take() {
            let _ = io::stderr().write_all(&text);
        }
    }
}

/// Says a line.
pub(crate) fn say(line: &str) {
    let _ = Aside.write_all(format!("{line}\n").as_bytes());
}

/// Stderr, where nothing is held back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Aside;

impl Write for Aside {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match lock().as_mut() {
            None => return io::stderr().write(bytes),
            Some(held) if held.iter().filter(|&&byte| byte == b'\n').count() < HELD_LINES_MAX => {
                held.extend_from_slice(bytes);
            }
            // The first ones say what began.
            Some(_) => {}
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

fn lock() -> MutexGuard<'static, Option<Vec<u8>>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_waits_and_is_bounded() {
        let held = hold();
        (0..HELD_LINES_MAX + 5).for_each(|number| say(&format!("held {number}")));
        let text = String::from_utf8(lock().clone().unwrap()).unwrap();
        assert_eq!(text.lines().count(), HELD_LINES_MAX);
        assert!(text.starts_with("held 0\nheld 1\n"));
        // Its lines are of no use to whoever reads this test's output.
        lock().as_mut().unwrap().clear();
        drop(held);
        assert!(lock().is_none());
    }
}
