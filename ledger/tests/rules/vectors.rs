//! Examples made by the original system's own packages. If one of these
//! failed, its users' IOUs would be refused here, or forged ones taken.

use std::collections::BTreeMap;

use faster_hex::hex_decode_vec;
use rand::SeedableRng;
use serde_json::Value;
use webwallet_ledger::hash::Types;
use webwallet_ledger::signature::{Check, Keys, verify};
use webwallet_ledger::{Address, Code, json};

fn cases(file: &str) -> Vec<Value> {
    let path = format!("{}/../tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect(&path);
    let file: Value = serde_json::from_str(&text).expect("vectors are JSON");
    file["cases"].as_array().expect("cases").clone()
}

/// Hash, address and signature alone: domain, time and locks are not asked.
fn is_sound(iou: &Value) -> bool {
    let data = serde_json::to_vec(&iou["data"]).expect("JSON");
    let data = json::parse(&data, 16).expect("within the profile").to_vec();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let Some(types) = Types::from_name(&text(&iou["hash"]["types"])) else { return false };
    let hash = types.digest(&data);
    if hash.to_string() != text(&iou["hash"]["value"]) {
        return false;
    }
    let source = text(&iou["data"]["source"]);
    let signatures = iou["meta"]["signatures"].as_array().expect("signatures");
    let checks: Option<Vec<Check>> = signatures
        .iter()
        .map(|signature| {
            let public = hex_decode_vec(text(&signature["public"]).as_bytes()).ok()?;
            let derived = Address::of_public(&public).to_string();
            if derived != text(&signature["signer"]) || derived != source {
                return None;
            }
            Some(Check {
                scheme: text(&signature["scheme"]).parse().ok()?,
                public,
                message: hash.0,
                signature: hex_decode_vec(text(&signature["string"]).as_bytes()).ok()?,
            })
        })
        .collect();
    let Some(checks) = checks else { return false };
    let mut random = rand::rngs::StdRng::seed_from_u64(58);
    !checks.is_empty() && verify(&checks, &Keys::new(100), &mut random).iter().all(|valid| *valid)
}

#[test]
fn hash_address_and_signature_of_every_iou_vector() {
    let (mut valid, mut refused) = (0, 0);
    for case in cases("iou-signatures.json") {
        // "legacy-only" is refused: elliptic forgot a shift there.
        let expected = case["strict"] == Value::Bool(true);
        assert_eq!(is_sound(&case["iou"]), expected, "{}", case["name"]);
        *if expected { &mut valid } else { &mut refused } += 1;
        let data = serde_json::to_vec(&case["iou"]["data"]).expect("JSON");
        let canonical = json::parse(&data, 16).expect("within the profile").to_vec();
        assert_eq!(canonical, case["canonical"].as_str().expect("canonical").as_bytes());
    }
    println!("iou-signatures.json: {valid} valid, {refused} refused");
    assert_eq!((valid, refused), (22, 36));
}

/// Money would be paid to an address with a letter wrong, of which nobody has the key.
#[test]
fn addresses_of_keys_and_addresses_mistyped() {
    let (mut valid, mut refused) = (0, 0);
    for case in cases("addresses.json") {
        let address = case["address"].as_str().expect("address");
        let parsed = address.parse::<Address>();
        assert_eq!(parsed.is_ok(), case["valid"] == Value::Bool(true), "{case}");
        match (&case["public"], parsed) {
            (Value::String(public), Ok(parsed)) => {
                let public = hex_decode_vec(public.as_bytes()).expect("hex");
                assert_eq!(Address::of_public(&public), parsed);
                assert!(parsed.is_of_public(&public));
                assert_eq!(Address::from_digest(*parsed.digest()), parsed);
                valid += 1;
            }
            _ => refused += 1,
        }
    }
    println!("addresses.json: {valid} valid, {refused} refused");
    assert_eq!((valid, refused), (4, 6));
}

/// Who sorts texts and who sorts addresses would list accounts in two orders.
#[test]
fn addresses_are_in_the_order_of_their_texts() {
    let addresses: Vec<Address> = (0..50).map(|n| Address::of_public(&[n])).collect();
    for (a, b) in addresses.iter().flat_map(|a| addresses.iter().map(move |b| (a, b))) {
        assert_eq!(a.partial_cmp(b), a.as_str().partial_cmp(b.as_str()), "{a} {b}");
    }
}

/// Our writer knows the profile only; what is outside it is refused, and the
/// library we compare it with agrees with the vectors on everything.
#[test]
fn canonical_form_of_what_is_read_and_refusal_of_the_rest() {
    let (mut same, mut refused) = (0, 0);
    for case in cases("canonical-json.json") {
        let input = case["input"].as_str().expect("input");
        let parsed = json::parse(input.as_bytes(), 16);
        match case["canonical"].as_str() {
            None => assert!(parsed.is_err(), "{input}"),
            Some(canonical) => {
                let library: Value = serde_json::from_str(input).expect(input);
                let library = serde_json_canonicalizer::to_string(&library).expect(input);
                assert_eq!(library, canonical, "the library itself");
                if let Ok(value) = &parsed {
                    assert_eq!(String::from_utf8_lossy(&value.to_vec()), canonical);
                }
            }
        }
        *if parsed.is_ok() { &mut same } else { &mut refused } += 1;
    }
    println!("canonical-json.json: {same} in the profile and the same, {refused} refused");
    assert_eq!((same, refused), (5, 11));
}

/// Everything that JSON parsers are known to disagree about. What is not JSON
/// is refused; what is JSON is read as everybody reads it, or refused because
/// the profile is narrower.
#[test]
fn json_test_suite() {
    let mut said: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for case in cases("json-test-suite.json") {
        let (name, input) = (case["name"].as_str().unwrap(), case["input"].as_str().unwrap());
        let kind = match &name[..2] {
            "y_" => "JSON",
            "n_" => "not JSON",
            _ => "disputed",
        };
        let counts = said.entry(kind).or_default();
        match json::parse(input.as_bytes(), 16) {
            Ok(value) => {
                assert_ne!(kind, "not JSON", "{name}");
                let other: Value = serde_json::from_str(input).expect(name);
                let ours: Value = serde_json::from_slice(&value.to_vec()).expect(name);
                assert_eq!(ours, other, "{name}");
                counts[0] += 1;
            }
            Err(refusal) => {
                assert!(matches!(refusal.code, Code::Malformed), "{name}: {refusal:?}");
                counts[1] += 1;
            }
        }
    }
    println!("JSON test suite, read and refused: {said:?}");
    assert!(said["JSON"][0] >= 30 && said["not JSON"][1] >= 170, "{said:?}");
}
