//! Set-up: a session whose line is cut, one that closes, and a connection that never had one. Claim: only the first counts
//! as lost, which is what the drops per hour are made of.

use trunkline_tests::peer::Peer;
use trunkline_wire::websocket::Opcode;

use crate::rig;

#[test]
fn only_what_was_cut_is_lost() {
    let _among = rig::among_others();
    let server = rig::serve(&[]);
    let alice = server.add_user("alice");
    let address = rig::address(&server);
    let stranger = Peer::open(address);
    drop(stranger);
    let mut polite = Peer::login(address, &alice.token);
    polite.write_frame(Opcode::Close, &1000u16.to_be_bytes());
    polite.ends();
    let cut = Peer::login(address, &alice.token);
    rig::counted(&server, "sessions_lost", || drop(cut));
    assert_eq!(server.counter("sessions_lost"), 1);
}
