//! Clears every record again and compares what comes out with what the log
//! says. After a wrong clearing it goes on with the outputs as logged, so that
//! one false record is one finding and not a thousand.

use std::collections::HashSet;

use webwallet_ledger::account::{Account, AccountId};
use webwallet_ledger::block::Header;
use webwallet_ledger::hash::Hash;
use webwallet_ledger::leaf::Entry;
use webwallet_ledger::lock::Lock;
use webwallet_ledger::record::{Left, Output, Record};
use webwallet_ledger::rejection::{Code as Refused, Rejection};
use webwallet_ledger::request::Request;
use webwallet_ledger::state::State;
use webwallet_ledger::{History, Pointer, RecordOf, clear};

use crate::finding::{Code, Finding, Findings, Place};
use crate::seen::Seen;

/// All accounts as the last record left them, and the IOUs that live.
pub(crate) struct Replay {
    state: State,
    seen: Seen,
    /// Locks that were used: an IOU that names one of them again uses it twice.
    used: HashSet<Pointer>,
}

/// The accounts, for clearing. Whether an IOU was used before is asked
/// elsewhere ([`Seen`]): here none was, or a repeat would pass as an answer
/// given again.
struct Accounts<'a>(&'a State);

impl History for Accounts<'_> {
    fn account(&self, account: &AccountId) -> Option<Account> {
        self.0.account(account)
    }

    fn record_of(&self, _: &Hash) -> Option<RecordOf> {
        None
    }

    fn lock(&self, pointer: &Pointer) -> Option<Lock> {
        self.0.lock(pointer)
    }
}

impl Replay {
    pub fn new() -> Replay {
        Replay { state: State::new(), seen: Seen::new(), used: HashSet::new() }
    }

    /// A record, and what was found of its signatures.
    pub fn record(
        &mut self,
        place: Place,
        entry: &Entry,
        signatures: Option<&Rejection>,
        found: &mut Findings,
    ) {
        let mut note = |rejection: &Rejection| found.leaf(refused(place, rejection));
        match &entry.request {
            Err(rejection) => note(rejection),
            Ok(request) => {
                if let Some(rejection) = signatures {
                    note(rejection);
                }
                self.clear(place, &entry.record, request, found);
            }
        }
        self.state.apply(&entry.record);
    }

    fn clear(&mut self, place: Place, record: &Record, request: &Request, found: &mut Findings) {
        for (i, iou) in request.inputs.iter().enumerate() {
            if !self.seen.insert(&iou.hash, iou.expiry, record.time) {
                let field = format!("meta.inputs.{i}");
                let detail = format!("the IOU {} is in an earlier record", iou.hash);
                found.leaf(Finding::wrong(place, Code::Double, field, detail));
            }
        }
        for (i, iou) in request.inputs.iter().enumerate() {
            let Some(solver) = &iou.solver else { continue };
            // Where no such lock ever was, using it is another fault.
            let is_lock = || self.state.lock(&solver.output).is_some();
            let again = match self.used.contains(&solver.output) {
                true => true,
                false => is_lock() && !self.used.insert(solver.output),
            };
            if again {
                let field = format!("meta.inputs.{i}.data.solver.output");
                let detail = format!("the lock {} was used before", solver.output);
                found.leaf(Finding::wrong(place, Code::Double, field, detail));
            }
        }
        match clear::outputs(request, record.time, &Accounts(&self.state)) {
            Ok(left) if is_written(&left, record) => {}
            Ok(left) => found.leaf(another(place, &left, record)),
            Err(rejection) => found.leaf(refused(place, &rejection)),
        }
    }

    /// The end of a block.
    pub fn block(&mut self, place: Place, header: &Header, found: &mut Findings) {
        let (state, units) = self.state.roots();
        for (field, expected, actual) in
            [("data.state", state, header.state), ("data.units", units, header.units)]
        {
            if expected != actual {
                found.leaf(Finding::at(place, Code::State, field, Hash(expected), Hash(actual)));
            }
        }
        for (unit, sum) in self.state.unbalanced() {
            found.leaf(Finding::at(place, Code::Sum, unit.to_string(), "0", &sum));
        }
    }
}

/// The finding that a record should have been refused.
fn refused(place: Place, rejection: &Rejection) -> Finding {
    let code = match rejection.code {
        Refused::Malformed | Refused::UnsupportedField | Refused::TooLarge => Code::Encoding,
        Refused::UnsupportedHash | Refused::HashMismatch => Code::Hash,
        Refused::WrongDomain => Code::Domain,
        Refused::UnsupportedScheme
        | Refused::AddressInvalid
        | Refused::KeyAddressMismatch
        | Refused::SignatureMissing
        | Refused::SignatureInvalid
        | Refused::PuzzleUnsolved => Code::Sig,
        Refused::IouAlreadyCleared => Code::Double,
        Refused::NotYetActive | Refused::Expired | Refused::ExpiryTooFar => Code::Expiry,
        Refused::CreditNotByIssuer | Refused::CreditNotGranted => Code::Grant,
        Refused::LockNotFound
        | Refused::LockNotYours
        | Refused::LockClosed
        | Refused::LockUnsolved => Code::Lock,
        Refused::BalanceBelowMin | Refused::BalanceAboveMax | Refused::AmountOverflow => {
            Code::Limit
        }
    };
    // A rejection points into a request; in a record the IOUs are in `meta`.
    let pointer = rejection.pointer.replacen("/data/inputs/", "/meta/inputs/", 1);
    let detail = format!("{}: {}", rejection.code, rejection.detail);
    let finding = Finding::wrong(place, code, dotted(&pointer), &detail);
    match (&rejection.limit, &rejection.actual) {
        (Some(limit), Some(actual)) => Finding {
            expected: Some(limit.clone()),
            actual: Some(format!("{actual} ({detail})")),
            ..finding
        },
        _ => finding,
    }
}

/// A JSON pointer as findings name fields.
pub(crate) fn dotted(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".")
}

/// Whether the record has exactly these outputs, to the letter.
fn is_written(left: &Left, record: &Record) -> bool {
    const BEFORE: &[u8] = b",\"outputs\":[";
    let mut written = Vec::with_capacity(record.bytes.len());
    left.write(&mut written);
    written.push(b']');
    // The first in the canonical form: before it, only texts and `inputs`.
    let start = memchr::memmem::find(&record.bytes, BEFORE).map(|at| at + BEFORE.len());
    start.is_some_and(|start| record.bytes[start..].starts_with(&written))
}

/// The finding that clearing gives other outputs.
fn another(place: Place, cleared: &Left, logged: &Record) -> Finding {
    let texts = |outputs: &[Output], locks: &[Lock]| -> Vec<String> {
        let written = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut out = Vec::new();
            write(&mut out);
            String::from_utf8(out).unwrap_or_default()
        };
        let outputs = outputs.iter().map(|output| written(&|out| output.write(out)));
        outputs.chain(locks.iter().map(|lock| written(&|out| lock.write(out)))).collect()
    };
    let cleared = texts(&cleared.outputs, &cleared.locks);
    let logged = texts(&logged.outputs, &logged.locks);
    let longer = cleared.len().max(logged.len());
    let Some(i) = (0..longer).find(|i| cleared.get(*i) != logged.get(*i)) else {
        let detail = "a decimal is not in its shortest form";
        return Finding::wrong(place, Code::Output, "data.outputs", detail);
    };
    let text = |texts: &[String]| texts.get(i).cloned().unwrap_or_default();
    Finding::at(place, Code::Output, format!("data.outputs.{i}"), text(&cleared), text(&logged))
}
