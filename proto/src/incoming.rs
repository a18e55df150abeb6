//! The connections of a listener: as many as it takes on, and none that is silent or a
//! stranger's for long.
//!
//! Anybody who reaches the listener may connect, before any token is asked for: what
//! strangers hold must not take a store its files, nor our own services their way in
//! for long. So whoever has not made a call by then that a service has let in is cut,
//! however busy he is: he may come again, behind those who wait.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::{Stream, stream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep},
};
use tonic::transport::server::Connected;

use crate::link::{PING_ANSWERED_WITHIN, PING_EVERY};

/// Open connections; each of our services holds one. One more waits with the kernel.
const CONNECTIONS_MAX: usize = 256;
/// Whoever speaks HTTP/2 answers a ping in less time than this.
pub(crate) const SILENCE_MAX: Duration =
    PING_EVERY.saturating_add(PING_ANSWERED_WITHIN).saturating_add(Duration::from_secs(5));
/// Our services connect when they have something to ask, and ask it at once.
pub(crate) const STRANGER_MAX: Duration = Duration::from_secs(5);
/// The wait after a failed `accept`: out of file descriptors, most likely, and
/// asking again at once would only burn the time that frees one.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the listener accepts, for ever.
pub(crate) fn incoming(
    listener: TcpListener,
    silence_max: Duration,
    stranger_max: Duration,
) -> impl Stream<Item = io::Result<Connection>> {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    stream::unfold((listener, permits), move |(listener, permits)| async move {
        let permit = permits.clone().acquire_owned().await.ok()?;
        let (stream, _) = accept(&listener).await;
        let heard = Instant::now();
        let connection = Connection {
            stream,
            admitted: Admitted::default(),
            stranger_until: heard + stranger_max,
            silence_max,
            heard,
            end: Box::pin(sleep(silence_max.min(stranger_max))),
            _permit: permit,
        };
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

/// Whether a call of a connection was let in by a service. Goes with each of its calls.
#[derive(Clone, Default)]
pub(crate) struct Admitted(Arc<AtomicBool>);

impl Admitted {
    /// One was: it is of ours.
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A connection that ends when its peer has been silent, or a stranger, for too long.
pub(crate) struct Connection {
    stream: TcpStream,
    admitted: Admitted,
    stranger_until: Instant,
    silence_max: Duration,
    /// When something came, the last time.
    heard: Instant,
    /// Wakes when that may have ended it.
    end: Pin<Box<Sleep>>,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    /// When it ends, as it stands.
    fn until(&self) -> Instant {
        let silent = self.heard + self.silence_max;
        if self.admitted.get() { silent } else { silent.min(self.stranger_until) }
    }
}

impl Connected for Connection {
    type ConnectInfo = Admitted;

    fn connect_info(&self) -> Admitted {
        self.admitted.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let is_over = |until| Instant::now() >= until;
        // A stranger who has always something to say would never be waited for.
        if is_over(this.until()) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if let Poll::Ready(read) = Pin::new(&mut this.stream).poll_read(cx, buffer) {
            this.heard = Instant::now();
            return Poll::Ready(read);
        }
        loop {
            let until = this.until();
            if this.end.deadline() != until {
                this.end.as_mut().reset(until);
            }
            ready!(this.end.as_mut().poll(cx));
            // He may have been let in meanwhile.
            if is_over(this.until()) {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
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
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Longer than any case takes.
    const AMPLE: Duration = Duration::from_secs(3600);

    /// Silent connections of strangers once took a store the file it needed next.
    #[tokio::test]
    async fn a_silent_peer_is_cut_and_makes_room() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut incoming = std::pin::pin!(incoming(listener, Duration::from_millis(20), AMPLE));
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

    /// Strangers who answered every ping once held all connections for as long as they liked,
    /// and a gateway that came back was not let in.
    #[tokio::test]
    async fn a_stranger_is_cut_however_busy_and_one_of_ours_is_not() {
        const SHORT: Duration = Duration::from_millis(20);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut incoming = std::pin::pin!(incoming(listener, AMPLE, SHORT));
        for is_ours in [false, true] {
            let mut peer = TcpStream::connect(address).await.expect("connected");
            let mut connection = incoming.next().await.expect("goes on").expect("accepted");
            if is_ours {
                connection.connect_info().set();
            }
            let begun = Instant::now();
            let cut = loop {
                peer.write_all(b".").await.expect("sent");
                match connection.read_u8().await {
                    Err(error) => break Some(error.kind()),
                    Ok(_) if is_ours && begun.elapsed() > 3 * SHORT => break None,
                    Ok(_) => {}
                }
            };
            assert_eq!(cut, (!is_ours).then_some(io::ErrorKind::TimedOut));
        }
    }
}
