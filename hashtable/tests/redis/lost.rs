//! Questions and answers get lost, at every byte at which they can.

use std::{collections::BTreeMap, time::Duration};

use redis::Value;
use webwallet_engines::proxy::{Proxy, Way};

use super::*;

/// After two cuts nobody tries to connect for a moment: only some of the bytes.
fn positions(cuts: usize) -> impl Iterator<Item = usize> {
    (0..).step_by(if cuts == 1 { 1 } else { 7 })
}

/// The connection that answers here is the one that is cut next.
async fn answers(store: &Redis) {
    while store.get(&[]).await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Whoever was told that a record is kept would have lost it to a cut wire; or a record
/// would be there without its number, and never be found again when history is read.
#[tokio::test(flavor = "multi_thread")]
async fn a_put_cut_at_any_byte_is_there_whole_or_was_not_confirmed() {
    let server = private();
    let proxy = Proxy::before(server.url.replace("redis://", "")).await;
    let store = open(&format!("redis://{}", proxy.address)).await;
    let there = |document: &Document| {
        say(&server, &format!("EXISTS example.net:{}", document.name())) == Value::Int(1)
    };
    let (mut number, mut outcomes) = (0, BTreeMap::new());
    // The same documents are sent once more by the store itself: one cut costs nobody
    // anything, two are told.
    for (cuts, way) in [(1, Way::Request), (1, Way::Answer), (2, Way::Request), (2, Way::Answer)] {
        for position in positions(cuts) {
            answers(&store).await;
            number += 1;
            let document = record(number);
            proxy.arm(way, position, cuts);
            let outcome = store.put(vec![document.clone()]).await;
            let cut = proxy.disarm();
            let kept = there(&document);
            match outcome {
                Ok(()) => assert!(kept, "{way:?} {position}: confirmed, and not there"),
                Err(Error::Engine(_)) if cuts == 2 => {
                    answers(&store).await;
                    store.put(vec![document]).await.expect("the same documents again");
                }
                Err(error) => panic!("{cuts} {way:?} {position}: {error}"),
            }
            if !cut {
                // It had ended before.
                break;
            }
            *outcomes.entry((cuts, format!("{way:?}"), kept)).or_insert(0) += 1;
        }
    }
    println!("{} cuts: {outcomes:?}", proxy.hits());
    for (cuts, way, kept) in
        [(1, "Request", true), (1, "Answer", true), (2, "Request", false), (2, "Answer", true)]
    {
        let hits = outcomes.get(&(cuts, way.to_owned(), kept)).copied().unwrap_or(0);
        assert!(hits > 0, "{cuts} {way} {kept} was never hit: {outcomes:?}");
    }
    let mut found = Vec::new();
    while (found.len() as u64) < number {
        let part = store.numbered(found.len() as u64, 1_000).await.expect("readable");
        assert!(!part.is_empty(), "no record {}", found.len() + 1);
        found.extend(part);
    }
    assert!(found.iter().zip(1..).all(|(found, number)| *found == record(number)));
    assert_eq!(store.highest().await.expect("readable"), number);
}

/// A read whose answer was cut would be half a document, or none of one that is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_get_cut_at_any_byte_finds_what_is_there() {
    let server = private();
    let proxy = Proxy::before(server.url.replace("redis://", "")).await;
    let store = open(&format!("redis://{}", proxy.address)).await;
    let document = record(1);
    store.put(vec![document.clone()]).await.expect("stored");
    for (cuts, way) in [(1, Way::Request), (1, Way::Answer), (2, Way::Request), (2, Way::Answer)] {
        for position in positions(cuts) {
            answers(&store).await;
            proxy.arm(way, position, cuts);
            let found = got(&store, &document).await;
            let cut = proxy.disarm();
            match found {
                Ok(found) => assert_eq!(found.as_ref(), Some(document.bytes()), "{position}"),
                Err(Error::Engine(_)) if cuts == 2 => {}
                Err(error) => panic!("{cuts} {way:?} {position}: {error}"),
            }
            if !cut {
                break;
            }
        }
    }
    assert!(proxy.hits() > 100, "{} cuts", proxy.hits());
}
