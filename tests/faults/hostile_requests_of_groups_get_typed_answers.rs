//! Requests about groups, lists, watermarks and typing that ask for nothing sensible, too much, or what is somebody else's.
//!
//! Set-up: a server with default limits, a group of two who listen, and people who ask for the impossible: lists of nobody,
//! of a user 0 and of 1,025; bodies that lie about their size; watermarks beyond the end; positions and limits at the edges of
//! their numbers; thousands of Typings and Reports.
//! Claim: each is answered, with a typed error where it is none, which is counted; the connection is served on; nobody else
//! hears anything of it; the group is as it was, and the server serves.

use std::time::Duration;

use trunkline_tests::server::{Account, Server};
use trunkline_wire::ids::{ConversationId, UserId};
use trunkline_wire::message::{Change, Encoded, Encoder, ErrorCode, Op, Receipt};
use trunkline_wire::websocket::Opcode;

use crate::ear::{Reply, receipt};
use crate::peer::Peer;
use crate::rig;

const QUIET: Duration = Duration::from_millis(250);

/// A group of two, who listen, and somebody who is up to no good.
struct Scene {
    server: Server,
    users: Vec<Account>,
    admin: Peer,
    member: Peer,
    mallory: Peer,
    group: ConversationId,
}

fn begin() -> Scene {
    let server = rig::serve(&["limits.list_every_ms=50", "limits.receipts_every_ms=50"]);
    let users = server.add_users(5);
    let login = |account: &Account| Peer::login(rig::address(&server), &account.token);
    let (mut admin, mut member, mallory) = (login(&users[0]), login(&users[1]), login(&users[2]));
    let group = admin.create_group(1, "quiet", &[users[1].user]).expect("a group").conversation;
    admin.say(group, "hush").expect("a message");
    admin.pushed(QUIET);
    member.pushed(QUIET);
    Scene { server, users, admin, member, mallory, group }
}

impl Scene {
    /// Nobody heard anything, the group is as it was, the server serves.
    fn end(mut self) {
        assert_eq!((self.admin.pushed(QUIET), self.member.pushed(QUIET)), (vec![], vec![]), "somebody heard of it");
        let opened = self.admin.look(self.group).expect("the admin is a member");
        assert_eq!((opened.last_seq, opened.members), (2, 2), "the group has changed");
        assert_eq!(self.admin.sync(0).rows.len(), 1);
        assert_eq!(self.mallory.sync(0).rows, []);
        rig::assert_serves(&self.server, &self.users[3], &self.users[4]);
    }
}

/// It is answered with this error, which is counted.
fn errs(server: &Server, peer: &mut Peer, what: &str, code: ErrorCode, ask: impl Fn(&mut Encoder, u32) -> Encoded<'_>) {
    let reply = rig::counted(server, &format!("error.{}", code.name()), || peer.ask(&ask));
    assert!(matches!(reply, Reply::Error { code: told, .. } if told == code), "{what}: {reply:?}");
}

#[test]
fn lists_of_users_that_are_none() {
    let _shared = rig::among_others();
    let mut scene = begin();
    let (server, admin, group) = (&scene.server, &mut scene.admin, scene.group);
    let many: Vec<UserId> = (1..=1_025).map(UserId).collect();
    let with_nobody = [UserId(0)];
    let with_zero = [scene.users[2].user, UserId(0)];
    for users in [&with_nobody[..], &with_zero, &many] {
        let what = format!("{} users", users.len());
        errs(server, admin, &what, ErrorCode::Malformed, |encoder, request| {
            encoder.create_group(request, 5, "a title", users)
        });
        for change in [Change::Added, Change::Removed] {
            errs(server, admin, &what, ErrorCode::Malformed, |encoder, request| {
                encoder.change_members(request, group, change, users)
            });
        }
    }
    errs(server, admin, "a change of nobody", ErrorCode::Malformed, |encoder, request| {
        encoder.change_members(request, group, Change::Added, &[])
    });
    let who = [scene.users[2].user];
    errs(server, admin, "creating what is there", ErrorCode::Malformed, |encoder, request| {
        encoder.change_members(request, group, Change::Created, &who)
    });
    // As many as a group can hold, of whom but one is there: that one is not added either.
    let crowd: Vec<UserId> = many[..1_022].iter().copied().chain(who).collect();
    errs(server, admin, "1,022 who do not exist", ErrorCode::UnknownPeer, |encoder, request| {
        encoder.create_group(request, 6, "a title", &crowd)
    });
    assert_eq!(admin.remove(group, &crowd), Ok(0), "none of them is a member");
    scene.end();
}

/// A watermark for each of so many ids.
fn receipts(count: u8, seq: u64) -> Vec<Receipt> {
    (0..=count).map(|number| receipt(ConversationId([number; 16]), seq, seq)).collect()
}

#[test]
fn watermarks_that_are_none() {
    let _shared = rig::among_others();
    let mut scene = begin();
    let (group, server) = (scene.group, &scene.server);
    let mut many = receipts(u8::MAX, 1);
    assert_eq!(scene.mallory.report(0, &many), Ok(()), "256 of conversations that do not exist");
    many.push(receipt(group, 1, 1));
    errs(server, &mut scene.mallory, "257 watermarks", ErrorCode::Malformed, |encoder, request| {
        encoder.report(request, 0, &many)
    });
    let beyond = [receipt(group, u64::MAX, u64::MAX), receipt(group, 0, 0), receipt(group, 3, 1 << 63)];
    for _ in 0..50 {
        assert_eq!(scene.mallory.report(0, &beyond), Ok(()), "of a group of others");
        assert_eq!(scene.mallory.report(u64::MAX, &[]), Ok(()), "a position from nowhere");
    }
    let stored = scene.mallory.sync_in_pages(None, 10);
    assert_eq!((stored.rows.len(), stored.resync), (0, true), "a position from nowhere is one that means nothing");
    let members = scene.admin.members(group).expect("the admin is a member");
    assert!(members.iter().all(|member| (member.delivered_seq, member.read_seq) == (0, 0)), "{members:?}");
    // A member's own go as far as there is something.
    assert_eq!(scene.member.report(0, &beyond), Ok(()));
    let told = scene.admin.hear_push("the member's ticks", |reply| match reply {
        Reply::Receipts(_, told) => Some(told.clone()),
        _ => None,
    });
    assert_eq!((told.len(), told[0].delivered_seq, told[0].read_seq), (1, 2, 2));
    scene.member.pushed(QUIET);
    scene.admin.pushed(QUIET);
    scene.end();
}

#[test]
fn numbers_at_their_edges() {
    let _shared = rig::among_others();
    let mut scene = begin();
    let group = scene.group;
    for position in [0, 1, 1 << 40, u64::MAX - 1, u64::MAX] {
        for below in [0, 1, u64::MAX] {
            for limit in [0, 1, u16::MAX] {
                let page = scene.admin.sync_page(Some(position), below, limit).expect("a page");
                assert!(page.rows.len() <= 200 && page.to < 1 << 40, "{position}, {below}, {limit}: {page:?}");
            }
        }
    }
    for after in [0, 1, u64::MAX - 1, u64::MAX] {
        for limit in [0, 1, u16::MAX] {
            let page = scene.admin.members_page(group, UserId(after), limit).expect("a page");
            let is_whole = page.members.iter().all(|member| member.user > UserId(after)) && page.members.len() <= 2;
            assert!(is_whole, "behind {after}, {limit}: {page:?}");
        }
    }
    scene.end();
}

/// Bodies whose insides are not where they say, for each op that a client may ask.
#[test]
fn bodies_that_lie() {
    let _shared = rig::among_others();
    let scene = begin();
    let users = scene.server.add_users(6);
    let ops = [Op::Sync, Op::CreateGroup, Op::ChangeMembers, Op::Members, Op::Report, Op::Typing];
    let mut closing = Vec::new();
    for (op, user) in ops.into_iter().zip(&users) {
        let mut peer = Peer::login(rig::address(&scene.server), &user.token);
        let body = [0x10, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f, 4, 0, 4, 0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4];
        let header = [&op.number().to_le_bytes()[..], &[0, 0], &9u32.to_le_bytes()].concat();
        peer.write_frame(Opcode::Binary, &[header, body.to_vec()].concat());
        peer.told_of_close(4004, "malformed_envelope");
        closing.push(peer);
    }
    closing.iter_mut().for_each(Peer::ends);
    assert_eq!(scene.server.counter("violation.malformed_envelope"), ops.len() as u64);
    // Well formed, and without what they need.
    let mut scene = scene;
    for op in [Op::ChangeMembers, Op::Members, Op::Typing, Op::CreateGroup] {
        let mut bytes = Vec::new();
        // An empty table: none of these fields is there.
        Encoder::new().done(8_000).write_envelope(&mut bytes);
        bytes[..2].copy_from_slice(&op.number().to_le_bytes());
        rig::counted(&scene.server, "error.malformed", || {
            scene.mallory.write_frame(Opcode::Binary, &bytes);
            assert_eq!(scene.mallory.error_to(8_000), ErrorCode::Malformed, "an empty {op:?}");
        });
    }
    scene.end();
}

#[test]
fn floods() {
    let _shared = rig::among_others();
    let mut scene = begin();
    let group = scene.group;
    let (mut not_found, mut busy) = (0, 0);
    for _ in 0..2_000 {
        match scene.mallory.ask(|encoder, request| encoder.typing(request, group)) {
            Reply::Error { code: ErrorCode::NotFound, .. } => not_found += 1,
            Reply::Error { code: ErrorCode::Busy | ErrorCode::RateLimited, .. } => busy += 1,
            other => panic!("a stranger's Typing was answered with {other:?}"),
        }
    }
    println!("{not_found} not found, {busy} refused for want of room");
    let many = receipts(u8::MAX, 7);
    for _ in 0..100 {
        let reply = scene.mallory.ask(|encoder, request| encoder.report(request, 3, &many));
        let is_answered =
            matches!(reply, Reply::Done | Reply::Error { code: ErrorCode::Busy | ErrorCode::RateLimited, .. });
        assert!(is_answered, "{reply:?}");
    }
    // In one go, without waiting for an answer: the 16 that may be under way are answered, the others refused.
    let mut bytes = Vec::new();
    let requests: Vec<u32> = (0..500)
        .map(|_| {
            let (request, frame) = scene.mallory.frame_of(|encoder, request| encoder.typing(request, group));
            bytes.extend(frame);
            request
        })
        .collect();
    scene.mallory.write(&bytes);
    for request in requests {
        let reply = scene.mallory.answer_to(request);
        assert!(matches!(reply, Reply::Error { .. }), "a stranger's Typing was answered with {reply:?}");
    }
    // A member may, and the other one hears of it now and then only.
    for _ in 0..2_000 {
        let reply = scene.admin.ask(|encoder, request| encoder.typing(request, group));
        let is_answered =
            matches!(reply, Reply::Done | Reply::Error { code: ErrorCode::Busy | ErrorCode::RateLimited, .. });
        assert!(is_answered, "{reply:?}");
    }
    let heard = scene.member.pushed(QUIET).len();
    assert!((1..=20).contains(&heard), "the member heard {heard} times that the admin types");
    scene.end();
}
