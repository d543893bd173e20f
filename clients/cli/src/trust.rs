//! Which authorities may vouch for a server: those that browsers trust, or those in the file of `--ca`.

use std::env;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use trunkline_client::transport;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use crate::failure::Failure;

/// Who is trusted, as the command line has it.
#[derive(Debug, Args)]
pub struct TrustArgs {
    /// Certificates of the authorities that may vouch for the server, in PEM [default: $TRUNKLINE_CA, else those of browsers]
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    ca: Option<PathBuf>,
}

impl TrustArgs {
    /// `--ca` before `TRUNKLINE_CA`.
    pub(crate) fn resolve(&self) -> Result<Trust, Failure> {
        let variable = || env::var_os("TRUNKLINE_CA").filter(|value| !value.is_empty()).map(PathBuf::from);
        match self.ca.clone().or_else(variable) {
            Some(file) => Trust::of_file(file),
            None => Ok(Trust::default()),
        }
    }
}

/// The authorities of a command.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Trust {
    /// Their certificates, where they were given.
    pem: Option<Arc<[u8]>>,
}

impl Trust {
    fn of_file(file: PathBuf) -> Result<Trust, Failure> {
        let failed = |reason: String| {
            let text =
                format!("{} (--ca or TRUNKLINE_CA): {reason}; name a file with certificates in PEM", file.display());
            Failure::new("no_authority", text)
        };
        let pem = std::fs::read(&file).map_err(|error| failed(error.to_string()))?;
        let trust = Trust { pem: Some(pem.into()) };
        trust.of_sessions().map_err(|failure| failed(failure.message().to_owned()))?;
        Ok(trust)
    }

    /// For sessions.
    pub fn of_sessions(&self) -> Result<transport::Trust, Failure> {
        let Some(pem) = &self.pem else { return Ok(transport::Trust::default()) };
        transport::Trust::authorities(pem).map_err(|error| Failure::new("no_authority", error.to_string()))
    }

    /// For requests over HTTP.
    pub fn of_requests(&self) -> TlsConfig {
        let Some(pem) = &self.pem else { return TlsConfig::default() };
        let certificates: Vec<_> = parse_pem(pem)
            .filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                _ => None,
            })
            .collect();
        TlsConfig::builder().root_certs(RootCerts::new_with_certs(&certificates)).build()
    }
}
