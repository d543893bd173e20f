//! `chat` on a terminal: all conversations of a user on one screen, for as long as somebody sits there.

mod errands;
mod input;
mod keys;
mod model;
mod names;
mod order;
mod rows;
#[cfg(test)]
mod scenes;
#[cfg(test)]
mod stage;
mod terminal;
mod text;
mod timeline;
mod view;
mod wish;

use std::env;
use std::io::{self, IsTerminal as _};

use ratatui::crossterm::event::Event;
use ratatui::layout::{Rect, Size};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use trunkline_client::core::{ClientEvent, Follow};

use crate::args::ChatArgs;
use crate::aside;
use crate::failure::Failure;
use crate::identity::Identity;
use crate::limits::{COUNT_EVERY, FRAME_EVERY, LISTED_MAX};
use crate::session::{Session, Stop};
use crate::time::Clock;

use errands::Errands;
use model::Model;
use names::Names;
use terminal::Terminal;
use wish::{Answer, Link, Wish};

pub(crate) use terminal::give_back_if_taken;

/// Whether there is a terminal to show a screen on.
pub(crate) fn is_possible() -> bool {
    let can = env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
    can && io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Runs the command.
pub(crate) async fn run(args: &ChatArgs) -> Result<(), Failure> {
    let identity = args.identity.resolve()?;
    let session = Session::start(&identity, Follow::FromNow)?;
    let mut screen = Screen::new(session, &identity);
    if let Some(target) = &args.conversation {
        screen.model.wish(Wish::Open(target.clone()));
    }
    let held = aside::hold();
    let shown = match Terminal::take() {
        Ok(terminal) => screen.show(terminal).await,
        Err(error) => Err(unusable(&error)),
    };
    drop(held);
    let waiting = screen.session.outbox.len();
    if waiting > 0 {
        aside::say(&format!(
            "trunkline: {waiting} messages have no answer; the next command of this user delivers them"
        ));
    }
    screen.session.report().await;
    screen.session.close().await;
    shown
}

fn unusable(error: &io::Error) -> Failure {
    Failure::new("terminal", format!("the terminal can't be used: {error}; --plain needs none"))
}

/// SIGTERM, and the end of the terminal.
fn end_signals() -> io::Result<[Signal; 2]> {
    Ok([signal(SignalKind::terminate())?, signal(SignalKind::hangup())?])
}

struct Screen {
    session: Session,
    model: Model,
    errands: Errands,
    answers: mpsc::UnboundedReceiver<Answer>,
    /// Version of the outbox that is shown.
    outbox_seen: u64,
    colours: bool,
    is_left: bool,
    redraws: bool,
}

impl Screen {
    fn new(session: Session, identity: &Identity) -> Screen {
        let my_name = identity.name.clone().unwrap_or_else(|| "me".to_owned());
        let names = Names::new(my_name, session.remembered_handles());
        let (sender, answers) = mpsc::unbounded_channel();
        let errands = Errands { handle: session.handle.clone(), answers: sender };
        Screen {
            session,
            model: Model::new(names, Clock::of_this_machine()),
            errands,
            answers,
            outbox_seen: u64::MAX,
            colours: env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            is_left: false,
            redraws: false,
        }
    }

    /// Until somebody leaves, or there is no going on.
    async fn show(&mut self, mut terminal: Terminal) -> Result<(), Failure> {
        let [mut terminated, mut hung_up] = end_signals().map_err(|error| unusable(&error))?;
        let mut next_frame = Some(Instant::now());
        while !self.is_left {
            tokio::select! {
                event = terminal.events.recv() => match event {
                    Some(Ok(event)) => self.take(event),
                    Some(Err(error)) => return Err(unusable(&error)),
                    None => return Ok(()),
                },
                event = self.session.next(None) => match event {
                    Ok(event) => self.hear(&event),
                    Err(Stop::Interrupted) => return Ok(()),
                    Err(stop) => return Err(self.session.failure(stop, "the chat ended")),
                },
                Some(answer) = self.answers.recv() => self.model.answered(answer),
                () = sleep_until(next_frame.unwrap_or_else(Instant::now)), if next_frame.is_some() => {
                    self.draw(&mut terminal).map_err(|error| unusable(&error))?;
                    next_frame = None;
                    self.grant().await;
                    if self.model.link != Link::Up {
                        next_frame = Some(Instant::now() + COUNT_EVERY);
                    }
                    continue;
                }
                _ = terminated.recv() => return Ok(()),
                _ = hung_up.recv() => return Ok(()),
            }
            self.grant().await;
            let soon = Instant::now() + FRAME_EVERY;
            next_frame = Some(next_frame.map_or(soon, |at| at.min(soon)));
        }
        Ok(())
    }

    fn draw(&mut self, terminal: &mut Terminal) -> io::Result<()> {
        if std::mem::take(&mut self.redraws) {
            terminal.frames.clear()?;
        }
        let Size { width, height } = terminal.frames.size()?;
        let messages = view::areas(Rect::new(0, 0, width, height), &self.model).messages;
        self.model.set_pane(messages.width, messages.height);
        let now_ms = self.session.handle.now_ms();
        terminal.frames.draw(|frame| view::draw(frame, &self.model, now_ms, self.colours))?;
        Ok(())
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Key(key) => self.model.press(key),
            Event::Paste(text) => self.model.paste(&text),
            Event::FocusGained => self.model.set_focus(true),
            Event::FocusLost => self.model.set_focus(false),
            Event::Resize(..) | Event::Mouse(_) => {}
        }
    }

    fn hear(&mut self, event: &ClientEvent) {
        // What an earlier command left in the outbox concerns this one as well.
        if let ClientEvent::Failed { message_id, .. } | ClientEvent::Unknown { message_id, .. } = event {
            self.session.mine.insert(*message_id);
        }
        let handle = self.session.handle.clone();
        self.model.hear(event, || handle.trouble().unwrap_or_else(|| "the connection was lost".to_owned()));
    }

    /// Asks for what the screen wants.
    async fn grant(&mut self) {
        let wishes = self.model.take_wishes();
        let lists = wishes.contains(&Wish::List);
        for wish in wishes {
            let handle = &self.session.handle;
            match wish {
                Wish::Send(conversation, text) => match handle.send_text(conversation, &text).await {
                    Ok(message_id) => drop(self.session.mine.insert(message_id)),
                    Err(error) => {
                        self.model.complain(&Failure::not_taken(&error));
                        // It goes back to where it was written.
                        self.model.input.insert(&text);
                    }
                },
                Wish::Page(conversation, below) => self.errands.page(conversation, below),
                Wish::Members(conversation) => self.errands.members(conversation),
                Wish::Delivered(conversation, seq) => handle.mark_delivered(conversation, seq).await,
                Wish::Read(conversation, seq) => handle.mark_read(conversation, seq).await,
                Wish::Typing(conversation) => handle.typing(conversation).await,
                Wish::Open(target) => self.errands.open(target),
                Wish::Group(title, members) => self.errands.group(title, members),
                Wish::List => {}
                Wish::Redraw => self.redraws = true,
                Wish::Quit => self.is_left = true,
            }
        }
        if lists {
            let list = self.session.handle.conversations(LISTED_MAX).await;
            self.model.set_list(list);
        }
        self.show_outbox();
    }

    fn show_outbox(&mut self) {
        let open = self.model.open.is_some();
        let version = self.session.outbox.version();
        if open && self.outbox_seen != version {
            self.outbox_seen = version;
            let unsent = self.session.outbox.texts();
            let unsent = unsent.into_iter().map(|(conversation, message_id, text)| {
                (conversation, timeline::Unsent { message_id, text, failed: None })
            });
            self.model.add_unsent(unsent.collect());
        }
    }
}
