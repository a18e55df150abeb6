//! Why a request is not cleared: one closed list of codes in order of
//! precedence, and for each what it means and what to do.
//!
//! A rejection is data and part of the contract: every engine gives the same
//! one for the same request. Failures of machines are not in this list.

use std::fmt;
use std::str::FromStr;

use crate::hash::Hash;

/// One change of a request. Pointers are those of the request as it was sent,
/// whatever else of it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// JSON pointer to an IOU, its amount or its credit.
    pub pointer: String,
    /// What stands there instead; without it, the part is left out.
    pub value: Option<String>,
}

/// What a client may do after a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// This will never clear here.
    Never,
    /// Mend the request and sign anew.
    Rebuild,
    /// The same bytes may clear at a later time.
    Later,
}

impl Retry {
    /// As written in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Retry::Never => "never",
            Retry::Rebuild => "rebuild",
            Retry::Later => "later",
        }
    }
}

/// What a code says to programs and to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// As written in answers; stable.
    pub code: &'static str,
    /// The message in the style of the original system.
    pub original: &'static str,
    /// HTTP status of the answer.
    pub status: u16,
    /// One line for people.
    pub title: &'static str,
    /// What leads to it.
    pub cause: &'static str,
    /// What to do about it.
    pub cure: &'static str,
    /// A case of it.
    pub example: &'static str,
}

/// One row for each code; the order of rows is the order of precedence.
macro_rules! codes {
    ($($variant:ident $name:literal $original:literal $status:literal $retry:ident
       $title:literal
       cause: $cause:literal
       cure: $cure:literal
       example: $example:literal)*) => {
        /// The codes, earliest first: of several that apply, the earliest is the answer.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $title] $variant,)*
        }

        impl Code {
            /// Every code, in order of precedence.
            pub const ALL: &[Code] = &[$(Code::$variant),*];

            /// What it says to whom.
            pub fn meaning(self) -> &'static Meaning {
                match self {
                    $(Code::$variant => &Meaning {
                        code: $name,
                        original: $original,
                        status: $status,
                        title: $title,
                        cause: $cause,
                        cure: $cure,
                        example: $example,
                    }),*
                }
            }

            /// As written in answers; stable.
            pub fn as_str(self) -> &'static str {
                self.meaning().code
            }

            /// What the client may do.
            pub fn retry(self) -> Retry {
                match self { $(Code::$variant => Retry::$retry),* }
            }
        }
    };
}

codes! {
    Malformed "malformed" "malformed" 400 Never
        "The request is not of the documented form."
        cause: "It is not JSON, or a key is unknown, missing or given twice, or a value breaks its grammar: numbers are decimal strings, times are YYYY-MM-DDTHH:MM:SS.sssZ, hashes are lower-case hex."
        cure: "Compare the part that the pointer names with the API document; the detail says what was expected there."
        example: "\"amount\": 10 instead of \"amount\": \"10\": a JSON number where a decimal string belongs; pointer /data/inputs/0/data/amount."
    UnsupportedField "unsupported_field" "unsupported-field" 422 Never
        "A field is part of the protocol, but this server does not implement it yet."
        cause: "The IOU uses a field of a later version of the protocol."
        cure: "Leave the field out, or use a server whose version supports it."
        example: "No field of this version leads to it: a server that is older than its client would say it of a field it does not know yet."
    TooLarge "too_large" "too-large" 413 Rebuild
        "Something is larger than its limit."
        cause: "The body, the number of inputs, signatures or digits, or the record this request would leave is over its limit."
        cure: "Split the payments over several requests; limit and actual say by how much."
        example: "A request of 101 IOUs: pointer /data/inputs, limit 100, actual 101. Send 100 and then 1."
    UnsupportedHash "unsupported_hash" "unsupported-hash" 422 Rebuild
        "The hash is of a kind outside the list."
        cause: "hash.types is not sha3-256, sha256 or sha256:sha256, or hash.steps is not stringify:data."
        cure: "Hash the canonical JSON of data by one of the listed functions and sign that hash."
        example: "\"types\": \"md5\" in the hash of an IOU; pointer /data/inputs/0/hash/types."
    HashMismatch "hash_mismatch" "hash-mismatch" 422 Rebuild
        "A hash is not the hash of what it names."
        cause: "data (or custom data, or a puzzle) was changed after hashing, or was not hashed in canonical form (RFC 8785)."
        cure: "Recompute the hash over the canonical JSON and sign again."
        example: "The amount was changed from 10 to 100 after signing: hash.value is still the hash of the old data; pointer /data/inputs/0/hash/value."
    WrongDomain "wrong_domain" "wrong-domain" 422 Never
        "The IOU was written for another server."
        cause: "data.domain is not this server's domain, byte by byte."
        cure: "Send it to the server it names, or sign a new IOU for this one."
        example: "An IOU whose data.domain is one.example, sent to two.example; pointer /data/inputs/0/data/domain."
    UnsupportedScheme "unsupported_scheme" "unsupported-scheme" 422 Rebuild
        "The signature scheme or linker is outside the list."
        cause: "scheme of a signature or an identity is not eddsa-ed25519 or ecdsa-ed25519, or linker is not sha256:ripemd160."
        cure: "Sign with a listed scheme."
        example: "\"scheme\": \"rsa\" in a signature; pointer /data/inputs/0/meta/signatures/0/scheme."
    AddressInvalid "address_invalid" "invalid-address" 422 Rebuild
        "An address does not pass its own check."
        cause: "Wrong prefix, length or checksum: most often a typing error."
        cure: "Copy the address again from its owner."
        example: "The last letter of the target was mistyped, so its checksum does not hold; pointer /data/inputs/0/data/target."
    KeyAddressMismatch "key_address_mismatch" "key-address-mismatch" 422 Rebuild
        "The public key does not belong to the signer's address."
        cause: "signer is not base58check(0x87, ripemd160(sha256(x))), where x is public or, beside script, the canonical JSON of data of the puzzle in meta.scripts that script names. The compressed and the uncompressed form of one key have different addresses."
        cure: "Give the public key in the form the address was made from; for a puzzle, carry its document in meta.scripts and name its hash in script."
        example: "signer is alice, and public is the key of bob; pointer /data/inputs/0/meta/signatures/0/public."
    SignatureMissing "signature_missing" "missing-signature" 422 Rebuild
        "Nobody signed for the source."
        cause: "meta.signatures holds no signature of the source's address."
        cure: "Let the owner of the source sign; for a puzzle, its members, each with the puzzle's address as signer."
        example: "\"signatures\": [] in an IOU of alice; pointer /data/inputs/0/meta/signatures."
    SignatureInvalid "signature_invalid" "invalid-signature" 422 Rebuild
        "A signature does not verify."
        cause: "The signature is not one of this key over this hash, is malleable or of small order, comes from somebody who is neither the source nor an identity of the puzzle it names, or is there twice."
        cure: "Sign the 32 bytes of hash.value with the source's key, or with keys of its puzzle, each once."
        example: "The signature was made over the text of hash.value instead of its 32 bytes; pointer /data/inputs/0/meta/signatures/0."
    PuzzleUnsolved "puzzle_unsolved" "puzzle-unsolved" 422 Rebuild
        "The signatures weigh less than the puzzle needs."
        cause: "The source is a puzzle, and the identities that signed weigh less together than its threshold."
        cure: "Let more of its members sign the same IOU, one after the other, each into a new file: webwallet iou sign iou.json --with NAME > iou-1.json, then webwallet iou sign iou-1.json --with NAME > iou-2.json. What is posted is the last file."
        example: "A board of three that needs two: one of them signed; limit 2, actual 1."
    IouAlreadyCleared "iou_already_cleared" "iou-already-cleared" 409 Never
        "An IOU of this request is in another record."
        cause: "An IOU clears at most once; this one cleared before, with a different set of IOUs."
        cure: "Read that record; to pay again, sign a new IOU with a new random value."
        example: "Alice paid bob 10 in record 1; the same IOU comes again beside another one: 409, transaction is the hash of record 1, conflict holds both requests. Keep the answer in a file and run: webwallet verify-conflict FILE."
    NotYetActive "not_yet_active" "iou-not-yet-active" 422 Later
        "The IOU is not active yet."
        cause: "data.active is later than the server's time."
        cure: "Send the same bytes again from that time on; an IOU that has expired by then never clears."
        example: "active is tomorrow: limit is that time, actual the server's. Tomorrow the same bytes clear."
    Expired "expired" "iou-expired" 422 Rebuild
        "The IOU has expired."
        cause: "data.expiry is before the server's time."
        cure: "Sign a new IOU with a later expiry."
        example: "expiry was yesterday: limit is that time, actual the server's."
    ExpiryTooFar "expiry_too_far" "iou-expiry-too-far" 422 Rebuild
        "The IOU expires too far in the future."
        cause: "data.expiry is more than 3,660 days after the server's time."
        cure: "Sign a new IOU with an earlier expiry. What was signed clears from 3,660 days before its expiry on, for whoever has it: pay no second time what somebody has seen."
        example: "expiry is in the year 2099; limit is 3,660 days from now."
    CreditNotByIssuer "credit_not_by_issuer" "credit-not-by-issuer" 422 Never
        "Only the issuer of a unit gives credit in it."
        cause: "data.credit is there, but source is not symbol."
        cure: "Ask the unit's issuer for credit, or leave the field out."
        example: "Bob gives carol credit of 5 in the unit of alice; pointer /data/inputs/0/data/credit."
    CreditNotGranted "credit_not_granted" "credit-not-granted" 422 Rebuild
        "More credit is withdrawn than was granted."
        cause: "After this request the account's lower limit would be above zero."
        cure: "Withdraw at most what is still granted: suggestion names the smallest change that clears. What was signed stays good until its expiry: whoever has it can have it cleared once the balances allow it."
        example: "Alice granted bob 5 and withdraws 8: limit 0, actual 3, suggestion [{\"pointer\": \"/data/inputs/0/data/credit\", \"value\": \"5\"}]."
    LockNotFound "lock_not_found" "lock-not-found" 422 Never
        "There is no such lock."
        cause: "data.solver.output names no locked output of this unit, or one that was used, or that another IOU of this request uses or makes."
        cure: "List the open locks: GET /address/{address}/outputs/unspent?counter=UNIT."
        example: "data.solver.output names a lock that was released a minute ago; pointer /data/inputs/0/data/solver/output."
    LockNotYours "lock_not_yours" "lock-not-yours" 422 Never
        "The lock is between two others."
        cause: "The IOU's source is neither the lock's address nor its source."
        cure: "Let one of these two use it."
        example: "Alice has locked 5 for bob, and carol tries to take them; pointer /data/inputs/0/data/solver/output."
    LockClosed "lock_closed" "lock-closed" 422 Later
        "This party may not use the lock at this time."
        cause: "The target may use a lock from its active time until before its expiry, the source from its expiry on."
        cure: "Send the same bytes when it opens for you; a target that comes at the expiry or later is too late for ever."
        example: "Alice wants back before its expiry what she has locked for bob: limit is the expiry, actual the server's time, retry later."
    LockUnsolved "lock_unsolved" "lock-unsolved" 422 Rebuild
        "The lock's conditions are not met."
        cause: "data.solver.hashee is not what the lock's puzzle is the SHA-256 of, or the signatures do not solve the lock's script."
        cure: "Show the preimage as hashee, or carry the script's puzzle in meta.scripts and let enough of its identities sign."
        example: "Bob takes a hash lock with a hashee whose SHA-256 is another; pointer /data/inputs/0/data/solver/hashee."
    BalanceBelowMin "balance_below_min" "balance-below-min" 422 Rebuild
        "A balance would fall below its lower limit."
        cause: "The account pays more of this unit than it holds and was granted as credit."
        cure: "Pay less, collect first (in the same request if you like: only final values count), or ask the issuer for credit. suggestion names the smallest change that clears. What was signed stays good until its expiry: whoever has it can have it cleared once the balances allow it."
        example: "Bob has 6 of alice's unit and pays carol 7: limit 0, actual -1, suggestion [{\"pointer\": \"/data/inputs/0/data/amount\", \"value\": \"6\"}]: sign 6 instead, and it clears."
    BalanceAboveMax "balance_above_max" "balance-above-max" 422 Rebuild
        "A balance would rise above its upper limit."
        cause: "The issuer would get back more of its unit than it has issued."
        cure: "Return at most what is in circulation: suggestion names the smallest change that clears. What was signed stays good until its expiry: whoever has it can have it cleared once the balances allow it."
        example: "Alice has issued 10, and bob, whom she had given credit, returns 12: limit 0, actual 2, suggestion value 10."
    AmountOverflow "amount_overflow" "amount-overflow" 422 Rebuild
        "A result has more than 60 digits before the point."
        cause: "The amounts add up to more than the protocol can write."
        cure: "Use smaller amounts: suggestion names the smallest change that clears. What was signed stays good until its expiry: whoever has it can have it cleared once the balances allow it."
        example: "Two payments of sixty nines each to one address: their sum has 61 digits; limit 60, actual 61."
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text names no code of the list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no rejection has this code")]
pub struct NotACode;

impl FromStr for Code {
    type Err = NotACode;

    fn from_str(text: &str) -> Result<Code, NotACode> {
        Code::ALL.iter().copied().find(|c| c.as_str() == text).ok_or(NotACode)
    }
}

/// A refusal: the code, the guilty part and what is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Which rule.
    pub code: Code,
    /// JSON pointer (RFC 6901) to the guilty part of the request.
    pub pointer: String,
    /// One sentence for people.
    pub detail: String,
    /// The limit that was met, where there is one.
    pub limit: Option<String>,
    /// The value that met it.
    pub actual: Option<String>,
    /// The account whose limit was met: `unit|address`.
    pub account: Option<String>,
    /// The record that holds the IOU already.
    pub record: Option<Hash>,
    /// The smallest change of the request that clears; empty where there is none.
    pub suggestion: Vec<Change>,
}

impl Rejection {
    /// A rejection that knows no more than where and why.
    pub fn new(code: Code, pointer: impl Into<String>, detail: impl Into<String>) -> Rejection {
        Rejection {
            code,
            pointer: pointer.into(),
            detail: detail.into(),
            limit: None,
            actual: None,
            account: None,
            record: None,
            suggestion: Vec::new(),
        }
    }

    /// What the client may do: as the code says, but for a target that comes to its
    /// lock too late, and for an IOU that expires before it becomes active.
    pub fn retry(&self) -> Retry {
        // Of times, which sort as texts do.
        match (self.code, &self.limit, &self.actual) {
            (Code::LockClosed | Code::NotYetActive, Some(limit), Some(actual))
                if actual >= limit =>
            {
                Retry::Never
            }
            _ => self.code.retry(),
        }
    }

    /// The same with the limit and the value that met it.
    pub fn measured(mut self, limit: impl ToString, actual: impl ToString) -> Rejection {
        self.limit = Some(limit.to_string());
        self.actual = Some(actual.to_string());
        self
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {:?}: {}", self.code, self.pointer, self.detail)
    }
}

impl std::error::Error for Rejection {}

/// Of several rejections the earliest code wins; of equal codes the first found.
#[derive(Default)]
pub(crate) struct Earliest(Option<Rejection>);

impl Earliest {
    pub(crate) fn note(&mut self, found: Rejection) {
        if self.0.as_ref().is_none_or(|held| found.code < held.code) {
            self.0 = Some(found);
        }
    }

    pub(crate) fn code(&self) -> Option<Code> {
        self.0.as_ref().map(|held| held.code)
    }

    /// The same, made only if it is earlier: faults may be thousands.
    pub(crate) fn note_with(&mut self, code: Code, make: impl FnOnce() -> Rejection) {
        if self.0.as_ref().is_none_or(|held| code < held.code) {
            self.0 = Some(make());
        }
    }

    pub(crate) fn into_result(self) -> Result<(), Rejection> {
        match self.0 {
            Some(rejection) => Err(rejection),
            None => Ok(()),
        }
    }
}
