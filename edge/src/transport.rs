//! What lies between a socket and the bytes that are spoken over it: nothing, or TLS.
//!
//! It does no I/O, so that a shard's ring and a runtime drive the same thing, and a connection changes from one to the
//! other with its state.

mod certificate;
#[cfg(test)]
mod tests;
mod tls;

pub use certificate::{Certificate, CertificateError, CertificateFiles};
pub use tls::{Stage, Tls, TlsFault};

/// Of one connection.
#[derive(Debug, Default)]
pub enum Transport {
    /// What is on the socket is what is spoken.
    #[default]
    Plain,
    /// TLS 1.3.
    Tls(Box<Tls>),
}
