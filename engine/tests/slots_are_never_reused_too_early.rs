//! Set-up: one shard with eight slots, 50,000 connections in a row that end in every way: peer first, server first, reset,
//! with bytes under way in both directions, every fiftieth with a send of the server that can't go on. The core checks every
//! event against the slot's present user.
//! Claim: no event is about a former user, no slot is lost, no descriptor of the process leaks.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use crate::{child, echo};
use trunkline_engine::Config;

const CONNECTIONS: u64 = 50_000;
/// Unhurried machines do all of them in a few seconds; busy ones do what fits.
const TIME_MAX: Duration = Duration::from_secs(10);

/// The server is told to close while its answer is stuck; then its slot must wait for that send.
fn close_a_stuck_send(mut stream: TcpStream) {
    rustix::net::sockopt::set_socket_recv_buffer_size(&stream, 4096).unwrap();
    let told = stream.write_all(&[1; 300 << 10]).and_then(|()| stream.write_all(&[echo::CLOSE_ME; 64 << 10]));
    if told.is_ok() {
        // Nothing is read until the server has closed.
        std::thread::sleep(Duration::from_millis(2));
    }
    echo::reset(stream);
}

fn live_and_die(address: SocketAddr, way: u64) {
    // Different addresses of the loopback, so that ports do not run out.
    let host = [127, 0, 0, 1 + (way % 64) as u8];
    let mut stream = TcpStream::connect((std::net::IpAddr::from(host), address.port())).unwrap();
    let mut back = [0; 256];
    if way % 50 == 7 {
        return close_a_stuck_send(stream);
    }
    match way % 5 {
        0 => echo::reset(stream),
        1 => {
            stream.write_all(&[1; 256]).unwrap();
            stream.read_exact(&mut back).unwrap();
            echo::reset(stream);
        }
        2 => {
            stream.write_all(&[echo::CLOSE_ME; 8]).unwrap();
            let _ = stream.read(&mut back);
            echo::reset(stream);
        }
        3 => {
            stream.write_all(&[2; 4096]).unwrap();
            echo::reset(stream);
        }
        _ => {
            stream.write_all(&[3; 100]).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            assert_eq!(all, [3; 100]);
        }
    }
}

#[test]
fn slots_are_never_reused_too_early() {
    child::run_alone("slots_are_never_reused_too_early::connections_come_and_go");
}

#[test]
fn connections_come_and_go() {
    if !child::is_child() {
        return;
    }
    let config = Config { shards: 1, ring_connections: 8, listen: "0.0.0.0:0".into(), ..echo::config() };
    let (server, seen) = echo::start(&config);
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = descriptors();
    let begin = Instant::now();
    let address = server.address();
    let done: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                scope.spawn(move || {
                    let ways = (thread..CONNECTIONS).step_by(4).take_while(|_| begin.elapsed() < TIME_MAX);
                    ways.map(|way| live_and_die(address, way)).count() as u64
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    println!("{done} connections in {:?}", begin.elapsed());
    // A connection that was reset before it was accepted may have been dropped by the kernel.
    echo::eventually("all closed", || seen.closed.load(SeqCst) == seen.accepted.load(SeqCst));
    assert!(seen.accepted.load(SeqCst) >= done * 3 / 5);
    assert!(seen.highest_slot.load(SeqCst) < 8);
    assert_eq!(descriptors(), before);
    assert!(seen.broken_sends.load(SeqCst) > 100, "sends were stuck when their connections closed");
    let mut all: Vec<_> = (0..8).map(|_| echo::connect(([127, 0, 0, 1], address.port()).into())).collect();
    all.iter_mut().for_each(|client| echo::echo(client, b"all eight are free"));
    echo::stop(server);
}
