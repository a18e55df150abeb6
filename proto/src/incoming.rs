//! The connections of a listener: as many as it takes on, and none that is silent.
//!
//! Anybody who reaches the listener may connect, before any token is asked for: what
//! strangers hold must not take a store its files, nor our own services their way in
//! for long.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{Stream, stream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep},
};
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::link::{PING_ANSWERED_WITHIN, PING_EVERY};

/// Open connections; each of our services holds one. One more waits with the kernel.
const CONNECTIONS_MAX: usize = 256;
/// Whoever speaks HTTP/2 answers a ping in less time than this.
pub(crate) const SILENCE_MAX: Duration =
    PING_EVERY.saturating_add(PING_ANSWERED_WITHIN).saturating_add(Duration::from_secs(5));
/// The wait after a failed `accept`: out of file descriptors, most likely, and
/// asking again at once would only burn the time that frees one.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the listener accepts, for ever.
pub(crate) fn incoming(
    listener: TcpListener,
    silence_max: Duration,
) -> impl Stream<Item = io::Result<Connection>> {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    stream::unfold((listener, permits), move |(listener, permits)| async move {
        let permit = permits.clone().acquire_owned().await.ok()?;
        let (stream, _) = accept(&listener).await;
        let silence = Box::pin(sleep(silence_max));
        let connection = Connection { stream, silence_max, silence, _permit: permit };
        Some((Ok(connection), (listener, permits)))
    })
}

/// The next connection, and where it comes from; waits while this machine can give none.
pub async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Messages are small and complete: Nagle's algorithm would only add 40 ms.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "cannot set TCP_NODELAY");
                }
                return (stream, peer);
            }
            Err(error) if is_of_the_peer(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Errors of `accept` that say nothing about this machine: the peer has gone
/// before it was welcomed.
fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// A connection that ends when its peer has been silent for too long.
pub(crate) struct Connection {
    stream: TcpStream,
    silence_max: Duration,
    silence: Pin<Box<Sleep>>,
    _permit: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        match Pin::new(&mut this.stream).poll_read(cx, buffer) {
            Poll::Ready(read) => {
                this.silence.as_mut().reset(Instant::now() + this.silence_max);
                Poll::Ready(read)
            }
            Poll::Pending => {
                let silent = this.silence.as_mut().poll(cx);
                silent.map(|()| Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;
    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// Silent connections of strangers once took a store the file it needed next.
    #[tokio::test]
    async fn a_silent_peer_is_cut_and_makes_room() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut incoming = std::pin::pin!(incoming(listener, Duration::from_millis(20)));
        let mut strangers = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            let stranger = TcpStream::connect(address).await.expect("connected");
            let connection = incoming.next().await.expect("goes on").expect("accepted");
            strangers.push((stranger, connection));
        }
        let _next = TcpStream::connect(address).await.expect("the kernel accepts");
        assert!(futures::poll!(incoming.next()).is_pending(), "as many as there may be");
        let (_stranger, mut connection) = strangers.pop().expect("there are some");
        let error = connection.read_u8().await.expect_err("nothing comes");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(connection);
        incoming.next().await.expect("goes on").expect("there is room again");
    }
}
