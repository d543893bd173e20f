//! The engine over real rings, sockets and threads: one binary, a file for each thing that must hold.

#[path = "support/child.rs"]
mod child;
#[path = "support/echo.rs"]
mod echo;

mod a_deaf_peer_stops_nobody;
mod a_drain_ends_in_time;
mod a_failed_store_ends_the_process;
mod a_full_table_drops_nobody;
mod a_guest_comes_back;
mod a_guest_leaves_with_every_byte;
mod a_second_server_is_refused;
mod a_sleeping_shard_wakes_soon;
mod a_thousand_connections_echo;
mod administrators_are_answered;
mod an_empty_buffer_ring_recovers;
mod echo_survives_any_segmentation;
mod every_fallback_echoes;
mod half_closed_and_reset_peers_end_once;
mod no_entry_is_lost_without_credit;
mod signals_drain_and_exit;
mod slots_are_never_reused_too_early;
mod store_answers_come_back_once;
