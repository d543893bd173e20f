//! Devices whose tokens are worth nothing any more: their sessions end, and none begins.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use trunkline_wire::ids::DeviceId;
use trunkline_wire::violation::Violation;

use super::Users;
use crate::accounts::answer;
use crate::contract::{AdminAnswer, Ticket};
use crate::desk::Purpose;
use crate::store::{Put, PutOutcome, Revocation, StoreFault, UserKey};
use crate::turn::Turn;

/// Revocations that are kept before those that have ended are looked for.
const KEPT_MIN: usize = 64;

/// The revocations in force, of the users this shard is home of.
pub(super) struct Revoked {
    of: HashMap<(UserKey, Option<DeviceId>), Revocation, FixedState>,
    /// So many, and those that have ended are looked for.
    tidy_at: usize,
}

impl Revoked {
    pub fn new() -> Revoked {
        Revoked { of: HashMap::with_hasher(FixedState::with_seed(0)), tidy_at: KEPT_MIN }
    }

    /// Whether a token of this device that was issued then is worth nothing.
    fn has(&self, key: UserKey, device: DeviceId, issued_s: u64) -> bool {
        let revocations = [None, Some(device)].into_iter().filter_map(|device| self.of.get(&(key, device)));
        revocations.into_iter().any(|revocation| issued_s <= revocation.issued_to_s)
    }

    fn remember(&mut self, revocation: Revocation, now_s: u64) {
        if self.of.len() >= self.tidy_at {
            self.of.retain(|_, revocation| revocation.until_s > now_s);
            self.tidy_at = KEPT_MIN.max(2 * self.of.len());
        }
        let kept = self.of.entry((revocation.key, revocation.device)).or_insert(revocation);
        kept.until_s = kept.until_s.max(revocation.until_s);
        kept.issued_to_s = kept.issued_to_s.max(revocation.issued_to_s);
    }
}

impl Users {
    /// Takes over what was revoked before this process began, as far as it is of users of this shard.
    pub fn take_revocations(&mut self, revocations: impl Iterator<Item = Revocation>, now_s: u64) {
        revocations.for_each(|revocation| self.revoked.remember(revocation, now_s));
    }

    /// Whether a token of this device that was issued then is worth nothing.
    pub fn is_revoked(&self, key: UserKey, device: DeviceId, issued_s: u64) -> bool {
        self.revoked.has(key, device, issued_s)
    }

    /// An administrator revokes: it is in force when it is durable.
    pub fn revoke(&mut self, turn: &mut Turn<'_>, ticket: Ticket, revocation: Revocation) {
        if !turn.shared.desk.can_put(&turn.shared.limits) {
            return answer(turn, ticket, AdminAnswer::Busy);
        }
        let put = Put::Revoke { revocation, now_s: turn.now.wall_ms / 1_000 };
        turn.shared.desk.put(Purpose::Revocation(ticket, revocation), put, turn.effects);
    }

    /// The store has answered. A session that is being started meanwhile meets the revocation there, or here.
    pub fn revocation_stored(
        &mut self,
        turn: &mut Turn<'_>,
        ticket: Ticket,
        revocation: Revocation,
        stored: Result<PutOutcome, StoreFault>,
    ) {
        match stored {
            Ok(_) => {
                self.revoked.remember(revocation, turn.now.wall_ms / 1_000);
                self.end_sessions(turn, revocation.key, revocation.device, Violation::TokenInvalid);
                answer(turn, ticket, AdminAnswer::Revoked);
            }
            Err(StoreFault::Full) => answer(turn, ticket, AdminAnswer::StorageFull),
            Err(StoreFault::Unknown) => answer(turn, ticket, AdminAnswer::StorageUnavailable),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use trunkline_wire::ids::UserId;
    use trunkline_wire::message::ErrorCode;

    use super::*;
    use crate::contract::Effect;
    use crate::entry::{Entry, HomeAnswer, HomeRequest};
    use crate::limits::Limits;
    use crate::users::rig::{Asked, Rig, user};

    const NOW_S: u64 = 1;

    fn revocation(device: Option<u32>, issued_to_s: u64) -> Revocation {
        Revocation { until_s: 100, key: user(0), device: device.map(DeviceId), issued_to_s }
    }

    /// Revokes, with this answer of the store; what the administrator is told.
    fn revoke(rig: &mut Rig, revocation: Revocation, stored: Result<PutOutcome, StoreFault>) -> AdminAnswer {
        rig.turn(|users, turn| users.revoke(turn, Ticket(9), revocation));
        let (ticket, asked) = rig.asked.pop().expect("the store is asked");
        rig.shared.desk.take(ticket);
        assert!(matches!(asked, Asked::Put(Put::Revoke { revocation: put, now_s: NOW_S }) if put == revocation));
        let mut told = None;
        rig.turn(|users, turn| {
            users.revocation_stored(turn, Ticket(9), revocation, stored);
            let effects: Vec<Effect> = turn.effects.drain().collect();
            for effect in effects {
                match effect {
                    Effect::Answer { ticket: Ticket(9), answer } => told = Some(answer),
                    other => turn.effects.push(other),
                }
            }
        });
        told.expect("the administrator is told")
    }

    fn ended(rig: &Rig) -> Vec<u32> {
        let ended = rig.posted.iter().filter_map(|entry| match entry {
            Entry::EndSession { connection, violation: Violation::TokenInvalid } => Some(connection.slot),
            _ => None,
        });
        ended.collect()
    }

    #[test]
    fn sessions_of_a_revoked_device_end_and_none_begins() {
        let mut rig = Rig::new(Limits::default(), 10_000, 1);
        rig.start_session(user(0), 1);
        rig.start_session(user(1), 2);
        assert_eq!(revoke(&mut rig, revocation(Some(1), 50), Ok(PutOutcome::Done)), AdminAnswer::Revoked);
        assert_eq!((ended(&rig), rig.users.sessions_open()), (vec![1], 1));
        assert!(rig.users.is_revoked(user(0), DeviceId(1), 50));
        assert!(!rig.users.is_revoked(user(0), DeviceId(1), 51), "it was issued later");
        assert!(!rig.users.is_revoked(user(0), DeviceId(2), 0) && !rig.users.is_revoked(user(1), DeviceId(1), 0));
        let caller = Rig::caller(user(0), 3);
        rig.request(0, HomeRequest::StartSession { caller, issued_s: 50 });
        let answer = rig.posted.pop();
        let is_refused = |answer: &HomeAnswer| matches!(answer, HomeAnswer::Refused(ErrorCode::TokenInvalid, _));
        assert!(matches!(answer, Some(Entry::Answer { answer, .. }) if is_refused(&answer)));
        assert_eq!(rig.users.sessions_open(), 1);
    }

    #[test]
    fn all_devices_of_a_user_may_be_revoked() {
        let mut rig = Rig::new(Limits::default(), 10_000, 1);
        rig.start_session(user(0), 1);
        rig.start_session(user(0), 2);
        assert_eq!(revoke(&mut rig, revocation(None, 7), Ok(PutOutcome::Done)), AdminAnswer::Revoked);
        assert_eq!((ended(&rig), rig.users.sessions_open()), (vec![1, 2], 0));
        assert!((1..9).all(|device| rig.users.is_revoked(user(0), DeviceId(device), 7)));
    }

    #[test]
    fn what_is_not_durable_is_not_in_force() {
        let mut rig = Rig::new(Limits::default(), 10_000, 1);
        rig.start_session(user(0), 1);
        for (fault, told) in
            [(StoreFault::Full, AdminAnswer::StorageFull), (StoreFault::Unknown, AdminAnswer::StorageUnavailable)]
        {
            assert_eq!(revoke(&mut rig, revocation(Some(1), 50), Err(fault)), told);
            assert_eq!((ended(&rig).len(), rig.users.is_revoked(user(0), DeviceId(1), 0)), (0, false));
        }
    }

    #[test]
    fn only_what_is_in_force_is_kept() {
        let mut revoked = Revoked::new();
        for n in 0..10_000 {
            let key = UserKey { user: UserId(n), ..user(0) };
            revoked.remember(Revocation { until_s: n + 50, key, device: None, issued_to_s: n }, n);
        }
        assert!(revoked.of.len() <= 200, "{}", revoked.of.len());
        let last = UserKey { user: UserId(9_999), ..user(0) };
        assert!(revoked.has(last, DeviceId(3), 9_999));
        revoked.remember(Revocation { until_s: 1, key: last, device: None, issued_to_s: 1 }, 0);
        assert!(revoked.has(last, DeviceId(3), 9_999), "an earlier one takes nothing back");
    }
}
