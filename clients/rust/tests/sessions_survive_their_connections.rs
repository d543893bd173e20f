//! Set-up: the transport on one thread, against a real socket whose server is the test and which it cuts, closes with a
//! code, or leaves without an answer.
//! Claim: calls have their answers and messages are acknowledged across connections, pings are answered, the reason of a
//! close is told, and a closed session leaves its outbox free.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use trunkline_client::core::{ClientEvent, Follow, Options, RequestError};
use trunkline_client::outbox::{FileOutbox, MemoryOutbox};
use trunkline_client::transport::{EventStream, Handle, NotSent, connect};
use trunkline_wire::ids::{ConversationId, DeviceId, UserId};
use trunkline_wire::message::{Ack, Encoded, Encoder, ErrorCode, Opened, Request, Welcome, decode_request};

const CHAT: ConversationId = ConversationId([5; 16]);

struct Peer {
    socket: WebSocketStream<TcpStream>,
    encoder: Encoder,
}

impl Peer {
    /// Takes a connection up to Welcome.
    async fn accept(listener: &TcpListener) -> Peer {
        let (stream, _) = listener.accept().await.unwrap();
        let socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        let mut peer = Peer { socket, encoder: Encoder::new() };
        let hello = peer.envelope().await;
        let (request, Request::Hello(_)) = decode_request(&hello).unwrap() else { panic!("Hello comes first") };
        let welcome = Welcome {
            user: UserId(1),
            device: DeviceId(1),
            session: 1,
            server_time_ms: 0,
            token_expires_ms: 0,
            heartbeat_ms: 30_000,
        };
        peer.tell(|encoder| encoder.welcome(request, &welcome)).await;
        peer
    }

    async fn envelope(&mut self) -> Vec<u8> {
        loop {
            match self.socket.next().await.expect("the client stays").unwrap() {
                Frame::Binary(envelope) => return envelope.into(),
                Frame::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    async fn tell(&mut self, encode: impl FnOnce(&mut Encoder) -> Encoded<'_>) {
        let mut envelope = Vec::new();
        encode(&mut self.encoder).write_envelope(&mut envelope);
        self.socket.send(Frame::Binary(envelope.into())).await.unwrap();
    }

    /// Answers one request for sending; says whether that was a Send.
    async fn serve(&mut self) -> bool {
        let envelope = self.envelope().await;
        match decode_request(&envelope).unwrap() {
            (request, Request::Open(_)) => {
                let opened = Opened {
                    conversation: CHAT,
                    kind: 1,
                    epoch: 1,
                    last_seq: 0,
                    high: 0,
                    high_message_id: 0,
                    peer: UserId(2),
                    title: "",
                    members: 2,
                    role: 1,
                    joined_seq: 1,
                    left_seq: 0,
                    delivered_seq: 0,
                    read_seq: 0,
                };
                self.tell(|encoder| encoder.opened(request, &opened)).await;
                false
            }
            (request, Request::Send(send)) => {
                let accepted: Vec<_> =
                    send.messages().unwrap().iter().map(|m| (m.client_seq(), m.client_seq() + 10, 99)).collect();
                let ack = Ack {
                    conversation: CHAT,
                    epoch: 1,
                    accepted: &accepted,
                    refusal: None,
                    high: 0,
                    high_message_id: 0,
                    retry_after_ms: 0,
                };
                self.tell(|encoder| encoder.ack(request, &ack)).await;
                true
            }
            other => panic!("{other:?}"),
        }
    }
}

fn options() -> Options {
    let seed = trunkline_client::transport::seed_from_os().unwrap();
    Options { token: "t".into(), client_name: "test".into(), follow: Follow::Nothing, echo_own: false, seed }
}

async fn session() -> (TcpListener, Handle, EventStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let (handle, events) = connect(&url, options(), MemoryOutbox::default()).unwrap();
    (listener, handle, events)
}

/// Runs a test on one thread, and not for ever.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), test).await.expect("in time") });
}

#[test]
fn a_message_is_acknowledged_by_the_connection_that_gets_through() {
    run(async {
        let (listener, handle, mut events) = session().await;
        let server = async {
            // The first is cut before the answer, the second answers.
            let mut first = Peer::accept(&listener).await;
            first.serve().await;
            first.envelope().await;
            drop(first);
            let mut second = Peer::accept(&listener).await;
            while !second.serve().await {}
            second
        };
        let (sent, _peer) = tokio::join!(handle.send_text_and_wait(CHAT, "hello"), server);
        let sent = sent.unwrap();
        assert_eq!((sent.seq, sent.ts_ms), (11, 99));
        let mut told = Vec::new();
        while !matches!(told.last(), Some(ClientEvent::Sent { .. })) {
            told.push(events.next().await.unwrap());
        }
        assert_eq!(told.iter().filter(|event| matches!(event, ClientEvent::Connected { .. })).count(), 2);
    });
}

#[test]
fn questions_have_their_answers_and_pings_too() {
    run(async {
        let (listener, handle, _events) = session().await;
        let server = async {
            let mut peer = Peer::accept(&listener).await;
            for refuse in [false, true] {
                let envelope = peer.envelope().await;
                let (request, Request::Resolve(_)) = decode_request(&envelope).unwrap() else { panic!("resolves") };
                if refuse {
                    peer.tell(|encoder| encoder.error(request, ErrorCode::UnknownHandle, "", 0)).await;
                } else {
                    peer.tell(|encoder| encoder.resolved(request, UserId(9))).await;
                }
            }
            peer.socket.send(Frame::Ping(b"p".to_vec().into())).await.unwrap();
            assert_eq!(peer.socket.next().await.unwrap().unwrap(), Frame::Pong(b"p".to_vec().into()));
        };
        let client = async {
            assert_eq!(handle.resolve("bob").await, Ok(UserId(9)));
            let code = ErrorCode::UnknownHandle;
            assert_eq!(handle.resolve("eve").await, Err(RequestError::Refused { code, retry_after_ms: 0 }));
        };
        tokio::join!(client, server);
        assert_eq!(handle.trouble(), None);
    });
}

#[test]
fn the_code_of_a_close_is_told_and_a_refused_token_is_not_tried_again() {
    run(async {
        let (listener, handle, mut events) = session().await;
        let mut peer = Peer::accept(&listener).await;
        let frame = CloseFrame { code: 4001.into(), reason: "revoked".into() };
        peer.socket.close(Some(frame)).await.unwrap();
        loop {
            if let ClientEvent::AuthFailed { code } = events.next().await.unwrap() {
                assert_eq!(code, ErrorCode::TokenInvalid);
                break;
            }
        }
        assert_eq!(events.next().await, Some(ClientEvent::Disconnected { retry_at_ms: None }));
        assert!(handle.trouble().unwrap().contains("4001 revoked"));
        assert!(tokio::time::timeout(Duration::from_millis(1500), listener.accept()).await.is_err());
    });
}

#[test]
fn a_closed_session_leaves_its_message_to_the_next_one() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let (handle, mut events) = connect(&url, options(), FileOutbox::open(folder.path()).unwrap()).unwrap();
        let waiting = tokio::spawn({
            let handle = handle.clone();
            async move { handle.send_text_and_wait(CHAT, "later").await }
        });
        let mut peer = Peer::accept(&listener).await;
        peer.envelope().await;
        handle.close().await;
        assert!(matches!(waiting.await.unwrap(), Err(NotSent::Ended)));
        assert!(handle.send_text(CHAT, "too late").await.is_err());
        let mut last = None;
        while let Some(event) = events.next().await {
            last = Some(event);
        }
        assert_eq!(last, Some(ClientEvent::Disconnected { retry_at_ms: None }));
        let outbox = FileOutbox::open(folder.path()).unwrap();
        assert_eq!(outbox.records().len(), 1);
        let (_handle, mut events) = connect(&url, options(), outbox).unwrap();
        let server = async {
            let mut peer = Peer::accept(&listener).await;
            while !peer.serve().await {}
            peer
        };
        let told = async { while !matches!(events.next().await.unwrap(), ClientEvent::Sent { .. }) {} };
        tokio::join!(server, told);
        assert_eq!(FileOutbox::open(folder.path()).unwrap().records(), []);
    });
}

#[test]
fn a_server_that_is_not_there_yet_is_found_later() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let (handle, mut events) = connect(&format!("ws://{address}"), options(), MemoryOutbox::default()).unwrap();
        assert!(matches!(events.next().await, Some(ClientEvent::Disconnected { retry_at_ms: Some(_) })));
        assert!(handle.trouble().is_some());
        let listener = TcpListener::bind(address).await.unwrap();
        let _peer = Peer::accept(&listener).await;
        while !matches!(events.next().await.unwrap(), ClientEvent::Connected { .. }) {}
        assert_eq!(handle.trouble(), None);
    });
}
