//! `kill -9` under load. If this failed, somebody's confirmed payment is gone.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rand::RngExt as _;
use webwallet_hashtable::Store as _;
use webwallet_ledger::{Amount, Record};
use webwallet_tests::party::{issue, party};
use webwallet_tests::process::{Process, agent, get, post};

use crate::rounds;

const CLIENTS: u64 = 32;
const IN_FLIGHT_MIN: u64 = 20;

/// Posts from many clients until the server is killed; returns every 201.
fn load_and_kill(server: Process, round: usize) -> (Vec<Vec<u8>>, u64) {
    let (in_flight, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let cleared = Mutex::new(Vec::new());
    let url = server.url();
    let pause = Duration::from_micros(rand::rng().random_range(20_000..250_000));
    let mut at_kill = 0;
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (url, in_flight, stop, cleared) = (&url, &in_flight, &stop, &cleared);
            scope.spawn(move || {
                let agent = agent();
                let (from, to) = (party(&format!("client {client}")), party("everybody"));
                for i in 0.. {
                    let body = issue(&from, &to, "1", &format!("{round} {i}"));
                    in_flight.fetch_add(1, Ordering::SeqCst);
                    let answer = post(&agent, url, &body);
                    in_flight.fetch_sub(1, Ordering::SeqCst);
                    match answer {
                        Ok(answer) if answer.status == 201 => {
                            cleared.lock().expect("the list").push(answer.body);
                        }
                        Ok(answer) => panic!("a good payment was refused: {answer:?}"),
                        Err(_) if stop.load(Ordering::SeqCst) => return,
                        Err(error) => panic!("the server went away by itself: {error}"),
                    }
                }
            });
        }
        // A random moment, and from then on the first at which enough wait.
        std::thread::sleep(pause);
        stop.store(true, Ordering::SeqCst);
        while at_kill < IN_FLIGHT_MIN {
            at_kill = in_flight.load(Ordering::SeqCst);
        }
        server.kill();
    });
    (cleared.into_inner().expect("the list"), at_kill)
}

/// The second of the two places that hold a record, read without the server:
/// with it, Graphstore would answer for what Hashtable has lost.
fn every_record_is_in_its_second_place(folder: &Path, confirmed: &HashMap<u64, Vec<u8>>) {
    let store = webwallet_hashtable::Embedded::open(folder).expect("it opens");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for (number, body) in confirmed {
        let bytes = record_in(body);
        let name = Record::parse(bytes).expect("a record").hash;
        let found = runtime.block_on(store.get(&[name])).expect("readable").remove(0);
        assert_eq!(found.as_deref(), Some(bytes), "record {number} in {}", folder.display());
    }
}

/// The record in an answer.
fn record_in(body: &[u8]) -> &[u8] {
    let bytes = body.strip_prefix(b"{\"data\":").and_then(|b| b.strip_suffix(b"}"));
    bytes.expect("a record")
}

#[test]
fn no_confirmed_payment_is_lost_to_a_kill() {
    let data = tempfile::tempdir().expect("a folder");
    let rounds = rounds(3, 50);
    let agent = agent();
    let mut confirmed: HashMap<u64, Vec<u8>> = HashMap::new();
    let mut least_in_flight = u64::MAX;
    for round in 0..rounds {
        let server = Process::all(data.path(), &[]);
        let (cleared, in_flight) = load_and_kill(server, round);
        least_in_flight = least_in_flight.min(in_flight);
        let server = Process::all(data.path(), &[]);
        for body in cleared {
            let json: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            let number = json["data"]["data"]["number"].as_str().expect("number");
            let again = get(&agent, &server.url(), &format!("/transaction/{number}"));
            assert_eq!(again.body, body, "record {number} after round {round}");
            confirmed.insert(number.parse().expect("a number"), body);
        }
    }
    // The whole history: gap-free, every output spent once, every unit zero.
    let server = Process::all(data.path(), &[]);
    let (mut nets, mut number) = (HashMap::new(), 0);
    loop {
        let answer = get(&agent, &server.url(), &format!("/transaction/{}", number + 1));
        if answer.status == 404 {
            break;
        }
        number += 1;
        let record = Record::parse(record_in(&answer.body)).expect("a record");
        assert_eq!(record.number, number);
        for (index, output) in record.outputs.iter().enumerate() {
            let before: Option<(String, Amount)> = nets.insert(
                output.account,
                (format!("{}::{index}", record.hash), output.balance.net.clone()),
            );
            let sources: Vec<String> = output.sources.iter().map(ToString::to_string).collect();
            assert_eq!(sources, before.map(|(pointer, _)| pointer).into_iter().collect::<Vec<_>>());
        }
    }
    assert!(confirmed.keys().all(|n| *n <= number));
    let mut sums: HashMap<_, Amount> = HashMap::new();
    for (account, (_, net)) in &nets {
        let sum = sums.entry(account.unit).or_insert_with(Amount::zero);
        *sum = sum.plus(net);
    }
    assert!(sums.values().all(Amount::is_zero), "every unit sums to zero");
    server.kill();
    every_record_is_in_its_second_place(&data.path().join("hashtable"), &confirmed);
    println!(
        "{rounds} kills with at least {least_in_flight} requests in flight: {} payments confirmed, {number} cleared, none lost",
        confirmed.len()
    );
}
