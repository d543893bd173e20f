//! The binary from the outside: one property per file, each with servers and folders of its own.

mod a_corpus_is_history;
mod a_new_device_begins_with_what_comes;
mod a_second_server_is_refused;
mod a_strangers_client_misses_nothing;
mod advanced_comes_behind_what_it_speaks_of;
mod an_ex_member_sees_exactly_its_window;
mod chat_and_listen_show_groups_ticks_and_typing;
mod chat_works_with_piped_input;
mod command_line_mistakes_are_clear;
mod every_fallback_serves;
mod group_commands_do_what_they_say;
mod groups_are_the_same_with_any_number_of_shards;
mod groups_keep_to_their_limits;
mod list_shows_the_latest_change_first;
mod listen_follows_across_reconnects;
mod listen_goes_on_where_it_was;
mod nothing_is_lost_or_doubled;
mod only_admins_change_a_group;
mod reading_on_one_device_counts_on_the_others;
mod readme_session_runs_as_printed;
mod rest_after_drain;
mod strangers_learn_nothing_of_groups;
mod ticks_reach_the_sender_and_never_go_down;
mod typing_is_told_and_never_written;
mod whoever_was_away_syncs_what_changed;

mod corpus;
mod output;
mod people;
mod sdk;
mod shards;
