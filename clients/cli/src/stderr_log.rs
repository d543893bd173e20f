//! What libraries have to report to people, on stderr.

use std::io::Write;

use log::{Level, LevelFilter, Log, Metadata, Record};

struct StderrLog;

impl Log for StderrLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Of others only errors: their warnings speak to developers.
        metadata.level() <= Level::Error
            || metadata.level() <= Level::Warn && metadata.target().starts_with("trunkline")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let level = record.level().as_str().to_lowercase();
            let _ = writeln!(std::io::stderr(), "trunkline: {level}: {}", record.args());
        }
    }

    fn flush(&self) {}
}

/// From now on errors, and warnings of our own crates, go to stderr. Harmless where it was done before.
pub fn install() {
    if log::set_logger(&StderrLog).is_ok() {
        log::set_max_level(LevelFilter::Warn);
    }
}
