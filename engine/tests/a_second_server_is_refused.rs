//! Set-up: two servers on one address, one after the other while the first runs, and again when it has stopped.
//! Claim: the second does not share the port; it is refused with the address, and starts when the first is gone.

use crate::echo;
use trunkline_engine::{Config, Server, StartError};

#[test]
fn a_second_server_is_refused() {
    let (server, seen) = echo::start(&echo::config());
    let address = server.address();
    let config = Config { listen: address.to_string(), ..echo::config() };
    let refused = Server::start(&config, move |_| echo::Echo::new(seen.clone())).unwrap_err();
    assert!(matches!(refused, StartError::Listen(_)), "{refused}");
    assert!(refused.to_string().contains(&address.to_string()), "{refused}");
    let mut client = echo::connect(address);
    echo::echo(&mut client, b"still here");
    // The server closes first, so its end lingers on the port.
    echo::stop(server);
    let (server, _) = echo::start(&config);
    echo::echo(&mut echo::connect(address), b"here again");
    echo::stop(server);
}
