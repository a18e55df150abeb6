//! Accounts: one holder's line in one unit, and the limits it must keep.

use std::fmt;

use crate::address::Address;
use crate::amount::{Amount, NotAnAmount};
use crate::pointer::Pointer;

/// Which account: a unit and who holds in it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId {
    /// The unit.
    pub unit: Address,
    /// The holder; the unit's issuer when equal to it.
    pub address: Address,
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}|{}", self.unit, self.address)
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl AccountId {
    /// Is this the account in which the unit's issuer owes?
    pub fn is_issuer(&self) -> bool {
        self.unit == self.address
    }
}

/// Net and the limits it must keep: min <= net <= max.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Balance {
    /// What the account holds (positive) or owes (negative).
    pub net: Amount,
    /// Lowest net; `None` is `-Infinity`.
    pub min: Option<Amount>,
    /// Highest net; `None` is `Infinity`.
    pub max: Option<Amount>,
}

impl Balance {
    /// The balance of an account that nobody has touched.
    pub fn initial(account: &AccountId) -> Balance {
        let zero = Some(Amount::zero());
        let (min, max) = if account.is_issuer() { (None, zero) } else { (zero, None) };
        Balance { net: Amount::zero(), min, max }
    }

    /// `min` as written in documents.
    pub fn min_text(&self) -> String {
        self.min.as_ref().map_or_else(|| "-Infinity".into(), Amount::to_string)
    }

    /// `max` as written in documents.
    pub fn max_text(&self) -> String {
        self.max.as_ref().map_or_else(|| "Infinity".into(), Amount::to_string)
    }

    /// Reads the three texts of a document.
    ///
    /// # Errors
    /// A text is neither a decimal nor the infinity that may stand there.
    pub fn from_texts(net: &str, min: &str, max: &str) -> Result<Balance, NotAnAmount> {
        let limit = |text: &str, infinity: &str| match text {
            text if text == infinity => Ok(None),
            text => Amount::parse_signed(text).map(Some),
        };
        Ok(Balance {
            net: Amount::parse_signed(net)?,
            min: limit(min, "-Infinity")?,
            max: limit(max, "Infinity")?,
        })
    }
}

/// An account as the last clearing left it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// Net and limits.
    pub balance: Balance,
    /// Its current output: what the next clearing spends.
    pub output: Pointer,
}
