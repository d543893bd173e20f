//! The WebSocket of a session, or the attempt at one.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{self, Message, protocol::WebSocketConfig};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};

use super::trust::Trust;
use crate::core::DisconnectReason;
use crate::limits::ENVELOPE_BYTES_MAX;

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;
type Attempt = Pin<Box<dyn Future<Output = Result<Stream, tungstenite::Error>> + Send>>;

/// A peer that does not answer a close frame within this time is left.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

enum State {
    Idle,
    Connecting(Attempt),
    Open(Box<Stream>),
}

/// What happened on the socket.
pub(super) enum Happening {
    Connected,
    Envelope(Vec<u8>),
    /// A ping, or another sign of life.
    Activity,
    /// With the reason in words for people.
    Ended(DisconnectReason, String),
}

pub(super) struct Socket {
    trust: Trust,
    state: State,
    /// Not yet taken by the WebSocket.
    unsent: VecDeque<Vec<u8>>,
    /// Nothing can be written any more; what the server said last may still be read.
    deaf: Option<String>,
}

impl Socket {
    pub(super) fn new(trust: Trust) -> Socket {
        Socket { trust, state: State::Idle, unsent: VecDeque::new(), deaf: None }
    }

    pub(super) fn connect(&mut self, url: String) {
        self.drop_now();
        let config = WebSocketConfig::default()
            .max_message_size(Some(ENVELOPE_BYTES_MAX))
            .max_frame_size(Some(ENVELOPE_BYTES_MAX));
        let trust = Some(self.trust.connector());
        let attempt = async move { Ok(connect_async_tls_with_config(url, Some(config), true, trust).await?.0) };
        self.state = State::Connecting(Box::pin(attempt));
    }

    pub(super) fn drop_now(&mut self) {
        self.state = State::Idle;
        self.unsent.clear();
        self.deaf = None;
    }

    /// Says goodbye, for a moment.
    pub(super) async fn close(&mut self) {
        if let State::Open(stream) = &mut self.state {
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, (**stream).close(None)).await;
        }
        self.drop_now();
    }

    pub(super) fn send(&mut self, envelope: Vec<u8>) {
        self.unsent.push_back(envelope);
    }

    /// Writes what is to be written, and waits for what comes next. Given up, it loses nothing.
    pub(super) async fn next(&mut self) -> Happening {
        let happening = poll_fn(|context| self.poll(context)).await;
        if matches!(happening, Happening::Ended(..)) {
            self.drop_now();
        }
        happening
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Happening> {
        match &mut self.state {
            State::Idle => Poll::Pending,
            State::Connecting(attempt) => match ready!(attempt.as_mut().poll(context)) {
                Ok(stream) => {
                    self.state = State::Open(Box::new(stream));
                    Poll::Ready(Happening::Connected)
                }
                Err(error) => Poll::Ready(Happening::Ended(DisconnectReason::ConnectFailed, error.to_string())),
            },
            State::Open(stream) => {
                if self.deaf.is_none()
                    && let Poll::Ready(Err(error)) = write(stream, &mut self.unsent, context)
                {
                    self.deaf = Some(error.to_string());
                }
                match (read(stream, context), &mut self.deaf) {
                    (Poll::Ready(happening), _) => Poll::Ready(happening),
                    (Poll::Pending, Some(why)) => {
                        Poll::Ready(Happening::Ended(DisconnectReason::Lost, std::mem::take(why)))
                    }
                    (Poll::Pending, None) => Poll::Pending,
                }
            }
        }
    }
}

fn write(
    stream: &mut Stream,
    unsent: &mut VecDeque<Vec<u8>>,
    context: &mut Context<'_>,
) -> Poll<Result<(), tungstenite::Error>> {
    while !unsent.is_empty() {
        ready!(stream.poll_ready_unpin(context))?;
        if let Some(envelope) = unsent.pop_front() {
            stream.start_send_unpin(Message::Binary(envelope.into()))?;
        }
    }
    // Pongs too: tungstenite queues them while it reads.
    stream.poll_flush_unpin(context)
}

fn read(stream: &mut Stream, context: &mut Context<'_>) -> Poll<Happening> {
    let ended = |reason, text: String| Happening::Ended(reason, text);
    Poll::Ready(match ready!(stream.poll_next_unpin(context)) {
        Some(Ok(Message::Binary(envelope))) => Happening::Envelope(envelope.into()),
        Some(Ok(Message::Close(frame))) => {
            let code = frame.as_ref().map(|frame| u16::from(frame.code));
            let text = match &frame {
                Some(frame) => format!("closed by the server: {} {}", u16::from(frame.code), frame.reason),
                None => "closed by the server".to_owned(),
            };
            ended(DisconnectReason::Closed(code), text)
        }
        Some(Ok(Message::Text(_))) => ended(DisconnectReason::Lost, "the server sent text".to_owned()),
        Some(Ok(_)) => Happening::Activity,
        Some(Err(error)) => ended(DisconnectReason::Lost, error.to_string()),
        None => ended(DisconnectReason::Lost, "the connection ended".to_owned()),
    })
}
