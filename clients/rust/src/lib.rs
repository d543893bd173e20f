//! The Trunkline SDK: a client of the chat server that sends each message exactly once, however often connections and
//! processes die, and tells each message once and in order.
//!
//! [`core`] decides and does no I/O; [`transport`] runs it over a WebSocket on tokio; [`outbox`] keeps what has no
//! answer yet.
//!
//! ```no_run
//! use trunkline_client::core::{ClientEvent, Follow, Options};
//! use trunkline_client::outbox::{FileOutbox, identity_folder};
//! use trunkline_client::transport::{connect, seed_from_os, session_url};
//!
//! # async fn example(token: String, state: &std::path::Path) -> Result<(), Box<dyn std::error::Error>> {
//! let url = session_url("ws://127.0.0.1:7400")?;
//! let outbox = FileOutbox::open(&identity_folder(state, &url, &token))?;
//! let options = Options {
//!     token,
//!     client_name: "example/1".into(),
//!     follow: Follow::FromNow,
//!     echo_own: false,
//!     seed: seed_from_os()?,
//! };
//! let (handle, mut events) = connect(&url, options, outbox)?;
//!
//! let bob = handle.resolve("bob").await?;
//! let chat = handle.open_peer(bob).await?.conversation;
//! let sent = handle.send_text_and_wait(chat, "hello").await?;
//! println!("said as number {}", sent.seq);
//!
//! while let Some(event) = events.next().await {
//!     if let ClientEvent::Message(message) = event {
//!         println!("{}: {}", message.sender, message.text().unwrap_or("?"));
//!     }
//! }
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

pub mod core;
pub mod limits;
pub mod outbox;
pub mod transport;
