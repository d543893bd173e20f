//! Set-up: sockets that were accepted elsewhere are given to shards that echo, with bytes that were read of them, more of
//! them than there are slots. Claim: each is served with every byte in order, as one that was accepted; where there is no
//! slot it is closed with 1013; slots are used again; a drain ends all.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::Ordering::SeqCst;

use trunkline_edge::public::{Returning, TakesBack};
use trunkline_edge::transport::Transport;
use trunkline_engine::ring::{Feature, Features};
use trunkline_engine::{Config, Server};

use crate::echo;

/// Both ends of a connection that no shard has accepted.
fn elsewhere(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let near = echo::connect(listener.local_addr().unwrap());
    (near, listener.accept().unwrap().0)
}

/// A connection of a shard that was not accepted there, of which some bytes were read.
fn give_back(server: &Server, listener: &TcpListener, read: &[u8]) -> TcpStream {
    let (near, far) = elsewhere(listener);
    let peer = far.peer_addr().unwrap();
    let returning = Returning { socket: far.into(), bytes: read.to_vec(), transport: Transport::Plain, peer };
    server.returns().take_back(returning);
    near
}

#[test]
fn a_guest_comes_back() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    for disable in [Features::NONE, Features::NONE.with(Feature::MultishotAccept).with(Feature::MultishotReceive)] {
        let (server, seen) = echo::start(&Config { ring_disable: disable, ring_connections: 40, ..echo::config() });
        echo::eventually("there is room", || server.returns().has_room());
        let mut random = echo::Random(3);
        for round in 0..200 {
            let read = random.bytes(round % 7 * 50);
            let mut peer = give_back(&server, &listener, &read);
            let mut back = vec![0; read.len()];
            peer.read_exact(&mut back).unwrap();
            assert!(back == read, "what was read before");
            echo::echo(&mut peer, &random.bytes(1 + round * 40));
        }
        echo::eventually("all slots are free", || seen.closed.load(SeqCst) == 200);
        assert_eq!(seen.broken_sends.load(SeqCst), 0);
        echo::echo(&mut echo::connect(server.address()), b"as ever");
        echo::stop(server);
    }
}

#[test]
fn unless_there_is_no_slot() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (server, seen) = echo::start(&Config { ring_connections: 30, shards: 1, ..echo::config() });
    echo::eventually("there is room", || server.returns().has_room());
    let mut served = Vec::new();
    let turned_away = loop {
        let mut peer = give_back(&server, &listener, b"x");
        let mut first = [0];
        peer.read_exact(&mut first).unwrap();
        match first {
            [b'x'] => served.push(peer),
            _ => break (first, peer),
        }
        assert!(served.len() <= 30, "more than there are slots");
    };
    let ([first], mut peer) = turned_away;
    let mut rest = Vec::new();
    peer.read_to_end(&mut rest).unwrap();
    assert_eq!((first, &rest[..]), (0x88, &b"\x06\x03\xf5busy"[..]), "a close frame with 1013");
    assert!(served.len() >= 14 && !server.returns().has_room(), "{} were served", served.len());
    // Those that connect have the slots that are left, and what ends makes room.
    let mut accepted: Vec<TcpStream> = (served.len()..30).map(|_| echo::connect(server.address())).collect();
    accepted.iter_mut().chain(&mut served).for_each(|peer| echo::echo(peer, b"still there"));
    drop((accepted, served));
    echo::eventually("all slots are free", || seen.closed.load(SeqCst) == 30);
    echo::eventually("there is room", || server.returns().has_room());
    let mut last = give_back(&server, &listener, b"");
    last.write_all(b"y").unwrap();
    last.read_exact(&mut [0]).unwrap();
    echo::stop(server);
    let mut nothing = Vec::new();
    assert!(last.read_to_end(&mut nothing).is_ok() && nothing.is_empty(), "the drain ends it");
}
