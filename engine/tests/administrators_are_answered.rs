//! Set-up: two shards at rest, four threads that ask them 1,000 times each.
//! Claim: each question wakes its shard and is answered; after the stop the answer is that there is none.

use std::time::Duration;

use crate::echo;
use trunkline_engine::ControlError;
use trunkline_shards::contract::{AdminAnswer, AdminRequest};

#[test]
fn administrators_are_answered() {
    let (server, _) = echo::start(&echo::config());
    let timeout = Duration::from_secs(5);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let control = server.control().clone();
            scope.spawn(move || {
                for turn in 0..1_000 {
                    let answer = control.ask(turn % control.shards(), AdminRequest::Counters, timeout);
                    assert_eq!(answer, Ok(AdminAnswer::Busy));
                }
            });
        }
    });
    let control = server.control().clone();
    assert_eq!(control.ask(2, AdminRequest::Counters, timeout), Err(ControlError::NoShard));
    echo::stop(server);
    assert_eq!(control.ask(0, AdminRequest::Counters, timeout), Err(ControlError::Ended));
}
