//! Sessions that ask what changed since their position: one [`CatchUp`] follows the pages of one Sync, [`CatchingUp`] is the
//! scenario in which many connections do so.

use std::collections::BTreeMap;

use trunkline_wire::ids::ConversationId;
use trunkline_wire::limits::SYNC_CONVERSATIONS_MAX;
use trunkline_wire::message::{Answer, schema};

use crate::clock::NS_PER_S;
use crate::failure::Failure;
use crate::fleet::{Arrival, Finite, Fleet, Scenario, unexpected};
use crate::outlet::Outlet;
use crate::refusals::{Refusal, Refusals};
use crate::statistics::Latencies;

/// The request of a page.
const SYNC: u32 = 2;
/// The request that stores a position.
const REPORT: u32 = 3;
/// Nothing was answered for so long: the run ends.
pub const PATIENCE_NS: u64 = 15 * NS_PER_S;

/// One Sync, page by page.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct CatchUp {
    /// Changes behind this position; 0: all conversations.
    pub position: u64,
    /// The position when all pages are there.
    pub to: u64,
    /// Last seq by conversation.
    pub changed: BTreeMap<ConversationId, u64>,
    /// Pages so far.
    pub pages: u64,
    /// The server could make nothing of the position, and sent everything.
    pub is_resync: bool,
    /// Lowest number of a change so far; 0: there is none.
    below: u64,
}

impl CatchUp {
    /// From a position on.
    #[must_use]
    pub fn new(position: u64) -> CatchUp {
        CatchUp { position, ..CatchUp::default() }
    }

    fn ask(&self, outlet: &mut Outlet, connection: u32) {
        let CatchUp { position, below, .. } = *self;
        let limit = SYNC_CONVERSATIONS_MAX as u16;
        outlet.push(connection, |encoder| encoder.sync(SYNC, Some(position), below, limit));
    }

    /// Takes a page in; whether it is the last.
    fn take(&mut self, page: &schema::Synced<'_>) -> Result<bool, String> {
        if self.pages == 0 {
            (self.to, self.is_resync) = (page.to(), page.resync());
        }
        let from = if page.resync() { 0 } else { self.position };
        if page.from() != from {
            return Err(format!("Synced from {} where {from} was asked for", page.from()));
        }
        self.pages += 1;
        let before = self.below;
        for summary in page.conversations().into_iter().flatten() {
            let (number, conversation) = (summary.user_seq(), summary.conversation());
            if number <= from || (self.below > 0 && number >= self.below) {
                return Err(format!("change {number} behind change {}, from position {from} on", self.below));
            }
            self.below = number;
            let conversation = conversation.map(|id| ConversationId(id.0)).ok_or("a conversation without an id")?;
            if self.changed.insert(conversation, summary.last_seq()).is_some() {
                return Err(format!("conversation {conversation} twice"));
            }
        }
        if page.more() && self.below == before {
            return Err("an empty page says that there is more".to_owned());
        }
        Ok(!page.more())
    }
}

/// Connections that catch up, each on its own.
pub struct CatchingUp {
    /// By connection.
    pub catch_ups: Vec<CatchUp>,
    /// By connection: since when it is about it.
    since_ns: Vec<u64>,
    /// Catch-ups under way.
    under_way: u32,
    /// Complete ones.
    pub done: u32,
    /// Positions that are stored.
    reported: u32,
    /// From the beginning of each to its last page.
    pub spent: Latencies,
    /// By connection.
    pub refusals: Refusals,
    pages: u64,
}

impl CatchingUp {
    /// Of connections at these positions.
    #[must_use]
    pub fn new(positions: &[u64]) -> CatchingUp {
        CatchingUp {
            catch_ups: positions.iter().map(|position| CatchUp::new(*position)).collect(),
            since_ns: vec![0; positions.len()],
            under_way: 0,
            done: 0,
            reported: 0,
            spent: Latencies::default(),
            refusals: Refusals::default(),
            pages: 0,
        }
    }

    /// A connection is about it from now on: it asks when it is welcomed, or, if it is, with [`CatchingUp::ask`].
    pub fn begin(&mut self, connection: u32, now_ns: u64) {
        self.since_ns[connection as usize] = now_ns;
        self.under_way += 1;
    }

    /// Asks for the next page.
    pub fn ask(&self, outlet: &mut Outlet, connection: u32) {
        self.catch_ups[connection as usize].ask(outlet, connection);
    }

    /// Catch-ups that are begun and not complete.
    #[must_use]
    pub fn under_way(&self) -> u32 {
        self.under_way
    }

    /// All connections, welcomed already, catch up and then store their new positions.
    ///
    /// # Errors
    /// What ends the run.
    pub fn run_and_report(&mut self, fleet: &mut Fleet, now_ns: u64) -> Result<(), Failure> {
        for connection in 0..self.catch_ups.len() as u32 {
            self.begin(connection, now_ns);
            self.ask(&mut fleet.outlet, connection);
        }
        fleet.finish(self, PATIENCE_NS, "lists of conversations")?;
        let mut reporting = Reporting(self);
        (0..reporting.0.catch_ups.len() as u32).for_each(|connection| reporting.ask(&mut fleet.outlet, connection));
        fleet.finish(&mut reporting, PATIENCE_NS, "positions to be stored")
    }

    fn take_page(&mut self, outlet: &mut Outlet, arrival: Arrival, page: &schema::Synced<'_>) -> Result<(), Failure> {
        let connection = arrival.connection;
        let taken = self.catch_ups[connection as usize].take(page);
        let is_last = taken.map_err(|text| Failure::Server(format!("Sync of connection {connection}: {text}")))?;
        self.pages += 1;
        if is_last {
            self.under_way -= 1;
            self.done += 1;
            self.spent.record(arrival.now_ns.saturating_sub(self.since_ns[connection as usize]));
        } else {
            self.ask(outlet, connection);
        }
        Ok(())
    }
}

impl Scenario for CatchingUp {
    fn answered(&mut self, outlet: &mut Outlet, arrival: Arrival, answer: &Answer<'_>) -> Result<(), Failure> {
        match (answer, arrival.request) {
            (Answer::Synced(page), SYNC) => self.take_page(outlet, arrival, page),
            (Answer::Error(error), SYNC) => {
                let place = || format!("Sync of connection {}", arrival.connection);
                self.refusals.take(arrival.now_ns, arrival.connection, &Refusal::of_error(error), place)
            }
            _ => Err(unexpected(arrival, answer)),
        }
    }

    fn welcomed(&mut self, outlet: &mut Outlet, arrival: Arrival) -> Result<(), Failure> {
        self.ask(outlet, arrival.connection);
        Ok(())
    }
}

impl Finite for CatchingUp {
    fn is_done(&self) -> bool {
        self.under_way == 0
    }

    fn progress(&self) -> u64 {
        self.pages
    }

    fn repeat_due(&mut self, outlet: &mut Outlet, now_ns: u64) {
        while let Some(connection) = self.refusals.pop_due(now_ns) {
            self.ask(outlet, connection);
        }
    }
}

/// The same connections store where they are.
struct Reporting<'a>(&'a mut CatchingUp);

impl Reporting<'_> {
    fn ask(&self, outlet: &mut Outlet, connection: u32) {
        let position = self.0.catch_ups[connection as usize].to;
        outlet.push(connection, |encoder| encoder.report(REPORT, position, &[]));
    }
}

impl Scenario for Reporting<'_> {
    fn answered(&mut self, _: &mut Outlet, arrival: Arrival, answer: &Answer<'_>) -> Result<(), Failure> {
        match (answer, arrival.request) {
            (Answer::Done(_), REPORT) => {
                self.0.reported += 1;
                Ok(())
            }
            (Answer::Error(error), REPORT) => {
                let place = || format!("Report of connection {}", arrival.connection);
                self.0.refusals.take(arrival.now_ns, arrival.connection, &Refusal::of_error(error), place)
            }
            _ => Err(unexpected(arrival, answer)),
        }
    }
}

impl Finite for Reporting<'_> {
    fn is_done(&self) -> bool {
        self.0.reported == self.0.catch_ups.len() as u32
    }

    fn progress(&self) -> u64 {
        self.0.reported.into()
    }

    fn repeat_due(&mut self, outlet: &mut Outlet, now_ns: u64) {
        while let Some(connection) = self.0.refusals.pop_due(now_ns) {
            self.ask(outlet, connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_wire::ids::UserId;
    use trunkline_wire::message::{Encoder, Summary, decode_answer};

    fn summary(conversation: u8, user_seq: u64) -> Summary<'static> {
        let conversation = ConversationId([conversation; 16]);
        let (peer, last_seq) = (UserId(0), user_seq * 10);
        Summary { conversation, kind: 2, peer, last_seq, user_seq, read_seq: 0, joined_seq: 1, left_seq: 0, title: "" }
    }

    fn take(
        catch_up: &mut CatchUp,
        span: (u64, u64),
        rows: &[(u8, u64)],
        more: bool,
        resync: bool,
    ) -> Result<bool, String> {
        let summaries: Vec<_> = rows.iter().map(|&(conversation, number)| summary(conversation, number)).collect();
        let mut envelope = Vec::new();
        Encoder::new().synced(SYNC, span, &summaries, more, resync).write_envelope(&mut envelope);
        let (_, Answer::Synced(page)) = decode_answer(&envelope).unwrap() else { panic!() };
        catch_up.take(&page)
    }

    #[test]
    fn pages_go_down_to_the_position() {
        let mut catch_up = CatchUp::new(4);
        assert_eq!(take(&mut catch_up, (4, 20), &[(1, 20), (2, 17)], true, false), Ok(false));
        assert_eq!(catch_up.below, 17);
        assert_eq!(take(&mut catch_up, (4, 25), &[(3, 5)], false, false), Ok(true));
        let changed: Vec<_> = catch_up.changed.iter().map(|(id, seq)| (id.0[0], *seq)).collect();
        assert_eq!(changed, [(1, 200), (2, 170), (3, 50)]);
        assert_eq!((catch_up.to, catch_up.pages, catch_up.is_resync), (20, 2, false));
    }

    #[test]
    fn nothing_new_is_an_answer_and_a_resync_is_everything() {
        let mut catch_up = CatchUp::new(4);
        assert_eq!(take(&mut catch_up, (4, 4), &[], false, false), Ok(true));
        let mut catch_up = CatchUp::new(4);
        assert_eq!(take(&mut catch_up, (0, 9), &[(1, 2)], false, true), Ok(true));
        assert!(catch_up.is_resync);
    }

    #[test]
    fn wrong_pages_are_noticed() {
        let judge = |span, rows: &[(u8, u64)], more| take(&mut CatchUp::new(4), span, rows, more, false);
        assert!(judge((3, 9), &[], false).unwrap_err().contains("from 3"));
        assert!(judge((4, 9), &[(1, 4)], false).unwrap_err().contains("change 4"));
        assert!(judge((4, 9), &[(1, 8), (2, 8)], false).unwrap_err().contains("change 8 behind change 8"));
        assert!(judge((4, 9), &[(1, 8), (1, 7)], false).unwrap_err().contains("twice"));
        assert!(judge((4, 9), &[], true).unwrap_err().contains("empty page"));
    }
}
