//! Whoever stops reading gets no more, costs a bounded amount of memory, delays nobody and misses nothing (REL-12).
//!
//! Set-up: `limits.send_burst` and `limits.conversation_send_burst` at 1,000, so that one sender can fill every buffer; the
//! other limits as they are (256 KiB per outbox). Somebody has 8 devices with 4 sessions each that stop reading, and a ninth
//! device that reads; all of them get the same 30 KB messages, 90 of them, some 86 MB in all. Between two of them the sender
//! says something to a third person, and it is taken how long that takes to arrive: before and while the 32 do not read.
//! Claim: the median is within three times of before (and 5 ms); the server grows by less than half of what it would have to
//! keep; all 32 lag, which is counted, and none is closed, while the ninth gets everything live; when the 32 read again they
//! have a beginning of what came, are told that there is more, and find all of it in the history.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use trunkline_tests::server::{Account, Server};
use trunkline_wire::ids::ConversationId;

use crate::ear::{Heard, Reply, Row};
use crate::peer::{PATIENCE, Peer, soon};
use crate::rig;

const DEVICES: usize = 8;
const SESSIONS: usize = 4;
const BEFORE: u64 = 40;
const FLOOD: u64 = 90;
const BODY_BYTES: usize = 30_000;
const SETTINGS: &[&str] = &["limits.send_burst=1000", "limits.conversation_send_burst=1000"];
/// Unbounded outboxes would hold 86 MB.
const GROWTH_KIB_MAX: u64 = 40 * 1024;

/// A connection whose kernel takes few bytes that nobody reads.
fn connect_narrow(address: SocketAddr) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4_096).expect("a socket");
        socket.connect(address).await.expect("a server that listens").into_std().expect("a socket")
    });
    stream.set_nonblocking(false).expect("a socket");
    stream
}

fn login_narrow(server: &Server, token: &str) -> Peer {
    let mut peer = Peer::open_over(connect_narrow(rig::address(server)));
    peer.welcome(token);
    peer
}

/// The sender, in two conversations: with somebody who gets large messages, and with somebody who gets small ones.
struct Sender {
    peer: Peer,
    large: (ConversationId, u64),
    small: (ConversationId, u64),
    third: Peer,
}

impl Sender {
    fn new(server: &Server, own: &Account, large: &Account, small: &Account) -> Sender {
        let mut peer = Peer::login(rig::address(server), &own.token);
        let (large, small_too) = (peer.open_peer(large.user), peer.open_peer(small.user));
        Sender { peer, large, small: small_too, third: Peer::login(rig::address(server), &small.token) }
    }

    /// Sends large messages; behind each a small one, whose way to its reader is timed. Gives the median.
    fn talk(&mut self, count: u64) -> Duration {
        let mut took: Vec<Duration> = (0..count).map(|_| self.talk_once()).collect();
        took.sort_unstable();
        took[took.len() / 2]
    }

    fn talk_once(&mut self) -> Duration {
        self.large.1 += 1;
        let body = large_body(self.large.1);
        let ack = self.peer.send(self.large.0, self.large.1, 1_000 + self.large.1, &body);
        assert_eq!(ack.refusal, None, "large message {}", self.large.1);
        self.small.1 += 1;
        let start = Instant::now();
        let ack = self.peer.send(self.small.0, self.small.1, 5_000 + self.small.1, b"small");
        assert_eq!(ack.refusal, None, "small message {}", self.small.1);
        assert_eq!(self.third.message().1.message_id, 5_000 + self.small.1);
        start.elapsed()
    }
}

/// Text that tells its number and is not made smaller easily.
fn large_body(number: u64) -> Vec<u8> {
    let mut dice = crate::dice::Dice::new(number);
    (0..BODY_BYTES).map(|_| b'!' + dice.below(90) as u8).collect()
}

fn resident_kib(server: &Server) -> u64 {
    let path = format!("/proc/{}/status", server.pid());
    let status = fs::read_to_string(path).expect("the process has a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the status has VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("a number of KiB")
}

#[test]
fn a_slow_reader_stops_nobody() {
    let _alone = rig::alone();
    let server = rig::serve(SETTINGS);
    let users = server.add_users(5);
    let slow = &users[1];
    let reader = read_live(Peer::login(rig::address(&server), &slow.token), BEFORE + FLOOD);
    let mut sender = Sender::new(&server, &users[0], slow, &users[2]);
    let before = sender.talk(BEFORE);

    let tokens: Vec<String> = (0..DEVICES).map(|_| server.add_device(&slow.name).token).collect();
    let logins = tokens.iter().flat_map(|token| (0..SESSIONS).map(move |_| token));
    let stalled: Vec<Peer> = logins.map(|token| login_narrow(&server, token)).collect();
    let resident_before = resident_kib(&server);
    let during = sender.talk(FLOOD);
    let growth = resident_kib(&server).saturating_sub(resident_before);
    println!("median {before:?} before, {during:?} while {} do not read; {growth} KiB more", stalled.len());
    assert!(during <= before * 3 + Duration::from_millis(5), "others wait {during:?} in the median, {before:?} before");
    assert!(growth <= GROWTH_KIB_MAX, "the server grew by {growth} KiB, {GROWTH_KIB_MAX} are allowed");
    soon("sessions_lagged", PATIENCE, &(stalled.len() as u64), || server.counter("sessions_lagged"));

    let live = reader.join().expect("the reader reads");
    let history = Peer::login(rig::address(&server), &slow.token).history(sender.large.0);
    let bodies: Vec<Vec<u8>> = (1..=BEFORE + FLOOD).map(large_body).collect();
    assert!(history.iter().map(|row| &row.body).eq(&bodies), "the history is not what was sent");
    assert_eq!(live, history, "whoever reads gets everything live");
    for mut peer in stalled {
        let got = rest_of(&mut peer);
        assert_eq!(got, history[BEFORE as usize..][..got.len()], "what came before it lagged is no beginning");
        assert!(got.len() < FLOOD as usize, "it had got everything: it was not slow");
        let next = got.last().map_or(BEFORE, |row| row.seq) + 1;
        let rest = peer.page(sender.large.0, next, false).expect("a page of history");
        assert_eq!(
            rest.rows[0],
            history[next as usize - 1],
            "told that there is more, it finds it on the same connection"
        );
    }
    assert_eq!(server.counter("violation.slow_reader"), 0, "somebody was closed");
    let mut back = Peer::login(rig::address(&server), &tokens[0]);
    assert_eq!(back.history(sender.large.0), history, "back again, it does not find all");
    rig::assert_serves(&server, &users[3], &users[4]);
}

/// Reads so many messages live, on a thread of its own.
fn read_live(mut peer: Peer, count: u64) -> thread::JoinHandle<Vec<Row>> {
    thread::spawn(move || (0..count).map(|_| peer.message().1).collect())
}

/// What a connection has that lagged, until it is told that it missed something.
fn rest_of(peer: &mut Peer) -> Vec<Row> {
    let mut rows = Vec::new();
    loop {
        match peer.hear().expect("whoever lags is not closed") {
            Heard::Reply(0, Reply::Message(_, row)) => rows.push(row),
            Heard::Reply(0, Reply::Advanced(advanced)) if advanced.from == advanced.to => return rows,
            Heard::Reply(0, Reply::Advanced(_)) | Heard::Ping(_) => {}
            other => panic!("a slow reader heard {other:?}"),
        }
    }
}

/// An outbox within its bytes that makes no progress is ended by time.
#[test]
fn a_reader_that_stands_still_is_closed_in_time() {
    let _alone = rig::alone();
    let server = rig::serve(&["limits.outbox_stalled_ms=1000", "limits.outbox_bytes_max=1048576"]);
    let users = server.add_users(5);
    let stalled = login_narrow(&server, &users[1].token);
    let reader = read_live(Peer::login(rig::address(&server), &users[1].token), 20);
    let mut sender = Sender::new(&server, &users[0], &users[1], &users[2]);
    // 600 KB: more than the kernel takes, less than the outbox may hold.
    rig::counted(&server, "violation.slow_reader", || {
        let start = Instant::now();
        sender.talk(20);
        soon("violation.slow_reader", PATIENCE, &1, || server.counter("violation.slow_reader"));
        let took = start.elapsed();
        let is_in_time = took >= Duration::from_millis(800) && took < Duration::from_secs(6);
        assert!(is_in_time, "closed after {took:?}, the limit is 1 s");
    });
    assert_eq!(reader.join().expect("the reader reads").len(), 20);
    drop(stalled);
    rig::assert_serves(&server, &users[3], &users[4]);
}
