//! The client's place in the changes of the user's list: what it has been told of, and when it asks what it missed.
//!
//! Checked by a randomized model: a position is taken over only from a list that was read to its end, or from an
//! `Advanced` that came behind it, begins no later than the own position and names nothing that is not there.

use std::collections::VecDeque;

use trunkline_wire::ids::ConversationId;
use trunkline_wire::message::schema;

use super::outlet::Outlet;
use super::views::{Misbehaved, id_of, number_of};
use crate::limits::{ADVANCED_WAITING_MAX, GAP_GRACE_MS};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// The next page is to be asked for.
    Due {
        at_ms: u64,
    },
    Asked,
    /// Nothing is known to be missing.
    Done,
}

/// A list of which some pages are there.
#[derive(Debug)]
struct Walk {
    from: u64,
    to: u64,
    /// The next page holds changes below this one; 0: it is the first.
    below: u64,
    replaces: bool,
}

/// An `Advanced` that speaks of messages which may be under way.
#[derive(Debug)]
struct Claim {
    from: u64,
    to: u64,
    places: Vec<(ConversationId, u64)>,
    due_ms: u64,
}

pub(super) struct Syncing {
    /// `None`: what this device has stored, which only the server knows.
    position: Option<u64>,
    /// The highest position that the server spoke of on this connection.
    goal: u64,
    stage: Stage,
    walk: Option<Walk>,
    claims: VecDeque<Claim>,
    failures: u32,
    /// A list was read to its end: what is not known now is new since.
    listed_once: bool,
    /// Nothing was missing when that was looked at last.
    was_done: bool,
}

impl Syncing {
    pub(super) fn new(position: Option<u64>) -> Syncing {
        Syncing {
            position,
            goal: 0,
            stage: Stage::Due { at_ms: 0 },
            walk: None,
            claims: VecDeque::new(),
            failures: 0,
            listed_once: false,
            was_done: false,
        }
    }

    pub(super) fn disconnect(&mut self) {
        (self.goal, self.failures, self.was_done) = (0, 0, false);
        self.stage = Stage::Due { at_ms: 0 };
        self.walk = None;
        self.claims.clear();
    }

    /// All changes up to here are known.
    pub(super) fn position(&self) -> u64 {
        self.position.unwrap_or(0)
    }

    /// Whether a list is asked for from wherever the server remembers.
    pub(super) fn has_no_position(&self) -> bool {
        self.position.is_none() && self.walk.is_none()
    }

    /// Whether no change is known to be missing. A list of several pages is no picture of one moment: what changed while
    /// they were read may be in none of them, and the position is behind what the last of them spoke of.
    pub(super) fn is_done(&self) -> bool {
        self.stage == Stage::Done && self.goal <= self.position()
    }

    pub(super) fn listed_once(&self) -> bool {
        self.listed_once
    }

    /// What to ask for now, if anything: changes behind a position (none: the stored one), below a number.
    pub(super) fn ask(&mut self, now_ms: u64) -> Option<(Option<u64>, u64)> {
        match self.stage {
            Stage::Due { at_ms } if at_ms <= now_ms => {
                self.stage = Stage::Asked;
                let next = |walk: &Walk| (Some(walk.from), walk.below);
                Some(self.walk.as_ref().map_or((self.position, 0), next))
            }
            _ => None,
        }
    }

    /// A page came; says whether it begins a list that replaces what was known.
    pub(super) fn page_begins(&mut self, page: &schema::Synced<'_>) -> Result<bool, Misbehaved> {
        if self.stage != Stage::Asked {
            return Err(Misbehaved);
        }
        let (from, to, replaces) = (number_of(page.from())?, number_of(page.to())?, page.resync());
        let skips = self.position.is_some_and(|position| from > position);
        match &self.walk {
            Some(_) if replaces => Err(Misbehaved),
            Some(_) => {
                self.goal = self.goal.max(to);
                Ok(false)
            }
            None if from > to || skips || replaces && from > 0 => Err(Misbehaved),
            None => {
                self.walk = Some(Walk { from, to, below: 0, replaces });
                self.goal = self.goal.max(to);
                Ok(replaces)
            }
        }
    }

    /// Whether the list that is being read replaces what was known, and its numbers lie above: a backup was restored. Below
    /// it would be a list that lost something.
    pub(super) fn tells_of_a_restore(&self) -> bool {
        let is_above = |walk: &Walk| walk.replaces && self.position.is_some_and(|position| walk.to > position);
        self.walk.as_ref().is_some_and(is_above)
    }

    /// A row of the page: they come in descending order.
    pub(super) fn row(&mut self, user_seq: u64) -> Result<(), Misbehaved> {
        let walk = self.walk.as_mut().ok_or(Misbehaved)?;
        if user_seq <= walk.from || walk.below > 0 && user_seq >= walk.below {
            return Err(Misbehaved);
        }
        walk.below = user_seq;
        Ok(())
    }

    /// The page is read. An `Advanced` that came before the last one counts as a goal only: what was read beside it may have
    /// been told before the row of its conversation was there, which may be older.
    pub(super) fn page_ends(&mut self, rows: usize, more: bool) -> Result<(), Misbehaved> {
        if more {
            self.stage = Stage::Due { at_ms: 0 };
            return if rows == 0 { Err(Misbehaved) } else { Ok(()) };
        }
        let walk = self.walk.take().ok_or(Misbehaved)?;
        let before = self.position.filter(|_| !walk.replaces);
        self.position = Some(before.map_or(walk.to, |position| position.max(walk.to)));
        self.stage = Stage::Done;
        self.claims.clear();
        Ok(())
    }

    /// The request was refused: again at a time, or (none) never on this connection.
    pub(super) fn refused(&mut self, out: &mut Outlet, retry_after_ms: Option<u32>) -> Result<(), Misbehaved> {
        if self.stage != Stage::Asked {
            return Err(Misbehaved);
        }
        self.stage = match retry_after_ms {
            Some(asked_ms) => Stage::Due { at_ms: self.later(out, asked_ms) },
            None => Stage::Done,
        };
        Ok(())
    }

    fn later(&mut self, out: &mut Outlet, asked_ms: u32) -> u64 {
        let at_ms = out.now_ms + out.retry_after(asked_ms, self.failures);
        self.failures = self.failures.saturating_add(1);
        at_ms
    }

    /// The server says what changed from one position to another.
    pub(super) fn advanced(&mut self, now_ms: u64, view: &schema::Advanced<'_>) -> Result<(), Misbehaved> {
        let (from, to) = (number_of(view.from())?, number_of(view.to())?);
        if from > to {
            return Err(Misbehaved);
        }
        let place = |place: &schema::Place| Ok((id_of(Some(place.conversation()))?, number_of(place.last_seq())?));
        let places = view.conversations().into_iter().flatten().map(place).collect::<Result<_, _>>()?;
        self.goal = self.goal.max(to);
        if self.claims.len() >= ADVANCED_WAITING_MAX {
            self.claims.pop_front();
        }
        self.claims.push_back(Claim { from, to, places, due_ms: now_ms + GAP_GRACE_MS });
        Ok(())
    }

    /// Takes over what the server said last as far as it is `known`, and notes when that is to be asked for. Says whether
    /// nothing is missing any more.
    pub(super) fn judge(&mut self, out: &mut Outlet, known: impl Fn(ConversationId, u64) -> bool) -> bool {
        self.take_over(out, known);
        let becomes_done = self.is_done() && !self.was_done;
        self.was_done = self.is_done();
        self.listed_once |= self.is_done() && self.position.is_some();
        becomes_done
    }

    fn take_over(&mut self, out: &mut Outlet, known: impl Fn(ConversationId, u64) -> bool) {
        let (Stage::Done, Some(mut position)) = (self.stage, self.position) else { return };
        while let Some(claim) = self.claims.front() {
            let is_known = || claim.places.iter().all(|&(conversation, seq)| known(conversation, seq));
            if claim.to > position {
                if claim.from > position || claim.due_ms <= out.now_ms && !is_known() {
                    self.claims.clear();
                    break;
                }
                if !is_known() {
                    break;
                }
                position = claim.to;
            }
            self.claims.pop_front();
        }
        self.position = Some(position);
        if self.goal <= position {
            self.failures = 0;
        } else if self.claims.is_empty() {
            // A list that was read and does not reach what was spoken of is asked for again, but not in a hurry.
            let at_ms = if self.failures == 0 { out.now_ms } else { self.later(out, 0) };
            self.failures = self.failures.max(1);
            self.stage = Stage::Due { at_ms };
        }
    }

    /// When something is to be done without anything else happening.
    pub(super) fn deadline_ms(&self) -> Option<u64> {
        match self.stage {
            Stage::Due { at_ms } => Some(at_ms),
            Stage::Asked => None,
            Stage::Done => self.claims.front().map(|claim| claim.due_ms),
        }
    }
}
