//! Genesis, keys, stack and block: bytes that a second verifier must also
//! write, and what each rule refuses.

use webwallet_ledger::block::{Block, Genesis, Header, Keys, Stack};
use webwallet_ledger::leaf::{Fault, Kind, Leaf, Outline};
use webwallet_ledger::limits::RECORD_BYTES_MAX;
use webwallet_ledger::note::{sign, verifier_key};
use webwallet_ledger::{Hash, Time};

use crate::party::{DOMAIN, now};
use crate::{data_of, named, refusal};

fn genesis() -> Genesis {
    Genesis::new(DOMAIN, now(), verifier_key(DOMAIN, &[1; 32]))
}

fn keys() -> Keys {
    Keys::new(DOMAIN, now(), &[1; 32], &[2; 32])
}

fn stack() -> Stack {
    Stack::new(DOMAIN, 2, now(), Hash([0xab; 32]), 288, 144, [0xcd; 32])
}

fn block() -> Block {
    Block::new(Header {
        domain: DOMAIN.into(),
        height: 7,
        previous: Hash([0x11; 32]),
        first: 12,
        leaves: 3,
        records: 2,
        cleared: 5,
        time: now(),
        root: [0x22; 32],
        log: [0x33; 32],
        signature: "\u{2014} example.net AAAA".into(),
        state: [0x44; 32],
        units: [0x55; 32],
    })
}

/// One document of each kind beside records.
fn all() -> [(&'static str, Vec<u8>); 4] {
    [
        ("genesis", genesis().bytes),
        ("keys", keys().bytes),
        ("stack", stack().bytes),
        ("block", block().bytes),
    ]
}

/// Anybody else who follows the description must come to the same bytes.
#[test]
fn documents_are_written_as_described() {
    let key = verifier_key(DOMAIN, &[1; 32]);
    let new = verifier_key(DOMAIN, &[2; 32]);
    let sixty_four = |pair: &str| pair.repeat(32);
    let rows = [
        (
            genesis().bytes,
            format!(
                r#"{{"domain":"example.net","key":"{key}","kind":"genesis","rules":"1","time":"2026-01-01T00:00:00.000Z"}}"#
            ),
        ),
        (
            keys().bytes,
            format!(
                r#"{{"domain":"example.net","kind":"keys","new":"{new}","old":"{key}","time":"2026-01-01T00:00:00.000Z"}}"#
            ),
        ),
        (
            stack().bytes,
            format!(
                r#"{{"blocks":"144","domain":"example.net","first":"288","height":"2","kind":"stack","previous":"{}","root":"{}","time":"2026-01-01T00:00:00.000Z"}}"#,
                sixty_four("ab"),
                sixty_four("cd"),
            ),
        ),
        (
            block().bytes,
            format!(
                r#"{{"cleared":"5","domain":"example.net","first":"12","height":"7","kind":"block","leaves":"3","log":"{}","previous":"{}","records":"2","root":"{}","rules":"1","signature":"— example.net AAAA","state":"{}","time":"2026-01-01T00:00:00.000Z","units":"{}"}}"#,
                sixty_four("33"),
                sixty_four("11"),
                sixty_four("22"),
                sixty_four("44"),
                sixty_four("55"),
            ),
        ),
    ];
    let [old_line, new_line] = keys().signatures;
    for (bytes, data) in rows {
        let meta = match data.contains(r#""kind":"keys""#) {
            true => format!(r#"{{"signatures":["{old_line}","{new_line}"]}}"#),
            false => "{}".into(),
        };
        assert_eq!(String::from_utf8(bytes).expect("UTF-8"), named(&data, &meta));
    }
}

/// What was sealed must read back as what was meant, under its name.
#[test]
fn what_is_written_reads_back() {
    assert_eq!(Genesis::parse(&genesis().bytes), Ok(genesis()));
    assert_eq!(Keys::parse(&keys().bytes), Ok(keys()));
    assert_eq!(Stack::parse(&stack().bytes), Ok(stack()));
    assert_eq!(Block::parse(&block().bytes), Ok(block()));
    for (kind, bytes) in all() {
        let leaf = Leaf::parse(&bytes, DOMAIN).expect(kind);
        assert_eq!(leaf.bytes(), bytes);
        let outline = Leaf::outline(&bytes, DOMAIN);
        assert!(matches!(&outline, Ok(Outline::Leaf(leaf)) if leaf.bytes() == bytes), "{kind}");
        assert_eq!(leaf.hash(), Hash::sha3(data_of(&bytes).as_bytes()));
    }
    let mistaken = Stack::parse(&block().bytes).expect_err("a block");
    assert_eq!((mistaken.fault, mistaken.pointer.as_str()), (Fault::Encoding, "/data/kind"));
}

/// A key that anybody could hand on would make a log anybody's.
#[test]
fn a_change_of_keys_is_signed_by_both() {
    assert!(keys().verify());
    let [old, new] = keys().signatures;
    let text = format!("example.net\nkeys\n{}\n", keys().hash);
    assert_eq!([&old, &new], [&sign(&text, DOMAIN, &[1; 32]), &sign(&text, DOMAIN, &[2; 32])]);
    let others = Keys::new(DOMAIN, now(), &[1; 32], &[3; 32]).signatures;
    let cases = [
        ("swapped", [new.clone(), old.clone()]),
        ("old twice", [old.clone(), old.clone()]),
        ("another change", others),
        ("no line", [old, "hello".into()]),
    ];
    for (what, signatures) in cases {
        let [first, second] = &signatures;
        let meta = format!(r#"{{"signatures":["{first}","{second}"]}}"#);
        let forged = named(&data_of(&keys().bytes), &meta);
        let read = Keys::parse(forged.as_bytes()).expect(what);
        assert_eq!(read.signatures, signatures);
        assert!(!read.verify(), "{what}");
    }
    let later: Time = "2026-01-02T00:00:00.000Z".parse().expect("time");
    assert!(!Keys { hash: Hash([9; 32]), time: later, ..keys() }.verify());
}

/// A field read loosely would let two logs bear one meaning, or hide one.
#[test]
fn every_field_keeps_its_grammar() {
    let hash = "11".repeat(32);
    // Kind, what is replaced in data, by what, the rule, the field.
    let rows = [
        ("block", r#""height":"7""#, r#""height":"07""#, "/data/height"),
        ("block", r#""height":"7""#, r#""height":"+7""#, "/data/height"),
        ("block", r#""height":"7""#, r#""height":"-7""#, "/data/height"),
        ("block", r#""height":"7""#, r#""height":"""#, "/data/height"),
        ("block", r#""height":"7""#, r#""height":7"#, "/data/height"),
        ("block", r#""height":"7""#, r#""height":"18446744073709551616""#, "/data/height"),
        ("block", r#""first":"12""#, r#""first":"1e1""#, "/data/first"),
        ("block", r#""leaves":"3""#, r#""leaves":["3"]"#, "/data/leaves"),
        ("block", r#""records":"2""#, r#""records":" 2""#, "/data/records"),
        ("block", r#""cleared":"5","#, "", "/data"),
        ("block", r#""cleared":"5""#, r#""clearad":"5""#, "/data/clearad"),
        ("block", r#""units":"#, r#""unit":"x","units":"#, "/data/unit"),
        ("block", "1111", "AAAA", "/data/previous"),
        ("block", &hash, &hash[2..], "/data/previous"),
        ("block", "2222", "22 2", "/data/root"),
        ("block", "3333", "333g", "/data/log"),
        ("block", "4444", "é44", "/data/state"),
        ("block", "5555", "55555", "/data/units"),
        ("block", r#""rules":"1""#, r#""rules":"2""#, "/data/rules"),
        ("block", ".000Z", "Z", "/data/time"),
        ("block", "2026-01", "2026-13", "/data/time"),
        ("block", "\"— example.net AAAA\"", "[]", "/data/signature"),
        ("block", "example.net\",\"first", "example.org\",\"first", "/data/domain"),
        ("stack", r#""blocks":"144""#, r#""blocks":"0144""#, "/data/blocks"),
        ("stack", r#""first":"288""#, r#""first":"x""#, "/data/first"),
        ("stack", r#""height":"2""#, r#""height":"2.0""#, "/data/height"),
        ("stack", "abab", "ABab", "/data/previous"),
        ("stack", "cdcd", "", "/data/root"),
        ("stack", "T00:", "t00:", "/data/time"),
        ("stack", "example.net", "example.nets", "/data/domain"),
        ("genesis", r#""rules":"1""#, r#""rules":"01""#, "/data/rules"),
        ("genesis", "net+", "net-", "/data/key"),
        ("genesis", "2026", "26", "/data/time"),
        ("genesis", "\"domain\":\"example.net\"", "\"domain\":\"\"", "/data/domain"),
        ("keys", r#""new":"example"#, r#""new":"elpmaxe"#, "/data/new"),
        ("keys", r#""old":"example"#, r#""old":" example"#, "/data/old"),
        ("keys", "Z\"", "\"", "/data/time"),
        ("keys", r#""kind":"keys","#, r#""kind":"keys","much":"x","#, "/data/much"),
        ("keys", "\"domain\":\"example.net\"", "\"domain\":\"net\"", "/data/domain"),
    ];
    for (kind, from, to, pointer) in rows {
        let (_, bytes) = all().into_iter().find(|(k, _)| *k == kind).expect("a kind");
        let data = data_of(&bytes);
        assert!(data.contains(from), "{kind}: {from}");
        let text = String::from_utf8(bytes.clone()).expect("UTF-8");
        let meta = &text[text.find("\"meta\":").expect("meta") + 7..text.len() - 1];
        let leaf = named(&data.replacen(from, to, 1), meta);
        let found = refusal(leaf.as_bytes());
        assert_eq!(found, Some((Fault::Header, pointer.into())), "{kind}: {from} -> {to}");
    }
    for (kind, meta, pointer) in [
        ("block", r#"{"a":"b"}"#, "/meta/a"),
        ("genesis", r#"{"signatures":[]}"#, "/meta/signatures"),
        ("stack", r#"{"inputs":[]}"#, "/meta/inputs"),
        ("keys", "{}", "/meta"),
        ("keys", r#"{"signatures":"x"}"#, "/meta/signatures"),
        ("keys", r#"{"signatures":["x"]}"#, "/meta/signatures"),
        ("keys", r#"{"signatures":["x","y","z"]}"#, "/meta/signatures"),
        ("keys", r#"{"signatures":["x",["y"]]}"#, "/meta/signatures/1"),
    ] {
        let (_, bytes) = all().into_iter().find(|(k, _)| *k == kind).expect("a kind");
        let leaf = named(&data_of(&bytes), meta);
        let found = refusal(leaf.as_bytes());
        assert_eq!(found, Some((Fault::Header, pointer.into())), "{kind}: {meta}");
    }
}

/// Two auditors who name different faults first would accuse each other.
#[test]
fn the_first_rule_that_is_broken_answers() {
    let text = String::from_utf8(block().bytes).expect("UTF-8");
    let data = data_of(text.as_bytes());
    let rows = [
        // Not a canonical document of a known kind.
        ("", Fault::Encoding),
        ("{}", Fault::Encoding),
        ("[]", Fault::Encoding),
        ("null", Fault::Encoding),
        (&text[1..], Fault::Encoding),
        (&text[..text.len() - 1], Fault::Encoding),
        (&format!("{text} "), Fault::Encoding),
        (&format!(" {text}"), Fault::Encoding),
        (&text.replacen("\"data\":", "\"data\" :", 1), Fault::Encoding),
        (&text.replacen("\"7\"", "\"\\u0037\"", 1), Fault::Encoding),
        (&text.replacen("\"height\":\"7\",", "\"height\":\"7\",\"height\":\"7\",", 1), Fault::Encoding),
        (&text.replacen("\"7\"", "true", 1), Fault::Encoding),
        (&text.replacen("\"7\"", "0", 1), Fault::Encoding),
        (&text.replacen("\"7\"", &format!("{}{}", "[".repeat(15), "]".repeat(15)), 1), Fault::Encoding),
        (&text.replacen("\"meta\":{}", "\"meta\":{},\"more\":{}", 1), Fault::Encoding),
        (&text.replacen("\"meta\":{}", "\"mete\":{}", 1), Fault::Encoding),
        (&text.replacen("\"meta\":{}", "\"meta\":[]", 1), Fault::Encoding),
        (&text.replacen(",\"meta\":{}", "", 1), Fault::Encoding),
        (&text.replacen("\"block\"", "\"blocks\"", 1), Fault::Encoding),
        (&text.replacen("\"kind\":\"block\",", "", 1), Fault::Encoding),
        (&text.replacen("\"kind\":\"block\"", "\"kind\":[\"block\"]", 1), Fault::Encoding),
        (&named("\"block\"", "{}"), Fault::Encoding),
        (&named("[]", "{}"), Fault::Encoding),
        (&text.replacen("\"steps\":\"stringify:data\",", "", 1), Fault::Encoding),
        (&text.replacen("\"types\":\"sha3-256\"", "\"types\":[]", 1), Fault::Encoding),
        (&text.replacen("\"value\":\"", "\"value\":\"0", 1), Fault::Encoding),
        (&text.replacen("\"value\":\"", "\"value\":\"X", 1), Fault::Encoding),
        // As a leaf has it, but under another name.
        (&text.replacen("stringify:data", "stringify", 1), Fault::Hash),
        (&text.replacen("sha3-256", "sha256", 1), Fault::Hash),
        (&text.replacen("sha3-256", "sha3-512", 1), Fault::Hash),
        (&text.replacen("\"7\"", "\"8\"", 1), Fault::Hash),
        // Wrong fields and a wrong name: the name comes first.
        (&text.replacen("\"7\"", "\"08\"", 1), Fault::Hash),
        (&text.replacen("\"rules\":\"1\"", "\"rules\":\"2\"", 1), Fault::Hash),
        // A name where none stands, in a field that no block has: not fooled.
        (
            &named(
                &data.replacen(
                    "\"height\"",
                    "\"h\":{\"a\":\"b\",\"hash\":{\"steps\":\"stringify:data\",\"types\":\"sha3-256\",\"value\":\"\"}},\"height\"",
                    1,
                ),
                "{}",
            ),
            Fault::Header,
        ),
    ];
    for (leaf, fault) in rows {
        let found = refusal(leaf.as_bytes()).map(|(fault, _)| fault);
        assert_eq!(found, Some(fault), "{leaf}");
    }
}

/// Where one leaf cannot be read, an auditor goes on counting blocks and records.
#[test]
fn a_bad_leaf_still_says_its_kind_if_it_can() {
    for (kind, bytes) in all() {
        let text = String::from_utf8(bytes).expect("UTF-8");
        let kind_of = |leaf: &str| {
            Leaf::parse(leaf.as_bytes(), DOMAIN).expect_err(leaf).kind.map(Kind::as_str)
        };
        assert_eq!(kind_of(&format!(" {text}")), Some(kind), "another spelling");
        assert_eq!(kind_of(&text.replace(",\"meta\"", ",\"mete\"")), Some(kind), "another key");
        assert_eq!(kind_of(&text.replace("2026", "2027")), Some(kind), "another hash");
        assert_eq!(kind_of(&text.replace("example.net", "example.org")), Some(kind), "elsewhere");
        assert_eq!(
            kind_of(&format!("{}{text}", " ".repeat(RECORD_BYTES_MAX))),
            Some(kind),
            "too long"
        );
        assert_eq!(kind_of(&text[1..]), None, "not JSON");
        assert_eq!(kind_of(&text.replace("\"kind\"", "\"kinds\"")), None, "none given");
        let other = format!("\"kind\":\"{kind}s\"");
        assert_eq!(
            kind_of(&text.replace(&format!("\"kind\":\"{kind}\""), &other)),
            None,
            "unknown"
        );
        // The document after it names it all the same, however many values were put in.
        let many = format!("{{\"x\":[\"\"{}],", ",\"\"".repeat(9_000));
        let error = Leaf::parse(text.replacen('{', &many, 1).as_bytes(), DOMAIN).expect_err(kind);
        let name = Hash::sha3(data_of(text.as_bytes()).as_bytes());
        assert_eq!((error.kind.map(Kind::as_str), error.name), (Some(kind), Some(name)));
    }
}

/// A leaf that does not fit an entry bundle could not be served.
#[test]
fn a_leaf_has_at_most_61_440_bytes() {
    let signature = |length: usize| {
        let header = Header { signature: "s".repeat(length), ..block().header };
        Block::new(header).bytes
    };
    let rest = signature(0).len();
    let full = signature(RECORD_BYTES_MAX - rest);
    assert_eq!(full.len(), RECORD_BYTES_MAX);
    assert_eq!(refusal(&full), None);
    let over = signature(RECORD_BYTES_MAX - rest + 1);
    assert_eq!(refusal(&over), Some((Fault::Encoding, String::new())));
}

/// One byte changed anywhere, and somebody must notice.
#[test]
fn no_byte_can_be_changed() {
    for (kind, bytes) in all() {
        for at in 0..bytes.len() {
            for flip in [1, 0x20, 0x80] {
                let mut changed = bytes.clone();
                changed[at] ^= flip;
                let read = Leaf::parse(&changed, DOMAIN);
                let noticed = match &read {
                    Err(_) => true,
                    // Signatures are not hashed; they are verified.
                    Ok(Leaf::Keys(keys)) => !keys.verify(),
                    Ok(_) => false,
                };
                assert!(noticed, "{kind}, byte {at}");
            }
        }
    }
}
