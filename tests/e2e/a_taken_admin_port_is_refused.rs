//! Set-up: a server, and another one that is to have the same admin port. Claim: the second one does not start and says what
//! is taken and how to choose another; without an admin port it starts, and nobody listens for it.

use serde_json::json;
use trunkline_tests::http::port_of;
use trunkline_tests::server::{Home, Server, free_address, run};

#[test]
fn with_the_fix() {
    let first = Server::start(&["--shards", "1"]);
    let taken = port_of(&first).to_string();
    let (home, listen) = (Home::new(), free_address());
    let setting = format!("admin.listen={taken}");
    let second = run(&mut home.trunkline(["serve", "--shards", "1", "--listen", &listen, "--set", &setting]));
    assert_eq!((second.code, second.stdout.as_str()), (Some(1), ""), "{second:?}");
    for part in [taken.as_str(), "is taken", "--set admin.listen=HOST:PORT", "--set admin.listen="] {
        assert!(second.stderr.contains(part), "no {part:?} in {second:?}");
    }
    assert!(!home.data().join("fjall").exists(), "the store was not opened");
    let third = Server::start_in(home, &["--shards", "1", "--set", "admin.listen="]);
    assert_eq!(third.admin().ask(&json!({"op": "status"}))["admin_listen"], json!(null));
}

#[test]
fn an_address_that_is_none_is_refused() {
    let home = Home::new();
    let refused = run(&mut home.trunkline(["serve", "--shards", "1", "--set", "admin.listen=nonsense"]));
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("such as 127.0.0.1:7401"), "{refused:?}");
}
