//! Clearing: whether a request moves what it says, and what is left after.
//!
//! Limits are judged on the final values of the whole request, so the order of
//! inputs never changes a verdict and a circle of debts with no money in it
//! clears.

use std::collections::{HashMap, HashSet};

use crate::account::{Account, AccountId, Balance};
use crate::amount::Amount;
use crate::hash::Hash;
use crate::history::{History, RecordOf};
use crate::iou::Iou;
use crate::limits::{RECORD_BYTES_MAX, WHOLE_DIGITS_MAX};
use crate::lock::{Lock, Solver, Use};
use crate::pointer::Pointer;
use crate::record::{Left, Output, Record};
use crate::rejection::{Code, Earliest, Rejection};
use crate::request::Request;
use crate::suggestion::{self, Shortfall};
use crate::time::Time;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cleared {
    /// It cleared now.
    Now(Record),
    /// It is the repeat of the record with this number.
    Before(RecordOf),
}

/// The record made of exactly this set of IOUs, if there is one.
pub fn replay(ious: &[Hash], history: &impl History) -> Option<RecordOf> {
    let mut records = ious.iter().map(|iou| history.record_of(iou));
    let first = records.next()??;
    // Distinct IOUs, as many as the record has, all in it: the same set.
    let same = records.all(|record| record.is_some_and(|r| r.number == first.number));
    (same && first.inputs as usize == ious.len()).then_some(first)
}

/// Clears a request whose signatures were verified, giving it this number and
/// time.
///
/// # Errors
/// The earliest code from `iou_already_cleared` on, over all inputs or accounts;
/// last of all `too_large` when the record would not fit a leaf of the log.
pub fn clear(
    request: &Request,
    number: u64,
    time: Time,
    history: &impl History,
) -> Result<Cleared, Rejection> {
    decide(request, number, time, history).map_err(|refused| refused.explained(request))
}

/// The same for whoever has others waiting: what could be suggested instead is
/// not looked for yet.
///
/// # Errors
/// As [`clear`]; [`Refused::explained`] is its rejection.
pub fn decide(
    request: &Request,
    number: u64,
    time: Time,
    history: &impl History,
) -> Result<Cleared, Refused> {
    if let Some(record) = replay(&request.ious(), history) {
        return Ok(Cleared::Before(record));
    }
    let mut found = Earliest::default();
    let (used, left) = judge(request, time, history, &mut found);
    if let Err(rejection) = found.into_result() {
        let shortfall = Shortfall::of(rejection.code, request, used, history);
        return Err(Refused { rejection, shortfall, number, time });
    }
    let record = Record::new(number, time, request, left);
    match fits(&record) {
        Ok(()) => Ok(Cleared::Now(record)),
        Err(rejection) => Err(Refused { rejection, shortfall: None, number, time }),
    }
}

fn fits(record: &Record) -> Result<(), Rejection> {
    if record.bytes.len() <= RECORD_BYTES_MAX {
        return Ok(());
    }
    let detail = "the record of this request would be larger than a leaf of the log";
    let rejection = Rejection::new(Code::TooLarge, "/data/inputs", detail);
    Err(rejection.measured(RECORD_BYTES_MAX, record.bytes.len()))
}

/// A refusal, with what it takes to say how the request could have cleared.
#[derive(Debug)]
pub struct Refused {
    rejection: Rejection,
    shortfall: Option<Shortfall>,
    number: u64,
    time: Time,
}

impl Refused {
    /// The rejection, with its suggestion if there is one. `request` is the one
    /// that was refused.
    pub fn explained(self, request: &Request) -> Rejection {
        let Refused { mut rejection, shortfall, number, time } = self;
        let clears = |changed: &Request, shortfall: &Shortfall| {
            let mut found = Earliest::default();
            let account = |id: &AccountId| shortfall.accounts.get(id).cloned();
            let left = settle(changed, &shortfall.used, account, &mut found);
            let judged = found.into_result().map(|()| left);
            judged.is_ok_and(|left| fits(&Record::new(number, time, changed, left)).is_ok())
        };
        if let Some(shortfall) = shortfall {
            rejection.suggestion = suggestion::smallest(request, shortfall, clears);
        }
        rejection
    }
}

/// The outputs that a request leaves, for whoever has its record already and
/// only asks whether it is right. Replays and sizes are not looked at.
///
/// # Errors
/// The earliest code from `iou_already_cleared` on, over all inputs or accounts.
pub fn outputs(request: &Request, time: Time, history: &impl History) -> Result<Left, Rejection> {
    let mut found = Earliest::default();
    let (_, left) = judge(request, time, history, &mut found);
    found.into_result()?;
    Ok(left)
}

/// Every rule that needs a history but the first, that a request clears once: what is used of
/// locks, and what the request leaves.
fn judge(
    request: &Request,
    time: Time,
    history: &impl History,
    found: &mut Earliest,
) -> (Vec<Option<Amount>>, Left) {
    judge_inputs(request, time, history, found);
    let used = judge_locks(request, time, history, found);
    // Also behind a fault in a lock: more withdrawn than granted is an earlier code.
    let left = settle(request, &used, |id| history.account(id), found);
    (used, left)
}

/// Once only, in time, credit by the issuer.
fn judge_inputs(request: &Request, time: Time, history: &impl History, found: &mut Earliest) {
    for (i, iou) in request.inputs.iter().enumerate() {
        if let Some(record) = history.record_of(&iou.hash) {
            let pointer = format!("/data/inputs/{i}");
            let detail = format!("this IOU is in record {}", record.number);
            let mut rejection = Rejection::new(Code::IouAlreadyCleared, pointer, detail);
            rejection.record = Some(record.hash);
            found.note(rejection);
        }
        if let Err(rejection) = iou.in_time(time, i) {
            found.note(rejection);
        }
        if iou.credit.is_some() && iou.source != iou.symbol {
            let pointer = format!("/data/inputs/{i}/data/credit");
            let detail = "only the issuer of a unit gives credit in it";
            found.note(Rejection::new(Code::CreditNotByIssuer, pointer, detail));
        }
    }
}

/// What each input gets out of a lock; nothing at all where none uses one.
fn judge_locks(
    request: &Request,
    time: Time,
    history: &impl History,
    found: &mut Earliest,
) -> Vec<Option<Amount>> {
    if request.inputs.iter().all(|iou| iou.solver.is_none()) {
        return Vec::new();
    }
    let mut named = HashSet::new();
    let mut judge = |i: usize, iou: &Iou, solver: &Solver| {
        let lock = history.lock(&solver.output).filter(|lock| lock.account.unit == iou.symbol);
        let lock = lock.filter(|_| named.insert(solver.output)).ok_or_else(|| {
            let detail = "no lock in this unit stands there, or it was used";
            Rejection::new(Code::LockNotFound, "/data/solver/output", detail)
        });
        let solved = |script: &Hash| iou.claims.solved.contains(script);
        let hashee = solver.hashee.as_deref();
        let use_ = Use { by: iou.source, time: &time, hashee, solved: &solved };
        let judged = lock.and_then(|lock| lock.judge(&use_).map(|()| lock.amount));
        judged.map_err(|mut rejection| {
            rejection.pointer.insert_str(0, &format!("/data/inputs/{i}"));
            found.note(rejection);
        })
    };
    let uses = |(i, iou): (usize, &Iou)| judge(i, iou, iou.solver.as_ref()?).ok();
    request.inputs.iter().enumerate().map(uses).collect()
}

/// An account while the inputs of a request are added up.
struct Touched {
    id: AccountId,
    before: Option<Account>,
    balance: Balance,
    /// The first input that touches it.
    input: usize,
    /// The locks that it gets.
    collected: Vec<Pointer>,
}

/// Adds up all inputs, judges the final values and makes the outputs. `used` is
/// what each input gets out of a lock, `account` an account as it was.
fn settle(
    request: &Request,
    used: &[Option<Amount>],
    account: impl Fn(&AccountId) -> Option<Account>,
    found: &mut Earliest,
) -> Left {
    let mut touched: Vec<Touched> = Vec::with_capacity(request.inputs.len() * 2);
    let mut places: HashMap<AccountId, usize> = HashMap::with_capacity(request.inputs.len() * 2);
    let mut locks = Vec::new();
    for (input, iou) in request.inputs.iter().enumerate() {
        let mut touch = |address| {
            let id = AccountId { unit: iou.symbol, address };
            *places.entry(id).or_insert_with(|| {
                let before = account(&id);
                let balance = before.as_ref().map(|account| account.balance.clone());
                let balance = balance.unwrap_or_else(|| Balance::initial(&id));
                let collected = Vec::new();
                touched.push(Touched { id, before, balance, input, collected });
                touched.len() - 1
            })
        };
        let source = touch(iou.source);
        // An amount of zero touches the target only when it gives credit, a
        // locked one not at all.
        let moves = (!iou.amount.is_zero() || iou.credit.is_some()) && iou.locker.is_none();
        let target = moves.then(|| touch(iou.target));
        let net = &mut touched[source].balance.net;
        *net = net.minus(&iou.amount);
        if let (Some(solver), Some(Some(used))) = (&iou.solver, used.get(input)) {
            *net = net.plus(used);
            touched[source].collected.push(solver.output);
        }
        if let Some(locker) = &iou.locker {
            let account = AccountId { unit: iou.symbol, address: iou.target };
            let (amount, locker) = (iou.amount.clone(), locker.clone());
            locks.push(Lock { account, source: iou.source, amount, locker });
        }
        if let Some(target) = target {
            let balance = &mut touched[target].balance;
            balance.net = balance.net.plus(&iou.amount);
            if let (Some(min), Some(credit)) = (&mut balance.min, &iou.credit) {
                *min = min.plus(credit);
            }
        }
    }
    for account in &touched {
        judge_account(account, found);
    }
    let output = |account: Touched| Output {
        account: account.id,
        balance: account.balance,
        sources: account
            .before
            .map(|before| before.output)
            .into_iter()
            .chain(account.collected)
            .collect(),
    };
    Left { outputs: touched.into_iter().map(output).collect(), locks }
}

/// min <= 0, min <= net <= max, and nothing longer than can be written.
fn judge_account(touched: &Touched, found: &mut Earliest) {
    let Balance { net, min, max } = &touched.balance;
    let mut note = |code, detail: &str, limit: String, actual: String| {
        let pointer = format!("/data/inputs/{}", touched.input);
        let mut rejection = Rejection::new(code, pointer, detail).measured(limit, actual);
        rejection.account = Some(touched.id.to_string());
        found.note(rejection);
    };
    if let Some(min) = min
        && min.is_positive()
    {
        let detail = "more credit is withdrawn than was granted";
        note(Code::CreditNotGranted, detail, "0".into(), min.to_string());
    }
    if let Some(min) = min
        && net < min
    {
        let detail = "the balance would fall below the account's lower limit";
        note(Code::BalanceBelowMin, detail, min.to_string(), net.to_string());
    }
    if let Some(max) = max
        && net > max
    {
        let detail = "the balance would rise above the account's upper limit";
        note(Code::BalanceAboveMax, detail, max.to_string(), net.to_string());
    }
    let digits = |amount: &Amount| amount.whole_digits();
    let digits = digits(net).max(min.as_ref().map_or(0, digits));
    if digits > WHOLE_DIGITS_MAX {
        let detail = "the result has too many digits before the point";
        note(Code::AmountOverflow, detail, WHOLE_DIGITS_MAX.to_string(), digits.to_string());
    }
}
