//! The binary from the outside: one property per file, each with servers and folders of its own.

mod a_corpus_is_history;
mod a_second_server_is_refused;
mod a_strangers_client_misses_nothing;
mod chat_works_with_piped_input;
mod command_line_mistakes_are_clear;
mod every_fallback_serves;
mod listen_follows_across_reconnects;
mod nothing_is_lost_or_doubled;
mod readme_session_runs_as_printed;
mod rest_after_drain;

mod corpus;
mod output;
mod sdk;
mod shards;
