//! Records: what a cleared request leaves, and the outputs in it that later
//! requests consume.

use crate::account::{Account, AccountId, Balance};
use crate::address::Address;
use crate::amount::Amount;
use crate::checkpoint::decimal;
use crate::document::{self, Document};
use crate::hash::Hash;
use crate::history::RecordOf;
use crate::iou::Iou;
use crate::json::{Value, member, text_of, write_text};
use crate::limits::INPUTS_MAX;
use crate::lock::Lock;
use crate::pointer::{NotAPointer, Pointer};
use crate::rejection::Rejection;
use crate::request::Request;
use crate::shape::{Object, Path, array, text};
use crate::time::{NotATime, Time};

/// What a clearing leaves for one account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Output {
    /// Whose, and in which unit.
    pub account: AccountId,
    /// Net and limits after the clearing.
    pub balance: Balance,
    /// The outputs it consumed.
    pub sources: Vec<Pointer>,
}

impl Output {
    /// Appends its canonical JSON.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"address\":");
        write_text(self.account.address.as_str(), out);
        out.extend_from_slice(b",\"balance\":{\"max\":");
        write_text(&self.balance.max_text(), out);
        out.extend_from_slice(b",\"min\":");
        write_text(&self.balance.min_text(), out);
        out.extend_from_slice(b",\"net\":");
        write_text(&self.balance.net.to_string(), out);
        out.extend_from_slice(b"},\"counter\":");
        write_text(self.account.unit.as_str(), out);
        out.extend_from_slice(b",\"sources\":[");
        for (i, source) in self.sources.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            write_text(&source.to_string(), out);
        }
        out.extend_from_slice(b"]}");
    }

    fn read(value: &Value<'_>, at: &Path<'_>) -> Result<Output, Rejection> {
        let output = Object::new(value, at, &["address", "balance", "counter", "sources"])?;
        let balance_at = at.key("balance");
        let balance =
            Object::new(output.required("balance", at)?, &balance_at, &["max", "min", "net"])?;
        let part = |key: &str| balance.text(key, &balance_at);
        let balance = Balance::from_texts(part("net")?, part("min")?, part("max")?)
            .map_err(|e| balance_at.malformed(e.to_string()))?;
        let sources_at = at.key("sources");
        let read_source = |(i, source): (usize, &Value<'_>)| {
            let at = sources_at.index(i);
            text(source, &at)?.parse().map_err(|e: NotAPointer| at.malformed(e.to_string()))
        };
        let sources = array(output.required("sources", at)?, &sources_at)?;
        Ok(Output {
            account: AccountId {
                unit: output.parsed("counter", at)?,
                address: output.parsed("address", at)?,
            },
            balance,
            sources: sources.iter().enumerate().map(read_source).collect::<Result<_, _>>()?,
        })
    }
}

/// What stands before the domain in the canonical form.
const DOMAIN: &[u8] = b"{\"data\":{\"domain\":\"";

/// A cleared request: its number, its time and its outputs, under one hash.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// From 1, without gaps, in the order of clearing.
    pub number: u64,
    /// The writer's time; one for a batch, never before that of the record before.
    pub time: Time,
    /// Its name: SHA3-256 of its `data`.
    pub hash: Hash,
    /// Canonical JSON of the whole document, the IOUs as signed included.
    pub bytes: Vec<u8>,
    /// The hashes of its IOUs, in the order of the request.
    pub inputs: Vec<Hash>,
    /// One for each account touched, in order of first mention.
    pub outputs: Vec<Output>,
    /// What it locks, in the order of its IOUs; in the document they follow the
    /// outputs of accounts.
    pub locks: Vec<Lock>,
    /// The locks that its IOUs use, in their order.
    pub collects: Vec<Pointer>,
    /// The credit that its IOUs give (negative) and withdraw, each with its unit:
    /// what is added to a lower limit, in the order of the IOUs.
    pub credits: Vec<(Address, Amount)>,
}

impl Record {
    /// The accounts it touched, as it leaves them.
    pub fn accounts(&self) -> impl Iterator<Item = (AccountId, Account)> + '_ {
        (0..).zip(&self.outputs).map(|(index, output)| {
            let pointer = Pointer { record: self.hash, index };
            (output.account, Account { balance: output.balance.clone(), output: pointer })
        })
    }

    /// Its locks and their references.
    pub fn locked(&self) -> impl Iterator<Item = (Pointer, &Lock)> + '_ {
        (self.outputs.len() as u32..)
            .zip(&self.locks)
            .map(|(index, lock)| (Pointer { record: self.hash, index }, lock))
    }

    /// The output of its own account that this output of the record consumed:
    /// what it consumed beside are locks.
    pub fn spent(&self, output: &Output) -> Option<Pointer> {
        output.sources.first().copied().filter(|source| !self.collects.contains(source))
    }

    /// The server that cleared it, as its bytes spell it: a quote or backslash
    /// in it stands escaped. Whether it is a certain one is for [`Record::is_of`].
    pub fn domain(&self) -> &str {
        let rest = self.bytes.strip_prefix(DOMAIN).unwrap_or_default();
        // No text has a quote in it that is not escaped.
        let end = memchr::memmem::find(rest, b"\",\"inputs\":").unwrap_or_default();
        std::str::from_utf8(&rest[..end]).unwrap_or_default()
    }

    /// Whether the server of this domain cleared it, as its bytes say.
    pub fn is_of(&self, domain: &str) -> bool {
        let mut written = Vec::with_capacity(domain.len() + 2);
        write_text(domain, &mut written);
        // A text has one spelling, its quotes included.
        let rest = self.bytes.strip_prefix(&DOMAIN[..DOMAIN.len() - 1]).unwrap_or_default();
        rest.starts_with(&written)
    }

    /// Where its IOUs are cleared from now on.
    pub fn cleared(&self) -> RecordOf {
        RecordOf { number: self.number, hash: self.hash, inputs: self.inputs.len() as u32 }
    }

    /// The record of this request with these outputs.
    pub(crate) fn new(number: u64, time: Time, request: &Request, left: Left) -> Record {
        let Left { outputs, locks } = left;
        let ious: usize = request.inputs.iter().map(|iou| iou.bytes.len() + 80).sum();
        let room = ious + (outputs.len() + locks.len()) * 320 + 400;
        let mut bytes = Vec::with_capacity(room);
        bytes.extend_from_slice(b"{\"data\":");
        let data_start = bytes.len();
        bytes.extend_from_slice(b"{\"domain\":");
        write_text(&request.domain, &mut bytes);
        bytes.extend_from_slice(b",\"inputs\":[");
        for (i, iou) in request.inputs.iter().enumerate() {
            bytes.extend_from_slice(if i > 0 { b",{\"hash\":" } else { b"{\"hash\":" });
            write_text(&iou.hash.to_string(), &mut bytes);
            bytes.push(b'}');
        }
        bytes.extend_from_slice(b"],\"kind\":\"record\",\"number\":");
        write_text(&number.to_string(), &mut bytes);
        bytes.extend_from_slice(b",\"outputs\":[");
        write_outputs(&outputs, &locks, &mut bytes);
        bytes.extend_from_slice(b"],\"time\":");
        write_text(&time.to_string(), &mut bytes);
        bytes.push(b'}');
        let hash = document::end_data(&mut bytes, data_start);
        bytes.extend_from_slice(b"{\"inputs\":[");
        for (i, iou) in request.inputs.iter().enumerate() {
            if i > 0 {
                bytes.push(b',');
            }
            bytes.extend_from_slice(&iou.bytes);
        }
        bytes.extend_from_slice(b"]}}");
        let (inputs, collects) = (request.ious(), request.collects().collect());
        let credit = |iou: &Iou| iou.credit.clone().map(|credit| (iou.symbol, credit));
        let credits = request.inputs.iter().filter_map(credit).collect();
        Record { number, time, hash, bytes, inputs, outputs, locks, collects, credits }
    }

    /// Reads a record as it is stored. Of its IOUs only their credit and the
    /// locks that they use are looked at: the rest is for
    /// [`crate::leaf::Leaf::parse`].
    ///
    /// # Errors
    /// `malformed` or `too_large` when it is not canonical JSON of a record's
    /// shape and size, `unsupported_hash` or `hash_mismatch` when its name is
    /// not the hash of its data.
    pub fn parse(bytes: &[u8]) -> Result<Record, Rejection> {
        let document = Document::parse(bytes)?;
        let record = Record::read(&document, bytes)?;
        document.named.map(|()| record)
    }

    /// Reads the data of a record. The name is the one claimed.
    pub(crate) fn read(document: &Document<'_>, bytes: &[u8]) -> Result<Record, Rejection> {
        let root = Path::ROOT;
        let at = root.key("data");
        let keys = ["domain", "inputs", "kind", "number", "outputs", "time"];
        let data = Object::new(&document.data, &at, &keys)?;
        data.text("domain", &at)?;
        if data.text("kind", &at)? != "record" {
            return Err(at.key("kind").malformed("not a record"));
        }
        let inputs_at = at.key("inputs");
        let read_input = |(i, input): (usize, &Value<'_>)| {
            let at = inputs_at.index(i);
            Object::new(input, &at, &["hash"])?.parsed("hash", &at)
        };
        let outputs_at = at.key("outputs");
        let (number, time) = place(&document.data)?;
        carried(&document.meta)?;
        let inputs = array(data.required("inputs", &at)?, &inputs_at)?;
        if !(1..=INPUTS_MAX).contains(&inputs.len()) {
            return Err(inputs_at.malformed(format!("a record has 1 to {INPUTS_MAX} inputs")));
        }
        let outputs = array(data.required("outputs", &at)?, &outputs_at)?;
        let is_lock = |output: &Value<'_>| member(output, "locker").is_some();
        let accounts = outputs.iter().position(is_lock).unwrap_or(outputs.len());
        let (outputs, locks) = outputs.split_at(accounts);
        let read_output = |(i, output)| Output::read(output, &outputs_at.index(i));
        let read_lock = |(i, lock)| Lock::read(lock, &outputs_at.index(accounts + i));
        Ok(Record {
            number,
            time,
            hash: document.hash,
            bytes: bytes.to_vec(),
            inputs: inputs.iter().enumerate().map(read_input).collect::<Result<_, _>>()?,
            outputs: outputs.iter().enumerate().map(read_output).collect::<Result<_, _>>()?,
            locks: locks.iter().enumerate().map(read_lock).collect::<Result<_, _>>()?,
            collects: of_ious(&document.meta, collects),
            credits: of_ious(&document.meta, credits),
        })
    }
}

/// Number and time in the data of a record, whatever other keys it has.
pub(crate) fn place(data: &Value<'_>) -> Result<(u64, Time), Rejection> {
    let root = Path::ROOT;
    let at = root.key("data");
    let number = text_of(data, "number").and_then(decimal).ok_or_else(|| {
        let detail = "expected a decimal from 0 to 2^64-1 without leading zero";
        at.key("number").malformed(detail)
    })?;
    let time = text_of(data, "time").and_then(|time| time.parse().ok());
    Ok((number, time.ok_or_else(|| at.key("time").malformed(NotATime.to_string()))?))
}

/// The IOUs in the meta of a record, none of them read.
pub(crate) fn carried<'v, 'a>(meta: &'v Value<'a>) -> Result<&'v [Value<'a>], Rejection> {
    let root = Path::ROOT;
    let at = root.key("meta");
    array(Object::new(meta, &at, &["inputs"])?.required("inputs", &at)?, &at.key("inputs"))
}

/// What a clearing leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// One output for each account touched, in order of first mention.
    pub outputs: Vec<Output>,
    /// What is locked, in the order of the IOUs.
    pub locks: Vec<Lock>,
}

impl Left {
    /// Appends the canonical JSON of all, with commas between.
    pub fn write(&self, out: &mut Vec<u8>) {
        write_outputs(&self.outputs, &self.locks, out);
    }
}

fn write_outputs(outputs: &[Output], locks: &[Lock], out: &mut Vec<u8>) {
    let start = out.len();
    let comma = |out: &mut Vec<u8>| {
        if out.len() > start {
            out.push(b',');
        }
    };
    for output in outputs {
        comma(out);
        output.write(out);
    }
    for lock in locks {
        comma(out);
        lock.write(out);
    }
}

/// What the data of each IOU in a record's meta says, where it says it.
fn of_ious<T>(meta: &Value<'_>, said: fn(&Value<'_>) -> Option<T>) -> Vec<T> {
    let Some(Value::Array(ious)) = member(meta, "inputs") else { return Vec::new() };
    ious.iter().filter_map(|iou| said(member(iou, "data")?)).collect()
}

/// The lock that it uses.
fn collects(iou: &Value<'_>) -> Option<Pointer> {
    text_of(member(iou, "solver")?, "output")?.parse().ok()
}

/// Its credit and the unit that it is of.
fn credits(iou: &Value<'_>) -> Option<(Address, Amount)> {
    let credit = Amount::parse_signed(text_of(iou, "credit")?).ok()?;
    Some((text_of(iou, "symbol")?.parse().ok()?, credit))
}
