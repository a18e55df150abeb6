//! JSON as the protocol knows it. A second reading of one text, or a second
//! text for one reading, would let two people sign the same bytes and mean
//! different things.

use webwallet_ledger::json::parse;
use webwallet_ledger::{Code, document, limits};

#[test]
fn nothing_outside_the_profile_is_read() {
    for (text, pointer) in [
        ("", ""),
        ("{", ""),
        ("{\"a\":\"b\"} x", ""),
        ("null", ""),
        ("{\"a\":true}", "/a"),
        ("{\"a\":null}", "/a"),
        ("{\"a\":1.0}", "/a"),
        ("{\"a\":1e3}", "/a"),
        ("{\"a\":-1}", "/a"),
        ("{\"a\":0}", "/a"),
        ("{\"a\":2147483648}", "/a"),
        ("{\"a\":NaN}", "/a"),
        ("{\"a\":\"\\ud800\"}", "/a"),
        ("{\"a\":\"\u{1}\"}", "/a"),
        ("{\"a\":{\"b\":[\"x\",{\"c/d~\":false}]}}", "/a/b/1/c~1d~0"),
        ("{\"a\":\"1\",\"a\":\"1\"}", "/a"),
        ("{\"a\":\"1\",\"\\u0061\":\"1\"}", "/a"),
        ("['a']", "/0"),
        ("[\"a\",]", "/1"),
        ("\u{feff}{}", ""),
    ] {
        let refusal = parse(text.as_bytes(), 16).err().unwrap_or_else(|| panic!("read: {text}"));
        assert_eq!((refusal.code, refusal.pointer.as_str()), (Code::Malformed, pointer), "{text}");
    }
    assert!(parse(b"{\"a\":\"\xff\"}", 16).is_err(), "not UTF-8");
    assert!(parse(b"{\"a\":2147483647}", 16).is_ok());
}

/// One short body of nothing but brackets would end the server for everybody.
#[test]
fn depth_is_bounded_at_exactly_its_limit() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(parse(nested(limits::DEPTH_MAX).as_bytes(), limits::DEPTH_MAX).is_ok());
    assert!(parse(nested(limits::DEPTH_MAX + 1).as_bytes(), limits::DEPTH_MAX).is_err());
    // As deep as a body can be: no stack may be exhausted.
    assert!(parse(nested(limits::BODY_BYTES_MAX / 2).as_bytes(), limits::DEPTH_MAX).is_err());
}

#[test]
fn values_are_bounded_at_exactly_their_limit() {
    // The list itself is one of them.
    let list = |n: usize| format!("[{}\"\"]", "[],".repeat(n - 2));
    assert!(parse(list(limits::VALUES_MAX).as_bytes(), 16).is_ok());
    let over = parse(list(limits::VALUES_MAX + 1).as_bytes(), 16).err().expect("refused");
    assert_eq!((over.code, over.pointer.as_str()), (Code::TooLarge, "/8191"));
    assert_eq!((over.limit.as_deref(), over.actual.as_deref()), (Some("8192"), Some("8193")));
    // What comes first in the text answers.
    let early = format!("[null,{}", &list(limits::VALUES_MAX + 1)[1..]);
    assert_eq!(parse(early.as_bytes(), 16).err().expect("refused").code, Code::Malformed);
    let late = list(limits::VALUES_MAX + 1).replace("\"\"]", "\"\",null]");
    assert_eq!(parse(late.as_bytes(), 16).err().expect("refused").code, Code::TooLarge);
}

/// Other bytes would be served, and kept for ever, under the name of somebody's record.
#[test]
fn a_document_has_the_name_of_its_data_or_none() {
    let data = r#"{"domain":"example.net","kind":"record","number":"1"}"#;
    let hash = webwallet_ledger::Hash::sha3(data.as_bytes());
    let outline = |data: &str, name: &str| {
        format!(
            r#"{{"data":{data},"hash":{{"steps":"stringify:data","types":"sha3-256","value":"{name}"}},"meta":{{}}}}"#
        )
    };
    let text = outline(data, &hash.to_string());
    assert_eq!(document::name(text.as_bytes()), Ok(hash));
    assert!(document::is_record(text.as_bytes()));
    assert!(!document::is_record(text.replace("record", "memo").as_bytes()));
    for wrong in [
        text.replace("\"1\"", "\"2\""),
        text.replace("sha3-256", "sha256"),
        text.replace("{}}", "{}"),
        outline(data, &hash.to_string().to_uppercase()),
        outline(data, "00"),
        String::new(),
    ] {
        assert!(document::name(wrong.as_bytes()).is_err(), "{wrong}");
    }
    for cut in 0..text.len() {
        assert!(document::name(&text.as_bytes()[..cut]).is_err(), "cut at {cut}");
    }
}
