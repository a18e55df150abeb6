//! A rejection on the wire is the rejection of `webwallet_ledger`, field for
//! field.
//!
//! Back from the wire it may not be one: a code this build does not know, from
//! a newer service, or a hash that is not 32 bytes. That is a failure of a
//! machine, not another rejection.

use webwallet_ledger::{Change, Code, Hash, Rejection};

use crate::graphstore::v1;

/// What came as a rejection is not one that this build knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a rejection this version knows: {field} is `{value}`")]
pub struct UnreadableRejection {
    field: &'static str,
    value: String,
}

impl From<&Rejection> for v1::Rejection {
    fn from(rejection: &Rejection) -> Self {
        v1::Rejection {
            code: rejection.code.as_str().to_owned(),
            pointer: rejection.pointer.clone(),
            detail: rejection.detail.clone(),
            limit: rejection.limit.clone(),
            actual: rejection.actual.clone(),
            account: rejection.account.clone(),
            record: rejection.record.map(|hash| hash.0.to_vec().into()),
            suggestion: rejection
                .suggestion
                .iter()
                .map(|Change { pointer, value }| v1::Change {
                    pointer: pointer.clone(),
                    value: value.clone(),
                })
                .collect(),
        }
    }
}

impl TryFrom<v1::Rejection> for Rejection {
    type Error = UnreadableRejection;

    fn try_from(wire: v1::Rejection) -> Result<Self, UnreadableRejection> {
        let Ok(code) = wire.code.parse::<Code>() else {
            return Err(UnreadableRejection { field: "code", value: wire.code });
        };
        let record = match wire.record {
            None => None,
            Some(bytes) => Some(Hash::from_slice(&bytes).ok_or_else(|| UnreadableRejection {
                field: "record",
                value: format!("{} bytes", bytes.len()),
            })?),
        };
        Ok(Rejection {
            code,
            pointer: wire.pointer,
            detail: wire.detail,
            limit: wire.limit,
            actual: wire.actual,
            account: wire.account,
            record,
            suggestion: wire
                .suggestion
                .into_iter()
                .map(|v1::Change { pointer, value }| Change { pointer, value })
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without this, a client in another process would see another refusal than
    /// one in the same process.
    #[test]
    fn every_code_survives_the_wire_with_all_its_fields() {
        for &code in Code::ALL {
            let rejection = Rejection {
                code,
                pointer: "/data/inputs/3".to_owned(),
                detail: "as it is".to_owned(),
                limit: Some("0".to_owned()),
                actual: Some("-1".to_owned()),
                account: Some("unit|address".to_owned()),
                record: Some(Hash([7; 32])),
                suggestion: vec![
                    Change {
                        pointer: "/data/inputs/0/data/amount".to_owned(),
                        value: Some("6".to_owned()),
                    },
                    Change { pointer: "/data/inputs/2".to_owned(), value: None },
                ],
            };
            let wire = v1::Rejection::from(&rejection);
            assert_eq!(Rejection::try_from(wire), Ok(rejection));
        }
    }

    /// A payer would be told a reason that nobody gave, and change or give up a payment for it.
    #[test]
    fn what_is_no_rejection_is_an_error_and_not_another_rejection() {
        let good = v1::Rejection { code: "expired".to_owned(), ..Default::default() };
        assert!(Rejection::try_from(good.clone()).is_ok());
        let code = v1::Rejection { code: "from_the_future".to_owned(), ..good.clone() };
        assert!(Rejection::try_from(code).is_err());
        let record = v1::Rejection { record: Some(vec![0; 31].into()), ..good };
        assert!(Rejection::try_from(record).is_err());
    }
}
