//! The generator against real servers: one binary, a file for each thing that must hold.

#[path = "support/server.rs"]
mod server;

mod every_copy_is_followed_to_its_end;
mod every_message_is_followed_to_its_end;
mod every_misdeed_ends_the_run;
mod idle_sessions_are_only_there;
mod sessions_are_told_what_changed;
