//! Units and their holders.

use std::collections::BTreeSet;

use http::StatusCode;
use serde_json::{Value, json};
use webwallet_api_gateway::schema;

use crate::standin::{Answer, Deployment, documented, issue, person};

/// Whoever is asked to take a unit would be told a wrong sum of what there is of it.
#[tokio::test]
async fn a_unit_is_added_up_and_an_unknown_one_is_nothing() {
    let server = Deployment::new();
    let [alice, bob, carol] = [1, 2, 3].map(person);
    server.post(issue(alice, bob, "10", 1)).await;
    server.post(issue(alice, carol, "0.50", 2)).await;
    let unit = server.get(&format!("/unit/{}", alice.address)).await;
    documented::<schema::UnitAnswer>(&unit);
    assert_eq!(unit.header("cache-control"), Some("no-store"));
    let expected = json!({ "unit": alice.address.as_str(), "supply": "10.5", "locked": "0", "accounts": "3", "credit": "0" });
    assert_eq!(unit.json()["data"], expected);
    let unknown = server.get(&format!("/unit/{}", bob.address)).await;
    let nothing = json!({ "unit": bob.address.as_str(), "supply": "0", "locked": "0", "accounts": "0", "credit": "0" });
    assert_eq!((unknown.status, &unknown.json()["data"]), (StatusCode::OK, &nothing));
    for bad in ["/unit/x", "/unit/x/holders"] {
        assert_eq!(server.get(bad).await.code(), "parameter_invalid", "{bad}");
    }
    let misspelt = server.get(&format!("/unit/{}?limit=1", alice.address)).await;
    assert_eq!(misspelt.code(), "parameter_invalid");
    server.stores.fail("unit", tonic::Code::Unavailable);
    assert_eq!(server.get(&format!("/unit/{}", alice.address)).await.code(), "unavailable");
}

/// Whoever pays all holders of a unit goes through these pages.
#[tokio::test]
async fn holders_are_listed_page_by_page_while_more_come() {
    let server = Deployment::new();
    let alice = person(1);
    for n in 2..=8 {
        server.post(issue(alice, person(n), "1", n.into())).await;
    }
    let path = format!("/unit/{}/holders", alice.address);
    let all = server.get(&path).await;
    documented::<schema::HoldersAnswer>(&all);
    let holders = |answer: &Answer| -> Vec<Value> {
        answer.json()["data"]["holders"].as_array().expect("holders").clone()
    };
    let before = holders(&all);
    assert_eq!(before.len(), 8);
    let issuer = before.iter().find(|holder| holder["address"] == alice.address.as_str());
    let owes = json!({ "net": "-7", "min": "-Infinity", "max": "0" });
    assert_eq!(issuer.expect("the issuer")["balance"], owes);

    let (mut seen, mut next, mut n) = (Vec::new(), format!("{path}?limit=3"), 20);
    let mut first = None;
    loop {
        let page = server.get(&next).await;
        seen.extend(holders(&page));
        server.post(issue(alice, person(n), "1", n.into())).await;
        n += 1;
        let Some(cursor) = page.json()["data"]["next"].as_str().map(str::to_owned) else { break };
        next = format!("{path}?limit=3&cursor={cursor}");
        assert_eq!(page.header("link"), Some(format!("<{next}>; rel=\"next\"").as_str()));
        first.get_or_insert(cursor);
    }
    let name = |holder: &Value| holder["address"].as_str().expect("an address").to_owned();
    let seen: Vec<String> = seen.iter().map(name).collect();
    assert!(seen.is_sorted_by(|one, two| one < two), "{seen:?}");
    let seen: BTreeSet<String> = seen.into_iter().collect();
    assert!(before.iter().all(|holder| seen.contains(&name(holder))));

    let all = holders(&server.get(&path).await);
    assert_eq!(holders(&server.get(&format!("{path}?skip=2&limit=2")).await), all[2..4]);
    let cursor = first.expect("more than a page");
    let other = format!("/unit/{}/holders?cursor={cursor}", person(2).address);
    assert_eq!(server.get(&other).await.code(), "cursor_invalid");
    for bad in
        ["limit=0", "limit=1001", "skip=10001", "counter=x", &format!("skip=1&cursor={cursor}")]
    {
        assert_eq!(server.get(&format!("{path}?{bad}")).await.code(), "parameter_invalid", "{bad}");
    }
}
