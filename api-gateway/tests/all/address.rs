//! What an address holds, page by page.

use http::StatusCode;
use serde_json::json;
use webwallet_api_gateway::schema;

use crate::standin::{self, Deployment, documented, issue, person};

/// A holder would miss a unit that he has, or count it twice.
#[tokio::test]
async fn balances_are_listed_page_by_page() {
    let server = Deployment::new();
    let bob = person(200);
    for n in 1..=5 {
        server.post(issue(person(n), bob, "10", 1)).await;
    }
    let path = format!("/address/{}", bob.address);
    let all = server.get(&path).await;
    documented::<schema::AddressAnswer>(&all);
    let all = all.json()["data"]["units"].as_array().expect("units").clone();
    assert_eq!(all.len(), 5);
    assert_eq!(all[0]["balance"], json!({"net": "10", "min": "0", "max": "Infinity"}));

    let mut seen = Vec::new();
    let mut next = format!("{path}?limit=2");
    loop {
        let page = server.get(&next).await;
        documented::<schema::AddressAnswer>(&page);
        let json = page.json();
        seen.extend(json["data"]["units"].as_array().expect("units").iter().cloned());
        let Some(cursor) = json["data"]["next"].as_str() else {
            assert_eq!(page.header("link"), None);
            break;
        };
        next = format!("{path}?limit=2&cursor={cursor}");
        assert_eq!(page.header("link"), Some(format!("<{next}>; rel=\"next\"").as_str()));
    }
    assert_eq!(seen, all);
    // A page that ends where the list ends has no next.
    assert!(server.get(&format!("{path}?limit=5")).await.json()["data"].get("next").is_none());

    let skipped = server.get(&format!("{path}?skip=1&limit=2")).await;
    documented::<schema::AddressAnswer>(&skipped);
    assert_eq!(skipped.json()["data"]["units"].as_array().expect("units"), &all[1..3]);

    let one = server.get(&format!("{path}?counter={}", person(3).address)).await.json();
    assert_eq!(one["data"]["units"].as_array().map(Vec::len), Some(1));
    assert_eq!(one["data"]["units"][0]["counter"], person(3).address.as_str());
    let stranger = server.get(&format!("/address/{}", person(99).address)).await;
    let expected = json!({"data": {"address": person(99).address.as_str(), "units": []}});
    assert_eq!((stranger.status, stranger.json()), (StatusCode::OK, expected));
}

/// Whoever reads what he was paid, while more comes in, would miss a payment or see it twice.
#[tokio::test]
async fn a_history_is_stable_under_inserts() {
    let server = Deployment::new();
    let [alice, bob] = [1, 2].map(person);
    for n in 1..=7 {
        server.post(issue(alice, bob, "1", n)).await;
    }
    let filter = format!("?counter={}", alice.address);
    let path = format!("/address/{}/outputs", bob.address);
    let unspent = server.get(&format!("{path}/unspent{filter}")).await;
    documented::<schema::OutputsAnswer>(&unspent);
    assert_eq!(unspent.json()["data"]["outputs"].as_array().map(Vec::len), Some(1));
    let nets = |answer: &standin::Answer| -> Vec<String> {
        let json = answer.json();
        let outputs = json["data"]["outputs"].as_array().expect("outputs").iter();
        outputs.map(|o| o["content"]["balance"]["net"].as_str().expect("net").to_owned()).collect()
    };
    let first = server.get(&format!("{path}/history{filter}&limit=3")).await;
    documented::<schema::OutputsAnswer>(&first);
    assert_eq!(nets(&first), ["7", "6", "5"]);
    server.post(issue(alice, bob, "1", 8)).await;
    let cursor = first.json()["data"]["next"].as_str().expect("more").to_owned();
    let second = server.get(&format!("{path}/history{filter}&limit=3&cursor={cursor}")).await;
    assert_eq!(nets(&second), ["4", "3", "2"]);
    let third = server.get(&format!("{path}/history{filter}&limit=3&skip=6")).await;
    assert_eq!(nets(&third), ["2", "1"]);

    // The cursor is good for this list only.
    let carol = person(3).address;
    for other in [
        format!("{path}/unspent{filter}&cursor={cursor}"),
        format!("{path}/history?counter={carol}&cursor={cursor}"),
        format!("/address/{carol}/outputs/history{filter}&cursor={cursor}"),
        format!("/address/{}?cursor={cursor}", bob.address),
        format!("{path}/history{filter}&cursor={cursor}A"),
        format!("{path}/history{filter}&cursor="),
        format!("{path}/history{filter}&cursor=%ff"),
    ] {
        assert_eq!(server.get(&other).await.code(), "cursor_invalid", "{other}");
    }
    for bad in [
        format!("{path}/history"),
        format!("{path}/history?counter=x"),
        format!("{path}/history{filter}&limit=0"),
        format!("{path}/history{filter}&limit=1001"),
        format!("{path}/history{filter}&limit=1&limit=1"),
        format!("{path}/history{filter}&cursor={cursor}&skip=1"),
        format!("{path}/history{filter}&skp=1"),
        format!("/address/wS1EU4AtgzD6VDtsrJyGKXmkQdvkWt9Qer/outputs/unspent{filter}"),
        "/address/x".to_owned(),
        "/transaction/1?counter=x".to_owned(),
        "/.well-known/webwallet?x=1".to_owned(),
    ] {
        assert_eq!(server.get(&bad).await.code(), "parameter_invalid", "{bad}");
    }
    for good in
        [format!("{path}/history{filter}&limit=1000"), format!("{path}/history{filter}&limit=1")]
    {
        assert_eq!(server.get(&good).await.status, StatusCode::OK);
    }
}
