//! Clearing: whether a request moves what it says, and what is left after.
//!
//! Limits are judged on the final values of the whole request, so the order of
//! inputs never changes a verdict and a circle of debts with no money in it
//! clears.

use std::collections::HashMap;

use crate::account::{Account, AccountId, Balance};
use crate::amount::Amount;
use crate::hash::Hash;
use crate::limits::{RECORD_BYTES_MAX, WHOLE_DIGITS_MAX};
use crate::record::{Output, Record};
use crate::rejection::{Code, Earliest, Rejection};
use crate::request::Request;
use crate::time::Time;

/// What clearing needs to know of everything cleared before.
pub trait History {
    /// The account as the last clearing left it; `None` if never touched.
    fn account(&self, account: &AccountId) -> Option<Account>;
    /// The record that holds this IOU.
    fn record_of(&self, iou: &Hash) -> Option<RecordOf>;
}

/// The history before the first payment: nobody has touched anything.
#[derive(Clone, Copy, Debug)]
pub struct Nothing;

impl History for Nothing {
    fn account(&self, _: &AccountId) -> Option<Account> {
        None
    }

    fn record_of(&self, _: &Hash) -> Option<RecordOf> {
        None
    }
}

/// Where an IOU was cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordOf {
    /// The record's number.
    pub number: u64,
    /// The record's name.
    pub hash: Hash,
    /// How many IOUs it holds.
    pub inputs: u32,
}

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
    domain: &str,
    number: u64,
    time: Time,
    history: &impl History,
) -> Result<Cleared, Rejection> {
    if let Some(record) = replay(&request.ious(), history) {
        return Ok(Cleared::Before(record));
    }
    let outputs = outputs(request, time, history)?;
    let record = Record::new(domain, number, time, request, outputs);
    if record.bytes.len() > RECORD_BYTES_MAX {
        let detail = "the record of this request would be larger than a leaf of the log";
        return Err(Rejection::new(Code::TooLarge, "/data/inputs", detail)
            .measured(RECORD_BYTES_MAX, record.bytes.len()));
    }
    Ok(Cleared::Now(record))
}

/// The outputs that a request leaves, for whoever has its record already and
/// only asks whether it is right. Replays and sizes are not looked at.
///
/// # Errors
/// The earliest code from `iou_already_cleared` on, over all inputs or accounts.
pub fn outputs(
    request: &Request,
    time: Time,
    history: &impl History,
) -> Result<Vec<Output>, Rejection> {
    judge_inputs(request, time, history)?;
    settle(request, history)
}

/// Once only, in time, credit by the issuer.
fn judge_inputs(request: &Request, time: Time, history: &impl History) -> Result<(), Rejection> {
    let mut found = Earliest::default();
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
    found.into_result()
}

/// An account while the inputs of a request are added up.
struct Touched {
    id: AccountId,
    before: Option<Account>,
    balance: Balance,
    /// The first input that names it.
    input: usize,
}

/// Adds up all inputs, judges the final values and makes the outputs.
fn settle(request: &Request, history: &impl History) -> Result<Vec<Output>, Rejection> {
    let mut touched: Vec<Touched> = Vec::with_capacity(request.inputs.len() * 2);
    let mut places: HashMap<AccountId, usize> = HashMap::with_capacity(request.inputs.len() * 2);
    for (input, iou) in request.inputs.iter().enumerate() {
        let mut touch = |address| {
            let id = AccountId { unit: iou.symbol, address };
            *places.entry(id).or_insert_with(|| {
                let before = history.account(&id);
                let balance = before.as_ref().map(|account| account.balance.clone());
                let balance = balance.unwrap_or_else(|| Balance::initial(&id));
                touched.push(Touched { id, before, balance, input });
                touched.len() - 1
            })
        };
        let source = touch(iou.source);
        // An amount of zero touches the target only when it gives credit.
        let moves = !iou.amount.is_zero() || iou.credit.is_some();
        let target = moves.then(|| touch(iou.target));
        let net = &mut touched[source].balance.net;
        *net = net.minus(&iou.amount);
        if let Some(target) = target {
            let balance = &mut touched[target].balance;
            balance.net = balance.net.plus(&iou.amount);
            if let (Some(min), Some(credit)) = (&mut balance.min, &iou.credit) {
                *min = min.plus(credit);
            }
        }
    }
    let mut found = Earliest::default();
    for account in &touched {
        judge_account(account, &mut found);
    }
    found.into_result()?;
    let output = |account: Touched| Output {
        account: account.id,
        balance: account.balance,
        sources: account.before.map(|before| before.output).into_iter().collect(),
    };
    Ok(touched.into_iter().map(output).collect())
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
