//! Set-up: a server of two shards, scraped before and after messages from alice to bob, who listens. Claim: the exposition is
//! well-formed, each shard has its label, what is counted moves by what was done, and histograms add up.

use trunkline_tests::http::{get, port_of};
use trunkline_tests::peer::soon;
use trunkline_tests::server::{PATIENCE, Server};

use crate::exposition::Exposition;
use crate::output::send;

const MESSAGES: u32 = 5;

#[track_caller]
fn scrape(server: &Server) -> Exposition {
    let response = get(port_of(server), "/metrics");
    assert_eq!(response.status, 200, "{response:?}");
    let media = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(response.head.contains(media), "{}", response.head);
    Exposition::parse(&response.body)
}

#[test]
fn what_was_done_is_told() {
    let server = Server::start(&["--shards", "2"]);
    ["alice", "bob"].iter().for_each(|name| drop(server.add_user(name)));
    let before = scrape(&server);
    let mut listener = server.spawn(["listen", "--as", "bob", "--count", &MESSAGES.to_string()]);
    assert!(listener.stderr().line_with("listening", PATIENCE).is_some());
    for number in 0..MESSAGES {
        send(&server, "alice", "bob", &number.to_string());
    }
    listener.ended(PATIENCE).succeeded();
    let after = scrape(&server);
    let grown = |name: &str| after.sum(name) - before.sum(name);
    assert_eq!(grown("trunkline_messages_stored_total"), f64::from(MESSAGES));
    assert_eq!(grown("trunkline_messages_delivered_total"), f64::from(MESSAGES));
    assert_eq!(grown("trunkline_delivery_seconds_count"), f64::from(MESSAGES));
    assert!(grown("trunkline_delivery_seconds_sum") > 0.0);
    for name in ["turns", "kernel_entries", "completions", "sends", "frames_queued", "connections_accepted"] {
        assert!(grown(&format!("trunkline_{name}_total")) > 0.0, "{name} stands still");
    }
    assert!(grown("trunkline_received_bytes_total") > 0.0 && grown("trunkline_store_commit_seconds_count") > 0.0);
    assert!(grown("trunkline_store_group_writes_sum") >= f64::from(MESSAGES));
    soon("the connections are gone", PATIENCE, &0.0, || scrape(&server).sum("trunkline_connections_open"));
}

#[test]
fn each_shard_has_its_label_and_histograms_add_up() {
    let server = Server::start(&["--shards", "3"]);
    server.add_user("alice");
    send(&server, "alice", "alice", "to myself");
    let scraped = scrape(&server);
    let shards: Vec<&str> = scraped.of("trunkline_turns_total").map(|(labels, _)| labels).collect();
    assert_eq!(shards, ["shard=\"0\"", "shard=\"1\"", "shard=\"2\""]);
    assert!(scraped.families("counter").len() > 25 && scraped.families("gauge").len() > 6);
    assert!(scraped.of("trunkline_connections_dropped_total").any(|(labels, _)| labels.contains("slow_reader")));
    assert_eq!(scraped.families("histogram").len(), 4);
    for family in scraped.families("histogram") {
        let buckets = format!("{family}_bucket");
        let infinite = scraped.of(&buckets).filter(|(labels, _)| labels.contains("le=\"+Inf\""));
        let total: f64 = infinite.map(|(_, value)| value).sum();
        assert_eq!(total, scraped.sum(&format!("{family}_count")), "{family}");
    }
}
