//! TLS as a server's operator and its clients have it: an authority that signs certificates, clients that trust it, and a
//! tunnel through which a client that knows nothing of TLS speaks it.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use tempfile::TempDir;

use crate::peer::PATIENCE;
use crate::server::host;

/// What current clients speak.
pub const TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
/// What old clients speak.
pub const TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];

/// A connection with TLS.
pub type Secured = StreamOwned<ClientConnection, TcpStream>;

/// Signs certificates of the servers that tests start, and keeps them in a folder.
pub struct Authority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// A new one, which has signed a certificate.
    ///
    /// # Panics
    /// There is no folder, or no key.
    pub fn new() -> Authority {
        let folder = tempfile::Builder::new().prefix("trunkline-").tempdir().expect("a temporary folder");
        let authority = Authority { folder, issuer: issuer() };
        fs::write(authority.file("ca.pem"), authority.issuer.pem()).expect("a file");
        authority.sign();
        authority
    }

    /// Signs a new certificate, in place of the one before.
    ///
    /// # Panics
    /// There is no key.
    pub fn sign(&self) {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), host()];
        let params = CertificateParams::new(names).expect("names of a server");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        fs::write(self.certificate(), certificate.pem()).expect("a file");
        fs::write(self.key(), key.serialize_pem()).expect("a file");
    }

    /// Takes another authority's place: certificates from now on are its own.
    ///
    /// # Panics
    /// There is no key.
    pub fn renew(&mut self) {
        self.issuer = issuer();
        fs::write(self.file("ca.pem"), self.issuer.pem()).expect("a file");
        self.sign();
    }

    /// Its own certificate, for `--ca`.
    pub fn ca(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// The server's certificate.
    pub fn certificate(&self) -> PathBuf {
        self.file("certificate.pem")
    }

    /// The server's key.
    pub fn key(&self) -> PathBuf {
        self.file("key.pem")
    }

    /// The settings of a server with its certificate.
    pub fn settings(&self) -> [String; 2] {
        [format!("tls.certificate={}", self.certificate().display()), format!("tls.key={}", self.key().display())]
    }

    /// A client that trusts it.
    ///
    /// # Panics
    /// Its certificate is none.
    pub fn client(&self, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("a certificate of an authority");
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_protocol_versions(versions).expect("the provider speaks them");
        Arc::new(config.with_root_certificates(roots).with_no_client_auth())
    }

    /// A connection to a server; the handshake is done with the first byte.
    ///
    /// # Panics
    /// Nobody listens.
    pub fn connect(&self, address: SocketAddr) -> Secured {
        let stream = TcpStream::connect(address).expect("a server that listens");
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        StreamOwned::new(connection(&self.client(TLS13), address), stream)
    }

    /// A plain connection to whose other end a server speaks TLS; records go to it in pieces of so many bytes.
    ///
    /// # Panics
    /// There is no socket to be had.
    pub fn tunnel(&self, address: SocketAddr, piece: usize) -> TcpStream {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let near = TcpStream::connect(listener.local_addr().expect("it has one")).expect("it listens");
        let (inner, _) = listener.accept().expect("somebody has connected");
        let far = TcpStream::connect(address).expect("a server that listens");
        for stream in [&inner, &far] {
            stream.set_nodelay(true).expect("a socket");
        }
        let ends = Arc::new(Mutex::new(Ends {
            connection: connection(&self.client(TLS13), address),
            far: far.try_clone().expect("a descriptor"),
            piece,
        }));
        let (out, there) = (Arc::clone(&ends), inner.try_clone().expect("a descriptor"));
        thread::spawn(move || say(there, &out));
        thread::spawn(move || hear(inner, far, &ends));
        near
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Default for Authority {
    fn default() -> Authority {
        Authority::new()
    }
}

fn issuer() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate")
}

fn connection(config: &Arc<ClientConfig>, address: SocketAddr) -> ClientConnection {
    ClientConnection::new(Arc::clone(config), ServerName::from(address.ip())).expect("a configuration that can work")
}

/// The end of a tunnel that speaks TLS.
struct Ends {
    connection: ClientConnection,
    far: TcpStream,
    piece: usize,
}

impl Ends {
    /// Sends what is ready. A server that does not listen any more is no failure here.
    fn flush(&mut self) {
        let mut records = Vec::new();
        while self.connection.wants_write() {
            self.connection.write_tls(&mut records).expect("memory takes everything");
        }
        for piece in records.chunks(self.piece) {
            if self.far.write_all(piece).is_err() {
                return;
            }
        }
    }
}

fn say(mut near: TcpStream, ends: &Mutex<Ends>) {
    let lock = || ends.lock().unwrap_or_else(PoisonError::into_inner);
    lock().flush();
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = near.read(&mut buffer) {
        let mut left = &buffer[..count];
        while !left.is_empty() {
            let mut ends = lock();
            let count = ends.connection.writer().write(left).expect("memory takes everything");
            ends.flush();
            left = &left[count..];
        }
    }
    let mut ends = lock();
    ends.connection.send_close_notify();
    ends.flush();
    let _ = ends.far.shutdown(Shutdown::Write);
}

fn hear(mut near: TcpStream, mut far: TcpStream, ends: &Mutex<Ends>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = far.read(&mut buffer) {
        let mut records = &buffer[..count];
        let mut heard = Vec::new();
        let mut ends = ends.lock().unwrap_or_else(PoisonError::into_inner);
        while !records.is_empty() && ends.connection.read_tls(&mut records).is_ok() {
            let processed = ends.connection.process_new_packets();
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = ends.connection.reader().read(&mut piece) {
                heard.extend_from_slice(&piece[..count]);
            }
            if processed.is_err() {
                break;
            }
        }
        ends.flush();
        drop(ends);
        if near.write_all(&heard).is_err() {
            break;
        }
    }
    let _ = near.shutdown(Shutdown::Both);
    let _ = far.shutdown(Shutdown::Both);
}
