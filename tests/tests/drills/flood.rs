//! One client floods, a thousand are slow: what do the others notice? If these
//! failed, anybody with one machine could keep everybody from paying.
//!
//! Server and load have a CPU each where there are two, and quiet and loud
//! rounds take turns, so that what else the machine does is in both. The times
//! are printed; what is asserted does not depend on how busy the machine is:
//! nobody honest is refused, the flood is, and nothing slow is left.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use webwallet_tests::party::{issue, party};
use webwallet_tests::process::{Process, binary};

use crate::rounds;

const HONEST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const FLOODING: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Between two payments of somebody honest.
const PAUSE: Duration = Duration::from_millis(15);
const REQUESTS_PER_SECOND: u64 = 100;
const FLOOD_CONNECTIONS: usize = 32;
/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server on the first CPU; the calling thread, and what it starts, stay on the second.
fn apart(data: &std::path::Path, limits: &[(&str, u64)]) -> (Process, SocketAddr) {
    let cpus = core_affinity::get_core_ids().unwrap_or_default();
    let mut command = match &cpus[..] {
        [first, second, ..] => {
            assert!(core_affinity::set_for_current(*second));
            let mut command = Command::new("taskset");
            command.args(["--cpu-list", &first.id.to_string()]).arg(binary());
            command
        }
        _ => Command::new(binary()),
    };
    for (limit, value) in limits {
        let variable = format!("WEBWALLET_LIMITS_{}", limit.to_uppercase());
        command.env(variable, value.to_string());
    }
    let data = data.to_str().expect("a path in UTF-8");
    let server = Process::start_by(command, &["--admin", "127.0.0.1:0", "--data", data]);
    let listen = server.line["listen"].as_str().expect("listen").parse().expect("an address");
    (server, listen)
}

async fn connect(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((from, 0).into()).expect("an address of this machine");
    let stream = timeout(PATIENCE, socket.connect(to)).await.expect("in time");
    let stream = stream.expect("a connection");
    stream.set_nodelay(true).expect("set");
    stream
}

/// Posts a body; the answer's status. None: the connection has ended.
async fn post(stream: &mut TcpStream, body: &[u8]) -> Option<u16> {
    let head =
        format!("POST /transaction HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body].concat()).await.ok()?;
    let mut answer = Vec::new();
    loop {
        let read = timeout(PATIENCE, stream.read_buf(&mut answer)).await.expect("in time").ok()?;
        let text = String::from_utf8_lossy(&answer);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.expect("a length").parse().expect("a number") {
                return head.get(9..12)?.parse().ok();
            }
        }
        if read == 0 {
            return None;
        }
    }
}

/// Somebody pays, one payment after the other, for so long; how long each took, in milliseconds.
async fn pays(stream: &mut TcpStream, name: &str, so_long: impl Fn() -> bool) -> Vec<f64> {
    let (payer, shop) = (party("honest"), party("shop"));
    let mut took = Vec::new();
    while so_long() {
        let body = issue(&payer, &shop, "1", &format!("{name} {}", took.len()));
        let began = Instant::now();
        assert_eq!(post(stream, &body).await, Some(201), "nobody honest is refused");
        took.push(began.elapsed().as_secs_f64() * 1000.0);
        tokio::time::sleep(PAUSE).await;
    }
    took
}

fn p99(took: &[f64]) -> f64 {
    let mut took = took.to_vec();
    took.sort_by(f64::total_cmp);
    took[(took.len() * 99).div_ceil(100) - 1]
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(work)
}

/// Ever new keys on many connections, as fast as answers come, while `loud`.
async fn floods(
    listen: SocketAddr,
    connection: usize,
    loud: &AtomicBool,
    ended: &AtomicBool,
    statuses: &[AtomicU64; 600],
) {
    let shop = party("shop");
    let mut stream = connect(FLOODING, listen).await;
    let mut n = 0;
    while !ended.load(Ordering::SeqCst) {
        if !loud.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        }
        n += 1;
        let body = issue(&party(&format!("flood {connection} {n}")), &shop, "1", "1");
        match post(&mut stream, &body).await {
            Some(status) => {
                statuses[usize::from(status)].fetch_add(1, Ordering::SeqCst);
            }
            None => stream = connect(FLOODING, listen).await,
        }
    }
}

#[test]
fn a_flood_of_one_client_leaves_another_s_payments_as_quick() {
    let data = tempfile::tempdir().expect("a folder");
    let limits = [
        ("requests_per_second_per_client_max", REQUESTS_PER_SECOND),
        ("connections_per_client_max", FLOOD_CONNECTIONS as u64),
    ];
    let (_server, listen) = apart(data.path(), &limits);
    let (loud, ended) = (AtomicBool::new(false), AtomicBool::new(false));
    let statuses = [const { AtomicU64::new(0) }; 600];
    let (rounds, span) = (rounds(1, 5), Duration::from_millis(1_500));
    let mut ratios = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let connections = (0..FLOOD_CONNECTIONS)
                .map(|connection| floods(listen, connection, &loud, &ended, &statuses));
            block_on(futures::future::join_all(connections));
        });
        block_on(async {
            let mut stream = connect(HONEST, listen).await;
            for round in 0..=rounds {
                let mut measure = async |now: bool| {
                    loud.store(now, Ordering::SeqCst);
                    let began = Instant::now();
                    let name = format!("{round} {now}");
                    p99(&pays(&mut stream, &name, || began.elapsed() < span).await)
                };
                let (quiet, flooded) = (measure(false).await, measure(true).await);
                println!("honest p99: quiet {quiet:.2} ms, in a flood {flooded:.2} ms");
                // The first round only warms up.
                if round > 0 {
                    ratios.push(flooded / quiet);
                }
            }
            ended.store(true, Ordering::SeqCst);
        });
    });
    let counts: BTreeMap<usize, u64> = statuses
        .iter()
        .enumerate()
        .map(|(status, count)| (status, count.load(Ordering::SeqCst)))
        .filter(|(_, count)| *count > 0)
        .collect();
    let (ratio, loud_seconds) = (median(&ratios), (rounds as u64 + 1) * 2 + 1);
    println!("in a flood of new keys ({counts:?}): median {ratio:.2} times the quiet p99");
    assert!(counts.keys().all(|status| [201, 429].contains(status)), "{counts:?}");
    let (cleared, refused) = (counts[&201], counts[&429]);
    let burst = REQUESTS_PER_SECOND * (rounds as u64 + 1);
    assert!((1..=burst + REQUESTS_PER_SECOND * loud_seconds * 2).contains(&cleared), "{cleared}");
    assert!(refused > 0, "the flood was none");
}

/// A thousand connections that are kept by saying, or reading, next to nothing.
struct Slow(Child);

impl Slow {
    fn start(kind: &[&str], sockets: usize, url: &str) -> Slow {
        let sockets = sockets.to_string();
        let child = Command::new("slowhttptest")
            .args(["-c", &sockets, "-r", "500", "-l", "40", "-i", "1", "-v", "0", "-u", url])
            .args(kind)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        Slow(child.expect("slowhttptest; the package has its name"))
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sockets a process holds; its files come and go as it seals.
fn sockets_of(process: u32) -> usize {
    let all = fs::read_dir(format!("/proc/{process}/fd")).expect("its descriptors");
    let link = |entry: std::io::Result<fs::DirEntry>| fs::read_link(entry.ok()?.path()).ok();
    all.filter_map(link).filter(|link| link.to_string_lossy().starts_with("socket:")).count()
}

#[test]
fn slow_clients_are_cut_and_hold_up_nobody() {
    let data = tempfile::tempdir().expect("a folder");
    let limits = [
        ("header_read_timeout_ms", 3_000),
        ("body_read_timeout_ms", 3_000),
        ("idle_timeout_ms", 4_000),
        ("drain_timeout_ms", 1_000),
    ];
    let (server, listen) = apart(data.path(), &limits);
    let sockets = rounds(200, 1_000);
    let (answers, page) =
        (format!("http://{listen}/transaction"), format!("http://{listen}/openapi.json"));
    let kinds: [(&str, &[&str], &str); 3] = [
        ("headers", &["-H"], &answers),
        // Of a type that is read; any other is answered before its body.
        ("bodies", &["-B", "-f", "application/json"], &answers),
        ("reading", &["-X", "-k", "3", "-n", "2", "-z", "5"], &page),
    ];
    let mut ratios = Vec::new();
    block_on(async {
        let mut stream = connect(HONEST, listen).await;
        let warm = Instant::now();
        pays(&mut stream, "warm", || warm.elapsed() < Duration::from_secs(1)).await;
        let before = sockets_of(server.id());
        for (what, kind, url) in &kinds[..rounds(1, 3)] {
            let began = Instant::now();
            let span = Duration::from_secs(rounds(1, 4) as u64);
            let quiet =
                pays(&mut stream, &format!("before {what}"), || began.elapsed() < span).await;
            let slow = Slow::start(kind, sockets, url);
            let (began, most) = (Instant::now(), AtomicU64::new(0));
            // Until all have come and all have been cut.
            let under_way = || {
                let more = sockets_of(server.id()).saturating_sub(before) as u64;
                let most = most.fetch_max(more, Ordering::SeqCst).max(more);
                assert!(began.elapsed() < PATIENCE, "{what}: {more} of {most} are still there");
                most < sockets as u64 * 9 / 10 || more > 0
            };
            let loud = pays(&mut stream, &format!("during {what}"), under_way).await;
            let cut = began.elapsed();
            drop(slow);
            let ratio = p99(&loud) / p99(&quiet);
            println!(
                "{} sockets, slow {what}: cut after {:.1} s; honest p99 {:.2} ms, quiet {:.2} ms: {ratio:.2} times",
                most.load(Ordering::SeqCst),
                cut.as_secs_f64(),
                p99(&loud),
                p99(&quiet)
            );
            ratios.push(ratio);
        }
        assert_eq!(sockets_of(server.id()), before, "no descriptor is left");
    });
    println!("slow clients: median {:.2} times the quiet p99", median(&ratios));
}
