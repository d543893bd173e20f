//! The SDK against model servers, real sockets and files: one binary, a file for each thing that must hold.

#[path = "model/dice.rs"]
mod dice;
#[path = "model/line.rs"]
mod line;
#[path = "model/pages.rs"]
mod pages;
#[path = "model/server.rs"]
mod server;
#[path = "model/tamper.rs"]
mod tamper;
#[path = "model/world.rs"]
mod world;

mod a_restored_server_is_noticed;
mod a_stream_begins_behind_what_was_confirmed;
mod an_outbox_has_one_owner;
mod gaps_are_closed_by_history;
mod groups_are_followed_within_their_windows;
mod no_server_makes_a_client_panic;
mod outbox_survives_a_cut_at_every_byte;
mod positions_are_taken_over_when_they_are_known;
mod reconnects_are_spread_and_bounded;
mod refusals_are_judged_by_their_code;
mod sessions_survive_their_connections;
mod texts_are_stored_once_and_in_order;
mod watermarks_and_typing_are_told_sparingly;
