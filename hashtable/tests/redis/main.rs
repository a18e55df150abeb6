//! What is particular to Redis: settings that lose documents, kills, an emptied
//! server, damage, and everything that can be wrong with an address.
//!
//! What every engine promises is in `tests/all/conformance.rs`.

mod cluster;
mod lost;
mod refused;
mod survives;
mod synced;

use bytes::Bytes;
use webwallet_hashtable::{Document, Error, Redis, RedisSettings, Store, redis::Refused};
use webwallet_ledger::Hash;
use webwallet_proto::engine::chain;

/// A server of a test's own, to be broken.
fn private() -> webwallet_engines::Redis {
    webwallet_engines::Redis::private()
}

async fn try_open(url: &str, allow_lossy: bool) -> Result<Redis, Refused> {
    let domain = "example.net".to_owned();
    Redis::open(RedisSettings { url: url.to_owned(), password: None, domain, allow_lossy }).await
}

async fn open(url: &str) -> Redis {
    try_open(url, false).await.expect("it opens")
}

/// What an operator says to the server.
fn say(server: &webwallet_engines::Redis, command: &str) -> redis::Value {
    let client = redis::Client::open(&*server.url).expect("an address");
    let mut connection = client.get_connection().expect("it answers");
    let mut words = command.split(' ').map(|word| if word == "''" { "" } else { word });
    let mut said = redis::cmd(words.next().expect("a command"));
    words.fold(&mut said, |said, word| said.arg(word));
    said.query(&mut connection).unwrap_or_else(|error| panic!("{command}: {error}"))
}

fn sized(number: u64, filling: usize) -> Document {
    let data = format!(r#"{{"text":"{number} {}"}}"#, "x".repeat(filling));
    let name = Hash::sha3(data.as_bytes());
    let whole = format!(
        r#"{{"data":{data},"hash":{{"steps":"stringify:data","types":"sha3-256","value":"{name}"}},"meta":{{}}}}"#
    );
    Document::new(name, whole.into(), number).expect("a document")
}

fn record(number: u64) -> Document {
    sized(number, 0)
}

async fn got(store: &Redis, document: &Document) -> Result<Option<Bytes>, Error> {
    store.get(&[document.name()]).await.map(|mut found| found.remove(0))
}
