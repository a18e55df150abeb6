//! Notes and checkpoints. If one of these failed, stock tools would refuse our
//! checkpoints, or somebody without the log's key could write one.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use webwallet_ledger::checkpoint::Checkpoint;
use webwallet_ledger::note::{
    Note, NoteError, SignatureLine, VerifierKey, is_key_name, sign, verifier_key, write,
};

/// The example of c2sp.org/signed-note.
const SALVATORE: &str = "Ognuno sta solo sul cuor della terra\n\
    trafitto da un raggio di sole:\n\
    \n\
    ed è subito sera.\n\
    \n\
    — quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n";

/// The example of c2sp.org/tlog-checkpoint.
const SOFA: &str = "example.com/behind-the-sofa\n\
    20852163\n\
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\
    \n\
    — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";

/// Text, keys and signature of the tests of golang.org/x/mod/sumdb/note.
const GO_TEXT: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n";
const GO_SECRET: &str = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const GO_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const GO_LINE: &str = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=";

/// A head that the public log sum.golang.org signed in 2019, and its key.
const SUM_KEY: &str = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
const SUM: &str = "go.sum database tree\n\
    13485\n\
    /ZWur4obeiqK+ASdnPK+/Rmz6LPQMUeSmHh0+UkL54Y=\n\
    \n\
    — sum.golang.org Az3grnQReYTvpCrRxT+w50vixbqBlB/aPS8bL8f8KW4HHP+UjLSXOJgCh4f54n8hO6lrESglzyRXMXnhaWzaeY3zqw8=\n";

const SECRET: [u8; 32] = [3; 32];

fn opened(note: &str, keys: &[VerifierKey]) -> Result<String, NoteError> {
    Note::parse(note.as_bytes())?.open(keys).map(|(text, _)| text.to_owned())
}

#[test]
fn the_examples_of_the_public_formats() {
    let note = Note::parse(SALVATORE.as_bytes()).expect("the example is a note");
    assert!(note.text.ends_with("raggio di sole:\n\ned è subito sera.\n"), "{}", note.text);
    assert_eq!(note.signatures.len(), 1);
    assert_eq!(note.signatures[0].name, "quasimodo.example/salvatore");
    assert_eq!((note.signatures[0].id, note.signatures[0].signature.len()), (0x367b_a04b, 64));
    assert_eq!(write(&note.text, &[&note.signatures[0].line]), SALVATORE);

    let note = Note::parse(SOFA.as_bytes()).expect("the example is a note");
    let checkpoint = Checkpoint::parse(&note.text).expect("the example is a checkpoint");
    assert_eq!(checkpoint.origin, "example.com/behind-the-sofa");
    assert_eq!(checkpoint.size, 20_852_163);
    assert_eq!(checkpoint.text(), note.text);

    let key: VerifierKey = GO_KEY.parse().expect("a verifier key");
    assert_eq!(key.to_string(), GO_KEY);
    assert_eq!(opened(&write(GO_TEXT, &[GO_LINE]), std::slice::from_ref(&key)), Ok(GO_TEXT.into()));
    let line = SignatureLine::parse(GO_LINE).expect("a line");
    assert!(key.verify(GO_TEXT, &line) && !key.verify("another text\n", &line));
    let secret = STANDARD.decode(GO_SECRET).expect("base64");
    let secret: [u8; 32] = secret[1..].try_into().expect("a type and a seed");
    assert_eq!(verifier_key("PeterNeumann", &secret), key);
    assert_eq!(sign(GO_TEXT, "PeterNeumann", &secret), GO_LINE, "signed byte for byte alike");

    let key: VerifierKey = SUM_KEY.parse().expect("a verifier key");
    let note = Note::parse(SUM.as_bytes()).expect("a note");
    let (text, _) = note.open(&[key]).expect("signed by its key");
    assert_eq!(Checkpoint::parse(text).expect("a checkpoint").size, 13_485);
}

/// A key of one log could be passed off under the name of another, which it never signed for.
#[test]
fn a_key_has_one_spelling() {
    let (name, rest) = GO_KEY.split_once('+').expect("name");
    for wrong in [
        format!("Other+{rest}"),
        format!("+{rest}"),
        format!("a b+{rest}"),
        GO_KEY.replace("c74f20a3", "C74F20A3"),
        GO_KEY.replace("c74f20a3", "c74f20a4"),
        GO_KEY.replace("+ARpc", "+AhpC"),
        format!("{GO_KEY}="),
        format!("{GO_KEY}\n"),
        GO_KEY[..GO_KEY.len() - 4].to_owned(),
        name.to_owned(),
        String::new(),
    ] {
        assert!(matches!(wrong.parse::<VerifierKey>(), Err(NoteError::Key(_))), "{wrong}");
    }
    for (name, is_one) in [
        ("a", true),
        ("", false),
        ("a+", false),
        ("a b", false),
        ("a\u{a0}", false),
        ("a\u{1}", false),
        ("é", true),
    ] {
        assert_eq!(is_key_name(name), is_one, "{name:?}");
    }
}

/// A note that a stranger has signed, in the place of the log, says whatever the stranger likes.
#[test]
fn who_must_have_signed() {
    let (ann, ben) = (verifier_key("ann", &[1; 32]), verifier_key("ben", &[2; 32]));
    let text = "text\n";
    let (by_ann, by_ben) = (sign(text, "ann", &[1; 32]), sign(text, "ben", &[2; 32]));
    let as_ann = sign("other\n", "ann", &[1; 32]);
    // Same name, other key: an unknown one.
    let other_ann = sign(text, "ann", &[2; 32]);
    // Same id, other name: an unknown one too.
    let renamed = by_ann.replace(" ann ", " ben ");
    let (ann, ben) = (std::slice::from_ref(&ann), std::slice::from_ref(&ben));
    let both = [ann, ben].concat();
    let unknown = |signers: &str| Err(NoteError::Unknown { signers: signers.into() });
    let forged = Err(NoteError::Signature { name: "ann".into() });
    let id = |key: &VerifierKey| format!("{}+{:08x}", key.name, key.id);
    let good = Ok(text.to_owned());
    for (lines, keys, expected) in [
        (vec![&*by_ann], ann, good.clone()),
        (vec![&*by_ann, &*by_ben], ann, good.clone()),
        (vec![&*by_ben, &*by_ann], &both, good.clone()),
        (vec![&*by_ben], &both, good.clone()),
        (vec![&*by_ann], ben, unknown(&id(&ann[0]))),
        (vec![&*by_ann], &[], unknown(&id(&ann[0]))),
        (vec![&*other_ann], ann, unknown(&id(&verifier_key("ann", &[2; 32])))),
        (vec![&*other_ann, &*by_ann], ann, good.clone()),
        (vec![&*renamed], ann, unknown(&format!("ben+{:08x}", ann[0].id))),
        (vec![&*as_ann], ann, forged.clone()),
        (vec![&*by_ben, &*as_ann], &both, forged.clone()),
        (vec![&*by_ann, &*as_ann], ann, forged.clone()),
    ] {
        assert_eq!(opened(&write(text, &lines), keys), expected, "{lines:?}");
    }
}

/// Two readings of one note would be two truths under one signature.
#[test]
fn what_is_no_note() {
    let keys = [verifier_key("ann", &SECRET)];
    let line = sign("text\n", "ann", &SECRET);
    let note = write("text\n", &[&line]);
    assert_eq!(opened(&note, &keys), Ok("text\n".into()));
    let shifted = line.strip_suffix("=").expect("padded");
    for wrong in [
        String::new(),
        "text\n".into(),
        "text\n\n".into(),
        format!("{note}\n"),
        format!("{note}x"),
        note.trim_end().to_owned(),
        note.replace('\n', "\r\n"),
        note.replace("\u{2014} ", "- "),
        note.replace("\u{2014} ", "\u{2014}  "),
        note.replace(" ann ", " a+nn "),
        note.replace(" ann ", " a\u{2003}n "),
        note.replace(" ann ", "  "),
        format!("text\n\n{shifted}\n"),
        format!("text\n\n{line} \n"),
        "text\n\n\u{2014} ann \n".into(),
        "text\n\n\u{2014} ann AAAAAA==\n".into(),
        write("text\n", &vec![line.as_str(); 101]),
        format!("{}{note}", "x".repeat(1_000_000)),
    ] {
        let refused = Note::parse(wrong.as_bytes());
        assert!(matches!(refused, Err(NoteError::Note(_))), "{refused:?}: {wrong:.200}");
    }
    for control in (0..32).filter(|byte| *byte != b'\n') {
        let wrong = note.replace('x', &char::from(control).to_string());
        let refused = Err(NoteError::Note("a control character"));
        assert_eq!(Note::parse(wrong.as_bytes()), refused, "{control}");
    }
    let longest = format!("{}{note}", "x".repeat(1_000_000 - note.len()));
    assert_eq!(Note::parse(longest.as_bytes()).map(|note| note.signatures.len()), Ok(1));
    let mut bytes = note.into_bytes();
    bytes[0] = 0xff;
    assert_eq!(Note::parse(&bytes), Err(NoteError::Note("not UTF-8")));
    let many = write("text\n", &vec![line.as_str(); 100]);
    assert_eq!(opened(&many, &keys), Ok("text\n".into()));
}

/// The same of the size and the root that it signs.
#[test]
fn what_is_no_checkpoint() {
    let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
    let parse = |text: &str| Checkpoint::parse(text);
    let extended = parse(&format!("log\n18446744073709551615\n{root}\nextension\n"));
    assert_eq!(extended.expect("extensions are allowed").size, u64::MAX);
    for wrong in [
        String::new(),
        "\n".into(),
        "log\n".into(),
        "log\n1\n".into(),
        format!("log\n1\n{root}"),
        format!("\n1\n{root}\n"),
        format!("log\n1\n{root}\n\n"),
        format!("log\n1\n{root}\n\nextension\n"),
        format!("log\n01\n{root}\n"),
        format!("log\n+1\n{root}\n"),
        format!("log\n-1\n{root}\n"),
        format!("log\n\n{root}\n"),
        format!("log\n18446744073709551616\n{root}\n"),
        format!("log\n1\n{}\n", root.replace('=', "")),
        format!("log\n1\n{}\n", root.replace("I=", "J=")),
        "log\n1\nCsUYapGGPo4dkMgIAUqomw==\n".into(),
    ] {
        assert!(matches!(parse(&wrong), Err(NoteError::Checkpoint(_))), "{wrong:?}");
    }
}

/// Whoever runs one log could show heads of another, and be believed for having signed them.
#[test]
fn a_checkpoint_is_of_the_log_that_signed_it() {
    let keys = [verifier_key("ann.example", &SECRET)];
    let checkpoint = Checkpoint { origin: "ann.example".into(), size: 7, root: [9; 32] };
    let note = checkpoint.sign(&SECRET);
    let (opened, line) = Checkpoint::open(note.as_bytes(), &keys).expect("our own");
    assert_eq!(opened, checkpoint);
    assert_eq!(write(&opened.text(), &[&line.line]), note, "note and parts say the same");
    // The key is right, the origin is another log's.
    let text = Checkpoint { origin: "ben.example".into(), ..checkpoint }.text();
    let note = write(&text, &[&sign(&text, "ann.example", &SECRET)]);
    let (actual, expected) = ("ben.example".into(), "ann.example".into());
    let refused = Err(NoteError::Origin { actual, expected });
    assert_eq!(Checkpoint::open(note.as_bytes(), &keys), refused);
}

#[test]
fn every_flipped_bit_of_a_checkpoint_is_refused() {
    let keys = [verifier_key("ann.example", &SECRET)];
    let checkpoint = Checkpoint { origin: "ann.example".into(), size: 1234, root: [9; 32] };
    let note = checkpoint.sign(&SECRET).into_bytes();
    for place in 0..note.len() {
        for bit in 0..8 {
            let mut wrong = note.clone();
            wrong[place] ^= 1 << bit;
            assert!(Checkpoint::open(&wrong, &keys).is_err(), "byte {place}, bit {bit}");
        }
        assert!(Checkpoint::open(&note[..place], &keys).is_err(), "cut at {place}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// What is written is read, and has no other spelling.
    #[test]
    fn notes_are_read_as_written(text in "[^\\x00-\\x1f]{0,20}(\n[^\\x00-\\x1f]{0,9}){0,4}\n", name in "[a-z./é]{1,9}") {
        let key = verifier_key(&name, &SECRET);
        let line = sign(&text, &name, &SECRET);
        let note = write(&text, std::slice::from_ref(&line.as_str()));
        let read = Note::parse(note.as_bytes()).expect("our own");
        prop_assert_eq!(read.open(std::slice::from_ref(&key)).map(|(text, _)| text), Ok(&*text));
        prop_assert_eq!(write(&read.text, &[&*read.signatures[0].line]), note);
        prop_assert_eq!(key.to_string().parse::<VerifierKey>(), Ok(key));
    }

    /// Bytes near a note are read or refused, and what is read was spelt so.
    #[test]
    fn any_bytes(place in any::<prop::sample::Index>(), insert in prop::collection::vec(any::<u8>(), 0..5)) {
        let mut bytes = SOFA.as_bytes().to_vec();
        let place = place.index(bytes.len());
        bytes.splice(place..place + 1, insert);
        if let Ok(note) = Note::parse(&bytes) {
            let lines: Vec<&str> = note.signatures.iter().map(|line| line.line.as_str()).collect();
            prop_assert_eq!(write(&note.text, &lines).into_bytes(), bytes);
            if let Ok(checkpoint) = Checkpoint::parse(&note.text) {
                prop_assert!(note.text.starts_with(&checkpoint.text()));
            }
        }
    }
}
