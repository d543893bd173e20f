//! Whose word counts for who a server is: the authorities that browsers trust, or those that are given.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::Connector;

/// Of `wss` connections; `ws` ones prove nothing. By default the authorities that Mozilla trusts.
#[derive(Clone, Debug)]
pub struct Trust(Arc<ClientConfig>);

/// What was given is no authority.
#[derive(Debug)]
pub struct NoAuthority(String);

impl fmt::Display for NoAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoAuthority {}

impl Default for Trust {
    fn default() -> Trust {
        Trust::of(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
    }
}

impl Trust {
    /// These authorities and no others: their certificates in PEM.
    ///
    /// # Errors
    /// There is none, or one that cannot be read.
    pub fn authorities(pem: &[u8]) -> Result<Trust, NoAuthority> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| NoAuthority(format!("no PEM: {error}")))?;
            roots.add(certificate).map_err(|error| NoAuthority(format!("no certificate of an authority: {error}")))?;
        }
        if roots.is_empty() {
            return Err(NoAuthority("there is no block `-----BEGIN CERTIFICATE-----`".to_owned()));
        }
        Ok(Trust::of(roots))
    }

    fn of(roots: RootCertStore) -> Trust {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider speaks TLS");
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Trust(Arc::new(config))
    }

    pub(super) fn connector(&self) -> Connector {
        Connector::Rustls(Arc::clone(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_authority_is_refused() {
        for pem in ["", "text", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(Trust::authorities(pem.as_bytes()).is_err(), "{pem:?}");
        }
    }
}
