//! A page of a list: which one is asked for, and how it is answered. One element more
//! than is shown is asked for, which tells whether there is another page.

use std::str::FromStr;

use axum::response::Response;
use http::{StatusCode, Uri, header};
use serde_json::Value;

use crate::answer;
use crate::cursor::List;
use crate::problem::Problem;
use crate::query::Query;

/// The page of a list that a request asks for.
pub(crate) struct Page<'a> {
    uri: &'a Uri,
    query: &'a Query<'a>,
    list: List<'a>,
    limit: u32,
    /// Elements to pass over first.
    pub(crate) skip: u64,
}

impl<'a> Page<'a> {
    /// Reads `limit` and `skip`.
    pub(crate) fn of(
        list: List<'a>,
        uri: &'a Uri,
        query: &'a Query<'a>,
    ) -> Result<Page<'a>, Problem> {
        Ok(Page { uri, query, list, limit: query.limit()?, skip: query.skip()? })
    }

    /// How many elements a store is to be asked for.
    pub(crate) fn limit(&self) -> u32 {
        self.limit + 1
    }

    /// The key that the page comes after, in a list whose keys are texts of something;
    /// empty where it is the first.
    pub(crate) fn after<T: FromStr>(&self) -> Result<String, Problem> {
        let key = self.query.get("cursor").map(|cursor| self.list.text::<T>(cursor));
        Ok(key.transpose()?.unwrap_or_default())
    }

    /// The same in a list whose keys are numbers; 0 where it is the first.
    pub(crate) fn before(&self) -> Result<u64, Problem> {
        let key = self.query.get("cursor").map(|cursor| self.list.number(cursor));
        Ok(key.transpose()?.unwrap_or_default())
    }

    /// The answer with these elements: `body` is all before the first of them, `key` says
    /// after what the next page comes. `next` is in the body, and a link.
    pub(crate) fn answer<T>(
        &self,
        mut body: Vec<u8>,
        elements: &[T],
        key: impl Fn(&T) -> Vec<u8>,
        write: impl Fn(&mut Vec<u8>, &T),
    ) -> Response {
        let shown = &elements[..elements.len().min(self.limit as usize)];
        for (i, element) in shown.iter().enumerate() {
            if i > 0 {
                body.push(b',');
            }
            write(&mut body, element);
        }
        body.push(b']');
        let Some(last) = shown.last().filter(|_| shown.len() < elements.len()) else {
            body.extend_from_slice(b"}}");
            return answer::current(StatusCode::OK, body);
        };
        let cursor = self.list.cursor(&key(last));
        body.extend_from_slice(b",\"next\":");
        text(&mut body, &cursor);
        body.extend_from_slice(b"}}");
        let mut link = form_urlencoded::Serializer::new(String::new());
        for name in ["counter", "limit"] {
            if let Some(value) = self.query.get(name) {
                link.append_pair(name, value);
            }
        }
        let link = link.append_pair("cursor", &cursor).finish();
        let mut response = answer::current(StatusCode::OK, body);
        let link = format!("<{}?{link}>; rel=\"next\"", self.uri.path());
        answer::insert(response.headers_mut(), header::LINK, &link);
        response
    }
}

/// Appends a JSON string.
pub(crate) fn text(body: &mut Vec<u8>, text: &str) {
    body.extend_from_slice(Value::from(text).to_string().as_bytes());
}

/// Appends the key `balance`; net, min and max.
pub(crate) fn balance(body: &mut Vec<u8>, [net, min, max]: [&str; 3]) {
    for (key, value) in [(",\"balance\":{\"net\":", net), (",\"min\":", min), (",\"max\":", max)] {
        body.extend_from_slice(key.as_bytes());
        text(body, value);
    }
    body.push(b'}');
}
