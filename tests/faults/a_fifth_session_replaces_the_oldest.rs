//! A device has four sessions at a time, and a fifth takes the place of the oldest.
//!
//! Set-up: a server with default limits; five connections with one token, and somebody who writes to them.
//! Claim: the first is closed with 4009, which is counted; the four others get what is said; another device of the same user
//! does not count; other people chat on.

use crate::peer::Peer;
use crate::rig;

#[test]
fn a_fifth_session_replaces_the_oldest() {
    let _shared = rig::among_others();
    let server = rig::serve(&[]);
    let users = server.add_users(2);
    let second_device = server.add_device(&users[0].name);
    let login = |token: &str| Peer::login(rig::address(&server), token);
    let mut other_device = login(&second_device.token);
    let mut sessions: Vec<Peer> = (0..4).map(|_| login(&users[0].token)).collect();
    assert_eq!(server.counter("violation.session_replaced"), 0, "four are allowed");
    rig::counted(&server, "violation.session_replaced", || {
        sessions.push(login(&users[0].token));
        sessions.remove(0).closed_with(4009, "session_replaced");
    });
    let mut speaker = login(&users[1].token);
    let (conversation, _) = speaker.open_peer(users[0].user);
    assert_eq!(speaker.send(conversation, 1, 101, b"to all of you").refusal, None);
    for session in sessions.iter_mut().chain([&mut other_device]) {
        assert_eq!(session.message().1.body, b"to all of you");
    }
    drop(sessions);
    rig::assert_serves(&server, &users[0], &users[1]);
}
