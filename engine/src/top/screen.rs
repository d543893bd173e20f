//! The terminal while `top` runs: a frame a second, keys to scroll and to quit.

use std::path::Path;
use std::time::Instant;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use trunkline_cli::Failure;
use trunkline_edge::admin::AdminClient;

use super::rates::{Rates, Reading};
use super::view::View;
use super::{EVERY, connect, read};

const KEYS: &str = "q quits, the arrows scroll";

/// What is on the screen, and where it comes from.
struct Screen<'a> {
    data: &'a Path,
    /// None while no server answers.
    client: Option<AdminClient>,
    last: Reading,
    rates: Rates,
    scrolled: usize,
    note: String,
}

/// Shows frames until somebody quits.
///
/// # Errors
/// The terminal can't be used.
pub fn show(data: &Path, client: AdminClient, first: Reading) -> Result<(), Failure> {
    let unusable =
        |error: std::io::Error| Failure::new("terminal", format!("the terminal can't be used: {error}; try --once"));
    let mut terminal = ratatui::try_init().map_err(unusable)?;
    let rates = Rates::between(&first, &first);
    let mut screen = Screen { data, client: Some(client), last: first, rates, scrolled: 0, note: KEYS.to_owned() };
    let shown = screen.run(&mut terminal);
    ratatui::restore();
    shown.map_err(unusable)
}

impl Screen<'_> {
    fn run(&mut self, terminal: &mut DefaultTerminal) -> std::io::Result<()> {
        let mut next = Instant::now() + EVERY;
        loop {
            let view = View { rates: &self.rates, scrolled: self.scrolled, note: &self.note };
            terminal.draw(|frame| frame.render_widget(&view, frame.area()))?;
            if event::poll(next.saturating_duration_since(Instant::now()))? {
                if self.take(&event::read()?) {
                    return Ok(());
                }
                continue;
            }
            self.refresh();
            next = Instant::now() + EVERY;
        }
    }

    /// Takes a key; true when it quits.
    fn take(&mut self, event: &Event) -> bool {
        let Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press, .. }) = event else { return false };
        match code {
            KeyCode::Char('q') | KeyCode::Esc => return true,
            KeyCode::Char('c' | 'd') if modifiers.contains(KeyModifiers::CONTROL) => return true,
            KeyCode::Down => self.scrolled = (self.scrolled + 1).min(self.rates.shards.len().saturating_sub(1)),
            KeyCode::Up => self.scrolled = self.scrolled.saturating_sub(1),
            _ => {}
        }
        false
    }

    /// Reads the counters again. A server that does not answer is asked again, over a new connection.
    fn refresh(&mut self) {
        let asked = self.client.take().map_or_else(|| connect(self.data), Ok);
        let asked = asked.and_then(|mut client| read(&mut client).map(|reading| (client, reading)));
        match asked {
            Ok((client, reading)) => {
                self.rates = Rates::between(&self.last, &reading);
                self.last = reading;
                self.client = Some(client);
                KEYS.clone_into(&mut self.note);
            }
            Err(failure) => self.note = format!("{} (q quits)", failure.message()),
        }
    }
}
