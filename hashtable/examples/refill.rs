//! How fast a lost Redis is filled again.
//!
//! `cargo run --release -p webwallet-hashtable --example refill -- redis://HOST:PORT DOCUMENTS`
//!
//! Puts DOCUMENTS records of 1.3 KB, a thousand to a put and two puts under way, as the
//! refill of `webwallet serve` does; names and checksums included, making them not.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use webwallet_hashtable::{Document, Redis, RedisSettings, Store};
use webwallet_ledger::Hash;

/// Records in one put.
const AT_ONCE: u64 = 1_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [url, documents] = &arguments[..] else {
        return Err("usage: refill redis://HOST:PORT DOCUMENTS".into());
    };
    let documents: u64 = documents.parse()?;
    // Repeats would cost less.
    let domain = format!("refill-{}", std::time::UNIX_EPOCH.elapsed()?.as_nanos());
    let store =
        Redis::open(RedisSettings { url: url.clone(), password: None, domain, allow_lossy: false })
            .await?;
    let mut making = Duration::ZERO;
    let begun = Instant::now();
    stream::iter((0..documents).step_by(AT_ONCE as usize))
        .map(|after| {
            let begun = Instant::now();
            let bodies: Vec<_> = (after + 1..=after + AT_ONCE).map(body).collect();
            making += begun.elapsed();
            let documents = bodies
                .into_iter()
                .map(|(number, name, body)| Document::new(name, body.into(), number))
                .collect::<Result<Vec<_>, _>>()
                .expect("documents");
            store.put(documents)
        })
        .buffered(2)
        .try_for_each(|()| async { Ok(()) })
        .await?;
    let took = begun.elapsed().saturating_sub(making);
    println!("{}: {:.0} documents/s", store.name(), documents as f64 / took.as_secs_f64());
    Ok(())
}

/// A record of 1.3 KB, most of it without order, as hashes and signatures are.
fn body(number: u64) -> (u64, Hash, Vec<u8>) {
    let mut hex = String::new();
    for n in 0..16u64 {
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
    (number, name, whole.into_bytes())
}
