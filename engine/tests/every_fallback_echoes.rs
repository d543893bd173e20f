//! Set-up: servers that each do without one feature of io_uring, and one that does without all of them.
//! Claim: each serves as the full one does: 100 connections, large and small echoes, slots that come back.

use std::sync::atomic::Ordering::SeqCst;

use crate::echo;
use trunkline_engine::ring::{Feature, Features};

fn serves_without(disabled: Features) {
    let (server, seen) = echo::start(&trunkline_engine::Config { ring_disable: disabled, ..echo::config() });
    let in_force = server.features();
    println!("without {disabled}: {in_force}");
    assert_eq!(in_force.minus(disabled), in_force, "what is disabled is not used");
    let mut random = echo::Random(7);
    for round in 1..=2 {
        let mut clients: Vec<_> = (0..100).map(|_| echo::connect(server.address())).collect();
        for client in &mut clients {
            echo::echo(client, &random.bytes(1));
            echo::echo(client, &random.bytes(30_000));
        }
        drop(clients);
        echo::eventually("all closed", || seen.closed.load(SeqCst) == round * 100);
    }
    echo::stop(server);
}

#[test]
fn every_fallback_echoes() {
    serves_without(Features::NONE);
    for feature in Feature::ALL {
        serves_without(Features::NONE.with(feature));
    }
    serves_without(Features::all());
}
