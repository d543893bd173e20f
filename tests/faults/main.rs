//! Faults and hostile clients, against the real process: kills, full disks, slow readers, broken and malicious peers.
#![forbid(unsafe_code)]

mod a_fifth_session_replaces_the_oldest;
mod a_full_disk_refuses_and_recovers;
mod a_kill_right_after_an_add_loses_no_list;
mod a_login_flood_delays_nobody;
mod a_slow_reader_stops_nobody;
mod backups_have_all_that_was_acked;
mod bad_handshakes_get_http_answers;
mod bad_tokens_are_refused_and_old_ones_end;
mod broken_envelopes_get_typed_answers;
mod broken_frames_are_closed_by_their_code;
mod chronicle;
mod cold_state_stays_within_its_budget;
mod crowd;
mod disk;
mod fleet;
mod floods_of_control_frames_end;
mod half_open_peers_are_found;
mod hostile_http_does_not_hurt;
mod hostile_requests_of_groups_get_typed_answers;
mod hostile_tls_does_not_hurt;
mod laggards;
mod ledger;
mod line;
mod lines_that_are_cut_are_counted;
mod multitude;
mod no_acked_message_is_lost_by_a_kill;
mod pages_of_other_hosts_are_refused;
mod segments_do_not_matter;
mod sends_are_judged_by_number_and_body;
mod slow_readers_of_groups_are_told_and_complete;
mod the_first_envelope_is_hello_and_comes_in_time;
mod what_members_saw_is_the_log;

use trunkline_tests::{dice, ear, peer, rig};
