//! A child process whose output is read while it runs, and which never outlives the test that started it.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, kill_process};

pub use rustix::process::Signal;

/// How often it is looked whether a process has ended.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What a process wrote to one of its outputs so far.
#[derive(Clone, Default, Debug)]
pub struct Written(Arc<(Mutex<Text>, Condvar)>);

#[derive(Default, Debug)]
struct Text {
    text: String,
    ended: bool,
}

impl Written {
    /// All of it.
    pub fn text(&self) -> String {
        self.lock().text.clone()
    }

    /// The lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.lock().text.lines().map(str::to_owned).collect()
    }

    /// The first line that holds this, as soon as it is there; none when the time is up or the output ends without it.
    pub fn line_with(&self, part: &str, patience: Duration) -> Option<String> {
        self.wait(patience, |text| text.lines().find(|line| line.contains(part)).map(str::to_owned))
    }

    /// Whether so many lines came in time.
    pub fn has_lines(&self, count: usize, patience: Duration) -> bool {
        self.wait(patience, |text| (text.lines().count() >= count).then_some(())).is_some()
    }

    fn wait<T>(&self, patience: Duration, look: impl Fn(&str) -> Option<T>) -> Option<T> {
        let until = Instant::now() + patience;
        let mut so_far = self.lock();
        loop {
            if let Some(found) = look(&so_far.text) {
                return Some(found);
            }
            let left = until.saturating_duration_since(Instant::now());
            if so_far.ended || left.is_zero() {
                return None;
            }
            so_far = self.0.1.wait_timeout(so_far, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Text> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads whole lines on a thread until the output ends.
    fn read(&self, output: impl Read + Send + 'static) -> JoinHandle<()> {
        let written = self.clone();
        thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = Vec::new();
            while output.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
                written.lock().text.push_str(&String::from_utf8_lossy(&line));
                written.0.1.notify_all();
                line.clear();
            }
            written.lock().ended = true;
            written.0.1.notify_all();
        })
    }
}

/// How a process ended, with what it wrote.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// All of its stdout.
    pub stdout: String,
    /// All of its stderr.
    pub stderr: String,
    /// From its start to its end.
    pub took: Duration,
}

impl Ended {
    /// Itself, where it ended well.
    ///
    /// # Panics
    /// It did not.
    #[track_caller]
    pub fn succeeded(self) -> Ended {
        assert_eq!(self.code, Some(0), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

/// A process that was started here.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    stdout: Written,
    stderr: Written,
    readers: Vec<JoinHandle<()>>,
    since: Instant,
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts it, with a pipe on each of its three streams.
    ///
    /// # Panics
    /// The system cannot start it.
    pub fn start(command: &mut Command) -> Process {
        let name = format!("{command:?}");
        let streams = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = streams.spawn().unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let (stdout, stderr) = (Written::default(), Written::default());
        let readers = vec![
            stdout.read(child.stdout.take().expect("stdout is a pipe")),
            stderr.read(child.stderr.take().expect("stderr is a pipe")),
        ];
        Process { name, child, stdout, stderr, readers, since: Instant::now(), status: None }
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its stdout.
    pub fn stdout(&self) -> &Written {
        &self.stdout
    }

    /// Its stderr.
    pub fn stderr(&self) -> &Written {
        &self.stderr
    }

    /// Writes to its stdin; that it does not listen any more is no failure.
    pub fn write(&mut self, text: &str) {
        if let Some(stdin) = &mut self.child.stdin {
            let _ = stdin.write_all(text.as_bytes()).and_then(|()| stdin.flush());
        }
    }

    /// Ends its stdin.
    pub fn close_stdin(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Whether it runs.
    pub fn runs(&mut self) -> bool {
        if self.status.is_none() {
            self.status = self.child.try_wait().expect("the system knows its child");
        }
        self.status.is_none()
    }

    /// Sends a signal, where it still runs.
    pub fn signal(&mut self, signal: Signal) {
        if self.runs() {
            // Nobody but `runs` waits for it, so its number is still its own.
            let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a process has a number");
            kill_process(pid, signal).unwrap_or_else(|error| panic!("{signal:?} to {}: {error}", self.name));
        }
    }

    /// Kills it with SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        if self.runs() {
            let _ = self.child.kill();
            self.status = self.child.wait().ok();
        }
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// It does not end in time; it is killed.
    #[track_caller]
    pub fn ended(&mut self, patience: Duration) -> Ended {
        let until = Instant::now() + patience;
        while self.runs() {
            if Instant::now() >= until {
                self.kill();
                let (stdout, stderr) = (self.stdout.text(), self.stderr.text());
                panic!("{} did not end within {patience:?}\nstdout:\n{stdout}\nstderr:\n{stderr}", self.name);
            }
            thread::sleep(LOOK_EVERY);
        }
        let took = self.since.elapsed();
        // A grandchild may hold the pipes for longer than anybody wants to wait.
        let settled = |written: &Written| written.wait(until.saturating_duration_since(Instant::now()), |_| None::<()>);
        settled(&self.stdout);
        settled(&self.stderr);
        let code = self.status.and_then(|status| status.code());
        Ended { code, stdout: self.stdout.text(), stderr: self.stderr.text(), took }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        for reader in self.readers.drain(..) {
            // One that still reads has a grandchild at the other end.
            if reader.is_finished() {
                let _ = reader.join();
            }
        }
    }
}
