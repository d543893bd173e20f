//! Set-up: a server that runs, then drains behind a client that does not answer its close. Claim: `/healthz` answers as long as
//! the process lives; `/readyz` says yes when all shards answer, and 503 with the reason once the drain has begun.

use trunkline_tests::http::{get, port_of};
use trunkline_tests::peer::{Peer, soon};
use trunkline_tests::rig;
use trunkline_tests::server::{PATIENCE, Server};

#[test]
fn from_ready_to_draining() {
    let mut server = Server::start(&["--shards", "2"]);
    let alice = server.add_user("alice");
    let port = port_of(&server);
    let (alive, ready) = (get(port, "/healthz"), get(port, "/readyz"));
    assert_eq!((alive.status, alive.body.as_str()), (200, "alive\n"));
    assert_eq!((ready.status, ready.body.as_str()), (200, "ready\n"));
    let silent = Peer::login(rig::address(&server), &alice.token);
    server.terminate();
    soon("the server drains", PATIENCE, &503, || get(port, "/readyz").status);
    assert_eq!(get(port, "/readyz").body, "draining\n");
    assert_eq!(get(port, "/healthz").status, 200);
    drop(silent);
    server.ended().succeeded();
}
