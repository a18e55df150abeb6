//! What would have cleared: the smallest change of a request that was refused for
//! a balance, a limit or credit.
//!
//! An IOU may pay less, withdraw less credit or grant less, or be left out; nothing
//! is ever added. The smallest change is the one by which the least less moves
//! in each unit, as every amount that is signed anew is agreed upon anew; and if one IOU is
//! enough, only one is changed. An IOU that takes a lock whose conditions are not met is left
//! out, and so is one that can pay nothing of what it says; one that locks again what it takes
//! goes on locking a little of it, since left out it would bring in nothing either.
//!
//! The changed request is cleared once more before anybody is told of it.

use std::collections::HashMap;

use crate::account::{Account, AccountId, Balance};
use crate::amount::Amount;
use crate::cut::{Arc, Network, Place};
use crate::history::History;
use crate::iou::{Iou, may_be_zero};
use crate::rejection::{Change, Code};
use crate::request::Request;

/// How often it is begun at most, each time without one more IOU whose lock holds too
/// much: each time costs as much as the first.
const ROUNDS_MAX: usize = 8;

/// What the accounts and locks were like that a refused request names.
#[derive(Debug)]
pub(crate) struct Shortfall {
    pub(crate) accounts: HashMap<AccountId, Account>,
    /// What each input gets out of a lock; empty where none uses one.
    pub(crate) used: Vec<Option<Amount>>,
}

impl Shortfall {
    /// Nothing for codes that say nothing of balances or credit.
    pub(crate) fn of(
        code: Code,
        request: &Request,
        used: Vec<Option<Amount>>,
        history: &impl History,
    ) -> Option<Shortfall> {
        let codes = [
            Code::CreditNotGranted,
            Code::BalanceBelowMin,
            Code::BalanceAboveMax,
            Code::AmountOverflow,
        ];
        codes.contains(&code).then(|| {
            let named = |iou: &Iou| [source_of(iou), target_of(iou)];
            let ids = request.inputs.iter().flat_map(named);
            let accounts = ids.filter_map(|id| Some((id, history.account(&id)?))).collect();
            Shortfall { accounts, used }
        })
    }
}

fn source_of(iou: &Iou) -> AccountId {
    AccountId { unit: iou.symbol, address: iou.source }
}

fn target_of(iou: &Iou) -> AccountId {
    AccountId { unit: iou.symbol, address: iou.target }
}

/// An IOU of the request, and what is left of it.
struct Kept<'a> {
    input: usize,
    iou: &'a Iou,
    /// What it gets out of a lock.
    used: Option<&'a Amount>,
    amount: Amount,
    credit: Option<Amount>,
}

impl Kept<'_> {
    /// Whether something is left that may be signed.
    fn is_something(&self) -> bool {
        let Iou { locker, solver, .. } = self.iou;
        may_be_zero(locker.is_some(), self.credit.is_some(), solver.is_some())
            || !self.amount.is_zero()
    }

    /// What is not cut of it. Nothing cannot be locked again, and whoever pays out of
    /// the lock counts on it. Never more than the lock holds, so nobody falls short by
    /// it; and written with no more decimals than the two amounts have.
    fn least(&self) -> Amount {
        match (&self.iou.locker, self.used) {
            (Some(_), Some(used)) => self.iou.amount.last_place().min(used.last_place()),
            _ => Amount::zero(),
        }
    }
}

/// The smallest change that clears; nothing where only nothing would.
pub(crate) fn smallest(
    request: &Request,
    shortfall: Shortfall,
    clears: impl Fn(&Request, &Shortfall) -> bool,
) -> Vec<Change> {
    let Some(left) = lessened(request, &shortfall) else { return Vec::new() };
    let inputs = left.iter().map(|kept| kept.signed_anew()).collect();
    let used = match shortfall.used.is_empty() {
        true => Vec::new(),
        false => left.iter().map(|kept| kept.used.cloned()).collect(),
    };
    let changes = changes(request, &left);
    let shortfall = Shortfall { used, accounts: shortfall.accounts };
    match clears(&Request { domain: request.domain.clone(), inputs }, &shortfall) {
        true => changes,
        false => Vec::new(),
    }
}

/// What is left of the IOUs when all limits are kept.
fn lessened<'a>(request: &'a Request, shortfall: &'a Shortfall) -> Option<Vec<Kept<'a>>> {
    let inputs = request.inputs.iter().enumerate();
    let taken = inputs.filter_map(|(input, iou)| {
        let used = match &iou.solver {
            Some(_) => Some(shortfall.used.get(input)?.as_ref()?),
            None => None,
        };
        let (amount, credit) = (iou.amount.clone(), iou.credit.clone());
        Some(Kept { input, iou, used, amount, credit })
    });
    let mut kept: Vec<Kept<'_>> = taken.collect();
    for _ in 0..ROUNDS_MAX {
        match lessen(&mut kept, &shortfall.accounts) {
            Ok(()) => {
                kept.retain(Kept::is_something);
                return (!kept.is_empty()).then_some(kept);
            }
            // Whoever counted on an IOU that is left out falls short, so the others
            // are looked at anew.
            Err(too_much) => drop(kept.remove(too_much?)),
        }
        for kept in &mut kept {
            (kept.amount, kept.credit) = (kept.iou.amount.clone(), kept.iou.credit.clone());
        }
    }
    None
}

/// Lowers amounts and credit by as little as keeps all limits.
///
/// # Errors
/// Not all can be kept: this IOU takes a lock that holds more than can be written
/// beside what is there already; or none does, and no way was found.
fn lessen(
    kept: &mut [Kept<'_>],
    accounts: &HashMap<AccountId, Account>,
) -> Result<(), Option<usize>> {
    let (mut network, mut places) = (Network::default(), HashMap::new());
    // What nobody holds: locks, and credit that is not withdrawn after all.
    network.places.push(Place { net: Amount::zero(), lower: None, upper: None });
    let mut place = |network: &mut Network, id: AccountId| {
        *places.entry(id).or_insert_with(|| {
            let known = accounts.get(&id).map(|account| account.balance.clone());
            let Balance { net, min, max } = known.unwrap_or_else(|| Balance::initial(&id));
            let lower = min.or_else(|| Some(Amount::largest().negated()));
            let upper = max.or_else(|| Some(Amount::largest()));
            network.places.push(Place { net, lower, upper });
            network.places.len() - 1
        })
    };
    for kept in &mut *kept {
        let (from, moved) = (place(&mut network, source_of(kept.iou)), &kept.amount);
        let to = match kept.iou.locker {
            Some(_) => 0,
            None => place(&mut network, target_of(kept.iou)),
        };
        network.places[from].net = network.places[from].net.minus(moved);
        if let Some(used) = kept.used {
            network.places[from].net = network.places[from].net.plus(used);
        }
        network.places[to].net = network.places[to].net.plus(moved);
        let (left, cut) = (moved.minus(&kept.least()), Amount::zero());
        network.arcs.push(Arc { from, to, left, cut, changes: false });
        if let (Some(credit), Some(lower)) = (&kept.credit, &mut network.places[to].lower) {
            *lower = lower.plus(credit);
        }
    }
    let withdrawals = withdraw_less(kept, &mut network);
    if !network.mend() {
        let over = |i: &usize| network.places[network.arcs[*i].from].over().is_some();
        return Err((0..kept.len()).rev().find(|i| kept[*i].used.is_some() && over(i)));
    }
    for (kept, arc) in kept.iter_mut().zip(&network.arcs) {
        kept.amount = kept.amount.minus(&arc.cut);
    }
    for (which, arc) in withdrawals {
        kept[which].credit = Some(network.arcs[arc].left.clone()).filter(|left| !left.is_zero());
    }
    Ok(())
}

/// Lowers credit so that every account's lower limit is one that may be; gives the
/// arcs along which still less may be withdrawn.
fn withdraw_less(kept: &mut [Kept<'_>], network: &mut Network) -> Vec<(usize, usize)> {
    // The largest first: if one is enough, one is changed.
    let mut credits: Vec<usize> = (0..kept.len()).filter(|i| kept[*i].credit.is_some()).collect();
    let size =
        |i: &usize| kept[*i].credit.as_ref().map(|credit| credit.clone().max(credit.negated()));
    credits.sort_by_key(|i| std::cmp::Reverse(size(i)));
    let mut withdrawals = Vec::new();
    for which in credits {
        let to = network.arcs[which].to;
        let (Some(lower), Some(credit)) = (&mut network.places[to].lower, &mut kept[which].credit)
        else {
            continue;
        };
        let lowest = Amount::largest().negated();
        let (withdraws, wrong) = match credit.is_positive() {
            true => (true, lower.clone().max(Amount::zero()).min(credit.clone())),
            false => (false, lower.minus(&lowest).min(Amount::zero()).max(credit.clone())),
        };
        *lower = lower.minus(&wrong);
        *credit = credit.minus(&wrong);
        if withdraws {
            let (left, cut, changes) = (credit.clone(), Amount::zero(), !wrong.is_zero());
            withdrawals.push((which, network.arcs.len()));
            network.arcs.push(Arc { from: to, to: 0, left, cut, changes });
        } else if credit.is_zero() {
            kept[which].credit = None;
        }
    }
    withdrawals
}

impl Kept<'_> {
    fn amount_changes(&self) -> bool {
        self.amount != self.iou.amount
    }

    fn credit_changes(&self) -> bool {
        self.credit != self.iou.credit
    }

    /// The IOU as it would be signed; of its hash and signatures only the size is right.
    fn signed_anew(&self) -> Iou {
        let mut iou = self.iou.clone();
        (iou.amount, iou.credit) = (self.amount.clone(), self.credit.clone());
        if self.amount_changes() {
            iou.bytes = with_text(&iou.bytes, "amount", Some(&self.amount.to_string()));
        }
        if self.credit_changes() {
            let credit = self.credit.as_ref().map(Amount::to_string);
            iou.bytes = with_text(&iou.bytes, "credit", credit.as_deref());
        }
        iou
    }
}

/// Canonical JSON of an IOU with another text under a key of its `data`, or with
/// neither. Before `amount` and `credit` only a time stands there, so the first
/// of this name is theirs.
fn with_text(bytes: &[u8], key: &str, text: Option<&str>) -> Vec<u8> {
    let head = format!("\"{key}\":\"");
    let Some(start) = bytes.windows(head.len()).position(|part| part == head.as_bytes()) else {
        return bytes.to_vec();
    };
    let rest = &bytes[start + head.len()..];
    let end = rest.iter().position(|byte| *byte == b'"').unwrap_or(rest.len());
    match text {
        Some(text) => [&bytes[..start], head.as_bytes(), text.as_bytes(), &rest[end..]].concat(),
        // With the quote and the comma after it: `domain` always follows.
        None => [&bytes[..start], rest.get(end + 2..).unwrap_or_default()].concat(),
    }
}

fn changes(request: &Request, left: &[Kept<'_>]) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut left = left.iter().peekable();
    for input in 0..request.inputs.len() {
        let at = format!("/data/inputs/{input}");
        let Some(kept) = left.next_if(|kept| kept.input == input) else {
            changes.push(Change { pointer: at, value: None });
            continue;
        };
        if kept.amount_changes() {
            let value = Some(kept.amount.to_string());
            changes.push(Change { pointer: format!("{at}/data/amount"), value });
        }
        if kept.credit_changes() {
            let value = kept.credit.as_ref().map(Amount::to_string);
            changes.push(Change { pointer: format!("{at}/data/credit"), value });
        }
    }
    changes
}
