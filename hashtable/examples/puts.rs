//! What keeping a document costs: the figures in `src/embedded.rs`.
//!
//! `taskset -c 1 cargo run --release -p webwallet-hashtable --example puts -- FOLDER DOCUMENTS AT_ONCE`
//!
//! Opens the store, says how long that took and the memory of the process then;
//! puts DOCUMENTS records of 1.3 KB, AT_ONCE at a time, each with a call of its
//! own; and says what that took, names, checksums and compaction included.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use cpu_time::ProcessTime;
use futures::future::join_all;
use webwallet_hashtable::{Document, Embedded, Store};
use webwallet_ledger::Hash;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [folder, documents, at_once] = &arguments[..] else {
        return Err("usage: puts FOLDER DOCUMENTS AT_ONCE".into());
    };
    let (documents, at_once): (u64, u64) = (documents.parse()?, at_once.parse()?);

    let begun = Instant::now();
    let store = Embedded::open(&PathBuf::from(folder))?;
    let open = begun.elapsed();
    println!("open after {open:.0?}, {} resident", resident()?);

    // Numbers of an earlier run would be repeats, which cost less.
    let first = std::time::UNIX_EPOCH.elapsed()?.as_millis() as u64 * 1_000_000;
    let mut making = Duration::ZERO;
    let mut slowest = Duration::ZERO;
    let (wall, cpu) = (Instant::now(), ProcessTime::now());
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        for start in (0..documents).step_by(at_once as usize) {
            let begun = ProcessTime::now();
            let bodies: Vec<_> =
                (0..at_once).map(|n| (first + start + n, body(first + start + n))).collect();
            making += begun.elapsed();
            let begun = Instant::now();
            let puts = bodies.into_iter().map(|(number, (name, body))| {
                let document = Document::new(name, body.into(), number);
                async { store.put(vec![document.expect("a document")]).await }
            });
            for outcome in join_all(puts).await {
                outcome?;
            }
            slowest = slowest.max(begun.elapsed());
        }
        Ok::<_, webwallet_hashtable::Error>(())
    })?;
    // Let compaction end.
    let wall = wall.elapsed();
    std::thread::sleep(Duration::from_secs(1));
    let cpu = cpu.elapsed().saturating_sub(making);
    println!(
        "{:.0} documents/s with {at_once} at once, {:.1} us of CPU a document, slowest group {slowest:.0?}, {} resident",
        documents as f64 / wall.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / documents.max(1) as f64,
        resident()?,
    );
    Ok(())
}

/// A document of 1.3 KB, most of it without order, as hashes and signatures are.
fn body(number: u64) -> (Hash, Vec<u8>) {
    let mut hex = String::new();
    for n in 0..16u64 {
        // Cheap and without order; only the size of the text matters.
        let word = (number ^ (n << 56)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31);
        hex += &format!("{:016x}{:016x}", word, word.wrapping_mul(0xbf58_476d_1ce4_e5b9));
    }
    let data = format!(
        r#"{{"domain":"example.net","inputs":["{hex}"],"kind":"record","number":"{number}"}}"#
    );
    let name = Hash::sha3(data.as_bytes());
    let whole = format!(
        r#"{{"data":{data},"hash":{{"steps":"stringify:data","types":"sha3-256","value":"{name}"}},"meta":{{"inputs":["{hex}"]}}}}"#
    );
    (name, whole.into_bytes())
}

fn resident() -> std::io::Result<String> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    Ok(line.unwrap_or("unknown").trim().to_owned())
}
