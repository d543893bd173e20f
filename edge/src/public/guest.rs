//! A connection of the public port: first what a shard has read of it, then what comes.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::Guest;

/// Such a connection.
#[derive(Debug)]
pub(super) struct Stream {
    socket: TcpStream,
    peer: SocketAddr,
    /// What was read before, and how much of it was taken.
    before: Vec<u8>,
    taken: usize,
}

impl Stream {
    /// The connection of a guest.
    pub fn of_guest(guest: Guest) -> io::Result<Stream> {
        let socket = std::net::TcpStream::from(guest.socket);
        socket.set_nonblocking(true)?;
        let peer = socket.peer_addr()?;
        Ok(Stream { socket: TcpStream::from_std(socket)?, peer, before: guest.bytes, taken: 0 })
    }

    /// A connection of a port of its own.
    pub fn accepted(socket: TcpStream, peer: SocketAddr) -> Stream {
        Stream { socket, peer, before: Vec::new(), taken: 0 }
    }

    pub fn peer(&self) -> SocketAddr {
        self.peer
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let left = &self.before[self.taken..];
        if left.is_empty() {
            self.before = Vec::new();
            self.taken = 0;
            return Pin::new(&mut self.socket).poll_read(context, into);
        }
        let count = left.len().min(into.remaining());
        into.put_slice(&left[..count]);
        self.taken += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
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
        let mut stream = Stream::of_guest(Guest { socket, bytes: b"first and ".to_vec() }).unwrap();
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
