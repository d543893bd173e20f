//! Set-up: two people talk; a backup is taken, they talk on, and the server is restored from the backup. Claim: clients that
//! know of more than the server hear what is gone, go on from there with numbers in a new epoch, and what they say arrives,
//! once; so does one that comes back with what it stored before.

use std::fs;
use std::time::Duration;

use trunkline_client::core::{ClientEvent, Follow, State};
use trunkline_client::transport::EventStream;
use trunkline_tests::server::{Server, run};

use crate::people::{enroll, restart, serve};
use crate::sdk::{open, run_within, session};

const LIMIT: Duration = Duration::from_secs(90);

/// Until a text is heard: its seq and epoch, and from which seq on things were taken back before it.
async fn hears(events: &mut EventStream, state: &mut State, text: &str) -> (u64, u64, Option<u64>) {
    let mut rewound = None;
    loop {
        let event = events.next().await.expect("the session goes on");
        state.apply(&event);
        match event {
            ClientEvent::Message(message) if message.text() == Some(text) => {
                return (message.seq, message.epoch, rewound);
            }
            ClientEvent::Rewound { seq, .. } => rewound = Some(seq),
            ClientEvent::Failed { code, .. } => panic!("a message was refused: {}", code.name()),
            ClientEvent::Unknown { .. } => panic!("nobody knows what became of a message"),
            _ => {}
        }
    }
}

/// The server comes back with what a backup has.
fn restore(server: &mut Server, backup: &std::path::Path) {
    server.kill();
    fs::rename(server.data(), server.home().path().join("lost")).expect("the old folder is put aside");
    run(&mut server.home().trunkline(["restore".as_ref(), backup.as_os_str()])).succeeded();
    restart(server, "2", &[]);
}

#[test]
fn what_is_gone_is_told_and_talk_goes_on() {
    let mut server = serve("2", &[]);
    let [alice, bob] = enroll(&server, ["alice", "bob"]);
    let backup = server.home().path().join("backup");
    run_within(LIMIT, async {
        let url = server.url();
        let (of_alice, mut alice_hears) = session(&url, &alice, Follow::FromStart);
        let (of_bob, mut bob_hears) = session(&url, &bob, Follow::FromStart);
        let (mut by_alice, mut by_bob) = (State::default(), State::default());
        let talk = open(&of_alice, bob.user).await;
        let place = |sent: trunkline_client::transport::Sent| sent.seq;
        assert_eq!(place(of_alice.send_text_and_wait(talk, "kept 1").await.expect("sent")), 1);
        assert_eq!(place(of_bob.send_text_and_wait(talk, "kept 2").await.expect("sent")), 2);
        server.run(["backup".as_ref(), backup.as_os_str()]).succeeded();
        for seq in 3..=9 {
            let text = format!("lost {seq}");
            assert_eq!(place(of_alice.send_text_and_wait(talk, &text).await.expect("sent")), seq);
        }
        let (_, epoch, _) = hears(&mut bob_hears, &mut by_bob, "lost 9").await;
        hears(&mut alice_hears, &mut by_alice, "kept 2").await;
        let mut away = by_bob.clone();

        restore(&mut server, &backup);
        // Both know of more than there is, and number on from there.
        let said = of_bob.send_text_and_wait(talk, "after 3").await.expect("sent");
        assert_eq!(said.seq, 3);
        let (seq, new_epoch, _) = hears(&mut alice_hears, &mut by_alice, "after 3").await;
        assert!(seq == 3 && new_epoch > epoch, "seq {seq} of epoch {new_epoch}, before it was {epoch}");
        let said = of_alice.send_text_and_wait(talk, "after 4").await.expect("sent");
        assert_eq!(said.seq, 4);
        let (seq, _, rewound) = hears(&mut bob_hears, &mut by_bob, "after 4").await;
        assert_eq!((seq, rewound), (4, Some(3)));

        // Who was away the whole time comes with what it stored.
        let (_handle, mut events) = session(&url, &bob, Follow::Behind(away.clone()));
        let (seq, later_epoch, rewound) = hears(&mut events, &mut away, "after 4").await;
        assert_eq!((seq, later_epoch, rewound), (4, new_epoch, Some(3)));
    });
    let printed = server.run(["history", "--as", "bob", "alice"]).succeeded();
    assert_eq!(crate::output::texts(&printed.stdout), ["kept 1", "kept 2", "after 3", "after 4"]);
}
