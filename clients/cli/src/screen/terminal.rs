//! The terminal while the screen is on it: taken over, read on a thread, and given back whatever happens.

use std::io::{self, stdout};
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{
    self, DisableBracketedPaste, DisableFocusChange, EnableBracketedPaste, EnableFocusChange, Event,
};
use ratatui::crossterm::execute;
use tokio::sync::mpsc;

/// Keys that are read and not yet taken.
const KEYS_WAITING_MAX: usize = 256;
/// How often the reader looks whether it is still wanted.
const LOOK_EVERY: Duration = Duration::from_millis(100);

static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// The terminal, taken over.
pub(super) struct Terminal {
    pub frames: DefaultTerminal,
    pub events: mpsc::Receiver<io::Result<Event>>,
    is_over: Arc<AtomicBool>,
}

impl Terminal {
    /// Takes it over.
    pub fn take() -> io::Result<Terminal> {
        let frames = ratatui::try_init()?;
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            give_back_modes();
            before(panic);
        }));
        IS_TAKEN.store(true, Ordering::Relaxed);
        let is_over = Arc::new(AtomicBool::new(false));
        let (sender, events) = mpsc::channel(KEYS_WAITING_MAX);
        let terminal = Terminal { frames, events, is_over: is_over.clone() };
        execute!(stdout(), EnableBracketedPaste, EnableFocusChange)?;
        thread::Builder::new().name("keys".to_owned()).spawn(move || read(&sender, &is_over))?;
        Ok(terminal)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        give_back_if_taken();
    }
}

/// Gives the terminal back as it was found.
pub(crate) fn give_back_if_taken() {
    if IS_TAKEN.swap(false, Ordering::Relaxed) {
        give_back_modes();
        ratatui::restore();
    }
}

fn give_back_modes() {
    // A terminal that is gone needs nothing.
    let _ = execute!(stdout(), DisableFocusChange, DisableBracketedPaste);
}

fn read(sender: &mpsc::Sender<io::Result<Event>>, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        let event = match event::poll(LOOK_EVERY) {
            Ok(false) => continue,
            Ok(true) => event::read(),
            Err(error) => Err(error),
        };
        let is_fatal = event.is_err();
        if sender.blocking_send(event).is_err() || is_fatal {
            return;
        }
    }
}
