//! Puzzles: what several people hold together moves when enough of them sign,
//! and never before.

use faster_hex::hex_string;
use webwallet_ledger::draft::add_signature;
use webwallet_ledger::hash::Types;
use webwallet_ledger::limits::{IDENTITIES_MAX, SCRIPTS_MAX};
use webwallet_ledger::puzzle::{Identity, Puzzle};
use webwallet_ledger::signature::{Scheme, public_of};
use webwallet_ledger::{Code, Rejection};

use crate::party::{Ledger, Party, body, draft, now, party};

fn identity(party: &Party, weight: u32) -> Identity {
    let public = public_of(&party.secret).to_vec();
    Identity { scheme: Scheme::EddsaEd25519, public, weight }
}

/// Two of alice, bob and carol; alice's word counts twice.
fn board() -> Puzzle {
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(party);
    let identities = [identity(&alice, 2), identity(&bob, 1), identity(&carol, 1)];
    Puzzle::new(3, &identities).expect("a puzzle")
}

/// The board, as a party whose key nobody has.
fn as_party(puzzle: &Puzzle) -> Party {
    Party { secret: [0; 32], address: puzzle.address() }
}

/// The board pays dave in its own unit; nobody has signed.
fn unsigned(puzzle: &Puzzle) -> Vec<u8> {
    let board = as_party(puzzle);
    draft(&board, &party("dave"), &board, "10", "board").unsigned_with(&[puzzle])
}

fn signed(iou: &[u8], signers: &[&str]) -> Vec<u8> {
    let sign = |iou: Vec<u8>, name: &&str| add_signature(&iou, &party(name).secret);
    signers.iter().try_fold(iou.to_vec(), sign).expect("signed")
}

/// Canonical JSON of what the puzzle is named by.
fn data_of(puzzle: &Puzzle) -> String {
    text(&puzzle.data)
}

fn posted(iou: Vec<u8>) -> Result<(), Rejection> {
    Ledger::default().post(&body(&[iou]), now()).map(|_| ())
}

fn refused(iou: Vec<u8>) -> (Code, String) {
    let rejection = posted(iou).expect_err("refused");
    (rejection.code, rejection.pointer.replacen("/data/inputs/0", "", 1))
}

fn text(iou: &[u8]) -> String {
    String::from_utf8(iou.to_vec()).expect("UTF-8")
}

/// One short of the threshold must never pay; the order of signing is free.
#[test]
fn a_puzzle_pays_when_those_who_signed_weigh_enough() {
    let iou = unsigned(&board());
    for signers in [&["alice", "bob"][..], &["carol", "alice"], &["bob", "carol", "alice"]] {
        assert_eq!(posted(signed(&iou, signers)), Ok(()), "{signers:?}");
    }
    for (signers, weight) in [(&["alice"][..], "2"), (&["bob", "carol"], "2"), (&["bob"], "1")] {
        let rejection = posted(signed(&iou, signers)).expect_err("refused");
        assert_eq!(
            (rejection.code, rejection.limit.as_deref(), rejection.actual.as_deref()),
            (Code::PuzzleUnsolved, Some("3"), Some(weight))
        );
        assert_eq!(rejection.pointer, "/data/inputs/0/meta/signatures");
    }
    assert_eq!(refused(iou).0, Code::SignatureMissing);
}

/// Whoever is paid needs no puzzle, and the record holds what everybody signed.
#[test]
fn a_puzzle_receives_and_pays_on() {
    let (puzzle, alice) = (board(), party("alice"));
    let (board, mut ledger) = (as_party(&puzzle), Ledger::default());
    let first = draft(&alice, &board, &alice, "7", "to").sign(&alice.secret);
    ledger.post(&body(&[first]), now()).expect("received");
    let beside = Puzzle::new(1, &[identity(&party("erin"), 1)]).expect("a puzzle");
    let on = draft(&board, &party("dave"), &alice, "7", "on").unsigned_with(&[&puzzle, &beside]);
    let on = signed(&on, &["bob", "alice"]);
    let record = ledger.post(&body(std::slice::from_ref(&on)), now()).expect("paid on");
    assert!(text(&record.bytes).contains(&text(&on)));
    assert_eq!(ledger.net(&alice, &board), "0");
}

/// A signature counts once, whatever it is called.
#[test]
fn no_signature_counts_twice_and_no_stranger_counts() {
    let puzzle = board();
    let bob = text(&signed(&unsigned(&puzzle), &["bob"]));
    let (head, tail) = bob.split_once("\"signatures\":[").expect("signatures");
    let one = tail.trim_end_matches("]}}");
    let public = hex_string(&public_of(&party("bob").secret));
    let loud = one.replace(&public, &public.to_uppercase());
    for list in [[one, one, one].join(","), [one, &loud].join(",")] {
        let twice = format!("{head}\"signatures\":[{list}]}}}}").into_bytes();
        assert_eq!(refused(twice), (Code::SignatureInvalid, "/meta/signatures/1".into()));
    }
    // The same puzzle under another name of its own: bob signs for one address.
    let data = data_of(&puzzle);
    let other = Types::Sha256.digest(data.as_bytes());
    let named = format!(
        "{{\"data\":{data},\"hash\":{{\"steps\":\"stringify:data\",\"types\":\"sha256\",\"value\":\"{other}\"}},\"meta\":{{}}}}"
    );
    let again = one.replace(&puzzle.hash.to_string(), &other.to_string());
    let head = head.replacen("\"scripts\":[", &format!("\"scripts\":[{named},"), 1);
    let twice = format!("{head}\"signatures\":[{one},{again}]}}}}").into_bytes();
    assert_eq!(refused(twice), (Code::SignatureInvalid, "/meta/signatures/1".into()));
    // A stranger in a member's place.
    let dave = hex_string(&public_of(&party("dave").secret));
    let stranger = bob.replace(
        &format!("\"public\":\"{public}\",\"scheme\":\"eddsa-ed25519\",\"script\""),
        &format!("\"public\":\"{dave}\",\"scheme\":\"eddsa-ed25519\",\"script\""),
    );
    assert_ne!(stranger, bob);
    assert_eq!(
        refused(stranger.into_bytes()),
        (Code::SignatureInvalid, "/meta/signatures/0".into())
    );
}

/// Who has nothing to sign is told before the server says it.
#[test]
fn a_stranger_cannot_add_a_signature() {
    let rejection = add_signature(&unsigned(&board()), &party("dave").secret).expect_err("dave");
    assert_eq!((rejection.code, &*rejection.pointer), (Code::SignatureInvalid, "/meta/signatures"));
    // Signing again replaces.
    let twice = signed(&unsigned(&board()), &["alice", "bob", "alice"]);
    assert_eq!(posted(twice), Ok(()));
}

/// A puzzle that is another than its name, or that no auditor could read the
/// same way, would let the server say who may sign.
#[test]
fn what_is_wrong_with_a_puzzle_has_its_code() {
    let puzzle = board();
    let iou = text(&signed(&unsigned(&puzzle), &["alice", "bob"]));
    let bob = hex_string(&public_of(&party("bob").secret));
    let carol = hex_string(&public_of(&party("carol").secret));
    let edit = |from: &str, to: &str| {
        assert!(iou.contains(from), "{from}");
        iou.replacen(from, to, 1).into_bytes()
    };
    let (address, name) = (puzzle.address().to_string(), puzzle.hash.to_string());
    let (at, data) = ("/meta/scripts/0", data_of(&puzzle));
    let other = party("erin").address.to_string();
    #[rustfmt::skip]
    let table: Vec<(Code, String, Vec<u8>)> = vec![
        (Code::Malformed, format!("{at}/data/conditions/multisig/threshold"), edit("\"threshold\":3", "\"threshold\":\"3\"")),
        (Code::Malformed, format!("{at}/data/conditions/multisig/threshold"), edit("\"threshold\":3", "\"threshold\":0")),
        (Code::Malformed, format!("{at}/data/identities/0/weight"), edit("\"weight\":2", "\"weight\":2147483648")),
        (Code::Malformed, format!("{at}/data/identities/0/weights"), edit("\"weight\":2", "\"weights\":2")),
        (Code::Malformed, format!("{at}/data/identities"), edit(&carol, &bob.to_uppercase())),
        (Code::Malformed, format!("{at}/meta/signatures"), edit("\"meta\":{}", "\"meta\":{\"signatures\":\"\"}")),
        (Code::Malformed, "/meta/scripts".into(), edit(&format!("[{}]", text(&puzzle.to_bytes())), "[]")),
        (Code::Malformed, "/meta/scripts/1".into(), edit(&text(&puzzle.to_bytes()), &[text(&puzzle.to_bytes()), text(&puzzle.to_bytes())].join(","))),
        (Code::Malformed, "/meta/signatures/0/script".into(), edit(&format!("\"script\":\"{name}\""), "\"script\":\"00\"")),
        (Code::UnsupportedHash, format!("{at}/hash/types"), edit(&format!("\"types\":\"sha3-256\",\"value\":\"{name}"), &format!("\"types\":\"md5\",\"value\":\"{name}"))),
        (Code::HashMismatch, format!("{at}/hash/value"), edit("\"threshold\":3", "\"threshold\":1")),
        (Code::UnsupportedScheme, format!("{at}/data/identities/0/scheme"), carrying(&document(&data.replacen("eddsa-ed25519", "rsa", 1)))),
        (Code::KeyAddressMismatch, "/meta/signatures/0/script".into(), edit(&format!("\"script\":\"{name}\""), &format!("\"script\":\"{}\"", "0".repeat(64)))),
        (Code::KeyAddressMismatch, "/meta/signatures/0/script".into(), edit(&format!("\"signer\":\"{address}\""), &format!("\"signer\":\"{other}\""))),
        (Code::KeyAddressMismatch, "/meta/signatures/0/public".into(), edit(&format!("\"script\":\"{name}\","), "")),
    ];
    for (code, pointer, iou) in table {
        assert_eq!(refused(iou), (code, pointer));
    }
}

/// Limits at exactly their value: sixteen identities, sixteen puzzles.
#[test]
fn puzzles_have_a_size() {
    let of = |n: usize| -> Vec<Identity> {
        (0..n).map(|i| identity(&party(&format!("member {i}")), 1)).collect()
    };
    assert!(Puzzle::new(1, &of(IDENTITIES_MAX)).is_ok());
    let over = Puzzle::new(1, &of(IDENTITIES_MAX + 1)).expect_err("refused");
    assert_eq!((over.code, over.limit.as_deref()), (Code::TooLarge, Some("16")));
    let many = |n: u32| {
        let one = |i| text(&Puzzle::new(i, &of(1)).expect("a puzzle").to_bytes());
        carrying(&(1..=n).map(one).collect::<Vec<_>>().join(","))
    };
    assert_eq!(posted(many(SCRIPTS_MAX as u32)), Ok(()));
    assert_eq!(refused(many(SCRIPTS_MAX as u32 + 1)), (Code::TooLarge, "/meta/scripts".into()));
    // Weights add up beyond what one of them can be.
    let [alice, bob] = ["alice", "bob"].map(|name| identity(&party(name), i32::MAX as u32));
    let heavy = Puzzle::new(i32::MAX as u32, &[alice, bob]).expect("a puzzle");
    assert_eq!(heavy.weight(), 2 * u64::from(i32::MAX as u32));
    assert_eq!(posted(signed(&unsigned(&heavy), &["alice", "bob"])), Ok(()));
}

/// A puzzle of canonical data.
fn document(data: &str) -> String {
    let hash = Types::Sha3.digest(data.as_bytes());
    format!(
        "{{\"data\":{data},\"hash\":{{\"steps\":\"stringify:data\",\"types\":\"sha3-256\",\"value\":\"{hash}\"}},\"meta\":{{}}}}"
    )
}

/// A payment by alice's own key that carries puzzles nobody asked for.
fn carrying(puzzles: &str) -> Vec<u8> {
    let [alice, bob] = ["alice", "bob"].map(party);
    let iou = text(&draft(&alice, &bob, &alice, "1", "own").sign(&alice.secret));
    iou.replacen("\"meta\":{", &format!("\"meta\":{{\"scripts\":[{puzzles}],"), 1).into_bytes()
}
