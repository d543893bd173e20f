//! Set-up: 200 clients of the SDK in pairs that talk all the time; the server gets SIGTERM in the middle of it and is started
//! again. Claim: it exits with 0 within 10 s; the clients come back by themselves; every message that was taken is in the
//! history once, in its sender's order, and those that were acknowledged are where the acknowledgement says.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::{JoinSet, spawn_blocking, spawn_local};
use tokio::time::sleep;
use trunkline_client::core::{ClientEvent, Follow};
use trunkline_client::transport::{EventStream, Handle};
use trunkline_tests::server::{Account, Server};
use trunkline_wire::ids::{ConversationId, UserId};

use crate::sdk::{history, open, run_within, session};
use crate::shards::for_shards;

const CLIENTS: usize = 200;
/// Between two messages of a client: within the server's limits.
const PAUSE: Duration = Duration::from_millis(250);
const BEFORE: Duration = Duration::from_millis(1_500);
const AFTER: Duration = Duration::from_millis(500);
const STOP_MAX: Duration = Duration::from_secs(10);
const LIMIT: Duration = Duration::from_secs(60);

/// What the clients see of the test, and it of them.
#[derive(Default)]
struct Scene {
    over: Cell<bool>,
    connected: Cell<usize>,
}

struct Talk {
    handle: Handle,
    me: UserId,
    conversation: ConversationId,
    /// Texts by the seq of their acknowledgement.
    acknowledged: BTreeMap<u64, String>,
}

/// Says something again and again, each when the last one is acknowledged.
async fn talk(url: String, me: Account, peer: UserId, scene: Rc<Scene>) -> Talk {
    let (handle, events) = session(&url, &me, Follow::FromNow);
    spawn_local(count_connections(events, Rc::clone(&scene)));
    let conversation = open(&handle, peer).await;
    let mut acknowledged = BTreeMap::new();
    while !scene.over.get() {
        let text = format!("{} says {}", me.name, acknowledged.len());
        let sent = handle.send_text_and_wait(conversation, &text).await;
        let sent = sent.unwrap_or_else(|error| panic!("{text}: {error}"));
        assert!(acknowledged.insert(sent.seq, text).is_none(), "two messages with one number");
        sleep(PAUSE).await;
    }
    Talk { handle, me: me.user, conversation, acknowledged }
}

async fn count_connections(mut events: EventStream, scene: Rc<Scene>) {
    while let Some(event) = events.next().await {
        match event {
            ClientEvent::Connected { .. } => scene.connected.set(scene.connected.get() + 1),
            ClientEvent::AuthFailed { .. } | ClientEvent::Failed { .. } | ClientEvent::Unknown { .. } => {
                panic!("{event:?}")
            }
            _ => {}
        }
    }
}

/// Until there were so many connections in all; a client that gave up is told.
async fn until_connected(scene: &Scene, talking: &JoinSet<Talk>, count: usize) {
    while scene.connected.get() < count {
        assert_eq!(talking.len(), CLIENTS);
        sleep(Duration::from_millis(20)).await;
    }
}

/// SIGTERM, the end, the next start.
fn drain(mut server: Server) -> Server {
    let since = Instant::now();
    server.terminate();
    let ended = server.ended();
    let took = since.elapsed();
    assert!(ended.code == Some(0) && took < STOP_MAX, "{took:?}, {ended:?}");
    assert!(!ended.stderr.contains("without waiting"), "the drain was cut short: {ended:?}");
    server.start_again();
    server
}

/// A pair's history holds what each of them said, at its place and in order, and nothing else.
async fn check(pair: &[Talk]) {
    let told = history(&pair[0].handle, pair[0].conversation).await;
    let mut said: Vec<(u64, UserId, &String)> = Vec::new();
    for talk in pair {
        said.extend(talk.acknowledged.iter().map(|(seq, text)| (*seq, talk.me, text)));
    }
    said.sort();
    let said: Vec<_> = said.into_iter().map(|(_, user, text)| (user, text.clone())).collect();
    assert!(told == said, "history:\n{told:#?}\nsaid:\n{said:#?}");
    for talk in pair {
        let texts: Vec<&String> = talk.acknowledged.values().collect();
        let numbers: Vec<usize> = texts.iter().filter_map(|text| text.rsplit(' ').next()?.parse().ok()).collect();
        assert_eq!(numbers, (0..texts.len()).collect::<Vec<_>>(), "out of order");
    }
}

#[test]
fn in_the_middle_of_traffic() {
    for_shards([1, 2], |shards| {
        let server = Server::start(&["--shards", shards]);
        let accounts = server.add_users(CLIENTS);
        let url = server.url();
        let scene = Rc::new(Scene::default());
        let work = async {
            let mut talking = JoinSet::new();
            for pair in accounts.chunks(2) {
                talking.spawn_local(talk(url.clone(), pair[0].clone(), pair[1].user, Rc::clone(&scene)));
                talking.spawn_local(talk(url.clone(), pair[1].clone(), pair[0].user, Rc::clone(&scene)));
            }
            until_connected(&scene, &talking, CLIENTS).await;
            sleep(BEFORE).await;
            let server = spawn_blocking(move || drain(server)).await.expect("the server drains");
            until_connected(&scene, &talking, 2 * CLIENTS).await;
            sleep(AFTER).await;
            scene.over.set(true);
            let mut talks = BTreeMap::<ConversationId, Vec<Talk>>::new();
            while let Some(talk) = talking.join_next().await {
                let talk = talk.expect("a client talks");
                talks.entry(talk.conversation).or_default().push(talk);
            }
            assert_eq!(talks.len(), CLIENTS / 2);
            for pair in talks.values() {
                check(pair).await;
            }
            server
        };
        drop(run_within(LIMIT, work));
    });
}
