//! What a URL says beside its path: parameters, read strictly.
//!
//! A misspelt parameter that is silently ignored answers a question nobody
//! asked (`?conter=` would list every unit). So an unknown one is refused with
//! the nearest known name, and so is one given twice.

use std::borrow::Cow;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use webwallet_proto::graphstore::LIST_MAX;

use crate::problem::{Other, Problem};

/// The elements of a page, where the client does not say.
pub(crate) const LIMIT_DEFAULT: u32 = 100;
/// The most elements of a page.
pub(crate) const LIMIT_MAX: u32 = LIST_MAX - 1;
/// The most elements passed over: each costs a store about what reading it
/// does. A cursor leads any distance at no cost.
pub(crate) const SKIP_MAX: u64 = 10_000;

/// The parameters of one request.
#[derive(Debug)]
pub(crate) struct Query<'a> {
    pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Query<'a> {
    /// Reads the query of a URL; only `known` names may be in it, each once.
    pub(crate) fn parse(query: Option<&'a str>, known: &[&str]) -> Result<Query<'a>, Problem> {
        let mut pairs: Vec<(Cow<str>, Cow<str>)> = Vec::new();
        let text = query.unwrap_or_default();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            if !known.contains(&name.as_ref()) {
                return Err(unknown(&name, known));
            }
            if pairs.iter().any(|(seen, _)| *seen == name) {
                return Err(invalid(format!("parameter {name} is given twice")));
            }
            pairs.push((name, value));
        }
        Ok(Query { pairs })
    }

    /// The value of one parameter, if it is there.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let pair = self.pairs.iter().find(|(known, _)| known == name);
        pair.map(|(_, value)| value.as_ref())
    }

    /// A number, if it is there.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Problem> {
        self.get(name).map(|text| number(name, text)).transpose()
    }

    /// `true` or `false`; absent is `false`.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(text) => Err(wrong(name, text, "true or false")),
        }
    }

    /// `limit`: how many elements the page may have.
    pub(crate) fn limit(&self) -> Result<u32, Problem> {
        self.limit_or(LIMIT_DEFAULT)
    }

    /// The same with another size where the client does not say.
    pub(crate) fn limit_or(&self, default: u32) -> Result<u32, Problem> {
        let Some(text) = self.get("limit") else {
            return Ok(default);
        };
        match decimal(text) {
            Some(limit) if (1..=u64::from(LIMIT_MAX)).contains(&limit) => Ok(limit as u32),
            _ => Err(wrong("limit", text, &format!("a number from 1 to {LIMIT_MAX}"))),
        }
    }

    /// `skip` of the original API: how many elements are passed over first.
    /// A page is found either by counting or by a cursor.
    pub(crate) fn skip(&self) -> Result<u64, Problem> {
        let Some(text) = self.get("skip") else {
            return Ok(0);
        };
        if self.get("cursor").is_some() {
            return Err(invalid("skip and cursor exclude each other"));
        }
        decimal(text).filter(|skip| *skip <= SKIP_MAX).ok_or_else(|| {
            let rule = format!(
                "a number from 0 to {SKIP_MAX}; what is further away is found by the cursor, `next` of each page"
            );
            wrong("skip", text, &rule)
        })
    }
}

/// The variable part of a path.
pub(crate) fn segment(path: Result<Path<String>, PathRejection>) -> Result<String, Problem> {
    let Path(text) = path.map_err(|_| invalid("the path is not UTF-8"))?;
    Ok(text)
}

/// A refusal of a parameter of the path or the query.
pub(crate) fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(Other::ParameterInvalid, detail)
}

/// The same of one that has another value than the rule says.
pub(crate) fn wrong(name: &str, text: &str, rule: &str) -> Problem {
    invalid(format!("{name} is {:?}; it is {rule}", shown(text)))
}

/// What is sent back is cut: it may be as long as a URL.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

/// A height, a size, or whatever `name` is: a number from 0.
pub(crate) fn number(name: &str, text: &str) -> Result<u64, Problem> {
    decimal(text).ok_or_else(|| {
        wrong(name, text, &format!("a number from 0 to {}, without leading zeros", u64::MAX))
    })
}

/// A decimal without sign and leading zero; none for everything else.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let plain = text == "0" || !text.starts_with('0');
    if digits && plain { text.parse().ok() } else { None }
}

fn unknown(name: &str, known: &[&str]) -> Problem {
    let shown = shown(name);
    let nearest = known
        .iter()
        .max_by(|a, b| strsim::jaro_winkler(a, &shown).total_cmp(&strsim::jaro_winkler(b, &shown)));
    invalid(match nearest {
        Some(nearest) => {
            format!("there is no parameter {shown:?} here; the nearest is {nearest:?}")
        }
        None => format!("there is no parameter {shown:?} here; this resource has none"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["counter", "limit", "cursor", "skip"];

    fn limit(query: &str) -> Option<u32> {
        Query::parse(Some(query), KNOWN).expect("known names").limit().ok()
    }

    /// A page of nothing would lead nobody on, and one without an end take the server's memory.
    #[test]
    fn limits_hold_at_their_boundaries() {
        for (query, expected) in [
            ("", Some(100)),
            ("limit=0", None),
            ("limit=1", Some(1)),
            ("limit=1000", Some(1_000)),
            ("limit=1001", None),
            ("limit=", None),
            ("limit=01", None),
            ("limit=+1", None),
            ("limit=18446744073709551617", None),
        ] {
            assert_eq!(limit(query), expected, "{query}");
        }
    }

    /// Whoever mistypes a filter would be answered for everything, and believe it.
    #[test]
    fn a_misspelt_parameter_is_told_its_nearest_name() {
        for (query, nearest) in [("conter=x", "counter"), ("Limit=5", "limit"), ("skp=5", "skip")] {
            let problem = Query::parse(Some(query), KNOWN).expect_err("unknown name");
            assert!(
                format!("{problem:?}").contains(&format!("nearest is \\\"{nearest}")),
                "{problem:?}"
            );
        }
        assert!(Query::parse(Some("limit=1&limit=1"), KNOWN).is_err());
        assert!(Query::parse(Some("x"), &[]).is_err());
        assert!(Query::parse(None, &[]).is_ok());
    }

    /// Who counts from a cursor would pass over payments; who counts far would stall a store.
    #[test]
    fn a_page_is_found_by_counting_or_by_cursor() {
        let skip = |query| Query::parse(Some(query), KNOWN).expect("known names").skip().ok();
        assert_eq!(skip("skip=3"), Some(3));
        assert_eq!(skip(""), Some(0));
        assert_eq!(skip("skip=-1"), None);
        assert_eq!(skip("skip=10000"), Some(10_000));
        assert_eq!(skip("skip=10001"), None);
        let far = Query::parse(Some("skip=10001"), KNOWN).expect("known names");
        let problem = format!("{:?}", far.skip().expect_err("too far"));
        assert!(problem.contains("ParameterInvalid") && problem.contains("cursor"), "{problem}");
        assert_eq!(skip("skip=3&cursor=AA"), None);
    }
}
