//! A terminal for a program under test: keys go in, what it draws is kept as a screen.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::server::PATIENCE;

/// How often it is looked at the screen.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A program with a terminal of its own; it ends with this at the latest.
pub struct Pty {
    child: Child,
    /// The side of whoever sits there.
    desk: File,
    /// The side of the program, held so that the screen can be read after its end.
    line: File,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Pty {
    /// Starts a program on a screen with so many columns and lines.
    ///
    /// # Panics
    /// The system has no terminal, or cannot start it.
    pub fn start(command: &Command, columns: u16, lines: u16) -> Pty {
        let desk = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&desk).and_then(|()| unlockpt(&desk)).expect("a terminal can be used");
        let name = ptsname(&desk, Vec::new()).expect("a terminal has a name");
        let name = name.to_str().expect("its name is plain");
        let flags = OFlags::NOCTTY.bits() as i32;
        let line = OpenOptions::new().read(true).write(true).custom_flags(flags).open(name).expect("a terminal opens");
        tcsetwinsize(&desk, size(columns, lines)).expect("a terminal has a size");
        // The terminal becomes the program's own, so that it is told of a new size.
        let mut on_terminal = Command::new("setsid");
        on_terminal.arg("--ctty").arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => on_terminal.env(name, value),
                None => on_terminal.env_remove(name),
            };
        }
        on_terminal.env("TERM", "xterm-256color").env_remove("NO_COLOR");
        let stream = || Stdio::from(line.try_clone().expect("a file"));
        let child = on_terminal.stdin(stream()).stdout(stream()).stderr(stream()).spawn();
        let screen = Arc::new(Mutex::new(vt100::Parser::new(lines, columns, 0)));
        let desk = File::from(desk);
        watch(desk.try_clone().expect("a file"), screen.clone());
        Pty { child: child.expect("setsid starts programs"), desk, line, screen }
    }

    /// Presses keys, as bytes.
    ///
    /// # Panics
    /// The terminal is gone.
    pub fn press(&mut self, keys: &str) {
        self.desk.write_all(keys.as_bytes()).expect("a terminal takes keys");
    }

    /// Gives the screen another size.
    ///
    /// # Panics
    /// The terminal is gone.
    pub fn resize(&mut self, columns: u16, lines: u16) {
        self.screen().screen_mut().set_size(lines, columns);
        tcsetwinsize(&self.desk, size(columns, lines)).expect("a terminal takes a size");
    }

    /// What is on the screen.
    pub fn text(&self) -> String {
        self.screen().screen().contents()
    }

    /// Waits until the screen is as wanted.
    ///
    /// # Panics
    /// It is not in time; what it shows is told.
    #[track_caller]
    pub fn shows(&self, what: &str, is_as_wanted: impl Fn(&str) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is_as_wanted(&self.text()) {
            assert!(Instant::now() < until, "no {what:?} on the screen:\n{}", self.text());
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until a text is on the screen.
    ///
    /// # Panics
    /// It is not in time.
    #[track_caller]
    pub fn shows_text(&self, text: &str) {
        self.shows(text, |screen| screen.contains(text));
    }

    /// Whether the terminal is as programs find it: lines with an echo, the first screen, the cursor seen, and nothing
    /// that only a full screen asks for.
    ///
    /// # Panics
    /// The terminal is gone.
    pub fn is_clean(&self) -> bool {
        let modes = tcgetattr(&self.line).expect("a terminal has modes").local_modes;
        let lines = LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
        let parser = self.screen();
        let screen = parser.screen();
        modes.contains(lines) && !screen.alternate_screen() && !screen.hide_cursor() && !screen.bracketed_paste()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let _ = Pid::from_raw(self.child.id() as i32).map(|pid| kill_process(pid, signal));
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// It goes on for too long.
    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("the system knows its child") {
                return status;
            }
            assert!(Instant::now() < until, "it does not end; its screen:\n{}", self.text());
            thread::sleep(LOOK_EVERY);
        }
    }

    fn screen(&self) -> MutexGuard<'_, vt100::Parser> {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn size(columns: u16, lines: u16) -> Winsize {
    Winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

/// Draws on a thread that ends with the terminal.
fn watch(mut desk: File, screen: Arc<Mutex<vt100::Parser>>) {
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = desk.read(&mut bytes) {
            screen.lock().unwrap_or_else(PoisonError::into_inner).process(&bytes[..count]);
        }
    });
}
