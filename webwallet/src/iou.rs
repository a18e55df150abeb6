//! IOUs in files: signing them, and checking them without any server.

use std::borrow::Cow;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::Subcommand;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use webwallet_ledger::clear::clear;
use webwallet_ledger::draft::add_signature;
use webwallet_ledger::rejection::{Code, Rejection};
use webwallet_ledger::request::{Request, body_of};
use webwallet_ledger::time::Time;
use webwallet_ledger::verify::verify;
use webwallet_ledger::{Nothing, signature};

use crate::home::{Home, Labels};
use crate::output::Outcome;
use crate::problem::Problem;
use crate::{clock, file, output};

/// `webwallet iou ...`
#[derive(Subcommand)]
pub enum Command {
    /// Add your signature to an IOU and print it
    Sign {
        /// The IOU; `-` is standard input
        file: PathBuf,
        /// Your key
        #[arg(long, value_name = "NAME")]
        with: String,
        #[command(flatten)]
        home: Home,
    },
    /// Say of each IOU whether a server would take it, balances aside
    Verify {
        /// One IOU, an array, one a line, a request, or test vectors; `-` is standard input
        file: PathBuf,
        /// Time to judge at [default: now]
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
        /// Domain of the server
        #[arg(long, default_value = "localhost")]
        domain: String,
    },
}

/// What is said of one IOU.
#[derive(Serialize)]
struct Verdict {
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<String>,
    /// As the IOU states it; null where it states none.
    hash: Option<String>,
    #[serde(skip)]
    detail: String,
}

/// Runs `webwallet iou ...`.
pub fn run(command: &Command, json: bool) -> anyhow::Result<Outcome> {
    match command {
        Command::Sign { file, with, home } => {
            let keys = home.keys()?;
            let secret = keys.find(with)?.secret()?;
            let text = file::read(file)?;
            ensure!(!text.trim_ascii().is_empty(), none_in(&file::name(file)));
            match add_signature(&text, &secret) {
                Ok(signed) => {
                    // On a line of its own: what is printed is the IOU.
                    output::complain(format!("signed   {}", stated(&signed, &keys.labels())?));
                    output::line(signed)?;
                    Ok(Outcome::Done)
                }
                Err(rejection) => {
                    Problem::from_rejection(&rejection)?.print(json, &Labels::default())
                }
            }
        }
        Command::Verify { file, at, domain } => {
            let at = at.as_deref().map_or_else(clock::now, clock::parse)?;
            let text = file::read(file)?;
            let none = split(&text).is_ok_and(|ious| ious.is_empty());
            ensure!(!none, none_in(&file::name(file)));
            let mut outcome = Outcome::Done;
            for iou in found(&text) {
                let verdict = judge(&iou, domain, at);
                if !verdict.valid {
                    outcome = Outcome::Refused;
                }
                if json {
                    output::line(serde_json::to_vec(&verdict)?)?;
                } else {
                    let hash = verdict.hash.as_deref().unwrap_or("(no hash)");
                    let text = match verdict.code {
                        None => format!("valid    {hash}"),
                        Some(code) => format!("refused  {hash}  {code}: {}", verdict.detail),
                    };
                    output::line(output::harmless(&text).as_bytes())?;
                }
            }
            Ok(outcome)
        }
    }
}

/// What an IOU says, to whoever signs what somebody else has written.
fn stated(iou: &[u8], labels: &Labels) -> anyhow::Result<String> {
    #[derive(Deserialize)]
    struct Stated<'a> {
        #[serde(borrow)]
        data: Data<'a>,
    }
    #[derive(Deserialize)]
    struct Data<'a> {
        source: String,
        target: String,
        amount: String,
        symbol: String,
        domain: String,
        expiry: String,
        active: Option<String>,
        credit: Option<String>,
        custom: Option<String>,
        #[serde(borrow)]
        locker: Option<&'a RawValue>,
        #[serde(borrow)]
        solver: Option<&'a RawValue>,
    }
    let Stated { data } = serde_json::from_slice(iou).context("the IOU cannot be read")?;
    let [source, target, unit] =
        [&data.source, &data.target, &data.symbol].map(|address| labels.of(address));
    let credit = data.credit.map(|credit| format!(", credit {credit}")).unwrap_or_default();
    let mut text = format!(
        "{source} pays {target} {} (unit of {unit}{credit}) on {}, until {}",
        data.amount, data.domain, data.expiry
    );
    let [locker, solver] = [data.locker, data.solver].map(|json| json.map(RawValue::get));
    for (what, more) in [
        ("not before", data.active.as_deref()),
        ("locked under", locker),
        ("out of the lock", solver),
        ("for what has the hash", data.custom.as_deref()),
    ] {
        text.extend(more.map(|more| format!("; {what} {more}")));
    }
    Ok(output::harmless(&text).into_owned())
}

/// That something holds no IOU, and where to have one from.
pub fn none_in(what: &str) -> String {
    format!(
        "there is no IOU in {what}: `webwallet pay ... --offline` prints one; several stand in an array, one a line, or in a request"
    )
}

/// The first code a server of this domain would refuse with at this time,
/// were every balance large enough.
fn judge(iou: &str, domain: &str, at: Time) -> Verdict {
    #[derive(Deserialize)]
    struct Named {
        hash: Value,
    }
    #[derive(Deserialize)]
    struct Value {
        value: String,
    }
    let hash = serde_json::from_str(iou).ok().map(|named: Named| named.hash.value);
    match check(iou, domain, at) {
        Ok(()) => Verdict { valid: true, code: None, pointer: None, hash, detail: String::new() },
        Err(rejection) => Verdict {
            valid: false,
            code: Some(rejection.code.as_str()),
            // Pointers of the rules go into a request; this is about its IOU.
            pointer: Some(
                rejection
                    .pointer
                    .strip_prefix("/data/inputs/0")
                    .unwrap_or(&rejection.pointer)
                    .to_owned(),
            ),
            hash,
            detail: rejection.detail,
        },
    }
}

fn check(iou: &str, domain: &str, at: Time) -> Result<(), Rejection> {
    // Not JSON by itself, it might become so among what is put around it.
    serde_json::from_str::<&RawValue>(iou)
        .map_err(|error| Rejection::new(Code::Malformed, "", format!("not JSON: {error}")))?;
    let body = body_of([iou.as_bytes()]);
    let request = Request::parse(&body, domain).map_err(|refusal| refusal.rejection)?;
    verified(&request)?;
    match clear(&request, 1, at, &Nothing) {
        Err(rejection)
            if (Code::NotYetActive..=Code::CreditNotByIssuer).contains(&rejection.code) =>
        {
            Err(rejection)
        }
        // Codes of balances say nothing: the accounts are not known here.
        _ => Ok(()),
    }
}

/// Whether those have signed who must.
pub fn verified(request: &Request) -> Result<(), Rejection> {
    let keys = signature::Keys::new(16);
    verify(&[request], &keys, &mut rand::rng()).into_iter().collect()
}

/// The IOUs in a text, and each line of it that is none: that one is broken must not
/// hide what is to be said of the others.
fn found(text: &[u8]) -> Vec<Cow<'_, str>> {
    if let Ok(documents) = documents(text) {
        return named(documents).collect();
    }
    let mut found = Vec::new();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
        match documents(line) {
            Ok(documents) => found.extend(named(documents)),
            Err(_) => found.push(String::from_utf8_lossy(line)),
        }
    }
    found
}

/// What there is to be said of: a document without an IOU is one that is none.
fn named(documents: Vec<Document<'_>>) -> impl Iterator<Item = Cow<'_, str>> {
    documents.into_iter().flat_map(|(document, mut ious)| {
        if ious.is_empty() {
            ious.push(document);
        }
        ious.into_iter().map(|iou| Cow::from(iou.get()))
    })
}

/// A JSON document, and the IOUs in it.
type Document<'a> = (&'a RawValue, Vec<&'a RawValue>);

/// The IOUs in a text, each exactly as it stands there: one IOU, an array of
/// them, one after another (NDJSON), a request, or a file of test vectors.
pub fn split(text: &[u8]) -> anyhow::Result<Vec<&RawValue>> {
    Ok(documents(text)?.into_iter().flat_map(|(_, ious)| ious).collect())
}

fn documents(text: &[u8]) -> anyhow::Result<Vec<Document<'_>>> {
    #[derive(Deserialize)]
    struct Vectors<'a> {
        #[serde(borrow)]
        cases: Vec<Case<'a>>,
        // What has these is a document, whatever else is in it.
        data: Option<&'a RawValue>,
        hash: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Case<'a> {
        #[serde(borrow)]
        iou: &'a RawValue,
    }
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        data: &'a RawValue,
        hash: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inputs<'a> {
        #[serde(borrow)]
        inputs: Vec<&'a RawValue>,
    }
    let documents = serde_json::Deserializer::from_slice(text).into_iter::<&RawValue>();
    let documents = documents.map(|document| {
        let document = document.context("not JSON")?;
        let ious = if let Some(vectors) = object::<Vectors<'_>>(document)
            && vectors.data.is_none()
            && vectors.hash.is_none()
        {
            vectors.cases.into_iter().map(|case| case.iou).collect()
        } else if let Some(body) = object::<Body<'_>>(document)
            && body.hash.is_none()
            && let Some(body) = object::<Inputs<'_>>(body.data)
        {
            body.inputs
        } else {
            serde_json::from_str(document.get()).unwrap_or_else(|_| vec![document])
        };
        Ok((document, ious))
    });
    documents.collect()
}

/// An object of this form, if it is one: an array is none, whatever serde reads it as.
fn object<'a, T: Deserialize<'a>>(json: &'a RawValue) -> Option<T> {
    json.get().starts_with('{').then(|| serde_json::from_str(json.get()).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use webwallet_ledger::address::Address;
    use webwallet_ledger::draft::Draft;
    use webwallet_ledger::signature::public_of;

    use super::*;

    /// Whatever a tool wrote its IOUs into, none may be lost or changed.
    #[test]
    fn ious_are_found_in_every_form() {
        let one = r#"{"hash":{"value":"a"},"data":{"x":"1","x":"2"}}"#;
        for text in [
            one.to_owned(),
            format!(" [{one}, {one}]"),
            format!("{one}\n{one}\n"),
            format!(r#"{{"data":{{"inputs":[{one},{one}]}}}}"#),
            format!(r#"{{"meta":{{"n":1}},"cases":[{{"name":"a","iou":{one}}},{{"iou":{one}}}]}}"#),
        ] {
            let found = split(text.as_bytes()).expect("read");
            assert!(!found.is_empty() && found.iter().all(|iou| iou.get() == one), "{text}");
        }
        assert!(split(b"").expect("read").is_empty());
        // What is a document itself is no wrapping of another: people would read the one, and
        // sign or pay the other.
        let hash = r#""hash":{"value":"a"}"#;
        for two in [
            format!(r#"{{"data":{{"x":"3"}},{hash},"cases":[{{"iou":{one}}}]}}"#),
            format!(r#"{{"data":{{"x":"3","inputs":[{one}]}},{hash}}}"#),
            format!(r#"{{"data":{{"inputs":[{one}]}},{hash}}}"#),
        ] {
            assert_eq!(split(two.as_bytes()).expect("read")[0].get(), two);
        }
        // What has none is not passed over where something is said of each.
        for none in [r#"{"data":{"inputs":[]}}"#, r#"{"cases":[]}"#, "[]"] {
            assert_eq!(split(none.as_bytes()).expect("read").len(), 0);
            assert_eq!(found(none.as_bytes()), [none]);
        }
        let array = r#"{"data":[[]]}"#;
        assert_eq!(found(array.as_bytes()), [array]);
        assert!(split(b"{").is_err());
    }

    /// Whoever checks a thousand IOUs must hear of all, not of the first broken one.
    #[test]
    fn a_broken_line_is_one_refused_iou_among_the_others() {
        let text = b"{\"a\":1}\n\n{\"b\":\n[{\"c\":2},{\"d\":3}]\n\xff\n";
        let found: Vec<_> = found(text).into_iter().map(Cow::into_owned).collect();
        assert_eq!(found, [r#"{"a":1}"#, r#"{"b":"#, r#"{"c":2}"#, r#"{"d":3}"#, "\u{fffd}"]);
        let at = clock::parse("2027-01-01T00:00:00Z").expect("time");
        for broken in [found[1].as_str(), found[4].as_str(), "1,2"] {
            assert_eq!(judge(broken, "localhost", at).code, Some(Code::Malformed.as_str()));
        }
    }

    /// What no server would ever take is found before it is sent; the earlier
    /// code wins, and balances are not asked for.
    #[test]
    fn time_and_credit_are_judged_in_their_order() {
        let [issuer, other] = [[1; 32], [2; 32]].map(|key| Address::of_public(&public_of(&key)));
        let at = clock::parse("2027-01-01T00:00:00Z").expect("time");
        for (symbol, expiry, credit, expected) in [
            (issuer, 1, Some("-5"), None),
            (issuer, 1, None, None),
            (other, 1, None, None),
            (other, 1, Some("-5"), Some("credit_not_by_issuer")),
            (other, -1, Some("-5"), Some("expired")),
            (other, 3_661, Some("-5"), Some("expiry_too_far")),
        ] {
            let draft = Draft {
                domain: "localhost".to_owned(),
                source: issuer,
                target: other,
                symbol,
                amount: "1".to_owned(),
                random: "00".repeat(16),
                expiry: at.plus_days(expiry),
                active: None,
                credit: credit.map(str::to_owned),
                locker: None,
                solver: None,
            };
            let signed = String::from_utf8(draft.sign(&[1; 32])).expect("text");
            assert_eq!(judge(&signed, "localhost", at).code, expected, "{signed}");
        }
    }

    /// What is not JSON at all is refused like a server would refuse it.
    #[test]
    fn nonsense_is_malformed() {
        let at = clock::parse("2027-01-01T00:00:00Z").expect("time");
        let verdict = judge("7", "localhost", at);
        assert_eq!(
            (verdict.valid, verdict.code, verdict.hash),
            (false, Some(Code::Malformed.as_str()), None)
        );
        assert_eq!(verdict.pointer.as_deref(), Some(""));
    }
}
