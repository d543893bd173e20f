//! What the server proves with who it is: a chain of certificates and its key, from two files that are read again when the
//! operator says so.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{InconsistentKeys, ServerConfig};

use super::{Tls, Transport};
use crate::limits::PEM_BYTES_MAX;

/// Where they are, in PEM.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificateFiles {
    /// The server's certificate, and behind it those that it was signed with.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Why two files are no certificate with its key.
#[derive(Debug)]
pub enum CertificateError {
    /// A file cannot be read; with the setting that names it.
    File(&'static str, PathBuf, io::Error),
    /// A file is larger than any.
    TooLarge(&'static str, PathBuf),
    /// A file has not what it should have.
    Nothing(&'static str, PathBuf, &'static str),
    /// The key is of another certificate.
    Mismatch(CertificateFiles),
    /// TLS cannot be spoken with them.
    Unusable(CertificateFiles, rustls::Error),
}

impl fmt::Display for CertificateError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CertificateError::File(setting, path, error) => write!(
                formatter,
                "`{setting}` = `{}` cannot be read: {error}; name a file in PEM that this user may read",
                path.display()
            ),
            CertificateError::TooLarge(setting, path) => write!(
                formatter,
                "`{setting}` = `{}` has more than {PEM_BYTES_MAX} bytes: is it the right file?",
                path.display()
            ),
            CertificateError::Nothing(setting, path, block) => write!(
                formatter,
                "`{setting}` = `{}` has no block `-----BEGIN {block}-----`: name a file in PEM (from DER: openssl x509 or \
                 openssl pkey, with -inform der)",
                path.display()
            ),
            CertificateError::Mismatch(files) => write!(
                formatter,
                "the key in {} is not that of the first certificate in {}: the server's own certificate comes first, the \
                 ones it was signed with behind it",
                files.key.display(),
                files.certificate.display()
            ),
            CertificateError::Unusable(files, error) => write!(
                formatter,
                "TLS cannot be spoken with {} and {}: {error}",
                files.certificate.display(),
                files.key.display()
            ),
        }
    }
}

impl std::error::Error for CertificateError {}

/// A certificate in use.
#[derive(Debug)]
pub struct Certificate {
    files: CertificateFiles,
    config: RwLock<Arc<ServerConfig>>,
}

impl Certificate {
    /// Reads it.
    ///
    /// # Errors
    /// See [`CertificateError`]; its text says what to do.
    pub fn open(files: CertificateFiles) -> Result<Certificate, CertificateError> {
        let config = RwLock::new(read(&files)?);
        Ok(Certificate { files, config })
    }

    /// Reads it again, for connections from now on; those there are go on with what they began with.
    ///
    /// # Errors
    /// See [`CertificateError`]; then all is as it was.
    pub fn reload(&self) -> Result<(), CertificateError> {
        let config = read(&self.files)?;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    /// Where it was read from.
    pub fn files(&self) -> &CertificateFiles {
        &self.files
    }

    /// TLS for a socket that was just accepted.
    pub fn accept(&self) -> Transport {
        let config = Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner));
        Transport::Tls(Box::new(Tls::accept(config)))
    }
}

fn read(files: &CertificateFiles) -> Result<Arc<ServerConfig>, CertificateError> {
    let chain = chain("tls.certificate", &files.certificate)?;
    let key = key("tls.key", &files.key)?;
    let unusable = |error| CertificateError::Unusable(files.clone(), error);
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).map_err(unusable)?;
    let built = builder.with_no_client_auth().with_single_cert(chain, key);
    let mut config = built.map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => CertificateError::Mismatch(files.clone()),
        error => unusable(error),
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Whoever comes back is spared the signature; its keys are made here, and go with the process or the next reload.
    config.ticketer = ring::Ticketer::new().map_err(unusable)?;
    Ok(Arc::new(config))
}

fn chain(setting: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let pem = pem(setting, path)?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().unwrap_or_default();
    if certificates.is_empty() {
        return Err(CertificateError::Nothing(setting, path.to_owned(), "CERTIFICATE"));
    }
    Ok(certificates)
}

fn key(setting: &'static str, path: &Path) -> Result<PrivateKeyDer<'static>, CertificateError> {
    let pem = pem(setting, path)?;
    let none = |_| CertificateError::Nothing(setting, path.to_owned(), "PRIVATE KEY");
    PrivateKeyDer::from_pem_slice(&pem).map_err(none)
}

fn pem(setting: &'static str, path: &Path) -> Result<Vec<u8>, CertificateError> {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(PEM_BYTES_MAX + 1).read_to_end(&mut text));
    read.map_err(|error| CertificateError::File(setting, path.to_owned(), error))?;
    if text.len() as u64 > PEM_BYTES_MAX {
        return Err(CertificateError::TooLarge(setting, path.to_owned()));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn only_a_certificate_with_its_key_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = [(); 2].map(|()| rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap());
        let certificate = write(folder.path(), "certificate.pem", &one.cert.pem());
        let key = write(folder.path(), "key.pem", &one.signing_key.serialize_pem());
        let key_of_other = write(folder.path(), "other.pem", &other.signing_key.serialize_pem());
        let large = write(folder.path(), "large.pem", &"x".repeat(PEM_BYTES_MAX as usize + 1));
        let missing = folder.path().join("missing.pem");
        let open = |certificate: &Path, key: &Path| {
            Certificate::open(CertificateFiles { certificate: certificate.into(), key: key.into() })
        };
        let refused = |certificate: &Path, key: &Path| open(certificate, key).unwrap_err().to_string();
        assert!(refused(&missing, &key).contains("`tls.certificate`"));
        assert!(refused(&certificate, &missing).contains("`tls.key`"));
        assert!(refused(&key, &key).contains("BEGIN CERTIFICATE"));
        assert!(refused(&certificate, &certificate).contains("BEGIN PRIVATE KEY"));
        assert!(refused(&large, &key).contains("the right file"));
        assert!(refused(&certificate, &key_of_other).contains("is not that of the first certificate"));
        let used = open(&certificate, &key).unwrap();
        std::fs::write(&key, other.signing_key.serialize_pem()).unwrap();
        assert!(used.reload().is_err());
        assert!(matches!(used.accept(), Transport::Tls(_)), "what was read before stays");
        std::fs::write(&certificate, other.cert.pem()).unwrap();
        used.reload().unwrap();
    }
}
