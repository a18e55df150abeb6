//! ad hoc
use std::sync::Arc;
use std::time::{Duration, Instant};
use axum::body::Body;
use bytes::Bytes;
use http::Request;
use rand::SeedableRng as _;
use tonic::{Response, Status, async_trait};
use tower::ServiceExt as _;
use webwallet_api_gateway::{Config, Gateway, Limits};
use webwallet_ledger::signature::{Keys, public_of};
use webwallet_ledger::{Address, Draft, request, verify};
use webwallet_proto::graphstore::v1 as graph;
use webwallet_proto::graphstore::v1::graphstore_server::Graphstore;
use webwallet_proto::hashtable::v1 as table;
use webwallet_proto::hashtable::v1::hashtable_server::Hashtable;
use webwallet_proto::link::Link;

struct Fake(Bytes);
#[async_trait]
impl Graphstore for Fake {
    async fn clear(&self, call: tonic::Request<graph::ClearRequest>) -> Result<Response<graph::ClearReply>, Status> {
        std::hint::black_box(call.into_inner());
        let record = graph::Record { number: 7, hash: self.0.slice(..32), body: self.0.clone() };
        Ok(Response::new(graph::ClearReply { outcome: Some(graph::clear_reply::Outcome::Cleared(record)), replayed: false }))
    }
    async fn replay(&self, _: tonic::Request<graph::ReplayRequest>) -> Result<Response<graph::RecordReply>, Status> { Err(Status::internal("")) }
    async fn record(&self, _: tonic::Request<graph::RecordRequest>) -> Result<Response<graph::RecordReply>, Status> { Err(Status::internal("")) }
    type ClearedStream = tonic::codegen::tokio_stream::Empty<Result<graph::Record, Status>>;
    async fn cleared(&self, _: tonic::Request<graph::ClearedRequest>) -> Result<Response<Self::ClearedStream>, Status> { Err(Status::internal("")) }
    async fn accounts(&self, _: tonic::Request<graph::AccountsRequest>) -> Result<Response<graph::AccountsReply>, Status> { Err(Status::internal("")) }
    async fn outputs(&self, _: tonic::Request<graph::OutputsRequest>) -> Result<Response<graph::OutputsReply>, Status> { Err(Status::internal("")) }
    async fn status(&self, _: tonic::Request<graph::StatusRequest>) -> Result<Response<graph::StatusReply>, Status> { Err(Status::internal("")) }
}
#[async_trait]
impl Hashtable for Fake {
    async fn put(&self, call: tonic::Request<table::PutRequest>) -> Result<Response<table::PutReply>, Status> {
        std::hint::black_box(call.into_inner());
        Ok(Response::new(table::PutReply {}))
    }
    async fn get(&self, _: tonic::Request<table::GetRequest>) -> Result<Response<table::GetReply>, Status> { Err(Status::internal("")) }
}

fn bodies() -> Vec<Bytes> {
    let people: Vec<([u8; 32], Address)> = (0..200u8).map(|n| ([n; 32], Address::of_public(&public_of(&[n; 32])))).collect();
    (0..40_000usize).map(|n| {
        let (from, to) = (people[n % 200], people[(n + 1 + n / 200) % 200]);
        if from.1 == to.1 { return Bytes::new(); }
        let draft = Draft { domain: "example.net".into(), source: from.1, target: to.1, symbol: from.1, amount: "1".into(), random: format!("{n:032}"),
            expiry: "2027-01-01T00:00:00.000Z".parse().expect("t"), active: None, credit: None };
        Bytes::from(request::body_of([draft.sign(&from.0).as_slice()]))
    }).filter(|b| !b.is_empty()).collect()
}

fn server(fixed: bool) {
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("rt");
    rt.block_on(async {
        let record = Bytes::from(vec![b'x'; 1700]);
        let d = Duration::from_secs(30);
        let router = if fixed {
            let answer = webwallet_ledger::Hash([1; 32]).to_string().repeat(27);
            axum::Router::new().route("/transaction", axum::routing::post(move |body: Bytes| async move { std::hint::black_box(body); (http::StatusCode::CREATED, answer) }))
        } else {
            Gateway::start(Config { domain: "example.net".into(), limits: Limits::default(), randomness: Arc::new(|| rand::rngs::StdRng::seed_from_u64(3)) },
                webwallet_proto::graphstore::client(Link::embedded(webwallet_proto::graphstore::server(Fake(record.clone())), d)),
                webwallet_proto::hashtable::client(Link::embedded(webwallet_proto::hashtable::server(Fake(record.clone())), d))).expect("g").router()
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:7999").await.expect("port");
        tokio::spawn(async move { webwallet_api_gateway::serve(listener, router, &Limits::default(), tokio_util::sync::CancellationToken::new()).await });
        std::future::pending::<()>().await
    });
}

fn client(clients: usize, pid: &str) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let bodies = Arc::new(bodies());
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("rt");
    rt.block_on(async {
        let next = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let before = cpu_of(pid);
        let wall = Instant::now();
        let tasks: Vec<_> = (0..clients).map(|_| { let (next, bodies) = (next.clone(), bodies.clone()); tokio::spawn(async move {
            let mut s = tokio::net::TcpStream::connect("127.0.0.1:7999").await.expect("c");
            s.set_nodelay(true).expect("n");
            let mut buffer = vec![0u8; 8192];
            loop {
                let n = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let Some(body) = bodies.get(n) else { break };
                let head = format!("POST /transaction HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
                s.write_all(&[head.as_bytes(), body].concat()).await.expect("w");
                let mut got = 0;
                loop {
                    got += s.read(&mut buffer[got..]).await.expect("r");
                    if got > 1700 && buffer[..got].windows(4).position(|w| w == b"\r\n\r\n").is_some_and(|p| got - p >= 1700) { break }
                }
                assert!(buffer.starts_with(b"HTTP/1.1 201"));
            }
        })}).collect();
        for t in tasks { t.await.expect("t"); }
        let n = bodies.len() as f64;
        println!("{clients} clients: {:.0} requests/s, {:.2} us server cpu a request", n / wall.elapsed().as_secs_f64(), (cpu_of(pid) - before) / n);
    });
}

fn cpu_of(pid: &str) -> f64 {
    let mut total = 0f64;
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).expect("tasks").flatten() {
        let s = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        total += s.split(' ').next().and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0) / 1000.0;
    }
    total
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    match args.get(1).map(String::as_str) {
        Some("server") => return server(false),
        Some("fixed") => return server(true),
        Some("client") => return client(args[2].parse().expect("n"), &args[3]),
        _ => {}
    }
    let metrics = std::env::args().nth(1).as_deref() == Some("metrics");
    let handle = metrics.then(|| metrics_exporter_prometheus::PrometheusBuilder::new().install_recorder().expect("recorder"));
    let people: Vec<([u8; 32], Address)> = (0..200u8).map(|n| ([n; 32], Address::of_public(&public_of(&[n; 32])))).collect();
    let bodies: Vec<Bytes> = (0..20_000usize).map(|n| {
        let (from, to) = (people[n % 200], people[(n + 1 + n / 200) % 200]);
        if from.1 == to.1 { return Bytes::new(); }
        let draft = Draft { domain: "example.net".into(), source: from.1, target: to.1, symbol: from.1, amount: "1".into(), random: format!("{n:032}"),
            expiry: "2027-01-01T00:00:00.000Z".parse().expect("t"), active: None, credit: None };
        Bytes::from(request::body_of([draft.sign(&from.0).as_slice()]))
    }).filter(|b| !b.is_empty()).collect();
    println!("{} bodies of {} bytes", bodies.len(), bodies[0].len());
    let keys = Keys::new(65536);
    let mut random = rand::rngs::StdRng::seed_from_u64(1);
    let began = cpu();
    let parsed: Vec<_> = bodies.iter().map(|b| request::Request::parse(b, "example.net").expect("good")).collect();
    let parse = (cpu() - began) / bodies.len() as f64;
    println!("parse {parse:.2} us");
    let mut costs = std::collections::BTreeMap::new();
    for batch in [1usize, 16, 32, 64, 128, 256, 512, 1024] {
        let began = cpu();
        for chunk in parsed.chunks(batch) {
            let refs: Vec<_> = chunk.iter().collect();
            std::hint::black_box(verify::verify(&refs, &keys, &mut random));
        }
        let cost = (cpu() - began) / parsed.len() as f64;
        costs.insert(batch, cost);
        println!("verify batch {batch}: {cost:.2} us");
    }
    let bodies = Arc::new(bodies);
    let record = Bytes::from(vec![b'x'; 1700]);
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("rt");
    rt.block_on(async {
        for deadline in [30] {
        let d = Duration::from_secs(deadline);
        let gateway = Gateway::start(Config { domain: "example.net".into(), limits: Limits::default(), randomness: Arc::new(|| rand::rngs::StdRng::seed_from_u64(3)) },
            webwallet_proto::graphstore::client(Link::embedded(webwallet_proto::graphstore::server(Fake(record.clone())), d)),
            webwallet_proto::hashtable::client(Link::embedded(webwallet_proto::hashtable::server(Fake(record.clone())), d))).expect("g");
        let router = gateway.router();
        // the 201 path alone: bare refused body (no verify) and livez
        for (name, path, body) in [("livez", "/livez", None), ("malformed", "/transaction", Some(Bytes::from_static(b"{")))] {
            let began = (cpu(), Instant::now());
            for _ in 0..20_000 {
                let request = match &body { None => Request::get(path).body(Body::empty()), Some(b) => Request::post(path).body(Body::from(b.clone())) }.expect("r");
                std::hint::black_box(router.clone().oneshot(request).await.expect("ok"));
            }
            println!("{name}: {:.2} us cpu, {:.2} us wall, one at a time", (cpu() - began.0) / 20_000.0, began.1.elapsed().as_secs_f64() * 1e6 / 20_000.0);
        }
        for clients in [1usize, 16, 64, 256, 1024] {
            let next = Arc::new(std::sync::atomic::AtomicUsize::new(0));
            let before = threads();
            let (began, wall) = (cpu(), Instant::now());
            let tasks: Vec<_> = (0..clients).map(|_| {
                let (next, router, bodies) = (next.clone(), router.clone(), bodies.clone());
                tokio::spawn(async move {
                    loop {
                        let n = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        let Some(body) = bodies.get(n) else { break };
                        let request = Request::post("/transaction").header("content-type", "application/json").header("host", "x").header("user-agent", "x").body(Body::from(body.clone())).expect("r");
                        let response = router.clone().oneshot(request).await.expect("ok");
                        assert_eq!(response.status(), 201);
                    }
                })
            }).collect();
            for t in tasks { t.await.expect("t"); }
            if let Some(handle) = &handle { let text = handle.render(); for l in text.lines().filter(|l| l.starts_with("webwallet_gateway_verify_batch_signatures") && !l.contains("quantile=\"0.9")) { println!("   {l}"); } }
            let after = threads(); for (name, t) in &after { let b = before.get(name).copied().unwrap_or(0.0); print!("   {name}: {:.2} us", (t - b) / bodies.len() as f64); } println!();
            let per = (cpu() - began) / bodies.len() as f64;
            let wall = wall.elapsed().as_secs_f64() * 1e6 / bodies.len() as f64;
            let base = costs.range(..=clients).next_back().map(|(_, c)| *c).expect("c") + parse;
            println!("{clients} clients: {per:.2} us cpu, {wall:.2} us wall a request; parse+verify at that batch {base:.2}; own {:.2}", per - base);
        }
        }
    });
}

fn cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let _ = text;
    // all threads
    let mut total = 0f64;
    for task in std::fs::read_dir("/proc/self/task").expect("tasks").flatten() {
        let s = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        total += s.split(' ').next().and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0) / 1000.0;
    }
    total
}

fn threads() -> std::collections::BTreeMap<String, f64> {
    let mut all = std::collections::BTreeMap::new();
    for task in std::fs::read_dir("/proc/self/task").expect("tasks").flatten() {
        let s = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default().trim().to_owned();
        *all.entry(name).or_insert(0.0) += s.split(' ').next().and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0) / 1000.0;
    }
    all
}
