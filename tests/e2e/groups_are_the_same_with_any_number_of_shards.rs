//! Set-up: 12 people in 8 groups and 6 direct conversations, whose members came, went and came back, who talked and read, on
//! two shards; the folder is then served by 1, 7 and 2 shards, after kills and after stops. Claim: for everyone the list (but
//! for its numbers), the windows, the histories, the members with their roles and watermarks, and what is refused are the
//! same each time.

use std::collections::BTreeMap;

use trunkline_tests::ear::{Opened, Row, Summary, receipt};
use trunkline_tests::peer::{Answered, PATIENCE, Peer, soon};
use trunkline_tests::server::{Account, Server};
use trunkline_wire::ids::{ConversationId, UserId};
use trunkline_wire::message::Member;

use crate::people::{login, restart, serve};

const PEOPLE: usize = 12;
const GROUPS: usize = 8;
const SETTINGS: &[&str] = &["limits.list_every_ms=20", "limits.receipts_every_ms=20"];

/// What one person can know of one conversation.
#[derive(Clone, PartialEq, Eq, Debug)]
struct View {
    opened: Answered<Opened>,
    history: Answered<Vec<Row>>,
    members: Answered<Vec<Member>>,
}

/// What one person can know.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Knowledge {
    list: BTreeMap<ConversationId, Summary>,
    views: BTreeMap<ConversationId, View>,
}

fn knowledge_of(peer: &mut Peer, all: &[ConversationId]) -> Knowledge {
    let unnumbered = |row: Summary| (row.conversation, Summary { user_seq: 0, ..row });
    let list = peer.sync_in_pages(Some(0), 5).rows.into_iter().map(unnumbered).collect();
    let view = |&id: &ConversationId| {
        let history = peer.page(id, 1, false).map(|_| peer.history(id));
        (id, View { opened: peer.look(id), history, members: peer.members(id) })
    };
    Knowledge { list, views: all.iter().map(view).collect() }
}

fn all_knowledge(server: &Server, people: &[Account], all: &[ConversationId]) -> Vec<Knowledge> {
    people.iter().map(|account| knowledge_of(&mut login(server, account), all)).collect()
}

/// Groups and direct conversations in which something of everything happened.
fn play(server: &Server, people: &[Account]) -> Vec<ConversationId> {
    let mut peers: Vec<Peer> = people.iter().map(|account| login(server, account)).collect();
    let user = |index: usize| people[index % PEOPLE].user;
    let mut all = Vec::new();
    for number in 0..GROUPS {
        let crowd: Vec<UserId> = (1..5).map(|step| user(number + step)).collect();
        let made = peers[number].create_group(number as u64 + 1, &format!("group {number}"), &crowd);
        let group = made.expect("a group").conversation;
        let say = |peers: &mut [Peer], index: usize, text: &str| {
            peers[index % PEOPLE].say(group, &format!("{text} in {number}")).expect("a member speaks");
        };
        (0..5).for_each(|step| say(&mut peers, number + step, "hello"));
        let admin = &mut peers[number];
        admin.remove(group, &[user(number + 1), user(number + 2)]).expect("the admin removes");
        admin.add(group, &[user(number + 5), user(number + 6)]).expect("the admin adds");
        say(&mut peers, number + 5, "thanks");
        peers[number].add(group, &[user(number + 1)]).expect("the admin adds again");
        if number % 2 == 0 {
            peers[number].remove(group, &[user(number)]).expect("the admin leaves");
        }
        let reader = &mut peers[(number + 3) % PEOPLE];
        reader.report(0, &[receipt(group, 7, 4 + number as u64 % 3)]).expect("a report");
        all.push(group);
    }
    for number in 0..PEOPLE / 2 {
        let (direct, _) = peers[number].open_peer(user(number + 6));
        peers[number].say(direct, "just the two of us").expect("a message");
        peers[number + 6].say(direct, "yes").expect("a message");
        all.push(direct);
    }
    all
}

/// Everything that follows what was done has come: the lists, and the watermarks in them.
fn settled(server: &Server, people: &[Account], all: &[ConversationId]) -> Vec<Knowledge> {
    let is_settled = |knowledge: &Knowledge| {
        let listed = |(id, view): (&ConversationId, &View)| match (&view.opened, knowledge.list.get(id)) {
            (Ok(opened), Some(row)) => {
                (opened.last_seq, opened.joined_seq, opened.left_seq, opened.read_seq)
                    == (row.last_seq, row.joined_seq, row.left_seq, row.read_seq)
            }
            (Err(_), None) => true,
            _ => false,
        };
        knowledge.views.iter().all(listed)
    };
    soon("all lists agree with their conversations", PATIENCE, &true, || {
        all_knowledge(server, people, all).iter().all(is_settled)
    });
    all_knowledge(server, people, all)
}

#[test]
fn before_and_after_restarts() {
    let mut server = serve("2", SETTINGS);
    let people = server.add_users(PEOPLE);
    let all = play(&server, &people);
    let before = settled(&server, &people, &all);
    let read: usize = before.iter().flat_map(|known| known.list.values()).filter(|row| row.read_seq > 0).count();
    let gone: usize = before.iter().flat_map(|known| known.list.values()).filter(|row| row.left_seq > 0).count();
    let unknown: usize =
        before.iter().flat_map(|known| known.views.values()).filter(|view| view.opened.is_err()).count();
    assert!(read >= GROUPS && gone >= GROUPS && unknown > GROUPS, "{read} read, {gone} gone, {unknown} unknown");
    for (shards, is_killed) in [("1", true), ("7", false), ("2", true), ("7", true), ("1", false)] {
        if !is_killed {
            server.stop();
        }
        restart(&mut server, shards, SETTINGS);
        let after = settled(&server, &people, &all);
        for ((account, was), is) in people.iter().zip(&before).zip(&after) {
            assert_eq!(was.list, is.list, "the list of {} with {shards} shards", account.name);
            for (id, view) in &was.views {
                assert_eq!(view, &is.views[id], "what {} knows of {id} with {shards} shards", account.name);
            }
        }
    }
}
