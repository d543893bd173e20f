//! The end: the faults are over, and everything comes to rest as it must.

use std::collections::BTreeMap;

use trunkline_client::core::Summary;
use trunkline_shards::contract::{AdminRequest, Ticket};
use trunkline_shards::store::{ConversationKey, ListRow, Load, Loaded, UserKey};
use trunkline_shards::{Event, ShardId};
use trunkline_wire::ids::{ConversationId, HASH_SLOTS, UserId};

use super::World;
use crate::oracle::lists::truth;
use crate::oracle::logs::Window;
use crate::oracle::watermarks::Mark;
use crate::oracle::{TENANT, Verdict};
use crate::person::{Habit, Person, Recall};

/// Simulated time and steps within which everything has come to rest once the faults have ended.
const REST_NS: u64 = 240 * 1_000_000_000;
/// A world whose bytes arrive a few at a time takes a million.
const REST_STEPS: usize = 5_000_000;
/// Nothing is kept longer than this for its own sake.
const KEPT_NS: u64 = 600 * 1_000_000_000;
/// Whatever is to be done within this time is waited for.
const SOON_NS: u64 = 10 * 1_000_000_000;
/// Steps between two looks at whether everything rests.
const LOOK_STEPS: usize = 128;

/// What a list says of each conversation: the window, the newest seq, what was read.
type List = BTreeMap<ConversationId, (Window, u64, u64)>;

impl World {
    /// Lets everything come to rest, twice, and looks at what is there then.
    pub(super) fn come_to_rest(&mut self) {
        self.wait_for("rest", World::unrest);
        self.ask_all_members();
        self.wait_for("all answers", World::unanswered);
        self.disturb();
        self.wait_for("rest", World::unrest);
        self.everybody_leaves();
        self.wait_for("idleness", World::busyness);
        self.let_time_pass();
        self.wait_for("idleness", World::busyness);
        if self.violation.is_none() {
            let verdict = self.check_memory().and_then(|()| self.check_all());
            self.break_off(verdict);
        }
    }

    /// REL-23: it comes in time.
    fn wait_for(&mut self, what: &str, missing: impl Fn(&mut World) -> Result<Option<String>, String>) {
        let deadline = self.mono_ns + REST_NS;
        for steps in 0.. {
            if self.violation.is_some() {
                return;
            }
            if steps % LOOK_STEPS == 0 {
                let late = steps >= REST_STEPS || self.mono_ns > deadline;
                match missing(self) {
                    Ok(None) => return,
                    Ok(Some(missing)) if late => self.break_off(Err(format!("REL-23: no {what}: {missing}"))),
                    Ok(Some(_)) => {}
                    Err(violation) => self.break_off(Err(violation)),
                }
            }
            self.step();
        }
    }

    /// What is not at rest.
    fn unrest(&mut self) -> Result<Option<String>, String> {
        let open = self.oracle.texts.open();
        if open > 0 {
            return Ok(Some(format!("{open} texts are open")));
        }
        if let Some(number) = self.persons.iter().position(|person| !person.connected) {
            return Ok(Some(format!("person {number} is not connected")));
        }
        if let Some(number) = self.persons.iter().position(|person| !person.client().is_reported()) {
            return Ok(Some(format!("REL-6: person {number} goes on reporting")));
        }
        if self.store.has_writes() || self.store.has_loads() {
            return Ok(Some("the store is at work".to_owned()));
        }
        self.oracle.logs.read_all(&self.store, &self.oracle.texts)?;
        if let Some(marked) = self.marked() {
            return Ok(Some(format!("positions: marks are left: {marked:?}")));
        }
        for user in self.users() {
            let truth = truth(&self.oracle.logs, user);
            let list = stored_list(&self.rows_of(user));
            if let Some(wrong) = self.wrong_list(user, &truth, &list) {
                return Ok(Some(format!("the stored list of {user}: {wrong}")));
            }
            for number in (0..self.persons.len()).filter(|&number| self.persons[number].user == user) {
                if let Some(wrong) = self.wrong_person(number, &truth) {
                    let (habit, device) = (self.persons[number].habit, self.persons[number].device.0);
                    return Ok(Some(format!("person {number} ({user}, device {device}, {habit:?}): {wrong}")));
                }
            }
        }
        Ok(None)
    }

    fn wrong_person(&self, number: usize, truth: &BTreeMap<ConversationId, (Window, u64)>) -> Option<String> {
        let person = &self.persons[number];
        for (&id, &(window, visible)) in truth {
            let shown = person.shown().last(id);
            let known = self.known_of_old(person, id);
            if shown != visible && (person.habit != Habit::Listens || shown != 0 || known < visible) {
                return Some(format!("REL-4: its stream of {id} is at {shown}, of {visible} in {window:?}"));
            }
        }
        let list = sdk_list(person.client().conversations());
        let partial = person.habit == Habit::Listens;
        let truth = truth.iter().filter(|(id, _)| !partial || list.contains_key(id));
        let wrong = self.wrong_list(person.user, &truth.map(|(id, place)| (*id, *place)).collect(), &list);
        wrong.map(|wrong| format!("its list: {wrong}"))
    }

    /// Whether a list is the truth.
    fn wrong_list(&self, user: UserId, truth: &BTreeMap<ConversationId, (Window, u64)>, list: &List) -> Option<String> {
        let more = list.keys().find(|id| !truth.contains_key(id));
        if let Some(id) = more {
            return Some(format!("positions: {id} is in it: {:?}", list[id]));
        }
        for (&id, &(window, visible)) in truth {
            let Some(&(listed, last_seq, read_seq)) = list.get(&id) else {
                return Some(format!("positions: {id} is missing: {window:?}, {visible}"));
            };
            if (listed, last_seq) != (window, visible) {
                return Some(format!("positions: {id} is {listed:?}, {last_seq}; in truth {window:?}, {visible}"));
            }
            let (least, most) = self.bounds(user, id);
            if read_seq < least.read || read_seq > most.read {
                return Some(format!("REL-6: {id} is read up to {read_seq}, not between {least:?} and {most:?}"));
            }
        }
        None
    }

    /// What a user's processes now say of themselves, as far as the user may see it, and the most that ever was reported.
    fn bounds(&self, user: UserId, conversation: ConversationId) -> (Mark, Mark) {
        let visible = self.oracle.logs.log(conversation).map_or(0, |log| log.visible(user));
        let joined = self.oracle.logs.log(conversation).and_then(|log| log.window(user)).map_or(0, |w| w.joined);
        let of_user = self.persons.iter().filter(|person| person.user == user);
        let marks = of_user.filter_map(|person| person.kept.marked.get(&conversation));
        let least = marks.fold(Mark::default(), |least, mark| least.max(*mark));
        let member = self.oracle.logs.log(conversation).is_some_and(|log| log.is_member(user));
        let within = |seq: u64| if seq < joined || !member { 0 } else { seq.min(visible) };
        let least = Mark { delivered: within(least.delivered), read: within(least.read) };
        (least, self.oracle.watermarks.of_user(conversation, user))
    }

    pub(super) fn rows_of(&self, user: UserId) -> Vec<ListRow> {
        let load = Load::List { key: UserKey { tenant: TENANT, user }, above: 0, below: u64::MAX, rows_max: u32::MAX };
        let Loaded::List(rows, _) = self.store.read(&load) else { unreachable!("a list is a list") };
        rows
    }

    /// Conversations that the store says are not announced. A mark whose append never came to be says nothing.
    fn marked(&self) -> Option<Vec<ConversationKey>> {
        let load = Load::Marks { from_slot: 0, to_slot: HASH_SLOTS - 1, after: None, marks_max: 100 };
        let Loaded::Marks(mut marked, _) = self.store.read(&load) else { unreachable!("marks are marks") };
        marked.retain(|key| self.oracle.logs.log(key.conversation).is_some_and(|log| log.last() > 0));
        (!marked.is_empty()).then_some(marked)
    }

    // ---- the rounds

    fn ask_all_members(&mut self) {
        for number in 0..self.persons.len() {
            let user = self.persons[number].user;
            let own = self
                .oracle
                .logs
                .ids()
                .filter(|&id| self.oracle.logs.log(id).is_some_and(|log| log.last() > 0 && log.is_member(user)));
            for id in own.collect::<Vec<_>>() {
                self.ask_members(number, id);
            }
            self.poll_person(number);
        }
    }

    fn unanswered(&mut self) -> Result<Option<String>, String> {
        let waiting = self.persons.iter().position(|person| person.asked > 0);
        Ok(waiting.map(|number| format!("person {number} waits for {} answers", self.persons[number].asked)))
    }

    /// Whoever comes back, comes back to the same.
    fn disturb(&mut self) {
        if self.violation.is_some() {
            return;
        }
        self.mark("second_rests");
        match self.dice.below(4) {
            0 => (0..self.links.len()).for_each(|_| self.cut_link()),
            1 => {
                for number in 0..self.persons.len() {
                    self.restart_person(number, false, Recall::Newest);
                }
            }
            2 => {
                self.incarnation += u64::from(self.dice.percent(30));
                self.crash_process();
                self.start_process();
            }
            _ => {
                for number in 0..self.persons.len() {
                    self.restart_person(number, false, Recall::Older);
                }
            }
        }
    }

    fn everybody_leaves(&mut self) {
        for number in 0..self.persons.len() {
            let now_ms = self.now_ms();
            self.persons[number].ask(|client| client.close(now_ms));
            self.poll_person(number);
        }
    }

    /// What is kept for a while is kept no longer, once a shard looks at it.
    fn let_time_pass(&mut self) {
        self.mono_ns += KEPT_NS;
        let shards = self.process.as_ref().map_or(0, |process| process.shards.len());
        for shard in 0..shards {
            self.apply(shard as ShardId, Event::Admin { ticket: Ticket(0), request: AdminRequest::Counters });
        }
    }

    fn busyness(&mut self) -> Result<Option<String>, String> {
        let Some(process) = &self.process else { return Ok(None) };
        let (open, soon) = (process.links.len(), process.next_deadline().filter(|at| *at < self.mono_ns + SOON_NS));
        if open == 0 && soon.is_none() && !self.is_busy() {
            return Ok(None);
        }
        let busy = (process.is_busy(), self.store.has_writes(), self.store.has_loads());
        Ok(Some(format!("{open} connections are open, (shards, writes, reads) {busy:?}, next at {soon:?}")))
    }

    // ---- what is there then

    /// REL-12: nothing is needed any more, so what is kept for convenience keeps within its budget.
    fn check_memory(&self) -> Verdict {
        let Some(process) = &self.process else { return Ok(()) };
        let most = self.options.limits.cache_bytes_max;
        process.shards.iter().enumerate().try_for_each(|(number, shard)| {
            let counters = shard.counters();
            let entries = counters.conversations_cached + counters.users_cached;
            let good = counters.cache_bytes <= most && (counters.cache_bytes > 0) == (entries > 0);
            let bytes = counters.cache_bytes;
            if good {
                Ok(())
            } else {
                Err(format!("REL-12: shard {number} keeps {entries} entries of {bytes} bytes in {most}"))
            }
        })
    }

    fn check_all(&mut self) -> Verdict {
        self.oracle.logs.read_all(&self.store, &self.oracle.texts)?;
        self.oracle.logs.check_still_there(&self.store)?;
        self.oracle.texts.check_fates(&self.oracle.logs)?;
        self.count_shapes();
        self.check_receipts()
    }

    /// REL-6: what is stored of watermarks is what was reported and may be seen, and no less than what is known to be.
    fn check_receipts(&self) -> Verdict {
        for id in self.oracle.logs.ids() {
            let key = ConversationKey { tenant: TENANT, conversation: id };
            let Loaded::Conversation(image) = self.store.read(&Load::Conversation { key }) else {
                unreachable!("a conversation is one")
            };
            let (Some(image), Some(log)) = (image, self.oracle.logs.log(id)) else { continue };
            let everyone = log.everyone();
            if let Some(receipt) = image.receipts.iter().find(|receipt| !everyone.contains(&receipt.user)) {
                return Err(format!("REL-6: {} never was in {id} and has a watermark: {receipt:?}", receipt.user));
            }
            for user in everyone {
                let of_user = image.receipts.iter().filter(|receipt| receipt.user == user);
                let stored = of_user.fold(Mark::default(), |most, receipt| {
                    most.max(Mark { delivered: receipt.delivered_seq, read: receipt.read_seq })
                });
                self.oracle.watermarks.check(id, log, user, stored)?;
                let (least, _) = self.bounds(user, id);
                if log.is_member(user) && stored.max(least) != stored {
                    return Err(format!("REL-6: {user} is stored at {stored:?} of {id}, it said {least:?}"));
                }
            }
        }
        Ok(())
    }

    /// Situations that only the logs tell.
    fn count_shapes(&mut self) {
        let (mut readds, mut large) = (0, 0);
        for log in self.oracle.logs.ids().filter_map(|id| self.oracle.logs.log(id)) {
            let everyone = log.everyone();
            readds += everyone.iter().filter(|user| log.windows(**user).len() > 1).count() as u64;
            let most = self.options.limits.fan_out_members_max as usize;
            large += u64::from(log.last() > 0 && (1..=log.last()).any(|seq| log.members_at(seq).len() > most));
        }
        self.report.mark("readds", readds);
        self.report.mark("groups_large", large);
    }

    /// What a listener's device confirmed, or what was there when it began.
    pub(super) fn known_of_old(&self, person: &Person, conversation: ConversationId) -> u64 {
        if person.begins_anywhere(conversation) {
            return u64::MAX;
        }
        let of_device = self.confirmed.get(&(person.user, person.device, conversation)).copied();
        let key = ConversationKey { tenant: TENANT, conversation };
        let Loaded::Conversation(image) = self.store.read(&Load::Conversation { key }) else {
            unreachable!("a conversation is a conversation")
        };
        // Another process of the device may have said so, also from what it has stored.
        let receipts = image.into_iter().flat_map(|image| image.receipts);
        let reported = receipts.filter(|receipt| (receipt.user, receipt.device) == (person.user, person.device));
        let reported = reported.map(|receipt| receipt.delivered_seq).max();
        of_device.unwrap_or(0).max(reported.unwrap_or(0))
    }
}

fn stored_list(rows: &[ListRow]) -> List {
    let place = |row: &ListRow| {
        let window = Window { joined: row.joined_seq, left: row.left_seq };
        (row.conversation, (window, row.last_seq, row.read_seq))
    };
    rows.iter().map(place).collect()
}

fn sdk_list<'a>(summaries: impl Iterator<Item = &'a Summary>) -> List {
    let place = |summary: &Summary| {
        let window = Window { joined: summary.joined_seq, left: summary.left_seq.unwrap_or(u64::MAX) };
        (summary.conversation, (window, summary.last_seq, summary.read_seq))
    };
    summaries.map(place).collect()
}
