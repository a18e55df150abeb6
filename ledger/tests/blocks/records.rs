//! Records as leaves: their IOUs are read with them, and which rule a bad one
//! breaks does not depend on who reads it.

use webwallet_ledger::clear::{Cleared, clear};
use webwallet_ledger::leaf::{Entry, Fault, Kind, Leaf, Outline};
use webwallet_ledger::{Code, Nothing, Record, Request};

use crate::party::{DOMAIN, Ledger, body, draft, now, party};
use crate::{data_of, named, refusal};

/// Two payments in one record.
fn record() -> Record {
    let (ann, ben) = (party("ann"), party("ben"));
    let ious = ["one", "two"].map(|note| draft(&ann, &ben, &ann, "10", note).sign(&ann.secret));
    Ledger::default().post(&body(&ious), now()).expect("cleared")
}

fn entry(leaf: &[u8]) -> Entry {
    match Leaf::parse(leaf, DOMAIN).expect("a leaf") {
        Leaf::Record(entry) => *entry,
        other => panic!("{other:?}"),
    }
}

/// Splits a record into the texts of its data and its meta.
fn parts(record: &Record) -> (String, String) {
    let text = String::from_utf8(record.bytes.clone()).expect("UTF-8");
    // The record's own: its IOUs stand in it.
    let start = text.find("\"meta\":{\"inputs\":").expect("meta") + 7;
    (data_of(text.as_bytes()), text[start..text.len() - 1].to_owned())
}

/// An auditor who rebuilds another request than was cleared finds what is not
/// there, or misses what is.
#[test]
fn the_request_in_a_record_clears_to_the_same_record() {
    let record = record();
    let entry = entry(&record.bytes);
    assert_eq!(entry.record, record);
    let request = entry.request.expect("a request");
    assert_eq!(request.ious(), record.inputs);
    let again = clear(&request, record.number, record.time, &Nothing).expect("clears");
    assert_eq!(again, Cleared::Now(record));
}

/// Whoever asks only for the order of the log reads no payment, and takes no leaf under
/// a name that is not its own for a record.
#[test]
fn the_outline_of_a_record_is_its_number_and_time() {
    let record = record();
    let (data, meta) = parts(&record);
    let text = String::from_utf8(record.bytes.clone()).expect("UTF-8");
    let outline = |leaf: &str| match Leaf::outline(leaf.as_bytes(), DOMAIN) {
        Ok(Outline::Record { number, time }) => Ok((number, time)),
        Ok(Outline::Leaf(other)) => panic!("{other:?}"),
        Err(error) => Err((error.fault, error.kind)),
    };
    assert_eq!(outline(&text), Ok((1, now())));
    let unread = data.replacen(r#""number":"1""#, r#""number":"7""#, 1);
    assert_eq!(outline(&named(&unread, "{}")), Ok((7, now())));
    let kind = Some(Kind::Record);
    let own = |from: &str, to: &str| named(&data.replacen(from, to, 1), &meta);
    for (leaf, refused) in [
        (text.replacen(r#""number":"1""#, r#""number":"2""#, 1), (Fault::Hash, kind)),
        (own(r#""number":"1""#, r#""number":"01""#), (Fault::Encoding, kind)),
        (own(".000Z", "Z"), (Fault::Encoding, kind)),
        (own(r#""kind":"record""#, r#""kind":"memo""#), (Fault::Encoding, None)),
    ] {
        assert_eq!(outline(&leaf), Err(refused), "{leaf}");
    }
}

/// Each row is one change of a record, named anew where the data changed.
#[test]
fn the_first_rule_that_a_record_breaks_answers() {
    let (data, meta) = parts(&record());
    let iou = |from: &str, to: &str| (data.clone(), meta.replacen(from, to, 1));
    let own = |from: &str, to: &str| (data.replacen(from, to, 1), meta.clone());
    let inputs = &data[data.find('[').expect("inputs")..=data.find(']').expect("inputs")];
    let many =
        format!("[{}]", [r#"{"hash":"HASH"}"#; 101].join(",")).replace("HASH", &"0".repeat(64));
    let rows = [
        ("no inputs", own(inputs, "[]"), Fault::Encoding),
        ("more inputs than a request has", own(inputs, &many), Fault::Encoding),
        (
            "a number with a zero before it",
            own(r#""number":"1""#, r#""number":"01""#),
            Fault::Encoding,
        ),
        ("a number with a sign", own(r#""number":"1""#, r#""number":"+1""#), Fault::Encoding),
        ("a time of another form", own(".000Z", "Z"), Fault::Encoding),
        ("an unknown key", own(r#""kind""#, r#""kin":"x","kind""#), Fault::Encoding),
        ("a net with an exponent", own(r#""net":"-20""#, r#""net":"-2e1""#), Fault::Encoding),
        ("a limit of no kind", own("-Infinity", "-infinity"), Fault::Encoding),
        ("no sources", own(r#","sources":[]"#, ""), Fault::Encoding),
        ("a pointer of no kind", own(r#""sources":[]"#, r#""sources":["x"]"#), Fault::Encoding),
        ("an address mistyped", own(r#""address":"w"#, r#""address":"x"#), Fault::Encoding),
        ("no IOUs", (data.clone(), r#"{"inputs":[]}"#.into()), Fault::Encoding),
        ("no list of IOUs", (data.clone(), "{}".into()), Fault::Encoding),
        ("more than IOUs", iou(r#"{"inputs""#, r#"{"ignored":"x","inputs""#), Fault::Encoding),
        ("an IOU without amount", iou(r#""amount":"10","#, ""), Fault::Encoding),
        ("an amount too long", iou(r#""10""#, &format!("\"{}\"", "1".repeat(61))), Fault::Encoding),
        ("an IOU with a lock", iou(r#""random""#, r#""locker":{},"random""#), Fault::Encoding),
        ("an IOU of another name", iou(r#""amount":"10""#, r#""amount":"11""#), Fault::Hash),
        ("an IOU hashed otherwise", iou("sha3-256", "sha3-512"), Fault::Hash),
    ];
    for (what, (data, meta), fault) in rows {
        let found = refusal(named(&data, &meta).as_bytes()).map(|(fault, _)| fault);
        assert_eq!(found, Some(fault), "{what}");
    }
    // The record's own name is wrong as well: still the earlier rule.
    let misnamed = |data: &str, meta: &str| {
        let leaf = named(data, meta);
        let value = leaf.find(r#""},"meta":{"inputs""#).expect("a name") - 1;
        let last = if leaf.as_bytes()[value] == b'0' { "1" } else { "0" };
        format!("{}{last}{}", &leaf[..value], &leaf[value + 1..])
    };
    let (own_data, own_meta) = own(r#""number":"1""#, r#""number":"01""#);
    for (data, meta, fault) in [
        (&data, &meta, Fault::Hash),
        (&own_data, &own_meta, Fault::Encoding),
        (&data, &iou(r#""amount":"10","#, "").1, Fault::Encoding),
        (&data, &iou(r#""domain":"example.net""#, r#""domain":"example.org""#).1, Fault::Hash),
    ] {
        assert_eq!(refusal(misnamed(data, meta).as_bytes()).map(|(fault, _)| fault), Some(fault));
    }
}

/// A payment of a server whose name JSON escapes is as good as any.
#[test]
fn a_domain_is_compared_as_text_not_as_it_is_spelled() {
    let (ann, ben) = (party("ann"), party("ben"));
    for domain in ["a\"b", "a\\", "a\",\"inputs\":\"b", "a\u{1}b", "aéb", ""] {
        let mut iou = draft(&ann, &ben, &ann, "10", "one");
        iou.domain = domain.into();
        let request = Request::from_inputs(&[iou.sign(&ann.secret)], domain).expect("a request");
        let Ok(Cleared::Now(record)) = clear(&request, 1, now(), &Nothing) else {
            panic!("{domain:?} does not clear");
        };
        assert!(record.is_of(domain), "{domain:?}");
        for other in [&domain[..domain.len().saturating_sub(1)], &format!("{domain}x"), "a\\\"b"] {
            assert!(other == domain || !record.is_of(other), "{domain:?} {other:?}");
        }
        let spelled = serde_json::to_string(domain).expect("JSON");
        assert_eq!(format!("\"{}\"", record.domain()), spelled);
        match Leaf::parse(&record.bytes, domain).expect("a leaf") {
            Leaf::Record(entry) => assert_eq!(entry.request.map(|_| ()), Ok(()), "{domain:?}"),
            other => panic!("{other:?}"),
        }
    }
}

/// What is stored as a record and carries no IOUs, nobody can clear again.
#[test]
fn a_record_carries_ious_and_nothing_else() {
    let (data, meta) = parts(&record());
    assert_eq!(Record::parse(named(&data, &meta).as_bytes()), Ok(record()));
    for meta in ["[]", "\"x\"", "{}", "{\"inputs\":\"x\"}", "{\"a\":1,\"inputs\":[]}"] {
        let refused = Record::parse(named(&data, meta).as_bytes()).expect_err(meta);
        assert_eq!(refused.code, Code::Malformed, "{meta}");
    }
}

/// A record that lists other IOUs than it carries would move what nobody signed.
#[test]
fn a_record_names_the_ious_it_carries() {
    let record = record();
    let (data, meta) = parts(&record);
    let [one, two] = [record.inputs[0].to_string(), record.inputs[1].to_string()];
    let swapped = data.replacen(&one, "?", 1).replacen(&two, &one, 1).replacen('?', &two, 1);
    let shorter = data.replacen(&format!(r#"{{"hash":"{one}"}},"#), "", 1);
    let longer = data.replacen("\"inputs\":[", &format!("\"inputs\":[{{\"hash\":\"{one}\"}},"), 1);
    for data in [swapped, shorter, longer] {
        let found = refusal(named(&data, &meta).as_bytes());
        assert_eq!(found, Some((Fault::Hash, "/data/inputs".into())), "{data}");
    }
}

/// What only a verifier or another server would refuse is left for later, so
/// that an auditor can say it in its turn.
#[test]
fn what_comes_after_the_hashes_is_told_in_the_request() {
    let (ann, ben) = (party("ann"), party("ben"));
    let code = |leaf: &[u8]| entry(leaf).request.expect_err("refused").code;
    let record = record();
    let (data, meta) = parts(&record);
    let elsewhere = named(&data.replacen("example.net", "example.org", 1), &meta);
    assert_eq!(code(elsewhere.as_bytes()), Code::WrongDomain);
    let mut foreign = draft(&ann, &ben, &ann, "10", "one");
    foreign.domain = "example.org".into();
    let of = |iou: Vec<u8>, hash: String| {
        let single = format!(r#""inputs":[{{"hash":"{hash}"}}]"#);
        let start = data.find(r#""inputs""#).expect("inputs");
        let end = data.find(r#","kind""#).expect("kind");
        let data = format!("{}{single}{}", &data[..start], &data[end..]);
        let iou = String::from_utf8(iou).expect("UTF-8");
        named(&data, &format!(r#"{{"inputs":[{iou}]}}"#)).into_bytes()
    };
    let hash = foreign.hash().to_string();
    assert_eq!(code(&of(foreign.sign(&ann.secret), hash)), Code::WrongDomain);
    let plain = draft(&ann, &ben, &ann, "10", "one");
    let hash = plain.hash().to_string();
    assert_eq!(code(&of(plain.unsigned(), hash.clone())), Code::SignatureMissing);
    assert_eq!(code(&of(plain.sign(&ben.secret), hash.clone())), Code::SignatureMissing);
    let signed = String::from_utf8(plain.sign(&ann.secret)).expect("UTF-8");
    let scheme = signed.replacen("eddsa-ed25519", "rsa", 1);
    assert_eq!(code(&of(scheme.into_bytes(), hash)), Code::UnsupportedScheme);
}

/// One byte changed anywhere but in a signature, and somebody must notice.
#[test]
fn only_signatures_can_be_changed_unnoticed_until_they_are_verified() {
    let record = record();
    let text = String::from_utf8(record.bytes.clone()).expect("UTF-8");
    let unhashed: Vec<_> =
        text.match_indices("\"string\":\"").map(|(at, _)| at + 10..at + 138).collect();
    for at in 0..record.bytes.len() {
        let mut changed = record.bytes.clone();
        changed[at] ^= 1;
        let noticed = match Leaf::parse(&changed, DOMAIN) {
            Err(_) => true,
            Ok(Leaf::Record(entry)) => entry.request.is_err(),
            Ok(_) => false,
        };
        assert!(noticed || unhashed.iter().any(|range| range.contains(&at)), "byte {at}");
    }
}
