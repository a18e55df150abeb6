//! The load: connections that send prepared requests and count every answer.
//!
//! It has one CPU to itself and must not be what is measured, so it is no HTTP
//! client: a request is bytes made ahead, an answer is a status and a length.
//! All connections live in one thread. How busy that thread was is reported,
//! so that a run in which it was the bottleneck is seen as such.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use cpu_time::ThreadTime;
use futures::future::try_join_all;
use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::machine::{Cpu, cpu_time};

/// Longer than any answer's headers.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// An answer that has not come by then fails the run.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Latencies are kept in microseconds, to this one.
const LATENCY_US_MAX: u64 = 60_000_000;

/// For runs that end when all was sent.
pub const WHOLE_COUNT: Duration = Duration::from_secs(3600);

/// When requests are sent.
#[derive(Clone, Copy)]
pub enum Pace {
    /// Each connection sends its next request when it has the last answer.
    Closed,
    /// At so many a second, whatever the server does. Latency is counted from
    /// the moment a request was due, so that waiting behind a slow one is part
    /// of it (no coordinated omission).
    PerSecond(f64),
}

/// One run.
pub struct Run<'a> {
    /// The server.
    pub listen: SocketAddr,
    /// Its process.
    pub process: u32,
    /// Connections.
    pub clients: usize,
    /// Requests, each sent once, in this order.
    pub posts: &'a [Vec<u8>],
    /// Begin again when all were sent; for an answer that is always the same.
    pub again: bool,
    /// When they are sent.
    pub pace: Pace,
    /// How long.
    pub time_max: Duration,
    /// Where this thread runs.
    pub cpu: Cpu,
}

/// What came of a run.
pub struct Tally {
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// First request to last answer.
    pub elapsed: Duration,
    /// Part of that time which this thread was busy.
    pub client_busy: f64,
    /// Parts of that time which the server's threads had a CPU, by their names.
    /// Together less than 1: it waited for the disk, or others took its CPU.
    pub server_busy: BTreeMap<String, f64>,
    /// In microseconds.
    latency: Histogram<u64>,
    /// Body of the first answer.
    pub sample: Vec<u8>,
}

impl Tally {
    /// Answers with 201.
    pub fn created(&self) -> u64 {
        self.statuses.get(&201).copied().unwrap_or_default()
    }

    /// 201s a second.
    pub fn rate(&self) -> f64 {
        self.created() as f64 / self.elapsed.as_secs_f64()
    }

    /// A percentile of the latency.
    pub fn percentile_ms(&self, percentile: f64) -> f64 {
        self.latency.value_at_percentile(percentile) as f64 / 1000.0
    }
}

/// What all connections of a run share.
struct Shared<'a> {
    run: &'a Run<'a>,
    start: Instant,
    next: Cell<usize>,
    statuses: RefCell<BTreeMap<u16, u64>>,
    latency: RefCell<Histogram<u64>>,
    sample: RefCell<Vec<u8>>,
}

impl Run<'_> {
    /// Sends, and waits for every answer.
    ///
    /// # Errors
    /// A connection that fails, or an answer that is no HTTP: with these a
    /// count would not be complete.
    pub fn measure(&self) -> anyhow::Result<Tally> {
        self.cpu.run(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            // One task is all there is; tokio's budget for a task would only slow it.
            runtime.block_on(tokio::task::unconstrained(self.all()))
        })
    }

    async fn all(&self) -> anyhow::Result<Tally> {
        let mut streams = Vec::new();
        for _ in 0..self.clients {
            let stream =
                TcpStream::connect(self.listen).await.context("cannot connect to the server")?;
            stream.set_nodelay(true)?;
            streams.push(stream);
        }
        let (client_before, server_before) = (ThreadTime::now(), cpu_time(self.process)?);
        let shared = Shared {
            run: self,
            start: Instant::now(),
            next: Cell::new(0),
            statuses: RefCell::default(),
            latency: RefCell::new(Histogram::new_with_bounds(1, LATENCY_US_MAX, 3)?),
            sample: RefCell::default(),
        };
        let connections = streams.into_iter().map(|stream| shared.drive(stream));
        tokio::time::timeout(self.time_max + SILENCE_MAX, try_join_all(connections))
            .await
            .context("the server left a request without an answer")??;
        let elapsed = shared.start.elapsed();
        let part = |(name, time): (String, Duration)| {
            let before = server_before.get(&name).copied().unwrap_or_default();
            (name, time.saturating_sub(before).as_secs_f64() / elapsed.as_secs_f64())
        };
        let server_busy = cpu_time(self.process)?.into_iter().map(part).collect();
        Ok(Tally {
            statuses: shared.statuses.into_inner(),
            client_busy: client_before.elapsed().as_secs_f64() / elapsed.as_secs_f64(),
            server_busy,
            elapsed,
            latency: shared.latency.into_inner(),
            sample: shared.sample.into_inner(),
        })
    }
}

impl Shared<'_> {
    /// One connection, from its first request to its last answer.
    async fn drive(&self, mut stream: TcpStream) -> anyhow::Result<()> {
        let run = self.run;
        let mut answer = Vec::with_capacity(128 << 10);
        loop {
            let index = self.next.get();
            let post = if run.again {
                run.posts.get(index % run.posts.len())
            } else {
                run.posts.get(index)
            };
            let due = match run.pace {
                Pace::Closed => Instant::now(),
                Pace::PerSecond(rate) => self.start + Duration::from_secs_f64(index as f64 / rate),
            };
            let Some(post) = post.filter(|_| due < self.start + run.time_max) else {
                return Ok(());
            };
            self.next.set(index + 1);
            until(due).await;
            stream.write_all(post).await?;
            let (status, body) = receive(&mut stream, &mut answer).await?;
            let latency_us = due.elapsed().as_micros();
            *self.statuses.borrow_mut().entry(status).or_default() += 1;
            self.latency.borrow_mut().saturating_record(u64::try_from(latency_us)?);
            if self.sample.borrow().is_empty() {
                self.sample.borrow_mut().extend_from_slice(&answer[body..]);
            }
        }
    }
}

/// Waits to the microsecond: timers are good to a millisecond only, so the rest
/// is spent asking. The CPU is ours.
async fn until(due: Instant) {
    const COARSE: Duration = Duration::from_millis(2);
    loop {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        } else if left > COARSE {
            tokio::time::sleep(left - COARSE).await;
        } else {
            tokio::task::yield_now().await;
        }
    }
}

/// Reads one answer whole: its status, and where in `answer` its body begins.
async fn receive(stream: &mut TcpStream, answer: &mut Vec<u8>) -> anyhow::Result<(u16, usize)> {
    answer.clear();
    let mut expected = None;
    loop {
        if stream.read_buf(answer).await? == 0 {
            bail!("the server closed a connection in the middle of an answer");
        }
        if expected.is_none() {
            expected = head(answer)?;
            ensure!(
                expected.is_some() || answer.len() < HEAD_BYTES_MAX,
                "the headers of an answer do not end"
            );
        }
        if let Some((status, body, length)) = expected
            && answer.len() >= body + length
        {
            ensure!(answer.len() == body + length, "an answer is longer than it says");
            return Ok((status, body));
        }
    }
}

/// Status, start of the body, and length of the body, once the headers are there.
fn head(answer: &[u8]) -> anyhow::Result<Option<(u16, usize, usize)>> {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let text =
        std::str::from_utf8(&answer[..end]).context("the headers of an answer are not text")?;
    let mut lines = text.split("\r\n");
    let status =
        lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    match (status, length) {
        (Some(status), Some(length)) => Ok(Some((status, end + 4, length))),
        _ => bail!("an answer has no status or no length: {text}"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A wrong length would count answers that never came.
    #[test]
    fn an_answer_is_read_to_its_end() {
        let text = b"HTTP/1.1 201 Created\r\nContent-Length: 5\r\nx: y\r\n\r\nhello";
        assert_eq!(head(text).expect("read"), Some((201, text.len() - 5, 5)));
        assert_eq!(head(&text[..40]).expect("read"), None);
        assert!(head(b"HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert!(head(b"SSH-2.0\r\n\r\n").is_err());
    }

    /// One stalled answer must show in the latency of everything that was due
    /// meanwhile; a client that politely waits would report a single slow one.
    #[test]
    fn waiting_behind_a_slow_answer_is_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let listen = listener.local_addr().expect("address");
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("accepted");
            let mut request = [0; 4];
            for turn in 0..100 {
                stream.read_exact(&mut request).expect("request");
                if turn == 10 {
                    thread::sleep(Duration::from_millis(300));
                }
                stream
                    .write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n")
                    .expect("answered");
            }
        });
        let posts = vec![b"POST".to_vec(); 100];
        let run = Run {
            listen,
            process: std::process::id(),
            clients: 1,
            posts: &posts,
            again: false,
            pace: Pace::PerSecond(500.0),
            time_max: Duration::from_secs(5),
            cpu: Cpu::any(),
        };
        let tally = run.measure().expect("measured");
        server.join().expect("server");
        assert_eq!(tally.created(), 100);
        // 100 requests are due in 200 ms; 89 of them wait behind the stall.
        assert!(tally.percentile_ms(50.0) > 100.0, "{}", tally.percentile_ms(50.0));
    }

    /// Percentiles are printed in milliseconds of the right size.
    #[test]
    fn percentiles_are_in_milliseconds() {
        let mut latency = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("bounds");
        for us in 1..=1000 {
            latency.saturating_record(us * 10);
        }
        let tally = Tally {
            statuses: BTreeMap::from([(201, 900), (503, 100)]),
            elapsed: Duration::from_secs(2),
            client_busy: 0.5,
            server_busy: BTreeMap::new(),
            latency,
            sample: Vec::new(),
        };
        assert_eq!((tally.created(), tally.rate()), (900, 450.0));
        assert!((tally.percentile_ms(50.0) - 5.0).abs() < 0.01);
        assert!((tally.percentile_ms(99.0) - 9.9).abs() < 0.02);
    }
}
