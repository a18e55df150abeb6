//! A deployment behind a socket, and a client that says byte by byte what it sends.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt as _;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use webwallet_api_gateway::{Limits, serve};

use crate::standin::{Answer, Deployment, issue, person};

pub const BODY_MAX: usize = 131_072;
/// Longer than anything here takes, shorter than a person's patience.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A deployment behind a socket.
pub struct Listening {
    pub deployment: Deployment,
    pub address: SocketAddr,
    pub shutdown: CancellationToken,
    pub served: JoinHandle<()>,
}

pub async fn listen(limits: Limits) -> Listening {
    let deployment = Deployment::with(limits.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let shutdown = CancellationToken::new();
    let (router, token) = (deployment.router.clone(), shutdown.clone());
    let served = tokio::spawn(async move { serve(listener, None, router, &limits, token).await });
    Listening { deployment, address, shutdown, served }
}

impl Listening {
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("a connection")
    }

    /// Sends bytes on a connection of their own and reads until it is closed.
    pub async fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.expect("sent");
        read_to_end(&mut stream).await
    }
}

pub async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .expect("closed in time")
        .expect("read");
    // HTTP/2 frames are not text.
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads one answer with a Content-Length.
pub async fn read_one(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&answer).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|l| l.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |n| n.parse().expect("a length"));
            if body.len() >= length {
                return text;
            }
        }
        let mut buffer = [0; 4096];
        let n = timeout(PATIENCE, stream.read(&mut buffer)).await.expect("in time").expect("read");
        assert!(n > 0, "closed after {text:?}");
        answer.extend_from_slice(&buffer[..n]);
    }
}

pub fn status(answer: &str) -> u16 {
    let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    status.and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer:?}"))
}

pub fn code(answer: &str) -> String {
    let body = answer.split_once("\r\n\r\n").expect("a body").1;
    let problem: Value = serde_json::from_str(body).expect("a problem");
    problem["code"].as_str().expect("a code").to_owned()
}

/// A good request, grown by white space to an exact size.
pub fn grown(n: u64, size: usize) -> Vec<u8> {
    let mut body = issue(person(1), person(2), "1", n);
    body.resize(size, b' ');
    body
}

pub fn post(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /transaction HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

pub fn post_chunked(body: &[u8]) -> Vec<u8> {
    let mut bytes = b"POST /transaction HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
        transfer-encoding: chunked\r\n\r\n"
        .to_vec();
    for chunk in body.chunks(5_000) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

pub async fn http2(server: &Listening) -> http2::SendRequest<Body> {
    let io = TokioIo::new(server.connect().await);
    let (sender, connection) =
        http2::handshake(TokioExecutor::new(), io).await.expect("a handshake");
    tokio::spawn(connection);
    sender
}

pub async fn send(sender: &mut http2::SendRequest<Body>, request: Request<Body>) -> Answer {
    let response = timeout(PATIENCE, sender.send_request(request)).await.expect("in time");
    let (parts, body) = response.expect("an answer").into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    Answer { status: parts.status, headers: parts.headers, body }
}
