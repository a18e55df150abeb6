//! Everything that somebody can say who holds the log's key, and that is not
//! the case: tiles, blocks and checkpoints are right, only the meaning is not.

use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use webwallet_ledger::block::{Block, Header, Stack};
use webwallet_ledger::note::verifier_key;
use webwallet_ledger::{Draft, Hash, Time};

use crate::chain::{DOMAIN, address, document, edited, secret};
use crate::liar::Liar;
use crate::life::{issue, signed};

const DAY_MS: i64 = 86_400_000;

/// When a lie is told.
pub enum Lie {
    /// At any time after the first records: it is the next record.
    Record(fn(&mut Liar<'_>)),
    /// The same, and what makes it one is a false field of a true record's data.
    Data(fn(&mut Value, &mut StdRng)),
    /// The same, and it is a false field of a true record's outputs.
    Outputs(fn(&mut Vec<Value>, &mut StdRng)),
    /// The same, and it is an IOU that should not have been cleared.
    Iou(fn(&mut Draft, &mut StdRng)),
    /// When a block ends: it is in the header.
    Header(fn(&mut Header, &mut StdRng)),
    /// When a block is empty.
    Begun(fn(&mut Liar<'_>)),
    /// In a stack.
    Stack(&'static str, fn(&mut StdRng) -> Value),
    /// At the end, about the log as a whole, or about its last block.
    Head(fn(&mut Liar<'_>)),
}

/// The code of the first finding, and what makes it.
pub const LIES: &[(&str, Lie)] = &[
    ("A-NOTE", Lie::Head(|liar| liar.audit.key = verifier_key(DOMAIN, &secret("thief")))),
    ("A-NOTE", Lie::Head(|liar| liar.audit.domain = "elsewhere.example".into())),
    ("A-NOTE", Lie::Head(|liar| liar.publish(DOMAIN, None, "thief"))),
    ("A-NOTE", Lie::Head(|liar| liar.publish("elsewhere.example", None, ""))),
    (
        "A-REWRITE",
        Lie::Record(|liar| {
            liar.audit.from = Some(liar.honest.as_bytes().to_vec());
            let iou = signed(&issue(&liar.life.log, liar.random));
            liar.life.log.clear(&[iou]);
        }),
    ),
    ("A-TILE", Lie::Head(|liar| liar.publish(DOMAIN, Some([7; 32]), ""))),
    (
        "A-ENCODING",
        Lie::Record(|liar| {
            let record = liar.record();
            // Before any byte that is none of a text.
            liar.say([&record[..1], b" ", &record[1..]].concat());
        }),
    ),
    ("A-ENCODING", Lie::Record(|liar| liar.say(Vec::new()))),
    (
        "A-ENCODING",
        Lie::Record(|liar| {
            let record = liar.record();
            let cut = liar.random.random_range(1..record.len());
            liar.say(record[..cut].to_vec());
        }),
    ),
    (
        "A-ENCODING",
        Lie::Record(|liar| {
            let twice = String::from_utf8(liar.record()).expect("UTF-8");
            liar.say(twice.replacen("\"kind\":", "\"kind\":\"record\",\"kind\":", 1).into_bytes());
        }),
    ),
    ("A-ENCODING", Lie::Data(|data, _| data["kind"] = json!("transaction"))),
    ("A-ENCODING", Lie::Data(|data, _| data["memo"] = json!(""))),
    ("A-ENCODING", Lie::Data(|data, _| data["number"] = json!(2.5))),
    (
        "A-ENCODING",
        Lie::Data(|data, _| {
            data["number"] = json!(format!("0{}", data["number"].as_str().expect("a text")));
        }),
    ),
    ("A-ENCODING", Lie::Data(|data, _| data["time"] = json!("2025-02-30T00:00:00.000Z"))),
    ("A-ENCODING", Lie::Data(|data, _| data["domain"] = json!("x".repeat(61_000)))),
    ("A-ENCODING", Lie::Data(|data, _| data["inputs"] = json!([]))),
    ("A-ENCODING", Lie::Outputs(|outputs, _| outputs[0]["balance"]["net"] = json!("1e3"))),
    ("A-ENCODING", Lie::Outputs(|outputs, _| outputs[0]["balance"]["min"] = json!("Infinity"))),
    ("A-ENCODING", Lie::Outputs(|outputs, _| outputs[0]["balance"]["max"] = json!("-Infinity"))),
    (
        "A-HASH",
        Lie::Record(|liar| {
            liar.change(|record, _| {
                record["data"]["outputs"][1]["balance"]["net"] = json!("123456789.01");
            })
        }),
    ),
    (
        "A-HASH",
        Lie::Record(|liar| {
            liar.change(|record, random| {
                record["hash"]["value"] = json!(Hash(random.random()).to_string());
            })
        }),
    ),
    (
        "A-HASH",
        Lie::Record(|liar| {
            liar.change(|record, _| {
                record["hash"]["types"] = json!("sha256");
            })
        }),
    ),
    (
        "A-HASH",
        Lie::Record(|liar| {
            liar.change(|record, _| {
                record["meta"]["inputs"][0]["data"]["amount"] = json!("123456789.01");
            })
        }),
    ),
    (
        "A-HASH",
        Lie::Data(|data, random| {
            data["inputs"][0]["hash"] = json!(Hash(random.random()).to_string());
        }),
    ),
    ("A-HEADER", Lie::Header(|h, _| h.height += 1)),
    ("A-HEADER", Lie::Header(|h, random| h.previous = Hash(random.random()))),
    ("A-HEADER", Lie::Header(|h, random| h.first += random.random_range(1..9))),
    ("A-HEADER", Lie::Header(|h, _| h.leaves += 1)),
    ("A-HEADER", Lie::Header(|h, _| h.records += 1)),
    ("A-HEADER", Lie::Header(|h, _| h.cleared -= 1)),
    ("A-HEADER", Lie::Header(|h, random| h.root = random.random())),
    ("A-HEADER", Lie::Header(|h, random| h.log = random.random())),
    ("A-HEADER", Lie::Header(|h, _| h.domain.push('x'))),
    (
        "A-HEADER",
        Lie::Header(|h, random| {
            h.signature.insert(h.signature.len() - random.random_range(3..60), 'A');
        }),
    ),
    (
        "A-HEADER",
        Lie::Begun(|liar| {
            let last = liar.life.log.leaves.last().expect("a block").clone();
            liar.life.log.leaf(edited(&last, |data| data["first"] = json!("-1")));
        }),
    ),
    (
        "A-HEADER",
        Lie::Begun(|liar| {
            // The same block a second time.
            let last = liar.life.log.leaves.last().expect("a block").clone();
            liar.life.log.end_block(Block::parse(&last).expect("a block"));
        }),
    ),
    (
        "A-HEADER",
        Lie::Begun(|liar| {
            let genesis = liar.life.log.leaves[0].clone();
            liar.life.log.leaf(genesis);
        }),
    ),
    (
        "A-HEADER",
        Lie::Begun(|liar| {
            // A day without its stack.
            liar.life.log.now_ms += DAY_MS;
            liar.life.log.seal();
        }),
    ),
    (
        "A-HEADER",
        Lie::Begun(|liar| {
            // Two keys in one block.
            liar.life.log.rotate("log key of an hour");
            liar.life.log.rotate("log key of another day");
        }),
    ),
    (
        "A-HEADER",
        Lie::Record(|liar| {
            // A stack behind a record.
            let record = liar.record();
            liar.life.log.record(record);
            let (time, nothing) = (liar.life.log.time(), [0; 32]);
            let stack = Stack::new(DOMAIN, 0, time, Hash(nothing), 0, 1, nothing);
            liar.life.log.leaf(stack.bytes);
        }),
    ),
    (
        "A-HEADER",
        Lie::Record(|liar| {
            // Keys behind a record.
            let record = liar.record();
            liar.life.log.record(record);
            liar.life.log.rotate("log key of another day");
        }),
    ),
    (
        "A-HEADER",
        Lie::Head(|liar| {
            // The end is missing.
            let record = liar.record();
            liar.life.log.leaves.push(record);
            liar.publish(DOMAIN, None, "");
        }),
    ),
    ("A-HEADER", Lie::Stack("height", |random| json!(random.random_range(100..999).to_string()))),
    ("A-HEADER", Lie::Stack("first", |_| json!("1000000"))),
    ("A-HEADER", Lie::Stack("blocks", |_| json!("1000000"))),
    ("A-HEADER", Lie::Stack("root", |random| json!(Hash(random.random()).to_string()))),
    ("A-HEADER", Lie::Stack("previous", |random| json!(Hash(random.random()).to_string()))),
    ("A-HEADER", Lie::Stack("time", |_| json!("2024-12-24T12:00:00.000Z"))),
    (
        "A-GAP",
        Lie::Data(|data, random| {
            let number: u64 = data["number"].as_str().expect("a text").parse().expect("a number");
            let other = number.wrapping_add_signed([-1, 1, 100][random.random_range(0..3)]);
            data["number"] = json!(other.to_string());
        }),
    ),
    ("A-GAP", Lie::Data(|data, _| data["number"] = json!("10000000000000000000"))),
    ("A-KEYS", Lie::Begun(|liar| liar.hand_over("thief", "log key by theft"))),
    (
        "A-KEYS",
        Lie::Begun(|liar| {
            let mut keys: Value =
                serde_json::from_slice(&liar.keys("log key by mistake")).expect("JSON");
            // By nobody.
            keys["data"]["time"] = json!("2025-01-15T12:34:56.789Z");
            let keys = document(keys["data"].clone(), keys["meta"].clone());
            liar.life.log.rotate_by(keys, "log key by mistake");
        }),
    ),
    (
        "A-KEYS",
        Lie::Begun(|liar| {
            // To itself.
            let name = liar.life.key_name();
            liar.life.log.rotate(&name);
        }),
    ),
    (
        "A-TIME",
        Lie::Record(|liar| {
            liar.in_the_past(|liar| {
                let iou = signed(&issue(&liar.life.log, liar.random));
                liar.life.log.clear(&[iou]);
            })
        }),
    ),
    ("A-TIME", Lie::Begun(|liar| liar.in_the_past(|liar| liar.life.log.seal()))),
    // A change of keys that is dated before a theft, or after what the old key has signed.
    ("A-TIME", Lie::Begun(|liar| liar.in_the_past(|liar| liar.life.log.rotate("log key before")))),
    (
        "A-TIME",
        Lie::Begun(|liar| {
            let log = &mut liar.life.log;
            log.now_ms += 1;
            log.rotate("log key after");
            log.now_ms -= 1;
            log.seal();
        }),
    ),
    (
        "A-TIME",
        Lie::Head(|liar| {
            let last =
                Block::parse(liar.life.log.leaves.last().expect("a block")).expect("a block");
            liar.audit.now = Time::from_unix_ms(last.header.time.unix_ms() - 300_001);
        }),
    ),
    ("A-DOMAIN", Lie::Iou(|iou, _| iou.domain = "elsewhere.example".into())),
    ("A-DOMAIN", Lie::Data(|data, _| data["domain"] = json!("elsewhere.example"))),
    (
        "A-SIG",
        Lie::Record(|liar| {
            // Over another IOU.
            let other: Value = serde_json::from_slice(&liar.record()).expect("JSON");
            let other = other["meta"]["inputs"][0]["meta"]["signatures"][0]["string"].clone();
            liar.sign_as(|signature| signature["string"] = other);
        }),
    ),
    (
        "A-SIG",
        Lie::Record(|liar| {
            // One bit of it is another.
            let (at, bit) = (liar.random.random_range(0..64), liar.random.random_range(0..8));
            liar.sign_as(|signature| {
                let text = signature["string"].as_str().expect("a text");
                let byte =
                    u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("hex") ^ (1 << bit);
                signature["string"] =
                    json!(format!("{}{byte:02x}{}", &text[..2 * at], &text[2 * at + 2..]));
            });
        }),
    ),
    (
        "A-SIG",
        Lie::Record(|liar| {
            liar.sign_as(|signature| {
                // By a key of nobody who is asked.
                signature["public"] = json!("58".to_owned() + &"66".repeat(31));
            })
        }),
    ),
    (
        "A-SIG",
        Lie::Record(|liar| {
            liar.sign_as(|signature| {
                signature["signer"] = json!(address("thief").to_string());
            })
        }),
    ),
    (
        "A-SIG",
        Lie::Record(|liar| {
            liar.change(|record, _| {
                record["meta"]["inputs"][0]["meta"]["signatures"] = json!([]);
            })
        }),
    ),
    (
        "A-SIG",
        Lie::Record(|liar| {
            let thief = issue(&liar.life.log, liar.random).sign(&secret("thief"));
            let record = liar.life.log.forged(&[thief], json!([]));
            liar.say(record);
        }),
    ),
    (
        "A-SIG",
        Lie::Record(|liar| {
            // An address with a letter mistyped.
            let iou = signed(&issue(&liar.life.log, liar.random));
            let iou = edited(&iou, |data| {
                let target = data["target"].as_str().expect("a text");
                let other = if target.ends_with('2') { '3' } else { '2' };
                data["target"] = json!(format!("{}{other}", &target[..target.len() - 1]));
            });
            let record = liar.life.log.forged(&[iou], json!([]));
            liar.say(record);
        }),
    ),
    (
        "A-DOUBLE",
        Lie::Record(|liar| {
            let log = &mut liar.life.log;
            let iou = signed(&issue(log, liar.random));
            log.clear(std::slice::from_ref(&iou));
            let record = log.cleared(&[iou]).bytes;
            liar.say(record);
        }),
    ),
    (
        "A-DOUBLE",
        Lie::Record(|liar| {
            // Beside one that is new, and blocks later.
            let log = &mut liar.life.log;
            let [old, new] = [(); 2].map(|()| signed(&issue(log, liar.random)));
            log.clear(std::slice::from_ref(&old));
            liar.life.seal();
            let record = liar.life.log.cleared(&[new, old]).bytes;
            liar.say(record);
        }),
    ),
    ("A-EXPIRY", Lie::Iou(|iou, _| iou.expiry = Time::from_unix_ms(0))),
    (
        "A-EXPIRY",
        Lie::Iou(|iou, _| {
            iou.active = Some(Time::from_unix_ms(iou.expiry.unix_ms() - 1));
        }),
    ),
    (
        "A-EXPIRY",
        Lie::Iou(|iou, _| {
            iou.expiry = Time::from_unix_ms(iou.expiry.unix_ms() + 3_660 * DAY_MS);
        }),
    ),
    (
        "A-GRANT",
        Lie::Iou(|iou, _| {
            // In a unit of somebody else.
            (iou.symbol, iou.credit) = (iou.target, Some("-5".into()));
        }),
    ),
    ("A-GRANT", Lie::Iou(|iou, _| iou.credit = Some("1000000000".into()))),
    (
        "A-LIMIT",
        Lie::Iou(|iou, _| {
            // Back, more than there ever was.
            (iou.source, iou.target) = (iou.target, iou.source);
            iou.amount = "1000000000".into();
        }),
    ),
    (
        "A-LIMIT",
        Lie::Record(|liar| {
            let mut iou = issue(&liar.life.log, liar.random);
            iou.amount = "9".repeat(60);
            let ious = ["a number too large", "for anybody"].map(|random| {
                iou.random = random.into();
                signed(&iou)
            });
            let record = liar.life.log.forged(&ious, json!([]));
            liar.say(record);
        }),
    ),
    ("A-OUTPUT", Lie::Outputs(|outputs, _| outputs[1]["balance"]["net"] = json!("123456789.01"))),
    ("A-OUTPUT", Lie::Outputs(|outputs, _| outputs[0]["balance"]["min"] = json!("-1000000000"))),
    ("A-OUTPUT", Lie::Outputs(|outputs, _| outputs[1]["balance"]["max"] = json!("1000000000"))),
    (
        "A-OUTPUT",
        Lie::Outputs(|outputs, random| {
            outputs[1]["sources"] = json!([format!("{}::7", Hash(random.random()))]);
        }),
    ),
    ("A-OUTPUT", Lie::Outputs(|outputs, _| outputs.reverse())),
    ("A-OUTPUT", Lie::Outputs(|outputs, _| drop(outputs.pop()))),
    ("A-OUTPUT", Lie::Outputs(|outputs, _| outputs.clear())),
    (
        "A-OUTPUT",
        Lie::Outputs(|outputs, _| {
            let mut more = outputs[1].clone();
            more["address"] = json!(address("thief").to_string());
            outputs.push(more);
        }),
    ),
    (
        "A-OUTPUT",
        Lie::Outputs(|outputs, _| {
            outputs[1]["address"] = json!(address("thief").to_string());
        }),
    ),
    (
        "A-OUTPUT",
        Lie::Outputs(|outputs, _| {
            // The same value, which would give the record another name.
            let net = outputs[1]["balance"]["net"].as_str().expect("a text");
            let longer = format!("{net}{}0", if net.contains('.') { "" } else { "." });
            outputs[1]["balance"]["net"] = json!(longer);
        }),
    ),
    ("A-STATE", Lie::Header(|h, random| h.state[random.random_range(0..32)] ^= 1)),
    ("A-STATE", Lie::Header(|h, random| h.units[random.random_range(0..32)] ^= 128)),
    ("A-STATE", Lie::Header(|h, _| std::mem::swap(&mut h.state, &mut h.units))),
    (
        "A-STALE",
        Lie::Head(|liar| {
            let last =
                Block::parse(liar.life.log.leaves.last().expect("a block")).expect("a block");
            liar.audit.max_age_ms = Some(liar.audit.now.unix_ms() - last.header.time.unix_ms() - 1);
        }),
    ),
];
