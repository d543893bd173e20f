//! A connection of the public port: first what a shard has read of it, then what comes, through its transport.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::{Guest, Returning};
use crate::limits::{STREAM_READ_BYTES, STREAM_UNSENT_BYTES_MAX};
use crate::transport::{Stage, Tls, TlsFault, Transport};

/// Such a connection.
#[derive(Debug)]
pub(super) struct Stream {
    socket: TcpStream,
    peer: SocketAddr,
    transport: Transport,
    /// What was read and not yet asked for, and how much of it was taken.
    before: Vec<u8>,
    taken: usize,
    /// Records on their way out, and how much of them went.
    unsent: Vec<u8>,
    sent: usize,
    /// Nothing more comes.
    ended: bool,
    /// Nothing more is said.
    closed: bool,
}

impl Stream {
    /// The connection of a guest.
    pub fn of_guest(guest: Guest) -> io::Result<Stream> {
        let Guest { socket, bytes, mut unread, transport } = guest;
        let socket = std::net::TcpStream::from(socket);
        socket.set_nonblocking(true)?;
        let peer = socket.peer_addr()?;
        let mut stream = Stream::accepted(TcpStream::from_std(socket)?, peer, transport);
        stream.before = bytes;
        match &stream.transport {
            Transport::Plain => stream.before.append(&mut unread),
            // What is wrong with it is told when what came before has been read.
            Transport::Tls(_) => drop(stream.open(&mut unread)),
        }
        Ok(stream)
    }

    /// A connection of a port of its own.
    pub fn accepted(socket: TcpStream, peer: SocketAddr, transport: Transport) -> Stream {
        let (before, unsent) = (Vec::new(), Vec::new());
        Stream { socket, peer, transport, before, taken: 0, unsent, sent: 0, ended: false, closed: false }
    }

    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Leaves the runtime, with what was read behind what `read` has.
    pub fn leave(self, read: &[u8]) -> io::Result<Returning> {
        let Stream { socket, peer, transport, before, taken, unsent, sent, .. } = self;
        assert_eq!(unsent.len(), sent, "whoever leaves has flushed");
        let socket = socket.into_std()?;
        // A ring does not wait on sockets that do not block.
        socket.set_nonblocking(false)?;
        let bytes = [read, &before[taken..]].concat();
        Ok(Returning { socket: socket.into(), bytes, transport, peer })
    }

    /// Reads what was on the socket.
    fn open(&mut self, records: &mut [u8]) -> io::Result<()> {
        let Transport::Tls(tls) = &mut self.transport else { return Ok(()) };
        match tls.receive(records, &mut self.before, &mut self.unsent) {
            Ok(stage) => {
                self.ended |= stage == Stage::Closed;
                Ok(())
            }
            Err(fault) => {
                self.ended = true;
                Err(broken(fault))
            }
        }
    }

    /// Sends the records that wait.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.unsent.len() {
            let count = ready!(Pin::new(&mut self.socket).poll_write(context, &self.unsent[self.sent..]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += count;
        }
        (self.unsent, self.sent) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }

    /// Reads records until they say something.
    fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.before.is_empty() && !self.ended {
            let mut records = [0; STREAM_READ_BYTES];
            let mut read = ReadBuf::new(&mut records);
            ready!(Pin::new(&mut self.socket).poll_read(context, &mut read))?;
            if read.filled().is_empty() {
                // Without a word that it was the end: whoever needs to know has lengths.
                self.ended = true;
                break;
            }
            let opened = self.open(read.filled_mut());
            // An answer of the handshake goes out with or without anything to read; what is stuck goes with what is written.
            if let Poll::Ready(Err(error)) = self.poll_send(context) {
                return Poll::Ready(Err(error));
            }
            opened?;
        }
        Poll::Ready(Ok(()))
    }
}

fn broken(fault: TlsFault) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, fault)
}

/// Seals a piece of what is to be written; how much of it.
fn seal(tls: &mut Tls, unsent: &mut Vec<u8>, bytes: &[u8]) -> io::Result<usize> {
    let piece = &bytes[..bytes.len().min(STREAM_READ_BYTES)];
    tls.seal(piece, unsent).map_err(broken)?;
    Ok(piece.len())
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let stream = &mut *self;
        if stream.taken == stream.before.len() {
            (stream.before, stream.taken) = (Vec::new(), 0);
            if let Transport::Plain = stream.transport {
                return Pin::new(&mut stream.socket).poll_read(context, into);
            }
            ready!(stream.poll_open(context))?;
        }
        let left = &stream.before[stream.taken..];
        let count = left.len().min(into.remaining());
        into.put_slice(&left[..count]);
        stream.taken += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let stream = &mut *self;
        let Transport::Tls(tls) = &mut stream.transport else {
            return Pin::new(&mut stream.socket).poll_write(context, bytes);
        };
        if stream.unsent.len() - stream.sent < STREAM_UNSENT_BYTES_MAX {
            return Poll::Ready(seal(tls, &mut stream.unsent, bytes));
        }
        ready!(stream.poll_send(context))?;
        let Transport::Tls(tls) = &mut stream.transport else { return Poll::Ready(Ok(0)) };
        Poll::Ready(seal(tls, &mut stream.unsent, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Transport::Plain = self.transport {
            return Pin::new(&mut self.socket).poll_write_vectored(context, pieces);
        }
        let first = pieces.iter().find(|piece| !piece.is_empty());
        self.poll_write(context, first.map_or(&[], |piece| piece))
    }

    fn is_write_vectored(&self) -> bool {
        matches!(self.transport, Transport::Plain) && self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = &mut *self;
        if let Transport::Tls(tls) = &mut stream.transport
            && !std::mem::replace(&mut stream.closed, true)
        {
            tls.close(&mut stream.unsent);
        }
        ready!(stream.poll_send(context))?;
        Pin::new(&mut stream.socket).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn what_was_read_before_comes_first() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        let socket = std::os::fd::OwnedFd::from(socket.into_std().unwrap());
        let mut stream = Stream::of_guest(Guest {
            socket,
            bytes: b"first".to_vec(),
            unread: b" and ".to_vec(),
            transport: Transport::Plain,
        })
        .unwrap();
        client.write_all(b"then").await.unwrap();
        client.shutdown().await.unwrap();
        let mut three = [0; 3];
        stream.read_exact(&mut three).await.unwrap();
        let mut all = three.to_vec();
        stream.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"first and then");
        stream.write_all(b"answer").await.unwrap();
        drop(stream);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "answer");
    }
}
