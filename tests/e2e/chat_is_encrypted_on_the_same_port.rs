//! Set-up: servers with a certificate of an authority that only these tests trust, with every feature of the kernel and
//! with none; commands, and clients in a tunnel. Claim: signing up and chatting go over TLS on one port, with large bodies
//! both ways and answers that nobody reads for a while; a server that nobody vouches for is not spoken to; a drain says
//! goodbye through it; a new certificate counts from SIGHUP on, and a bad one changes nothing.

use std::fs;
use std::io::{Read, Write};
use std::time::Duration;

use trunkline_tests::ear::Reply;
use trunkline_tests::peer::{PATIENCE, Peer};
use trunkline_tests::process::{Ended, Process, Signal};
use trunkline_tests::rig;
use trunkline_tests::server::{Home, Server, run};
use trunkline_tests::tls::Authority;

use crate::output::texts;

/// A server with a certificate, and these settings.
fn serve(authority: &Authority, settings: &[&str]) -> Server {
    let secured = authority.settings();
    let all: Vec<&str> = secured.iter().map(String::as_str).chain(settings.iter().copied()).collect();
    Server::start(&rig::arguments("2", &all))
}

/// A command that trusts the authority, with a line on its stdin.
fn enter(server: &Server, authority: &Authority, words: &[&str], line: &str) -> Ended {
    let mut command = server.command(words);
    let mut process = Process::start(command.env("TRUNKLINE_CA", authority.ca()));
    process.write(&format!("{line}\n"));
    process.close_stdin();
    process.ended(trunkline_tests::server::PATIENCE)
}

fn people_chat(server: &Server, authority: &Authority) {
    for name in ["alice", "bob"] {
        enter(server, authority, &["signup", name], "correct horse").succeeded();
    }
    enter(server, authority, &["send", "--as", "alice", "--to", "bob", "hello"], "").succeeded();
    let listen = ["listen", "--as", "bob", "--from", "start", "--count", "1"];
    assert_eq!(texts(&enter(server, authority, &listen, "").succeeded().stdout), ["hello"]);
}

#[test]
fn people_sign_up_and_chat() {
    let authority = Authority::new();
    let server = serve(&authority, &["accounts.password_memory_kib=64"]);
    assert!(server.url().starts_with("wss://"));
    people_chat(&server, &authority);
    assert!(server.counter("tls_handshakes") >= 4 && server.counter("tls_failures") == 0);
    // Who is not told of the authority does not speak to its server, and neither does who trusts another one.
    let strangers = Authority::new();
    let refused = server.run(["devices", "--as", "alice"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("UnknownIssuer"), "{}", refused.stderr);
    let refused = enter(&server, &strangers, &["send", "--as", "alice", "--to", "bob", "x", "--timeout", "2s"], "");
    assert!(refused.code == Some(1) && refused.stderr.contains("certificate"), "{}", refused.stderr);
    let ca = authority.ca();
    let devices = server.run(["devices", "--as", "alice", "--ca", ca.to_str().expect("a path that is text")]);
    assert_eq!(devices.succeeded().stdout.lines().count(), 1);
    let nothing = server.run(["devices", "--as", "alice", "--ca", "/nowhere.pem"]);
    assert!(nothing.code == Some(1) && nothing.stderr.contains("no_authority"), "{}", nothing.stderr);
}

#[test]
fn also_on_an_old_kernel() {
    let authority = Authority::new();
    let disabled = "ring.disable=no_sqarray,defer_taskrun,taskrun_flag,submit_all,multishot_accept,multishot_receive,\
                    msg_ring,fixed_fd_install";
    let server = serve(&authority, &[disabled, "accounts.password_memory_kib=64"]);
    let [alice, bob] = ["alice", "bob"].map(|name| server.add_user(name));
    let address = rig::address(&server);
    let mut of_alice = Peer::open_over(authority.tunnel(address, usize::MAX));
    of_alice.welcome(&alice.token);
    let (opened, _) = of_alice.open_peer(bob.user);
    assert_eq!(of_alice.say(opened, "hello"), Ok(1));
    let status = server.admin().ask(&serde_json::json!({"op": "status"}));
    let apart = format!("https://{}", status["http_listen"].as_str().expect("a port"));
    assert!(server.stderr().text().contains(&format!("accounts on {apart}")), "{}", server.stderr().text());
    enter(&server, &authority, &["signup", "carol", "--http", &apart], "correct horse").succeeded();
}

#[test]
fn large_bodies_and_unread_answers_come_whole() {
    let authority = Authority::new();
    let server = serve(&authority, &["limits.send_burst=1000", "limits.conversation_send_burst=1000"]);
    let [alice, bob] = ["alice", "bob"].map(|name| server.add_user(name));
    let tunnel = |piece| Peer::open_over(authority.tunnel(rig::address(&server), piece));
    let (mut of_alice, mut of_bob) = (tunnel(usize::MAX), tunnel(1_000));
    of_alice.welcome(&alice.token);
    of_bob.welcome(&bob.token);
    let (opened, _) = of_alice.open_peer(bob.user);
    let body = |number: u64| vec![b'a' + number as u8; 50_000 + number as usize];
    for number in 1..=20 {
        assert_eq!(of_alice.send(opened, number, 0xa0 + number, &body(number)).refusal, None);
    }
    for number in 1..=20 {
        let (_, row) = of_bob.message();
        assert!(row.seq == number && row.body == body(number), "message {number}");
    }
    // As many questions as may be open at once, and a while in which nobody reads the answers.
    let asked: Vec<u32> = (0..15u64)
        .map(|number| {
            let (request, frame) =
                of_bob.frame_of(|encoder, request| encoder.history(request, opened, number + 1, false, 1));
            of_bob.write(&frame);
            request
        })
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    for (number, request) in (1..).zip(asked) {
        match of_bob.answer_to(request) {
            Reply::Page { rows, .. } => assert!(rows[0].body == body(number), "answer {number}"),
            other => panic!("History was answered with {other:?}"),
        }
    }
}

#[test]
fn a_drain_says_goodbye_through_it() {
    let authority = Authority::new();
    let mut server = serve(&authority, &[]);
    let alice = server.add_user("alice");
    let mut peer = Peer::open_over(authority.tunnel(rig::address(&server), usize::MAX));
    peer.welcome(&alice.token);
    // One that has not even said which protocol it wants, and one in the middle of its handshake.
    let mut early = authority.connect(rig::address(&server));
    early.write_all(b"GET /v1/ws HTTP/1.1\r\n").expect("the server listens");
    server.terminate();
    peer.closed_with(1012, "draining");
    assert_eq!(early.read(&mut [0; 16]).expect("a proper end, with close_notify"), 0);
    server.ended().succeeded();
}

#[test]
fn a_new_certificate_counts_from_sighup_on() {
    let mut authority = Authority::new();
    let mut server = serve(&authority, &[]);
    let (address, alice) = (rig::address(&server), server.add_user("alice"));
    let mut before = Peer::open_over(authority.tunnel(address, usize::MAX));
    before.welcome(&alice.token);
    let alive = |authority: &Authority| {
        let mut stream = authority.connect(address);
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| assert!(answer.starts_with("HTTP/1.1 200"), "{answer}"))
    };
    alive(&authority).expect("the certificate of the start");
    authority.renew();
    let error = alive(&authority).expect_err("nothing was said of another certificate yet");
    assert!(error.to_string().contains("certificate"), "{error}");
    server.process().signal(Signal::HUP);
    server.stderr().line_with("new connections get what is in", PATIENCE).expect("a word about it");
    alive(&authority).expect("the certificate of the reload");
    // One that does not fit its key, and one that is none.
    let good = fs::read(authority.certificate()).expect("a file");
    for (bad, said) in [(fs::read(authority.ca()).expect("a file"), "is not that of"), (vec![], "has no block")] {
        fs::write(authority.certificate(), bad).expect("a file");
        server.process().signal(Signal::HUP);
        let line = server.stderr().line_with(said, PATIENCE).expect("a word about it");
        assert!(line.contains("stays as it was"), "{line}");
        alive(&authority).expect("the certificate that was good");
    }
    fs::write(authority.certificate(), good).expect("a file");
    before.open_peer(alice.user);
    server.stop();
}

#[test]
fn what_is_no_certificate_is_refused_at_the_start() {
    let authority = Authority::new();
    let home = Home::new();
    let refused = |settings: &[&str]| {
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--shards", "1", "--no-pin"];
        let settings = settings.iter().flat_map(|setting| ["--set", setting]);
        run(&mut home.trunkline(arguments.into_iter().chain(settings)))
    };
    let [certificate, key] = authority.settings();
    let alone = refused(&[&certificate]);
    assert!(alone.code == Some(2) && alone.stderr.contains("`tls.key` is not"), "{}", alone.stderr);
    let missing = refused(&[&certificate, "tls.key=/nowhere.pem"]);
    assert!(missing.code == Some(1) && missing.stderr.contains("`tls.key` = `/nowhere.pem`"), "{}", missing.stderr);
    authority.sign();
    fs::copy(authority.ca(), authority.certificate()).expect("a file");
    let mismatch = refused(&[&certificate, &key]);
    assert!(mismatch.code == Some(1) && mismatch.stderr.contains("comes first"), "{}", mismatch.stderr);
}
