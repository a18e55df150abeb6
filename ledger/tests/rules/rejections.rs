//! The table of rejections: a row for every code, read from left to right as
//! what alice sends, what answers, and where it points.

use webwallet_ledger::draft::add_signature;
use webwallet_ledger::hash::Types;
use webwallet_ledger::limits::{
    BODY_BYTES_MAX, DEPTH_MAX, INPUTS_MAX, RANDOM_CHARS_MAX, RECORD_BYTES_MAX, SIGNATURES_MAX,
    VALUES_MAX,
};
use webwallet_ledger::lock::{Locker, Solver, puzzle_of};
use webwallet_ledger::puzzle::{Identity, Puzzle};
use webwallet_ledger::rejection::NotACode;
use webwallet_ledger::signature::{Scheme, public_of};
use webwallet_ledger::{Code, Draft, Pointer, Rejection, Request, Time};

use crate::party::{Ledger, Party, body, draft, now, party, time};

struct Cast {
    alice: Party,
    bob: Party,
    carol: Party,
}

fn cast() -> Cast {
    Cast { alice: party("alice"), bob: party("bob"), carol: party("carol") }
}

/// alice issues to bob, with something changed before or after signing.
fn issued(cast: &Cast, change: impl Fn(&mut Draft)) -> Vec<u8> {
    let mut iou = draft(&cast.alice, &cast.bob, &cast.alice, "10", "row");
    change(&mut iou);
    iou.sign(&cast.alice.secret)
}

fn altered(cast: &Cast, from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(issued(cast, |_| {})).expect("UTF-8");
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1).into_bytes()
}

fn with_data(cast: &Cast, key: &str, value: &str) -> Vec<u8> {
    altered(cast, "\"data\":{", &format!("\"data\":{{\"{key}\":{value},"))
}

/// alice has issued 10 to bob, and carol has locked 5 for him in her unit.
fn begun(cast: &Cast) -> Ledger {
    let mut ledger = Ledger::default();
    let first = draft(&cast.alice, &cast.bob, &cast.alice, "10", "first").sign(&cast.alice.secret);
    ledger.post(&body(&[first]), now()).expect("the first payment clears");
    let mut lock = draft(&cast.carol, &cast.bob, &cast.carol, "5", "lock");
    let expiry = time("2026-06-01T00:00:00.000Z");
    let puzzle = Some(puzzle_of("sesame"));
    lock.locker = Some(Locker { active: None, expiry, puzzle, script: None });
    ledger.post(&body(&[lock.sign(&cast.carol.secret)]), now()).expect("the lock clears");
    ledger
}

/// What that ledger says to one request.
fn refused(cast: &Cast, request: &[u8]) -> Rejection {
    begun(cast).post(request, now()).expect_err("a row of the table is refused")
}

/// For what a later version of the protocol may bring: this one has nothing
/// that it knows and does not implement.
const UNUSED: Code = Code::UnsupportedField;

/// A payer who is refused would be told another reason, or look for it in the wrong place.
#[test]
fn every_code_has_its_row() {
    let c = cast();
    let first = draft(&c.alice, &c.bob, &c.alice, "10", "first").sign(&c.alice.secret);
    let other = draft(&c.alice, &c.bob, &c.alice, "1", "other").sign(&c.alice.secret);
    let by_bob = |credit: &str| {
        let mut iou = draft(&c.bob, &c.carol, &c.alice, "1", "credit");
        iou.credit = Some(credit.into());
        iou.sign(&c.bob.secret)
    };
    let from_bob =
        |amount: &str, to: &Party| draft(&c.bob, to, &c.alice, amount, "spend").sign(&c.bob.secret);
    let signer = format!("\"signer\":\"{}\"", c.alice.address);
    let bobs = format!("\"signer\":\"{}\"", c.bob.address);
    let long = "9".repeat(60);
    let twice = [
        draft(&c.alice, &c.bob, &c.alice, &long, "a").sign(&c.alice.secret),
        draft(&c.alice, &c.bob, &c.alice, &long, "b").sign(&c.alice.secret),
    ];
    let on_credit = issued(&c, |d| (d.amount, d.credit) = ("0".into(), Some("-5".into())));
    let unsolved = {
        let public = |party: &Party| public_of(&party.secret).to_vec();
        let identity = |public| Identity { scheme: Scheme::EddsaEd25519, public, weight: 1 };
        let both = [public(&c.alice), public(&c.bob)].map(identity);
        let puzzle = Puzzle::new(2, &both).expect("a puzzle");
        let mut iou = draft(&c.alice, &c.bob, &c.alice, "1", "both");
        iou.source = puzzle.address();
        add_signature(&iou.unsigned_with(&[&puzzle]), &c.bob.secret).expect("signed")
    };
    let record = begun(&c).records[1].hash;
    let [account, lock] = [0, 1].map(|index| Pointer { record, index });
    let takes = |who: &Party, output| {
        let other = if who.address == c.bob.address { &c.carol } else { &c.bob };
        let mut iou = draft(who, other, &c.carol, "0", "takes");
        iou.solver = Some(Solver { output, hashee: None });
        iou.sign(&who.secret)
    };
    let one = |iou: Vec<u8>| body(&[iou]);
    let at = "/data/inputs/0";
    #[rustfmt::skip]
    let table: Vec<(Code, String, Vec<u8>)> = vec![
        (Code::Malformed,           "".into(),                                 b"{}".to_vec()),
        (Code::TooLarge,            format!("{at}/data/amount"),               one(issued(&c, |d| d.amount = "9".repeat(61)))),
        (Code::UnsupportedHash,     format!("{at}/hash/types"),                one(altered(&c, "sha3-256", "md5"))),
        (Code::HashMismatch,        format!("{at}/hash/value"),                one(altered(&c, "\"amount\":\"10\"", "\"amount\":\"11\""))),
        (Code::WrongDomain,         format!("{at}/data/domain"),               one(issued(&c, |d| d.domain = "example.org".into()))),
        (Code::UnsupportedScheme,   format!("{at}/meta/signatures/0/scheme"),  one(altered(&c, "eddsa-ed25519", "rsa"))),
        (Code::AddressInvalid,      format!("{at}/meta/signatures/0/signer"),  one(altered(&c, &signer, "\"signer\":\"w\""))),
        (Code::KeyAddressMismatch,  format!("{at}/meta/signatures/0/public"),  one(altered(&c, &signer, &bobs))),
        (Code::SignatureMissing,    format!("{at}/meta/signatures"),           one(draft(&c.alice, &c.bob, &c.alice, "1", "unsigned").unsigned())),
        (Code::SignatureInvalid,    format!("{at}/meta/signatures/0"),         one(altered(&c, "\"string\":\"", "\"string\":\"00"))),
        (Code::PuzzleUnsolved,      format!("{at}/meta/signatures"),           one(unsolved)),
        (Code::IouAlreadyCleared,   "/data/inputs/1".into(),                   body(&[other, first])),
        (Code::NotYetActive,        format!("{at}/data/active"),               one(issued(&c, |d| d.active = Some(time("2026-06-01T00:00:00.000Z"))))),
        (Code::Expired,             format!("{at}/data/expiry"),               one(issued(&c, |d| d.expiry = time("2025-12-31T23:59:59.999Z")))),
        (Code::ExpiryTooFar,        format!("{at}/data/expiry"),               one(issued(&c, |d| d.expiry = time("2036-01-09T00:00:00.001Z")))),
        (Code::CreditNotByIssuer,   format!("{at}/data/credit"),               one(by_bob("-1"))),
        (Code::CreditNotGranted,    at.into(),                                 one(issued(&c, |d| d.credit = Some("1".into())))),
        (Code::LockNotFound,        format!("{at}/data/solver/output"),        one(takes(&c.bob, account))),
        (Code::LockNotYours,        format!("{at}/data/solver/output"),        one(takes(&c.alice, lock))),
        (Code::LockClosed,          format!("{at}/data/solver/output"),        one(takes(&c.carol, lock))),
        (Code::LockUnsolved,        format!("{at}/data/solver"),               one(takes(&c.bob, lock))),
        (Code::BalanceBelowMin,     at.into(),                                 one(from_bob("10.01", &c.carol))),
        (Code::BalanceAboveMax,     at.into(),                                 body(&[on_credit, from_bob("12", &c.alice)])),
        (Code::AmountOverflow,      at.into(),                                 body(&twice)),
    ];
    let mut rows = 0;
    for (code, pointer, request) in &table {
        let rejection = refused(&c, request);
        assert_eq!((rejection.code, &rejection.pointer), (*code, pointer), "{rejection}");
        println!("{:22} {pointer}", code.as_str());
        rows += 1;
    }
    assert!(
        table.iter().map(|row| row.0).eq(Code::ALL.iter().copied().filter(|c| *c != UNUSED)),
        "a row for each code, in order"
    );
    assert_eq!(rows, Code::ALL.len() - 1);
    // A client reads the code it was told.
    assert!(Code::ALL.iter().all(|code| code.to_string().parse() == Ok(*code)));
    assert_eq!("no_code".parse::<Code>(), Err(NotACode));
}

/// bob has credit, pays back more than alice ever issued: his limit allows it,
/// hers does not. Without the rule the unit's supply would turn negative.
#[test]
fn an_issuer_never_gets_back_more_than_it_issued() {
    let c = cast();
    let mut ledger = Ledger::default();
    let mut grant = draft(&c.alice, &c.bob, &c.alice, "0", "grant");
    grant.credit = Some("-5".into());
    ledger.post(&body(&[grant.sign(&c.alice.secret)]), now()).expect("credit is granted");
    let back = draft(&c.bob, &c.alice, &c.alice, "3", "back").sign(&c.bob.secret);
    let rejection = ledger.post(&body(&[back]), now()).expect_err("refused");
    assert_eq!(rejection.code, Code::BalanceAboveMax);
    assert_eq!(rejection.limit.as_deref(), Some("0"));
    assert_eq!(rejection.actual.as_deref(), Some("3"));
    assert_eq!(rejection.account, Some(format!("{0}|{0}", c.alice.address)));
}

/// Of several faults the earliest code answers, wherever it stands; of equal
/// codes the lowest input. Engines that differed here would disagree on history.
#[test]
fn the_earliest_code_over_all_inputs_answers() {
    let c = cast();
    let wrong_domain = issued(&c, |d| d.domain = "example.org".into());
    let bad_hash = altered(&c, "\"amount\":\"10\"", "\"amount\":\"11\"");
    let expired = issued(&c, |d| d.expiry = time("2020-01-01T00:00:00.000Z"));
    let bad_signature = altered(&c, "\"string\":\"", "\"string\":\"00");
    let signer = format!("\"signer\":\"{}\"", c.alice.address);
    let no_signer = altered(&c, &signer, "\"signer\":\"w\"");
    let unknown = |random: &str| {
        let iou = issued(&c, |d| d.random = random.into());
        String::from_utf8(iou).expect("UTF-8").replace("eddsa-ed25519", "rsa").into_bytes()
    };
    let two = |a: &Vec<u8>, b: &Vec<u8>| refused(&c, &body(&[a.clone(), b.clone()]));
    let pairs = [
        (&wrong_domain, &bad_hash, Code::HashMismatch, 1),
        (&expired, &wrong_domain, Code::WrongDomain, 1),
        (&no_signer, &unknown("random-1"), Code::UnsupportedScheme, 1),
        (&unknown("random-1"), &unknown("random-2"), Code::UnsupportedScheme, 0),
        (&expired, &bad_signature, Code::SignatureInvalid, 1),
        (&expired, &issued(&c, |d| d.expiry = time("2020-01-02T00:00:00.000Z")), Code::Expired, 0),
    ];
    for (a, b, code, input) in pairs {
        let rejection = two(a, b);
        assert_eq!(rejection.code, code);
        assert!(rejection.pointer.starts_with(&format!("/data/inputs/{input}")), "{rejection}");
    }
}

/// A repeat gets its record whatever is wrong with it now, if its hashes hold.
#[test]
fn a_repeat_is_recognised_in_any_order_after_expiry_and_with_other_signatures() {
    let c = cast();
    let mut ledger = Ledger::default();
    let a = draft(&c.alice, &c.bob, &c.alice, "1", "a").sign(&c.alice.secret);
    let b = draft(&c.alice, &c.carol, &c.alice, "2", "b").sign(&c.alice.secret);
    let record = ledger.post(&body(&[a.clone(), b.clone()]), now()).expect("clears");
    let late = time("2030-01-01T00:00:00.000Z");
    assert_eq!(ledger.post(&body(&[b.clone(), a.clone()]), late).expect("the same record"), record);
    let part = ledger.post(&body(std::slice::from_ref(&a)), late).expect_err("only a part of it");
    assert_eq!((part.code, part.record), (Code::IouAlreadyCleared, Some(record.hash)));
    let text = String::from_utf8(a).expect("UTF-8").replace("\"string\":\"", "\"string\":\"00");
    let request = body(&[text.into_bytes(), b]);
    let request = Request::parse(&request, crate::party::DOMAIN).expect("shape and hashes hold");
    assert!(webwallet_ledger::clear::replay(&request.ious(), &ledger).is_some());
    // Under a name that is not its own an IOU would be shown the record of another.
    let ious = |iou: Vec<u8>| {
        let refusal = Request::parse(&body(&[iou]), crate::party::DOMAIN).expect_err("refused");
        refusal.ious.map(|ious| ious.len())
    };
    assert_eq!(ious(altered(&c, "\"amount\":\"10\"", "\"amount\":\"11\"")), None);
    assert_eq!(ious(issued(&c, |iou| iou.domain = "example.org".into())), Some(1));
}

/// Whoever fills a request to its limits would sign in vain, or take more of a server than is his.
#[test]
fn limits_hold_at_exactly_their_value() {
    let c = cast();
    let many = |n: usize| -> Vec<Vec<u8>> {
        let iou =
            |i: usize| draft(&c.alice, &c.bob, &c.alice, "1", &i.to_string()).sign(&c.alice.secret);
        (0..n).map(iou).collect()
    };
    let code = |body: &[u8]| Request::parse(body, crate::party::DOMAIN).err().map(|r| r.rejection);
    let read = Request::parse(&body(&many(INPUTS_MAX)), crate::party::DOMAIN).expect("read");
    assert_eq!(read.inputs.len(), INPUTS_MAX);
    let over = code(&body(&many(INPUTS_MAX + 1))).expect("refused");
    assert_eq!(
        (over.code, over.limit.as_deref(), over.actual.as_deref()),
        (Code::TooLarge, Some("100"), Some("101"))
    );

    // Signatures: sixteen under one IOU, 128 in a request; who signs is
    // judged later, so copies under another key's name will do.
    let with = |n: usize, note: &str| {
        let iou = draft(&c.alice, &c.bob, &c.alice, "1", note).sign(&c.alice.secret);
        let text = String::from_utf8(iou).expect("UTF-8");
        let (head, tail) = text.split_once("\"signatures\":[").expect("signatures");
        let signature = tail.trim_end_matches("]}}");
        format!("{head}\"signatures\":[{}]}}}}", vec![signature; n].join(",")).into_bytes()
    };
    assert_eq!(code(&body(&[with(16, "x")])), None);
    assert_eq!(code(&body(&[with(17, "x")])).expect("refused").code, Code::TooLarge);
    // What comes after the sixteenth must still be of the right form.
    let over = String::from_utf8(with(17, "x")).expect("UTF-8");
    let (head, last) = over.rsplit_once("\"string\":\"").expect("signatures");
    let end = last.trim_start_matches(|c: char| c.is_ascii_hexdigit());
    for hex in ["", "0", "0g"] {
        let iou = format!("{head}\"string\":\"{hex}{end}").into_bytes();
        assert_eq!(code(&body(&[iou])).expect("refused").code, Code::Malformed, "{hex}");
    }
    let mut full: Vec<Vec<u8>> =
        (0..SIGNATURES_MAX / 16).map(|i| with(16, &format!("n{i}"))).collect();
    let read = Request::parse(&body(&full), crate::party::DOMAIN).expect("read");
    assert_eq!(read.signatures(), SIGNATURES_MAX);
    assert!(read.to_bytes() == body(&full), "what is sent on is what was signed");
    // With none left over, what comes next is still read whole.
    full.push(altered(&c, "\"amount\":\"10\"", "\"amount\":\"11\""));
    let text = String::from_utf8(full[8].clone()).expect("UTF-8");
    let (head, _) = text.split_once("\"signatures\":[").expect("signatures");
    full[8] = format!("{head}\"signatures\":[]}}}}").into_bytes();
    assert_eq!(code(&body(&full)).expect("refused").code, Code::HashMismatch);
    full[8] = with(1, "one more");
    assert_eq!(code(&body(&full)).expect("refused").code, Code::TooLarge);

    // Bytes: white space makes up the rest.
    let mut exact = body(&many(1));
    exact.resize(BODY_BYTES_MAX, b' ');
    assert_eq!(code(&exact), None);
    exact.push(b' ');
    let over = code(&exact).expect("refused");
    assert_eq!((over.code, over.limit.as_deref()), (Code::TooLarge, Some("131072")));
}

/// What stands exactly at a limit is within it: a wallet may count on the page.
#[test]
fn what_stands_at_a_limit_is_within_it() {
    let c = cast();
    let cleared = |change: &dyn Fn(&mut Draft)| {
        let mut iou = draft(&c.alice, &c.bob, &c.alice, "1", "limit");
        change(&mut iou);
        let outcome = Ledger::default().post(&body(&[iou.sign(&c.alice.secret)]), now());
        outcome.err().map(|rejection| rejection.code)
    };
    assert_eq!(cleared(&|iou| iou.random = "12345678".to_owned()), None);
    assert_eq!(cleared(&|iou| iou.random = "1234567".to_owned()), Some(Code::Malformed));
    assert_eq!(cleared(&|iou| iou.random = "x".repeat(100)), None);
    assert_eq!(cleared(&|iou| iou.random = "x".repeat(101)), Some(Code::TooLarge));
    assert_eq!(cleared(&|iou| (iou.active, iou.expiry) = (Some(now()), now())), None);
    let latest = now().plus_days(3_660);
    assert_eq!(cleared(&|iou| iou.expiry = latest), None);
    let later = Time::from_unix_ms(latest.unix_ms() + 1);
    assert_ne!(cleared(&|iou| iou.expiry = later), None);
    let custom = |keys: usize| {
        let keys: Vec<_> = (0..keys).map(|i| format!("\"k{i:02}\":\"\"")).collect();
        let iou = with_custom(&c, &format!("{{{}}}", keys.join(",")));
        Request::parse(&body(&[iou]), crate::party::DOMAIN).err().map(|r| r.rejection.pointer)
    };
    assert_eq!(custom(10), None);
    assert_eq!(custom(11).as_deref(), Some("/data/inputs/0/meta/custom/data"));
}

/// Signatures count even where the IOU above them is no IOU otherwise.
#[test]
fn signatures_are_counted_under_every_input() {
    let c = cast();
    let sixteen = |note: &str, target: &str| {
        let iou = draft(&c.alice, &c.bob, &c.alice, "1", note).sign(&c.alice.secret);
        let text = String::from_utf8(iou).expect("UTF-8");
        let text = text.replacen("\"target\":\"w", target, 1);
        let (head, tail) = text.split_once("\"signatures\":[").expect("signatures");
        let signature = tail.trim_end_matches("]}}");
        format!("{head}\"signatures\":[{}]}}}}", vec![signature; 16].join(",")).into_bytes()
    };
    let right = "\"target\":\"w";
    let mut ious: Vec<_> = (0..8).map(|i| sixteen(&format!("n{i}"), right)).collect();
    ious.insert(0, sixteen("the ninth", "\"target\":\"x"));
    for refusal in [
        Request::parse(&body(&ious), crate::party::DOMAIN).expect_err("refused"),
        Request::from_inputs(&ious, crate::party::DOMAIN).expect_err("refused"),
    ] {
        let over = refusal.rejection;
        assert_eq!((over.code, over.pointer.as_str()), (Code::TooLarge, "/data/inputs"));
        assert_eq!((over.limit.as_deref(), over.actual.as_deref()), (Some("128"), Some("144")));
    }
}

/// The lowest guilty input is named whichever way it is malformed.
#[test]
fn the_first_malformed_input_answers() {
    let c = cast();
    let twin = issued(&c, |_| {});
    let request = body(&[twin.clone(), twin, altered(&c, "\"expiry\"", "\"expires\"")]);
    let rejection = refused(&c, &request);
    assert_eq!((rejection.code, rejection.pointer.as_str()), (Code::Malformed, "/data/inputs/1"));
}

/// alice issues to bob, with this canonical custom data.
fn with_custom(cast: &Cast, data: &str) -> Vec<u8> {
    crate::party::with_custom(&issued(cast, |_| {}), data, &cast.alice.secret)
}

/// Other custom data than what was signed would put words into the payer's mouth.
#[test]
fn custom_data_is_what_the_iou_names() {
    let c = cast();
    let data = "{\"for\":\"rent\"}";
    let iou = String::from_utf8(with_custom(&c, data)).expect("UTF-8");
    let (once, twice) = (Types::Sha256, Types::Sha256Twice);
    let named = |types: Types, by: Types| {
        let (types, value) = (types.as_str(), by.digest(data.as_bytes()));
        let steps = "stringify:data";
        format!(
            "{data},\"hash\":{{\"steps\":\"{steps}\",\"types\":\"{types}\",\"value\":\"{value}\"}}"
        )
    };
    for (carried, clears) in [
        (data.to_owned(), true),
        (data.replace("rent", "love"), false),
        (named(twice, twice), true),
        (named(twice, once), false),
        (named(once, twice), false),
        (named(once, once), false),
    ] {
        let iou = iou.replacen(data, &carried, 1).into_bytes();
        let refused = Ledger::default().post(&body(&[iou]), now()).err();
        let expected = (Code::HashMismatch, "/data/inputs/0/data/custom".to_owned());
        let expected = (!clears).then_some(expected);
        assert_eq!(refused.map(|r| (r.code, r.pointer)), expected, "{carried}");
    }
}

/// Numbers have many spellings in JSON libraries; only puzzles have any.
#[test]
fn an_integer_is_malformed_outside_puzzles() {
    let c = cast();
    let deep = "{\"a\":\"1\",\"b\":[[],{\"c\":[\"1\",7]}]}";
    let at = "/data/inputs/0";
    for (iou, pointer) in [
        (with_custom(&c, "{\"a\":1}"), "/meta/custom/data/a"),
        (with_custom(&c, deep), "/meta/custom/data/b/1/c/1"),
        (with_data(&c, "locker", "{\"timers\":{\"expiry\":1}}"), "/data/locker/timers/expiry"),
        (with_data(&c, "solver", "{\"output\":1}"), "/data/solver/output"),
    ] {
        let rejection = refused(&c, &body(&[iou]));
        assert_eq!(
            (rejection.code, rejection.pointer),
            (Code::Malformed, format!("{at}{pointer}"))
        );
    }
    let mut ledger = Ledger::default();
    let fine = with_custom(&c, &deep.replace('7', "\"7\""));
    ledger.post(&body(&[fine]), now()).expect("strings of any form clear");
}

/// A value of zero is judged before what this version does not implement.
#[test]
fn an_amount_of_zero_stands_beside_credit_or_solver_but_no_locker() {
    let c = cast();
    let zero = |more: &str| {
        let data = format!("\"data\":{{{more}");
        let text = String::from_utf8(altered(&c, "\"data\":{", &data)).expect("UTF-8");
        body(&[text.replacen("\"amount\":\"10\"", "\"amount\":\"0.0\"", 1).into_bytes()])
    };
    let at = "/data/inputs/0/data/amount".to_owned();
    let locker = "\"locker\":{\"timers\":{\"expiry\":\"2026-06-01T00:00:00.000Z\"}},";
    for malformed in ["", locker] {
        let rejection = refused(&c, &zero(malformed));
        assert_eq!((rejection.code, &rejection.pointer), (Code::Malformed, &at), "{malformed}");
    }
    let solver = format!("\"solver\":{{\"output\":\"{}::0\"}},", "0".repeat(64));
    assert_eq!(refused(&c, &zero(&solver)).code, Code::HashMismatch);
}

/// One limit for a request, however it travels, and every record that can be
/// left can be read: it has more values than its request had.
#[test]
fn the_values_of_a_request_are_bounded_and_its_record_is_read() {
    let c = cast();
    let lists = |n: usize| format!("{{\"a\":[{}[]]}}", "[],".repeat(n - 1));
    // The request, its data and inputs; the IOU without custom data; custom
    // data with its two holders and its list.
    let around = 3 + (2 + 8 + 4 + 2 + 6) + 3;
    let exact = with_custom(&c, &lists(VALUES_MAX - around));
    let record = Ledger::default().post(&body(std::slice::from_ref(&exact)), now());
    let record = record.expect("clears");
    println!("{VALUES_MAX} values leave a record of {} bytes", record.bytes.len());
    assert_eq!(webwallet_ledger::Record::parse(&record.bytes), Ok(record));
    assert!(Request::from_inputs(&[exact], crate::party::DOMAIN).is_ok());
    let text = String::from_utf8(with_custom(&c, &lists(VALUES_MAX - around))).expect("UTF-8");
    let over = text.replacen("[[],", "[[],[],", 1).into_bytes();
    let by_body = Request::parse(&body(std::slice::from_ref(&over)), crate::party::DOMAIN);
    let by_input = Request::from_inputs(&[over], crate::party::DOMAIN);
    let (by_body, by_input) = (by_body.expect_err("refused"), by_input.expect_err("refused"));
    assert_eq!(by_body, by_input);
    let rejection = by_body.rejection;
    assert_eq!((rejection.code, rejection.limit.as_deref()), (Code::TooLarge, Some("8192")));
}

/// One depth, however a request travels: what a gateway took and Graphstore refused
/// would be signed in vain, the other way round no log could be read.
#[test]
fn the_depth_of_a_request_is_bounded_however_it_travels() {
    let c = cast();
    // The request, its data and inputs, the IOU, its meta, custom data and their
    // object are around the lists.
    let nested = |depth: usize| {
        let lists = depth - 7;
        with_custom(&c, &format!("{{\"a\":{}{}}}", "[".repeat(lists), "]".repeat(lists)))
    };
    for (depth, code) in [(DEPTH_MAX, None), (DEPTH_MAX + 1, Some(Code::Malformed))] {
        let iou = nested(depth);
        let by_body = Request::parse(&body(std::slice::from_ref(&iou)), crate::party::DOMAIN);
        let by_input = Request::from_inputs(&[iou], crate::party::DOMAIN);
        let [by_body, by_input] = [by_body, by_input].map(|read| read.err().map(|r| r.rejection));
        assert_eq!(by_body.as_ref().map(|r| r.code), code, "{depth}");
        let at = |r: Option<Rejection>| r.map(|r| (r.code, r.pointer));
        assert_eq!(at(by_body), at(by_input), "{depth}");
    }
}

/// A record must fit a leaf of the log: 74 IOUs on one pair do, 75 do not.
#[test]
fn a_record_fits_a_leaf_of_the_log() {
    let c = cast();
    // So many IOUs, with so many characters more in all than our tools write.
    let clear = |n: usize, mut more: usize| {
        let iou = |i: usize| {
            let mut iou = draft(&c.alice, &c.bob, &c.alice, "1", "");
            let chars = 32 + more.min(RANDOM_CHARS_MAX - 32);
            more -= chars - 32;
            iou.random = format!("{i:0chars$}");
            iou.sign(&c.alice.secret)
        };
        let ious: Vec<_> = (0..n).map(iou).collect();
        assert_eq!(more, 0);
        Ledger::default().post(&body(&ious), now())
    };
    let record = clear(74, 0).expect("fits");
    println!("74 IOUs on one pair: {} bytes", record.bytes.len());
    let rejection = clear(76, 0).expect_err("does not fit");
    assert_eq!((rejection.code, rejection.limit.as_deref()), (Code::TooLarge, Some("61440")));

    let room = RECORD_BYTES_MAX - record.bytes.len();
    assert_eq!(clear(74, room).expect("fits exactly").bytes.len(), RECORD_BYTES_MAX);
    let rejection = clear(74, room + 1).expect_err("one byte too many");
    assert_eq!((rejection.code, rejection.actual.as_deref()), (Code::TooLarge, Some("61441")));
}

/// The examples of the protocol, to the letter.
#[test]
fn the_first_payment_and_a_circle_leave_the_documented_outputs() {
    let c = cast();
    let mut ledger = Ledger::default();
    let first = draft(&c.alice, &c.bob, &c.alice, "10", "first").sign(&c.alice.secret);
    let record = ledger.post(&body(&[first]), now()).expect("clears");
    let mut outputs = Vec::new();
    record.outputs.iter().for_each(|output| output.write(&mut outputs));
    let expected = format!(
        concat!(
            r#"{{"address":"{a}","balance":{{"max":"0","min":"-Infinity","net":"-10"}},"counter":"{a}","sources":[]}}"#,
            r#"{{"address":"{b}","balance":{{"max":"Infinity","min":"0","net":"10"}},"counter":"{a}","sources":[]}}"#
        ),
        a = c.alice.address,
        b = c.bob.address
    );
    assert_eq!(String::from_utf8(outputs).expect("UTF-8"), expected);
    assert_eq!(webwallet_ledger::Record::parse(&record.bytes), Ok(record));

    let unit = party("a unit nobody has touched");
    let around = [(&c.alice, &c.bob), (&c.bob, &c.carol), (&c.carol, &c.alice)];
    let circle: Vec<_> = around
        .iter()
        .map(|(from, to)| draft(from, to, &unit, "5", "circle").sign(&from.secret))
        .collect();
    let record =
        Ledger::default().post(&body(&circle), now()).expect("a circle without money clears");
    assert_eq!(record.outputs.len(), 3);
    assert!(record.outputs.iter().all(|output| output.balance.net.is_zero()));
}

/// Credit: granted, used to its limit, withdrawn as far as it is not used.
#[test]
fn credit_is_granted_used_and_withdrawn_within_its_limits() {
    let c = cast();
    let mut ledger = Ledger::default();
    let credit = |credit: &str, note: &str| {
        let mut iou = draft(&c.alice, &c.bob, &c.alice, "0", note);
        iou.credit = Some(credit.into());
        body(&[iou.sign(&c.alice.secret)])
    };
    let pay = |amount: &str, note: &str| {
        body(&[draft(&c.bob, &c.carol, &c.alice, amount, note).sign(&c.bob.secret)])
    };
    ledger.post(&credit("-10", "grant"), now()).expect("granted");
    assert_eq!(
        ledger.post(&pay("10.5", "p1"), now()).expect_err("over").code,
        Code::BalanceBelowMin
    );
    ledger.post(&pay("7", "p2"), now()).expect("on credit");
    assert_eq!(ledger.net(&c.alice, &c.bob), "-7");
    assert_eq!(ledger.net(&c.alice, &c.alice), "0");
    let used = ledger.post(&credit("4", "w1"), now()).expect_err("in use");
    assert_eq!(
        (used.code, used.limit.as_deref(), used.actual.as_deref()),
        (Code::BalanceBelowMin, Some("-6"), Some("-7"))
    );
    ledger.post(&credit("3", "w2"), now()).expect("the unused part is withdrawn");
    let over = ledger.post(&credit("8", "w3"), now()).expect_err("more than granted");
    assert_eq!(over.code, Code::CreditNotGranted);
}

/// Text in places where a signature could not be seen to be wrong.
#[test]
fn shapes_that_are_refused_as_malformed() {
    let c = cast();
    let iou = |from: &str, to: &str| body(&[altered(&c, from, to)]);
    let alice = format!("\"source\":\"{}\"", c.alice.address);
    let same = format!("\"source\":\"{}\"", c.bob.address);
    let twin = issued(&c, |_| {});
    for (what, request) in [
        ("no input", b"{\"data\":{\"inputs\":[]}}".to_vec()),
        ("inputs is an object", b"{\"data\":{\"inputs\":{}}}".to_vec()),
        ("an input is a list", b"{\"data\":{\"inputs\":[[]]}}".to_vec()),
        ("an unknown key beside data", b"{\"data\":{\"inputs\":[]},\"x\":\"\"}".to_vec()),
        ("the same input twice", body(&[twin.clone(), twin])),
        ("source is target", iou(&alice, &same)),
        ("an unknown key", iou("\"expiry\"", "\"expires\"")),
        ("amount as a number", iou("\"amount\":\"10\"", "\"amount\":10")),
        ("amount with a sign", iou("\"amount\":\"10\"", "\"amount\":\"+10\"")),
        ("amount of zero", iou("\"amount\":\"10\"", "\"amount\":\"0.0\"")),
        ("upper-case hash", iou("\"value\":\"", "\"value\":\"A")),
        ("random too short", body(&[issued(&c, |d| d.random = "1234567".into())])),
        ("credit of zero", body(&[issued(&c, |d| d.credit = Some("-0.0".into()))])),
        (
            "credit beside a lock",
            body(&[{
                let text =
                    String::from_utf8(issued(&c, |d| d.credit = Some("-1".into()))).expect("UTF-8");
                text.replacen("\"data\":{", "\"data\":{\"locker\":{},", 1).into_bytes()
            }]),
        ),
        ("custom data nobody signed", iou("\"meta\":{", "\"meta\":{\"custom\":{\"data\":{}},")),
        ("signature is not hex", iou("\"string\":\"", "\"string\":\"zz")),
    ] {
        assert_eq!(refused(&c, &request).code, Code::Malformed, "{what}");
    }
    // Alone it has no key that is wrong: it is the request around it that is missing.
    let alone = refused(&c, &issued(&c, |_| {}));
    assert_eq!((alone.code, alone.pointer.as_str()), (Code::Malformed, ""));
    assert!(alone.detail.starts_with("this is an IOU"), "{}", alone.detail);
    assert_eq!(refused(&c, b"{\"data\":{\"input\":[]}}").pointer, "/data/input");
}

/// A client that was told to come again with an IOU that never clears would go on until
/// it has expired.
#[test]
fn an_iou_that_expires_before_it_becomes_active_is_not_asked_for_again() {
    let c = cast();
    let until = |expiry: &str| {
        let iou = issued(&c, |draft| {
            (draft.active, draft.expiry) = (Some(time("2026-06-01T00:00:00.000Z")), time(expiry));
        });
        refused(&c, &body(&[iou]))
    };
    for (expiry, retry) in
        [("2026-06-01T00:00:00.000Z", "later"), ("2026-05-31T23:59:59.999Z", "never")]
    {
        let rejection = until(expiry);
        let told = (rejection.code, rejection.retry().as_str());
        assert_eq!(told, (Code::NotYetActive, retry), "{rejection}");
    }
}
