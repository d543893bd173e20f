//! A session with the server as commands use it: questions with a deadline, Ctrl-C, and word of trouble for people.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until, timeout};
use trunkline_client::core::{ClientEvent, Follow, MessageId, Opened, Options, RequestError};
use trunkline_client::outbox::identity_folder;
use trunkline_client::transport::{self, EventStream, Handle, seed_from_os};
use trunkline_wire::handle;
use trunkline_wire::ids::{ConversationId, UserId};
use trunkline_wire::message::ErrorCode;

use crate::args::{Target, Who};
use crate::aside;
use crate::failure::Failure;
use crate::folders;
use crate::identity::{self, Identity};
use crate::kept::{now_s, renewed};
use crate::limits::{ASK_AGAIN, CLOSE_PATIENCE, RENEW_AGAIN, REPORT_PATIENCE};
use crate::shared_outbox::SharedOutbox;
use crate::trust::Trust;

/// Why waiting ended without what was waited for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Stop {
    /// The time was up.
    Deadline,
    /// Ctrl-C.
    Interrupted,
    /// The server refused the question.
    Refused(ErrorCode),
    /// There is no going on.
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Failed(failure)
    }
}

/// A session, with its outbox.
pub(crate) struct Session {
    pub handle: Handle,
    pub outbox: SharedOutbox,
    /// Who this is, once the server said so.
    pub user: Option<UserId>,
    /// Messages of this command: those of earlier ones are spoken of as such.
    pub mine: BTreeSet<MessageId>,
    url: String,
    /// What this device keeps on this machine.
    pub folder: PathBuf,
    events: EventStream,
    /// Came while something else was waited for.
    kept: VecDeque<ClientEvent>,
    interrupt: Signal,
    told_trouble: bool,
}

/// Goes on with a newer token each time one is about to end, for as long as the session lasts.
async fn renew_for_ever(handle: Handle, path: PathBuf, trust: Trust) {
    let mut token = None;
    loop {
        let (file, trust) = (path.clone(), trust.clone());
        let Ok(found) = tokio::task::spawn_blocking(move || renewed(&file, &trust)).await else { return };
        let wait = match found {
            Ok(found) => {
                if token.replace(found.access_token.clone()).is_some_and(|before| before != found.access_token) {
                    // Not connected: the next connection begins with it.
                    let _ = handle.renew(&found.access_token).await;
                }
                Duration::from_secs(found.renew_at_s().saturating_sub(now_s()).max(1))
            }
            Err(failure) if failure.code() == "unreachable" => RENEW_AGAIN,
            Err(failure) => return failure.warn(),
        };
        tokio::time::sleep(wait).await;
    }
}

impl Session {
    /// Starts one; it connects by itself.
    pub fn start(identity: &Identity, follow: Follow) -> Result<Session, Failure> {
        let failed = |error: std::io::Error| Failure::new("system", error.to_string());
        let folder = device_folder(identity)?;
        let outbox = SharedOutbox::open(&folder)?;
        let options = Options {
            token: identity.token.clone(),
            client_name: concat!("trunkline-cli/", env!("CARGO_PKG_VERSION")).to_owned(),
            follow,
            echo_own: true,
            seed: seed_from_os().map_err(failed)?,
        };
        let interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let trust = identity.trust.of_sessions()?;
        let (handle, events) = transport::connect_trusting(&identity.url, options, outbox.clone(), trust)
            .map_err(|error| Failure::new("session", error.to_string()))?;
        if let Some(path) = identity.renewal.clone() {
            tokio::spawn(renew_for_ever(handle.clone(), path, identity.trust.clone()));
        }
        Ok(Session {
            handle,
            outbox,
            user: None,
            mine: BTreeSet::new(),
            url: identity.url.clone(),
            folder,
            events,
            kept: VecDeque::new(),
            interrupt,
            told_trouble: false,
        })
    }

    /// The next event. Given up, it loses nothing.
    pub async fn next(&mut self, deadline: Option<Instant>) -> Result<ClientEvent, Stop> {
        match self.kept.pop_front() {
            Some(event) => Ok(event),
            None => self.receive(deadline).await,
        }
    }

    /// The next event that was not seen before.
    pub async fn receive(&mut self, deadline: Option<Instant>) -> Result<ClientEvent, Stop> {
        let event = tokio::select! {
            biased;
            _ = self.interrupt.recv() => return Err(Stop::Interrupted),
            event = self.events.next() => event,
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                return Err(Stop::Deadline);
            }
        };
        let event = event.ok_or_else(|| Stop::Failed(Failure::new("closed", "the session ended")))?;
        self.note(&event)?;
        Ok(event)
    }

    /// What every command makes of an event.
    fn note(&mut self, event: &ClientEvent) -> Result<(), Stop> {
        match event {
            ClientEvent::Connected { user, .. } => {
                self.user = Some(*user);
                self.told_trouble = false;
            }
            ClientEvent::Disconnected { retry_at_ms: Some(_) } if !self.told_trouble => {
                self.told_trouble = true;
                aside::say(&format!("trunkline: no connection to {}: {}; trying again", self.url, self.trouble()));
            }
            ClientEvent::AuthFailed { code } => {
                return Err(Failure::refused(*code, &format!("{} does not let us in", self.url)).into());
            }
            ClientEvent::OutboxFailed { error } => Failure::new("outbox_failed", error.clone()).warn(),
            ClientEvent::Failed { message_id, conversation, code } if !self.mine.contains(message_id) => {
                Failure::refused(*code, &format!("a message of an earlier command to {conversation}")).warn();
            }
            ClientEvent::Unknown { message_id, conversation } if !self.mine.contains(message_id) => {
                unknown(*conversation).warn();
            }
            _ => {}
        }
        Ok(())
    }

    /// Asks, again where the server is only busy or the connection was lost; other events are kept for later.
    pub async fn ask<T>(
        &mut self,
        deadline: Option<Instant>,
        question: impl AsyncFn(&Handle) -> Result<T, RequestError>,
    ) -> Result<T, Stop> {
        let handle = self.handle.clone();
        loop {
            let answer = {
                let mut asked = pin!(question(&handle));
                loop {
                    tokio::select! {
                        biased;
                        answer = &mut asked => break answer,
                        event = self.receive(deadline) => {
                            let event = event?;
                            self.kept.push_back(event);
                        }
                    }
                }
            };
            let wait = match answer {
                Ok(answer) => return Ok(answer),
                Err(RequestError::Refused { code, retry_after_ms }) => {
                    let wait = Duration::from_millis(retry_after_ms.into());
                    if retry_after_ms == 0 || deadline.is_some_and(|deadline| Instant::now() + wait > deadline) {
                        return Err(Stop::Refused(code));
                    }
                    wait
                }
                Err(RequestError::Disconnected | RequestError::Full) => ASK_AGAIN,
            };
            self.pause(wait, deadline).await?;
        }
    }

    async fn pause(&mut self, wait: Duration, deadline: Option<Instant>) -> Result<(), Stop> {
        let until = Instant::now() + wait;
        loop {
            match self.receive(Some(deadline.map_or(until, |deadline| deadline.min(until)))).await {
                Ok(event) => self.kept.push_back(event),
                Err(Stop::Deadline) if deadline.is_some_and(|deadline| deadline <= until) => {
                    return Err(Stop::Deadline);
                }
                Err(Stop::Deadline) => return Ok(()),
                Err(stop) => return Err(stop),
            }
        }
    }

    /// Waits for the first connection.
    pub async fn connected(&mut self, deadline: Option<Instant>) -> Result<UserId, Stop> {
        loop {
            if let Some(user) = self.user {
                return Ok(user);
            }
            let event = self.receive(deadline).await?;
            self.kept.push_back(event);
        }
    }

    /// Waits until messages that earlier commands left are delivered.
    pub async fn leftovers_delivered(&mut self, deadline: Option<Instant>) -> Result<(), Stop> {
        self.connected(deadline).await?;
        while !self.outbox.is_empty() {
            let event = self.receive(deadline).await?;
            self.kept.push_back(event);
        }
        Ok(())
    }

    /// Opens what a person named.
    pub async fn open(&mut self, target: &Target, deadline: Option<Instant>) -> Result<Opened, Stop> {
        match target {
            Target::Conversation(conversation) => {
                self.ask(deadline, async |handle: &Handle| handle.open(*conversation).await).await
            }
            Target::Peer(peer) => self.open_peer(peer, deadline).await,
        }
    }

    async fn open_peer(&mut self, peer: &handle::Handle, deadline: Option<Instant>) -> Result<Opened, Stop> {
        if let Some(user) = self.remembered(peer) {
            match self.ask(deadline, async |handle: &Handle| handle.open_peer(user).await).await {
                Err(Stop::Refused(ErrorCode::UnknownPeer)) => {}
                opened => return opened,
            }
        }
        let user = self.resolve(peer, deadline).await?;
        self.ask(deadline, async |handle: &Handle| handle.open_peer(user).await).await
    }

    /// Who these are. `again`: what is remembered of handles was wrong.
    pub async fn users(&mut self, who: &[Who], deadline: Option<Instant>, again: bool) -> Result<Vec<UserId>, Stop> {
        let mut users = Vec::with_capacity(who.len());
        for who in who {
            users.push(match who {
                Who::User(user) => *user,
                Who::Named(name) => match self.remembered(name).filter(|_| !again) {
                    Some(user) => user,
                    None => self.resolve(name, deadline).await?,
                },
            });
        }
        Ok(users)
    }

    fn peer_path(&self, name: &handle::Handle) -> PathBuf {
        self.folder.join("peers").join(identity::file_name(name))
    }

    /// Whose handle it is, is remembered: look-ups are few per hour, and handles never change hands.
    fn remembered(&self, name: &handle::Handle) -> Option<UserId> {
        fs::read_to_string(self.peer_path(name)).ok().and_then(|text| UserId::parse(text.trim()))
    }

    /// All of those.
    pub fn remembered_handles(&self) -> BTreeMap<UserId, String> {
        let files = fs::read_dir(self.folder.join("peers")).into_iter().flatten().flatten();
        let known = files.filter_map(|file| {
            let user = UserId::parse(fs::read_to_string(file.path()).ok()?.trim())?;
            Some((user, identity::handle_of_file(file.file_name().to_str()?)?))
        });
        known.collect()
    }

    async fn resolve(&mut self, name: &handle::Handle, deadline: Option<Instant>) -> Result<UserId, Stop> {
        let user = self.ask(deadline, async |handle: &Handle| handle.resolve(name.as_str()).await).await?;
        let path = self.peer_path(name);
        if let Some(folder) = path.parent() {
            // Without it the next command asks again.
            let _ = fs::create_dir_all(folder).and_then(|()| identity::replace(folder, &path, &user.to_string()));
        }
        Ok(user)
    }

    /// Why there is no connection, in words.
    pub fn trouble(&self) -> String {
        self.handle.trouble().unwrap_or_else(|| "the server does not answer".to_owned())
    }

    /// A stop as the failure of a command that changed nothing. `what` was being done.
    pub fn failure(&self, stop: Stop, what: &str) -> Failure {
        match stop {
            Stop::Deadline => {
                let (url, trouble) = (&self.url, self.trouble());
                Failure::new("unreachable", format!("{what}: no answer from {url} in time: {trouble}"))
            }
            Stop::Interrupted => Failure::interrupted(format!("{what}: interrupted")),
            Stop::Refused(code) => Failure::refused(code, what),
            Stop::Failed(failure) => failure,
        }
    }

    /// Gives the server a moment to take what is marked as delivered or read.
    pub async fn report(&self) {
        // What it does not take, it is told the next time.
        let _ = timeout(REPORT_PATIENCE, self.handle.reported()).await;
    }

    /// Ends the session: its outbox is free, its last events are there.
    pub async fn close(&mut self) {
        // A peer that never answers the close is left.
        let _ = timeout(CLOSE_PATIENCE, self.handle.close()).await;
    }

    /// After [`Session::close`]: what it still told.
    pub async fn last_event(&mut self) -> Option<ClientEvent> {
        self.events.next().await
    }
}

/// Where a device keeps what it keeps on this machine.
pub(crate) fn device_folder(identity: &Identity) -> Result<PathBuf, Failure> {
    Ok(identity_folder(&folders::state()?, &identity.url, &identity.token))
}

/// Nobody can say any more what became of a message.
pub(crate) fn unknown(conversation: ConversationId) -> Failure {
    let text = format!(
        "whether the message to {conversation} was stored can no longer be found out; look at \
         `trunkline history {conversation} --reverse --limit 20` before you send it again"
    );
    Failure::new("unknown", text)
}
