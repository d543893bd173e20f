//! How far an import is, for whoever watches, and how fast it may be.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Counts lines: a bar on a terminal, else a line now and then; on stderr.
pub(super) struct Progress {
    bar: ProgressBar,
    doing: &'static str,
    lines: u64,
    done: AtomicU64,
    since: Instant,
    told_at: Mutex<Instant>,
}

impl Progress {
    /// Of so many lines.
    pub fn of(doing: &'static str, lines: u64) -> Progress {
        let target = ProgressDrawTarget::stderr_with_hz(5);
        let bar = ProgressBar::with_draw_target(Some(lines), target);
        let style = ProgressStyle::with_template("{msg} {wide_bar} {human_pos} of {human_len} ({per_sec}, {eta} left)");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(doing);
        let now = Instant::now();
        Progress { bar, doing, lines, done: AtomicU64::new(0), since: now, told_at: Mutex::new(now) }
    }

    /// So many lines more are done.
    pub fn add(&self, lines: u64) {
        self.bar.inc(lines);
        let done = self.done.fetch_add(lines, Ordering::Relaxed) + lines;
        if std::io::stderr().is_terminal() {
            return;
        }
        let mut told_at = self.told_at.lock().unwrap_or_else(PoisonError::into_inner);
        if told_at.elapsed() >= LINE_EVERY {
            *told_at = Instant::now();
            self.tell(done);
        }
    }

    fn tell(&self, done: u64) {
        let rate = done as f64 / self.since.elapsed().as_secs_f64().max(0.001);
        eprintln!("trunkline: {} {done} of {} lines, {rate:.0} a second", self.doing, self.lines);
    }

    /// That was all: what it came to, if there was anything to do.
    pub fn end(&self) {
        self.bar.finish_and_clear();
        match self.done.load(Ordering::Relaxed) {
            0 => {}
            done => self.tell(done),
        }
    }

    /// It goes on no more.
    pub fn abandon(&self) {
        self.bar.abandon();
    }
}

/// Lets so many lines pass in a second, whoever brings them.
pub(super) struct Pace {
    lines_per_s: u64,
    next_at: Mutex<Instant>,
}

impl Pace {
    /// Of a rate; none: as fast as it goes.
    pub fn of(lines_per_s: Option<u64>) -> Option<Pace> {
        Some(Pace { lines_per_s: lines_per_s?, next_at: Mutex::new(Instant::now()) })
    }

    /// The most lines that come at a time, so that they come evenly.
    pub fn lines_at_once(&self) -> usize {
        (self.lines_per_s / 10).clamp(1, usize::MAX as u64) as usize
    }

    /// Waits until so many lines may pass.
    pub fn wait(&self, lines: usize) {
        let takes = Duration::from_secs_f64(lines as f64 / self.lines_per_s as f64);
        let at = {
            let mut next_at = self.next_at.lock().unwrap_or_else(PoisonError::into_inner);
            let at = (*next_at).max(Instant::now());
            *next_at = at + takes;
            at
        };
        thread::sleep(at.saturating_duration_since(Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_kept_by_all_together() {
        let pace = Pace::of(Some(1_000)).unwrap();
        assert_eq!((pace.lines_at_once(), Pace::of(Some(3)).unwrap().lines_at_once()), (100, 1));
        let since = Instant::now();
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (0..3).for_each(|_| pace.wait(20)));
            }
        });
        // Six times 20 lines: the last of them pass 100 ms behind the first.
        assert!(since.elapsed() >= Duration::from_millis(99), "{:?}", since.elapsed());
        assert!(Pace::of(None).is_none());
    }
}
