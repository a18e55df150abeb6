//! What anybody may supply. If this took more, a server would keep what looks like
//! a document of its own.

use webwallet_ledger::hash::Types;
use webwallet_ledger::{Code, Supplied};

fn document(data: &str, types: Types) -> String {
    let (name, types) = (types.digest(data.as_bytes()), types.as_str());
    format!(
        r#"{{"data":{data},"hash":{{"steps":"stringify:data","types":"{types}","value":"{name}"}},"meta":{{}}}}"#
    )
}

const PUZZLE: &str = r#"{"conditions":{"multisig":{"threshold":2}},"identities":[{"public":"5e3ddda5abbcd6b5fb02b9f3f2e28fc4cb1fa5ed3a6d8f4fe9d2fa2e0a3d4a47","scheme":"eddsa-ed25519","weight":2}]}"#;

/// An invoice would not be found again under the hash that stands in the IOU that paid it.
#[test]
fn puzzles_and_custom_data_have_their_name_by_each_function() {
    for data in [PUZZLE, "{}", r#"{"a":["b",{"c":"d"}],"kind":"invoice"}"#] {
        for types in [Types::Sha3, Types::Sha256, Types::Sha256Twice] {
            let whole = document(data, types);
            let supplied = Supplied::of_document(whole.as_bytes()).expect("good");
            assert_eq!(supplied.name(), types.digest(data.as_bytes()));
            assert_eq!(supplied.bytes(), whole.as_bytes());
            let written = format!(" {{ \"data\" :\n{whole} }} ");
            assert_eq!(Supplied::parse(written.as_bytes(), whole.len()), Ok(supplied));
            let over = Supplied::parse(written.as_bytes(), whole.len() - 1).expect_err("one more");
            assert_eq!((over.code, over.pointer.as_str()), (Code::TooLarge, "/data"));
        }
    }
}

#[test]
fn what_is_neither_is_refused_at_its_place() {
    let named = |data: &str| document(data, Types::Sha3);
    let keys = |count: usize| -> String {
        let keys: Vec<String> = (10..10 + count).map(|n| format!("\"{n}\":\"x\"")).collect();
        format!("{{{}}}", keys.join(","))
    };
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(15), "]".repeat(15));
    let cases = [
        (named("[]"), Code::Malformed, "/data"),
        (named(r#"{"a":1}"#), Code::Malformed, "/data/a"),
        (named(&keys(11)), Code::TooLarge, "/data"),
        (named(&deep), Code::Malformed, "/data/a/0/0/0/0/0/0/0/0/0/0/0/0/0/0"),
        (named(r#"{"kind":"block"}"#), Code::Malformed, "/data/kind"),
        (named(r#"{"conditions":{},"identities":[]}"#), Code::Malformed, "/data/conditions"),
        (
            named(&PUZZLE.replace("eddsa", "other")),
            Code::UnsupportedScheme,
            "/data/identities/0/scheme",
        ),
        (named("{}").replace("sha3-256", "sha256"), Code::HashMismatch, "/hash/value"),
        (named(PUZZLE).replace("sha3-256", "sha256"), Code::HashMismatch, "/hash/value"),
        (named("{}").replace("\"meta\":{}", "\"meta\":{\"a\":\"b\"}"), Code::Malformed, "/meta/a"),
        (named("{}").replace(",\"meta\":{}", ""), Code::Malformed, ""),
    ];
    for (document, code, pointer) in cases {
        let refused = Supplied::of_document(document.as_bytes()).expect_err("refused");
        assert_eq!((refused.code, refused.pointer.as_str()), (code, pointer), "{document}");
    }
    assert!(Supplied::of_document(named(&keys(10)).as_bytes()).is_ok());
}
