//! A wire that is cut at a chosen byte.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the client to the server.
    Request,
    /// From the server to the client.
    Answer,
}

/// Where the wire is cut.
#[derive(Default)]
struct Cut {
    armed: Option<Armed>,
    hits: usize,
}

struct Armed {
    way: Way,
    /// What passes before each cut, and what of that still may.
    bytes: usize,
    left: usize,
    cuts: usize,
}

/// A proxy before a server.
pub struct Proxy {
    /// Where clients find it.
    pub address: SocketAddr,
    cut: Arc<Mutex<Cut>>,
}

impl Proxy {
    /// Before the server at this `HOST:PORT`. Nothing is cut yet.
    ///
    /// # Panics
    /// If there is no port for it.
    pub async fn before(server: String) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let cut = Arc::<Mutex<Cut>>::default();
        let shared = cut.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.expect("the server");
                join(client, server, shared.clone());
            }
        });
        Proxy { address, cut }
    }

    /// Lets so many more bytes pass that way, and then ends the connection; and
    /// again with what comes after it, so many times in all.
    ///
    /// # Panics
    /// If a task of this proxy has panicked.
    pub fn arm(&self, way: Way, bytes: usize, cuts: usize) {
        let armed = Armed { way, bytes, left: bytes, cuts };
        self.cut.lock().expect("the cut").armed = Some(armed);
    }

    /// Cuts nothing any more. Has it cut as often as it was armed for?
    ///
    /// # Panics
    /// If a task of this proxy has panicked.
    pub fn disarm(&self) -> bool {
        self.cut.lock().expect("the cut").armed.take().is_none()
    }

    /// How often it has cut.
    ///
    /// # Panics
    /// If a task of this proxy has panicked.
    pub fn hits(&self) -> usize {
        self.cut.lock().expect("the cut").hits
    }
}

fn join(client: TcpStream, server: TcpStream, cut: Arc<Mutex<Cut>>) {
    client.set_nodelay(true).expect("a socket");
    server.set_nodelay(true).expect("a socket");
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    let over = Arc::new(Notify::new());
    for (way, from, to) in
        [(Way::Request, from_client, to_server), (Way::Answer, from_server, to_client)]
    {
        let (cut, over) = (cut.clone(), over.clone());
        tokio::spawn(async move {
            // Either end over, both are: halves that are dropped close.
            tokio::select! {
                () = pass(way, from, to, &cut) => over.notify_waiters(),
                () = over.notified() => {}
            }
        });
    }
}

async fn pass(way: Way, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, cut: &Mutex<Cut>) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let (pass, is_over) = allowed(way, read, cut);
        if to.write_all(&buffer[..pass]).await.is_err() || is_over {
            return;
        }
    }
}

/// How many of these bytes pass, and whether they are the last.
fn allowed(way: Way, read: usize, cut: &Mutex<Cut>) -> (usize, bool) {
    let mut cut = cut.lock().expect("the cut");
    let Some(armed) = cut.armed.as_mut().filter(|armed| armed.way == way) else {
        return (read, false);
    };
    if read <= armed.left {
        armed.left -= read;
        return (read, false);
    }
    let pass = std::mem::replace(&mut armed.left, armed.bytes);
    armed.cuts -= 1;
    if armed.cuts == 0 {
        cut.armed = None;
    }
    cut.hits += 1;
    (pass, true)
}
