//! A client of the library against the server's side, in memory: any pieces, both ways, and what goes wrong.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

use super::{Certificate, CertificateFiles, Stage, Tls, TlsFault, Transport};
use crate::limits::TLS_HANDSHAKE_BYTES_MAX;

/// A certificate of `localhost` in a folder, and a client that trusts it.
fn certificate(folder: &Path, versions: &[&'static SupportedProtocolVersion]) -> (Certificate, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let files = CertificateFiles { certificate: folder.join("certificate.pem"), key: folder.join("key.pem") };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let client = client.with_protocol_versions(versions).unwrap().with_root_certificates(roots).with_no_client_auth();
    (Certificate::open(files).unwrap(), Arc::new(client))
}

fn accept(certificate: &Certificate) -> Box<Tls> {
    let Transport::Tls(tls) = certificate.accept() else { panic!("a certificate is for TLS") };
    tls
}

fn client(config: &Arc<ClientConfig>) -> ClientConnection {
    ClientConnection::new(Arc::clone(config), ServerName::try_from("localhost").unwrap()).unwrap()
}

/// Both ends, and what each has heard.
struct Talk {
    server: Box<Tls>,
    client: ClientConnection,
    /// How many bytes arrive at a time.
    piece: usize,
    out: Vec<u8>,
    at_server: Vec<u8>,
    at_client: Vec<u8>,
}

impl Talk {
    fn new(certificate: &Certificate, config: &Arc<ClientConfig>, piece: usize) -> Talk {
        let (server, client) = (accept(certificate), client(config));
        Talk { server, client, piece, out: Vec::new(), at_server: Vec::new(), at_client: Vec::new() }
    }

    /// Moves bytes until neither has any.
    fn settle(&mut self) -> Result<(), TlsFault> {
        loop {
            let mut to_server = Vec::new();
            while self.client.wants_write() {
                self.client.write_tls(&mut to_server).unwrap();
            }
            for piece in to_server.chunks_mut(self.piece) {
                self.server.receive(piece, &mut self.at_server, &mut self.out)?;
            }
            let to_client = std::mem::take(&mut self.out);
            for piece in to_client.chunks(self.piece) {
                let mut rest = piece;
                while !rest.is_empty() {
                    self.client.read_tls(&mut rest).unwrap();
                    self.client.process_new_packets().unwrap();
                    let mut heard = vec![0; 1 << 16];
                    while let Ok(count @ 1..) = self.client.reader().read(&mut heard) {
                        self.at_client.extend_from_slice(&heard[..count]);
                    }
                }
            }
            if to_server.is_empty() && to_client.is_empty() {
                return Ok(());
            }
        }
    }

    fn ask(&mut self, bytes: &[u8]) {
        let mut left = bytes;
        while !left.is_empty() {
            let count = self.client.writer().write(left).unwrap();
            left = &left[count..];
            self.settle().unwrap();
        }
    }
}

fn text(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 % 251) as u8).collect()
}

#[test]
fn pieces_do_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, config) = certificate(folder.path(), &[&rustls::version::TLS13]);
    for piece in [1, 2, 3, 5, 7, 64, 1_000, 2_048, 16_384, 1 << 20] {
        let mut talk = Talk::new(&certificate, &config, piece);
        assert_eq!(talk.server.stage(), Stage::Handshake);
        talk.settle().unwrap();
        assert_eq!((talk.server.stage(), talk.client.is_handshaking()), (Stage::Open, false), "in pieces of {piece}");
        assert_eq!(talk.client.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
        assert_eq!(talk.server.unread_bytes(), 0, "what is idle holds nothing");
        for length in [1, 100, 16_384, 16_385, 100_000] {
            let said = text(length);
            talk.ask(&said);
            assert!(talk.at_server == said, "{length} bytes to the server in pieces of {piece}");
            talk.at_server.clear();
            talk.server.seal(&said, &mut talk.out).unwrap();
            talk.settle().unwrap();
            assert!(talk.at_client == said, "{length} bytes to the client in pieces of {piece}");
            talk.at_client.clear();
            // New keys, of which the other side is told with what it is told next.
            talk.client.refresh_traffic_keys().unwrap();
        }
        assert_eq!(talk.server.unread_bytes(), 0, "what is idle holds nothing");
        talk.client.send_close_notify();
        talk.settle().unwrap();
        assert_eq!(talk.server.stage(), Stage::Closed);
        talk.server.close(&mut talk.out);
        assert!(!talk.out.is_empty());
        talk.settle().unwrap();
    }
}

#[test]
fn whoever_comes_back_is_spared_the_long_way() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, config) = certificate(folder.path(), &[&rustls::version::TLS13]);
    let kinds = [(); 2].map(|()| {
        let mut talk = Talk::new(&certificate, &config, 1 << 20);
        talk.settle().unwrap();
        talk.client.handshake_kind()
    });
    assert_eq!(kinds, [rustls::HandshakeKind::Full, rustls::HandshakeKind::Resumed].map(Some));
}

/// A byte may come while a record of which there is a part is not whole, and while something is to be said.
#[test]
fn a_part_of_a_record_stops_nobody_from_speaking() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, config) = certificate(folder.path(), &[&rustls::version::TLS13]);
    let mut talk = Talk::new(&certificate, &config, 1 << 20);
    talk.settle().unwrap();
    talk.client.refresh_traffic_keys().unwrap();
    talk.client.writer().write_all(b"hello").unwrap();
    let mut record = Vec::new();
    while talk.client.wants_write() {
        talk.client.write_tls(&mut record).unwrap();
    }
    let mut answered = 0;
    for byte in &mut record {
        talk.server.receive(std::slice::from_mut(byte), &mut talk.at_server, &mut talk.out).unwrap();
        talk.server.seal(b"!", &mut talk.out).unwrap();
        answered += 1;
        talk.settle().unwrap();
        assert_eq!(talk.at_client.len(), answered);
    }
    assert_eq!(talk.at_server, b"hello");
}

#[test]
fn older_versions_and_other_protocols_are_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, config) = certificate(folder.path(), &[&rustls::version::TLS12]);
    let mut talk = Talk::new(&certificate, &config, 1 << 20);
    let fault = talk.settle().unwrap_err();
    assert!(matches!(fault, TlsFault::Broken(rustls::Error::PeerIncompatible(_))), "{fault}");
    assert!(is_alert(&talk.out, 70), "protocol_version, not {:?}", talk.out);
    let mut again = Vec::new();
    assert_eq!(talk.server.receive(&mut [1, 2, 3], &mut Vec::new(), &mut again), Err(fault.clone()));
    assert!(talk.server.seal(b"late", &mut again) == Err(fault) && again.is_empty());
    for said in
        [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], &[0; 600], &[0x16; 600], &[0x17, 3, 3, 0, 1, 0], &[0xff; 20_000]]
    {
        let (mut server, mut plain, mut out) = (accept(&certificate), Vec::new(), Vec::new());
        assert!(server.receive(&mut said.to_vec(), &mut plain, &mut out).is_err(), "{:?}", &said[..5]);
        assert!(plain.is_empty() && server.unread_bytes() == 0);
    }
}

/// An alert in the clear, fatal, of a kind (RFC 8446 section 6).
fn is_alert(record: &[u8], kind: u8) -> bool {
    matches!(record, [21, 3, _, 0, 2, 2, told] if *told == kind)
}

#[test]
fn a_handshake_without_end_holds_little() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, _) = certificate(folder.path(), &[&rustls::version::TLS13]);
    // A first message that says it has 60,000 bytes, in records of 1,000.
    let mut endless = vec![0x16, 3, 1, 3, 0xe8, 1, 0, 0xea, 0x60];
    endless.resize(5 + 1_000, 0);
    let (mut server, mut out) = (accept(&certificate), Vec::new());
    for sent in 1.. {
        match server.receive(&mut endless.clone(), &mut Vec::new(), &mut out) {
            Ok(stage) => assert_eq!(stage, Stage::Handshake),
            Err(fault) => {
                assert_eq!(fault, TlsFault::HandshakeTooLong);
                assert!(sent * endless.len() > TLS_HANDSHAKE_BYTES_MAX);
                return;
            }
        }
        assert!(server.unread_bytes() <= 2 * TLS_HANDSHAKE_BYTES_MAX);
        endless[5..9].fill(0);
    }
}

#[test]
fn damaged_records_end_it() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, config) = certificate(folder.path(), &[&rustls::version::TLS13]);
    for at in [0, 3, 5, 20] {
        let mut talk = Talk::new(&certificate, &config, 1 << 20);
        talk.settle().unwrap();
        talk.client.writer().write_all(b"a word that nobody else shall change").unwrap();
        let mut record = Vec::new();
        talk.client.write_tls(&mut record).unwrap();
        record[at] ^= 0x40;
        let heard = talk.server.receive(&mut record, &mut talk.at_server, &mut talk.out);
        assert!(heard.is_err() || talk.server.unread_bytes() > 0, "byte {at}: {heard:?}");
        assert!(talk.at_server.is_empty(), "byte {at}");
        assert!(heard.is_ok() || !talk.out.is_empty(), "the peer is told");
    }
}

/// Small deterministic random numbers (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % bound as u64) as usize
    }
}

/// The process ends at an assertion of the library, so nothing that a peer sends may lead to one.
#[test]
fn no_bytes_of_a_peer_lead_to_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, config) = certificate(folder.path(), &[&rustls::version::TLS13]);
    let (mut broken, mut whole) = (0, 0);
    for seed in 0..1_500 {
        let random = &mut Random(seed);
        let mut talk = Talk::new(&certificate, &config, 1 << 20);
        let is_early = random.below(3) == 0;
        if !is_early {
            talk.settle().unwrap();
            talk.client.writer().write_all(&text(random.below(3_000))).unwrap();
            if random.below(2) == 0 {
                talk.client.refresh_traffic_keys().unwrap();
                talk.client.writer().write_all(b"under other keys").unwrap();
            }
            if random.below(4) == 0 {
                talk.client.send_close_notify();
            }
        }
        let mut records = Vec::new();
        while talk.client.wants_write() {
            talk.client.write_tls(&mut records).unwrap();
        }
        for _ in 0..random.below(3) {
            let at = random.below(records.len());
            match random.below(3) {
                0 => records[at] ^= 1 << random.below(8),
                1 => records.truncate(at + 1),
                _ => drop(records.splice(at..at, [20, 3, 3, 0, 1, 1])),
            }
        }
        let mut left = &mut records[..];
        while !left.is_empty() {
            let length = left.len();
            let (piece, rest) = left.split_at_mut(1 + random.below(length));
            let heard = talk.server.receive(piece, &mut talk.at_server, &mut talk.out);
            let said = talk.server.stage() != Stage::Handshake || heard.is_err();
            if said && random.below(2) == 0 {
                let sealed = talk.server.seal(b"said in between", &mut talk.out);
                assert_eq!(sealed.is_ok(), heard.is_ok(), "seed {seed}");
            }
            broken += usize::from(heard.is_err());
            whole += usize::from(heard.is_ok());
            left = rest;
        }
        talk.server.close(&mut talk.out);
    }
    assert!(broken > 500 && whole > 1_000, "{broken} broken, {whole} whole");
}
