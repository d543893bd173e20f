//! A connection among hundreds on one thread.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use trunkline_wire::message::{Encoded, Encoder};
use trunkline_wire::websocket::{
    ClientHandshake, ClientRequest, HandshakeLimits, HandshakeProgress, Opcode, encode_frame,
};

use crate::ear::{Ear, Heard};
use crate::peer::PATH;

/// One connection.
pub struct Line {
    stream: TcpStream,
    ear: Ear,
    encoder: Encoder,
    /// The number of the last request.
    pub last_request: u32,
}

impl Line {
    /// Connects and opens the WebSocket.
    pub async fn connect(address: SocketAddr) -> io::Result<Line> {
        Line::over(TcpStream::connect(address).await?).await
    }

    /// The same with a kernel that takes few bytes that nobody reads.
    pub async fn connect_narrow(address: SocketAddr) -> io::Result<Line> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4_096)?;
        Line::over(socket.connect(address).await?).await
    }

    async fn over(mut stream: TcpStream) -> io::Result<Line> {
        stream.set_nodelay(true)?;
        let mut head = Vec::new();
        let request = ClientRequest { host: "test", path: PATH, origin: None, protocols: None, nonce: [9; 16] };
        let handshake = ClientHandshake::new(HandshakeLimits::DEFAULT, &request, &mut head);
        let mut handshake = handshake.expect("a valid request");
        stream.write_all(&head).await?;
        let mut ear = Ear::new();
        let mut buffer = [0; 4096];
        loop {
            let count = read_some(&mut stream, &mut buffer).await?;
            match handshake.receive(&buffer[..count]).map_err(io::Error::other)? {
                HandshakeProgress::NeedMore => {}
                HandshakeProgress::Done { consumed, .. } => {
                    ear.feed(&mut buffer[consumed..count]);
                    return Ok(Line { stream, ear, encoder: Encoder::new(), last_request: 0 });
                }
            }
        }
    }

    /// Asks; the answer is heard later.
    pub async fn request(&mut self, make: impl FnOnce(&mut Encoder, u32) -> Encoded<'_>) -> io::Result<()> {
        self.last_request += 1;
        let mut envelope = Vec::new();
        make(&mut self.encoder, self.last_request).write_envelope(&mut envelope);
        self.write_frame(Opcode::Binary, &envelope).await
    }

    /// Writes a frame as clients do.
    pub async fn write_frame(&mut self, opcode: Opcode, payload: &[u8]) -> io::Result<()> {
        let mut bytes = Vec::new();
        encode_frame(opcode, payload, Some([1, 2, 3, 4]), &mut bytes);
        self.stream.write_all(&bytes).await
    }

    /// The next thing that is heard. Given up, it loses nothing.
    pub async fn hear(&mut self) -> io::Result<Heard> {
        let mut buffer = [0; 8 * 1024];
        loop {
            if let Some(heard) = self.ear.next_heard() {
                return Ok(heard);
            }
            let count = read_some(&mut self.stream, &mut buffer).await?;
            self.ear.feed(&mut buffer[..count]);
        }
    }
}

async fn read_some(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    match stream.read(buffer).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        count => Ok(count),
    }
}
