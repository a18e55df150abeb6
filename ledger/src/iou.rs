//! IOUs: signed statements of debt, the only thing that moves units.
//!
//! Reading one collects every fault that can be found without state and
//! without arithmetic on curves; the earliest code over all IOUs of a request
//! is the answer, so reading goes on after a fault that is not `malformed`.

use crate::address::Address;
use crate::amount::{Amount, NotAnAmount};
use crate::claim::{Claims, Signing};
use crate::document::{HASH_KEYS, KEYS, check_name, read_types};
use crate::hash::{Hash, Types};
use crate::json::Value;
use crate::limits::{CUSTOM_KEYS_MAX, EXPIRY_DAYS_MAX, RANDOM_CHARS_MAX, RANDOM_CHARS_MIN};
use crate::lock::{Locker, Solver};
use crate::puzzle;
use crate::rejection::{Code, Earliest, Rejection};
use crate::shape::{Extent, Object, Path, address, array};
use crate::time::Time;

/// An IOU whose shape, hash, domain and addresses are right. Whether its
/// signatures verify is for [`crate::verify::verify`] to say.
#[derive(Clone, Debug)]
pub struct Iou {
    /// Its name: the hash of `data`, recomputed.
    pub hash: Hash,
    /// Canonical JSON of the whole document, signatures included.
    pub bytes: Vec<u8>,
    /// Who pays.
    pub source: Address,
    /// Who receives; never the source.
    pub target: Address,
    /// The unit, named by its issuer's address.
    pub symbol: Address,
    /// How much; zero only where credit is given.
    pub amount: Amount,
    /// Change of the target's lower limit: negative grants, positive withdraws.
    pub credit: Option<Amount>,
    /// The conditions under which the target may have the amount: it is locked.
    pub locker: Option<Locker>,
    /// The lock that it uses.
    pub solver: Option<Solver>,
    /// Clears from this time on.
    pub active: Option<Time>,
    /// Clears until this time.
    pub expiry: Time,
    /// Its signatures.
    pub(crate) claims: Claims,
}

pub(crate) const DATA_KEYS: &[&str] = &[
    "active", "amount", "credit", "custom", "domain", "expiry", "locker", "random", "solver",
    "source", "symbol", "target",
];
pub(crate) const META_KEYS: &[&str] = &["custom", "scripts", "signatures"];
const CUSTOM_KEYS: &[&str] = &["data", "hash"];

/// What reading an IOU gives even when it is to be refused.
pub(crate) struct Read {
    /// The name it claims.
    pub hash: Hash,
    /// Signatures it carries, however many.
    pub signatures: usize,
    /// Missing when one of its parts could not be read.
    pub iou: Option<Iou>,
}

/// Whether an amount may be zero: beside credit or what a lock gives, and never to be locked.
pub(crate) fn may_be_zero(locks: bool, credits: bool, solves: bool) -> bool {
    !locks && (credits || solves)
}

impl Iou {
    /// Reads an IOU. `Err` is always `malformed`; later codes go into `found`,
    /// and then the IOU may be missing.
    pub(crate) fn read(
        value: &Value<'_>,
        domain: &str,
        extent: Extent,
        at: &Path<'_>,
        found: &mut Earliest,
    ) -> Result<Read, Rejection> {
        let document = Object::new(value, at, KEYS)?;
        let (data_value, data_at) = (document.required("data", at)?, at.key("data"));
        let (hash_value, hash_at) = (document.required("hash", at)?, at.key("hash"));
        let (meta_value, meta_at) = (document.required("meta", at)?, at.key("meta"));
        let data = Object::new(data_value, &data_at, DATA_KEYS)?;

        let hash = Object::new(hash_value, &hash_at, HASH_KEYS)?;
        let types = read_types(&hash, &hash_at, found)?;
        let claimed = hash.parsed("value", &hash_at)?;

        let amount = read_decimal(data.text("amount", &data_at)?, &data_at.key("amount"), found)?;
        let credit = match data.optional_text("credit", &data_at)? {
            Some(text) => read_credit(text, &data_at.key("credit"), found)?,
            None => None,
        };
        let gives_credit = data.optional("credit").is_some();
        for key in ["locker", "solver"] {
            if gives_credit && data.optional(key).is_some() {
                let detail = "credit stands beside neither locker nor solver";
                return Err(data_at.key(key).malformed(detail));
            }
        }
        let locker = match data.optional("locker") {
            Some(locker) => Some(Locker::read(locker, &data_at.key("locker"))?),
            None => None,
        };
        let solver = match data.optional("solver") {
            Some(solver) => Some(Solver::read(solver, &data_at.key("solver"), found)?),
            None => None,
        };
        let may_be_zero = may_be_zero(locker.is_some(), gives_credit, solver.is_some());
        if amount.as_ref().is_some_and(Amount::is_zero) && !may_be_zero {
            let detail = "zero only with credit or solver, never with locker";
            return Err(data_at.key("amount").malformed(detail));
        }
        let active = data.optional_parsed("active", &data_at)?;
        let expiry = data.parsed("expiry", &data_at)?;
        read_random(data.text("random", &data_at)?, &data_at.key("random"), found)?;
        if data.text("domain", &data_at)? != domain {
            let rejection = data_at.key("domain").rejection(
                Code::WrongDomain,
                format!("this server clears IOUs of the domain {domain:?} only"),
            );
            found.note(rejection);
        }

        let (source_text, target_text) =
            (data.text("source", &data_at)?, data.text("target", &data_at)?);
        let symbol_text = data.text("symbol", &data_at)?;
        if source_text == target_text {
            return Err(data_at.key("target").malformed("source and target are the same"));
        }
        let (source, target, symbol) = match extent {
            Extent::Shape => (None, None, None),
            Extent::Whole => {
                let source = address(source_text, &data_at.key("source"), found);
                let target = address(target_text, &data_at.key("target"), found);
                let symbol = match symbol_text {
                    same if same == source_text => source,
                    same if same == target_text => target,
                    other => address(other, &data_at.key("symbol"), found),
                };
                (source, target, symbol)
            }
        };

        let meta = Object::new(meta_value, &meta_at, META_KEYS)?;
        let puzzles = match meta.optional("scripts") {
            Some(scripts) => puzzle::read_all(scripts, extent, &meta_at.key("scripts"), found)?,
            None => Vec::new(),
        };
        let custom = data.optional_parsed("custom", &data_at)?;
        read_custom(custom, meta.optional("custom"), extent, at, found)?;
        let signatures_at = meta_at.key("signatures");
        let signatures = array(meta.required("signatures", &meta_at)?, &signatures_at)?;
        let (message, solves) = (claimed, solver.is_some());
        let puzzles = &puzzles;
        let signing = Signing { source_text, source, message, puzzles, extent, solves };
        let claims = Claims::read(signatures, &signing, &signatures_at, found)?;
        let signatures = signatures.len();
        if extent == Extent::Shape {
            return Ok(Read { hash: claimed, signatures, iou: None });
        }

        // The canonical form of the document holds that of its data.
        let puzzles: usize = puzzles.iter().map(|puzzle| puzzle.data.len() + 200).sum();
        let mut bytes = Vec::with_capacity(1024 + puzzles);
        bytes.extend_from_slice(b"{\"data\":");
        data_value.write(&mut bytes);
        let data_end = bytes.len();
        check_name(types, &bytes[8..data_end], claimed, &hash_at, found);
        bytes.extend_from_slice(b",\"hash\":");
        hash_value.write(&mut bytes);
        bytes.extend_from_slice(b",\"meta\":");
        meta_value.write(&mut bytes);
        bytes.push(b'}');

        let iou = match (source, target, symbol, amount) {
            (Some(source), Some(target), Some(symbol), Some(amount)) => Some(Iou {
                hash: claimed,
                bytes,
                source,
                target,
                symbol,
                amount,
                credit,
                locker,
                solver,
                active,
                expiry,
                claims,
            }),
            _ => None,
        };
        Ok(Read { hash: claimed, signatures, iou })
    }

    /// How many signatures it carries.
    pub fn signatures(&self) -> usize {
        self.claims.list.len()
    }

    /// Would it clear at this time?
    ///
    /// # Errors
    /// `not_yet_active`, `expired` or `expiry_too_far`, with a pointer into
    /// the IOU's request at position `input`.
    pub fn in_time(&self, time: Time, input: usize) -> Result<(), Rejection> {
        let at = |key: &str| format!("/data/inputs/{input}/data/{key}");
        if let Some(active) = self.active
            && active > time
        {
            let rejection = |detail| Rejection::new(Code::NotYetActive, at("active"), detail);
            return Err(match active <= self.expiry {
                true => rejection("the IOU becomes active later than the server's time")
                    .measured(active, time),
                false => {
                    rejection("the IOU becomes active after it has expired, so it never clears")
                        .measured(self.expiry, active)
                }
            });
        }
        if self.expiry < time {
            let detail = "the IOU expired before the server's time";
            return Err(
                Rejection::new(Code::Expired, at("expiry"), detail).measured(self.expiry, time)
            );
        }
        let latest = time.plus_days(EXPIRY_DAYS_MAX);
        if self.expiry > latest {
            let detail =
                format!("the IOU expires more than {EXPIRY_DAYS_MAX} days after the server's time");
            return Err(Rejection::new(Code::ExpiryTooFar, at("expiry"), detail)
                .measured(latest, self.expiry));
        }
        Ok(())
    }
}

fn read_decimal(
    text: &str,
    at: &Path<'_>,
    found: &mut Earliest,
) -> Result<Option<Amount>, Rejection> {
    match Amount::parse(text) {
        Ok(amount) => Ok(Some(amount)),
        Err(error @ NotAnAmount::Digits { limit, actual, .. }) => {
            let rejection = at.rejection(Code::TooLarge, error.to_string());
            found.note(rejection.measured(limit, actual));
            Ok(None)
        }
        Err(error) => Err(at.malformed(error.to_string())),
    }
}

fn read_credit(
    text: &str,
    at: &Path<'_>,
    found: &mut Earliest,
) -> Result<Option<Amount>, Rejection> {
    let (grants, decimal) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let credit = read_decimal(decimal, at, found)?;
    if credit.as_ref().is_some_and(Amount::is_zero) {
        return Err(at.malformed("a credit of zero changes nothing"));
    }
    Ok(credit.map(|credit| if grants { credit.negated() } else { credit }))
}

fn read_random(text: &str, at: &Path<'_>, found: &mut Earliest) -> Result<(), Rejection> {
    let chars = text.chars().count();
    if chars < RANDOM_CHARS_MIN {
        let rejection = at.malformed(format!("at least {RANDOM_CHARS_MIN} characters"));
        return Err(rejection.measured(RANDOM_CHARS_MIN, chars));
    }
    if chars > RANDOM_CHARS_MAX {
        let rejection = at.rejection(Code::TooLarge, "too many characters");
        found.note(rejection.measured(RANDOM_CHARS_MAX, chars));
    }
    Ok(())
}

/// Integers occur in puzzles only: weights and thresholds.
fn without_integers(value: &Value<'_>, at: &Path<'_>) -> Result<(), Rejection> {
    match value {
        Value::Text(_) => Ok(()),
        Value::Integer(_) => {
            Err(at.malformed("an integer may stand in a puzzle only; write the number as a string"))
        }
        Value::Array(items) => {
            let mut items = items.iter().enumerate();
            items.try_for_each(|(i, item)| without_integers(item, &at.index(i)))
        }
        Value::Object(members) => {
            let mut members = members.iter();
            members.try_for_each(|(key, value)| without_integers(value, &at.key(key.as_str())))
        }
    }
}

/// Custom data: an object of at most [`CUSTOM_KEYS_MAX`] keys, without integers.
pub(crate) fn check_custom(
    data: &Value<'_>,
    at: &Path<'_>,
    found: &mut Earliest,
) -> Result<(), Rejection> {
    let Value::Object(members) = data else { return Err(at.malformed("expected an object")) };
    without_integers(data, at)?;
    if members.len() > CUSTOM_KEYS_MAX {
        let rejection = at.rejection(Code::TooLarge, "too many keys");
        found.note(rejection.measured(CUSTOM_KEYS_MAX, members.len()));
    }
    Ok(())
}

/// `data.custom` is a hash; what it is the hash of may travel in `meta.custom`.
fn read_custom(
    named: Option<Hash>,
    carried: Option<&Value<'_>>,
    extent: Extent,
    iou: &Path<'_>,
    found: &mut Earliest,
) -> Result<(), Rejection> {
    let (data_at, meta_at) = (iou.key("data"), iou.key("meta"));
    let (named_at, at) = (data_at.key("custom"), meta_at.key("custom"));
    let Some(carried) = carried else { return Ok(()) };
    let custom = Object::new(carried, &at, CUSTOM_KEYS)?;
    let data = custom.required("data", &at)?;
    check_custom(data, &at.key("data"), found)?;
    let mut types = Some(Types::Sha256Twice);
    let mut value: Option<Hash> = None;
    if let Some(hash_value) = custom.optional("hash") {
        let hash_at = at.key("hash");
        let hash = Object::new(hash_value, &hash_at, HASH_KEYS)?;
        types = read_types(&hash, &hash_at, found)?;
        value = Some(hash.parsed("value", &hash_at)?);
    }
    let Some(named) = named else {
        return Err(at.malformed("meta.custom without data.custom"));
    };
    if extent == Extent::Shape {
        return Ok(());
    }
    let right = types.is_none_or(|types| types.digest(&data.to_vec()) == named);
    if !right || value.is_some_and(|value| value != named) {
        let detail = "data.custom is not the hash of the canonical JSON of meta.custom.data";
        found.note(named_at.rejection(Code::HashMismatch, detail));
    }
    Ok(())
}
