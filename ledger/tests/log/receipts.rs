//! Receipts. If one of these failed, a wallet could not prove its payment to a
//! stranger, or a stranger would believe a payment that is not in the log.

use faster_hex::hex_string;
use proptest::prelude::*;
use webwallet_ledger::checkpoint::Checkpoint;
use webwallet_ledger::clear::{Cleared, clear};
use webwallet_ledger::merkle::{Node, Sha256, TreeHash, inclusion, root};
use webwallet_ledger::note::{NoteError, VerifierKey, verifier_key};
use webwallet_ledger::receipt::{Receipt, ReceiptError, Verified};
use webwallet_ledger::{Nothing, Request};

use crate::party::{DOMAIN, Ledger, body, draft, now, party, with_custom};

const SECRET: [u8; 32] = [5; 32];

fn keys() -> [VerifierKey; 1] {
    [verifier_key(DOMAIN, &SECRET)]
}

/// The bytes of a record.
fn record() -> Vec<u8> {
    let (ann, ben) = (party("ann"), party("ben"));
    let iou = draft(&ann, &ben, &ann, "10", "receipt").sign(&ann.secret);
    Ledger::default().post(&body(&[iou]), now()).expect("cleared").bytes
}

/// The receipt of a leaf at `index` in a log of `size` leaves.
fn receipt(leaf: &[u8], index: u64, size: u64) -> Receipt {
    let mut leaves: Vec<Node> = (0..size).map(|i| Sha256::leaf(&i.to_be_bytes())).collect();
    leaves[index as usize] = Sha256::leaf(leaf);
    let mut subtree = |first, count| {
        Ok::<_, std::convert::Infallible>(root::<Sha256>(
            &leaves[first as usize..(first + count) as usize],
        ))
    };
    let Ok(path) = inclusion::<Sha256, _>(index, size, &mut subtree);
    let checkpoint = Checkpoint { origin: DOMAIN.into(), size, root: root::<Sha256>(&leaves) };
    Receipt { record: leaf.to_vec(), index, path, checkpoint: checkpoint.sign(&SECRET) }
}

fn from_text(text: &[u8]) -> Result<Verified, ReceiptError> {
    Receipt::parse(text)?.verify(&keys())
}

fn from_json(json: &[u8]) -> Result<Verified, ReceiptError> {
    Receipt::parse_json(json)?.verify(&keys())
}

#[test]
fn a_receipt_proves_its_record_in_both_forms() {
    let record = record();
    for (index, size) in [(0, 1), (0, 2), (1, 2), (6, 7), (3, 1000)] {
        let receipt = receipt(&record, index, size);
        let (text, json) = (receipt.to_text(), receipt.to_json().expect("a record"));
        assert_eq!(Receipt::parse(text.as_bytes()), Ok(receipt.clone()));
        assert_eq!(Receipt::parse_json(&json), Ok(receipt.clone()));
        // A file may end with a line's end, and its form is told from its first byte.
        assert_eq!(Receipt::read(text.as_bytes()), Ok(receipt.clone()));
        assert_eq!(Receipt::read(&[&json, &b"\r\n"[..]].concat()), Ok(receipt.clone()));
        let verified = receipt.verify(&keys()).expect("a true receipt");
        assert_eq!(receipt.verify_unsigned(), Ok(verified.clone()));
        assert_eq!((verified.record.number, verified.checkpoint.size), (1, size));
        assert_eq!(verified.record.bytes, record);
        assert_eq!(from_text(text.as_bytes()), Ok(verified.clone()));
        assert_eq!(from_json(&json), Ok(verified));
    }
}

#[test]
fn the_forms_are_those_of_the_documents() {
    let receipt = receipt(&record(), 1, 3);
    let text = receipt.to_text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "c2sp.org/tlog-proof@v1");
    assert!(lines[1].starts_with("extra eyJkYXRhIjp7"), "{}", lines[1]);
    assert_eq!(lines[2], "index 1");
    assert_eq!((lines[3].len(), lines[4].len(), lines[5]), (44, 44, ""));
    assert_eq!((lines[6], lines[7], lines[9]), (DOMAIN, "3", ""));
    assert!(lines[10].starts_with("— example.net ") && lines.len() == 11);

    let json: serde_json::Value =
        serde_json::from_slice(&receipt.to_json().expect("a record")).expect("JSON");
    let keys: Vec<&String> = json.as_object().expect("object").keys().collect();
    assert_eq!(keys, ["checkpoint", "hash", "index", "number", "path", "record"]);
    assert_eq!((&json["index"], &json["number"]), (&"1".into(), &"1".into()));
    assert_eq!(json["hash"], json["record"]["hash"]["value"]);
    assert_eq!(json["checkpoint"], receipt.checkpoint.as_str());
    assert_eq!(json["path"][0], hex_string(&receipt.path[0]));
}

#[test]
fn every_flipped_byte_is_refused() {
    let receipt = receipt(&record(), 5, 11);
    let (text, json) = (receipt.to_text().into_bytes(), receipt.to_json().expect("a record"));
    type Verify = fn(&[u8]) -> Result<Verified, ReceiptError>;
    let forms: [(&[u8], Verify); 2] = [(&text, from_text), (&json, from_json)];
    for (bytes, verify) in forms {
        assert!(verify(bytes).is_ok());
        for place in 0..bytes.len() {
            for flip in [0x01, 0x02, 0x04, 0x20, 0x80] {
                let mut wrong = bytes.to_vec();
                wrong[place] ^= flip;
                assert!(verify(&wrong).is_err(), "byte {place} ^ {flip}");
            }
            assert!(verify(&bytes[..place]).is_err(), "cut at {place}");
            for more in [b' ', b'\n', b'0', b'A'] {
                let longer = [&bytes[..place], &[more], &bytes[place..]].concat();
                assert!(verify(&longer).is_err(), "{more} more at {place}");
            }
        }
        assert!(verify(&[bytes, b"\n"].concat()).is_err());
    }
}

#[test]
fn each_part_is_asked_for() {
    let receipt = receipt(&record(), 5, 11);
    let stranger = verifier_key(DOMAIN, &[6; 32]);
    let unknown = receipt.verify(&[stranger]);
    assert!(matches!(unknown, Err(ReceiptError::Note(NoteError::Unknown { .. }))), "{unknown:?}");
    let moved = Receipt { index: 4, ..receipt.clone() }.verify(&keys());
    assert!(matches!(moved, Err(ReceiptError::Proof(_))), "{moved:?}");
    let moved = Receipt { index: 4, ..receipt.clone() }.verify_unsigned();
    assert!(matches!(moved, Err(ReceiptError::Proof(_))), "{moved:?}");
    let shorter = Receipt { path: receipt.path[1..].to_vec(), ..receipt.clone() }.verify(&keys());
    assert!(matches!(shorter, Err(ReceiptError::Proof(_))), "{shorter:?}");
    // In the log, but no record: a block, say, or a record of another spelling.
    let spaced = [b" ", receipt.record.as_slice()].concat();
    let other = self::receipt(&spaced, 5, 11);
    assert!(matches!(other.verify(&keys()), Err(ReceiptError::Record(_))));
    assert!(matches!(other.to_json(), Err(ReceiptError::Record(_))));

    let long = Receipt { path: vec![[7; 32]; 65], ..receipt.clone() };
    assert!(matches!(Receipt::parse(long.to_text().as_bytes()), Err(ReceiptError::Text(_))));
    let json = long.to_json().expect("a record");
    assert!(matches!(Receipt::parse_json(&json), Err(ReceiptError::Json(_))));

    let longest = Receipt { path: vec![[7; 32]; 64], ..receipt.clone() };
    let json = longest.to_json().expect("a record");
    assert_eq!(Receipt::parse_json(&json), Ok(longest));

    let text = receipt.to_text();
    let extra = text.lines().nth(1).expect("the record");
    for wrong in [
        text.replace("@v1", "@v2"),
        text.replace(&format!("{extra}\n"), ""),
        text.replace("extra ", "extra  "),
        text.replace("index 5", "index 05"),
        text.replace("index 5", "index +5"),
        text.replace("index 5\n", "index 5\n\n"),
        text.replace('\n', "\r\n"),
        format!("\n{text}"),
    ] {
        assert!(from_text(wrong.as_bytes()).is_err(), "{wrong}");
    }
}

/// A record as deep and as full as a request may be is proved like any other.
#[test]
fn a_receipt_holds_the_deepest_record() {
    let (ann, ben) = (party("ann"), party("ben"));
    let iou = draft(&ann, &ben, &ann, "10", "receipt").unsigned();
    // The request, its data and inputs, the IOU, its meta, custom data and their
    // object are around nine lists.
    let custom =
        format!("{{\"a\":[{}[]],\"b\":{}{}}}", "[],".repeat(200), "[".repeat(9), "]".repeat(9));
    let iou = with_custom(&iou, &custom, &ann.secret);
    let record = Ledger::default().post(&body(&[iou]), now()).expect("cleared");
    let receipt = receipt(&record.bytes, 1, 3);
    let json = receipt.to_json().expect("a record");
    assert_eq!(Receipt::parse_json(&json), Ok(receipt));
}

/// A proof that the server of an odd name made must prove as much as any other.
#[test]
fn a_receipt_of_a_domain_that_json_escapes_is_verified() {
    let (ann, ben) = (party("ann"), party("ben"));
    let domain = "ex\"am\\ple";
    let mut iou = draft(&ann, &ben, &ann, "10", "receipt");
    iou.domain = domain.into();
    let request = Request::from_inputs(&[iou.sign(&ann.secret)], domain).expect("a request");
    let Ok(Cleared::Now(record)) = clear(&request, 1, now(), &Nothing) else { panic!("refused") };
    let root = Sha256::leaf(&record.bytes);
    let checkpoint = Checkpoint { origin: domain.into(), size: 1, root }.sign(&SECRET);
    let receipt = Receipt { record: record.bytes, index: 0, path: Vec::new(), checkpoint };
    assert!(receipt.verify(&[verifier_key(domain, &SECRET)]).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is read has no other spelling.
    #[test]
    fn any_receipt(record in prop::collection::vec(any::<u8>(), 0..40), index in any::<u64>(),
        path in prop::collection::vec(any::<[u8; 32]>(), 0..65), checkpoint in "[ -~\n]{0,60}") {
        let receipt = Receipt { record, index, path, checkpoint };
        let text = receipt.to_text();
        prop_assert_eq!(Receipt::parse(text.as_bytes()), Ok(receipt));
    }

    /// Bytes near a receipt are read or refused, and what is read was spelt so.
    #[test]
    fn any_bytes(place in any::<prop::sample::Index>(), insert in prop::collection::vec(any::<u8>(), 0..4)) {
        let mut bytes = receipt(b"leaf", 5, 11).to_text().into_bytes();
        let place = place.index(bytes.len());
        bytes.splice(place..place + 1, insert);
        if let Ok(read) = Receipt::parse(&bytes) {
            prop_assert_eq!(read.to_text().into_bytes(), bytes);
        }
    }
}
