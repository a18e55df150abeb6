//! Cutting a body into its requests while it comes: one a line (NDJSON), or the
//! elements of a JSON array; which of them, its begin says unless its client has.
//! What a request says is not looked at here; of an array only so much of JSON is
//! read as tells where an element ends.

use bytes::{Bytes, BytesMut};
use webwallet_ledger::limits::BODY_BYTES_MAX;

/// What was cut off.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A request, as long as a request may be.
    Request(Bytes),
    /// One that was longer, and thrown away.
    TooLarge(usize),
    /// The array is none: nothing after this can be told apart.
    Broken(&'static str),
}

/// Takes bytes, gives requests.
#[derive(Default)]
pub(crate) struct Splitter {
    /// What has come and is not looked at yet.
    fresh: BytesMut,
    /// What has come of the request that is being cut off.
    held: BytesMut,
    /// Bytes of it that were thrown away.
    thrown: usize,
    form: Form,
    /// Whatever it begins with.
    only_lines: bool,
    ended: bool,
}

#[derive(Default, Clone, Copy)]
enum Form {
    /// Nothing but blanks so far.
    #[default]
    Unknown,
    Lines,
    Array(Place),
    /// After the array, or after what broke it.
    Over,
}

/// Where in an array.
#[derive(Clone, Copy)]
enum Place {
    /// Before the first element, or right behind the bracket.
    First,
    /// Behind a comma.
    Next,
    /// Inside an element: its open brackets, and whether in a text.
    Inside { depth: usize, text: bool, escape: bool },
    /// Behind an element.
    Behind,
}

/// What a step through an array came to.
enum Step {
    Piece(Piece),
    /// The next step.
    On,
    /// Nothing before more has come.
    More,
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

impl Splitter {
    /// Of a body that is lines, also if the first of them is an array, and so no request:
    /// else what follows it would be taken for what follows an array.
    pub(crate) fn of_lines() -> Splitter {
        Splitter { only_lines: true, ..Splitter::default() }
    }

    /// More of the body.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.fresh.extend_from_slice(bytes);
    }

    /// The body has ended.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// Bytes that it holds.
    pub(crate) fn holds(&self) -> usize {
        self.fresh.len() + self.held.len()
    }

    /// The next piece, if it has come whole.
    pub(crate) fn next(&mut self) -> Option<Piece> {
        loop {
            match self.form {
                Form::Unknown => match self.first()? {
                    b'[' if !self.only_lines => {
                        let _ = self.fresh.split_to(1);
                        self.form = Form::Array(Place::First);
                    }
                    _ => self.form = Form::Lines,
                },
                Form::Lines => return self.line(),
                Form::Array(place) => match self.element(place) {
                    Step::Piece(piece) => return Some(piece),
                    Step::More => return None,
                    Step::On => {}
                },
                Form::Over => {
                    let blank = self.fresh.iter().all(|byte| is_blank(*byte));
                    self.fresh.clear();
                    return (!blank).then_some(Piece::Broken("there is something after the array"));
                }
            }
        }
    }

    /// The first byte that is no blank; those before it are thrown away.
    fn first(&mut self) -> Option<u8> {
        let blanks = self.fresh.iter().take_while(|byte| is_blank(**byte)).count();
        let _ = self.fresh.split_to(blanks);
        self.fresh.first().copied()
    }

    fn line(&mut self) -> Option<Piece> {
        loop {
            let end = self.fresh.iter().position(|byte| *byte == b'\n');
            let whole = end.is_some() || self.ended;
            let part = self.fresh.split_to(end.unwrap_or(self.fresh.len()));
            if end.is_some() {
                let _ = self.fresh.split_to(1);
            }
            self.hold(&part);
            if !whole {
                return None;
            }
            let blank = self.thrown == 0 && self.held.iter().all(|byte| is_blank(*byte));
            if !blank {
                return Some(self.cut());
            }
            self.held.clear();
            if self.fresh.is_empty() {
                return None;
            }
        }
    }

    fn hold(&mut self, part: &[u8]) {
        if self.thrown > 0 || self.held.len() + part.len() > BODY_BYTES_MAX {
            self.thrown += self.held.len() + part.len();
            self.held.clear();
        } else {
            self.held.extend_from_slice(part);
        }
    }

    fn cut(&mut self) -> Piece {
        match std::mem::take(&mut self.thrown) {
            0 => Piece::Request(self.held.split().freeze()),
            bytes => Piece::TooLarge(bytes),
        }
    }

    fn broken(&mut self, why: &'static str) -> Step {
        self.fresh.clear();
        self.held.clear();
        self.form = Form::Over;
        Step::Piece(Piece::Broken(why))
    }

    /// One step through an array.
    fn element(&mut self, place: Place) -> Step {
        if let Place::Inside { depth, text, escape } = place {
            return self.inside(depth, text, escape);
        }
        let Some(byte) = self.first() else { return self.more() };
        self.form = match (place, byte) {
            (Place::First | Place::Behind, b']') => Form::Over,
            (Place::Behind, b',') => Form::Array(Place::Next),
            (Place::Behind, _) => return self.broken("a comma or ] was expected in the array"),
            (_, b',' | b']' | b'}') => return self.broken("an element was expected in the array"),
            (..) => {
                self.form = Form::Array(Place::Inside { depth: 0, text: false, escape: false });
                return Step::On;
            }
        };
        let _ = self.fresh.split_to(1);
        Step::On
    }

    /// Goes on to the end of an element.
    fn inside(&mut self, mut depth: usize, mut text: bool, mut escape: bool) -> Step {
        for at in 0..self.fresh.len() {
            let byte = self.fresh[at];
            if text {
                (text, escape) = match (escape, byte) {
                    (true, _) => (true, false),
                    (false, b'\\') => (true, true),
                    (false, byte) => (byte != b'"', false),
                };
                continue;
            }
            match byte {
                b'"' => text = true,
                b'{' | b'[' => depth += 1,
                b'}' | b']' if depth > 0 => depth -= 1,
                b',' | b']' if depth == 0 => {
                    let part = self.fresh.split_to(at);
                    self.hold(&part);
                    self.form = Form::Array(Place::Behind);
                    return Step::Piece(self.cut());
                }
                _ => {}
            }
        }
        let part = self.fresh.split();
        self.hold(&part);
        self.form = Form::Array(Place::Inside { depth, text, escape });
        self.more()
    }

    /// There has to be more of an array.
    fn more(&mut self) -> Step {
        match self.ended {
            true => self.broken("the array has no end"),
            false => Step::More,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything in a body that comes in parts of this size.
    fn split(body: &[u8], part: usize) -> Vec<Piece> {
        let (mut splitter, mut pieces) = (Splitter::default(), Vec::new());
        for bytes in body.chunks(part) {
            splitter.feed(bytes);
            while let Some(piece) = splitter.next() {
                pieces.push(piece);
            }
            assert!(splitter.holds() <= BODY_BYTES_MAX + part);
        }
        splitter.end();
        while let Some(piece) = splitter.next() {
            pieces.push(piece);
        }
        pieces
    }

    fn request(text: &str) -> Piece {
        Piece::Request(Bytes::copy_from_slice(text.as_bytes()))
    }

    /// Networks cut where they like.
    #[test]
    fn however_a_body_comes_its_requests_are_the_same() {
        #[rustfmt::skip]
        let table: [(&str, Vec<Piece>); 14] = [
            ("", vec![]),
            (" \n\r\n", vec![]),
            ("{\"a\":1}", vec![request("{\"a\":1}")]),
            ("{\"a\":1}\n{}\n", vec![request("{\"a\":1}"), request("{}")]),
            ("\n{}\r\n\n  \n[]", vec![request("{}\r"), request("[]")]),
            ("nonsense\n{", vec![request("nonsense"), request("{")]),
            ("[]", vec![]),
            (" [ ] \n", vec![]),
            ("[{\"a\":[1,{\"b\":\"]},\\\"{\"}]} , 7,\"x,]\"]", vec![request("{\"a\":[1,{\"b\":\"]},\\\"{\"}]} "), request("7"), request("\"x,]\"")]),
            ("[1,]", vec![request("1"), Piece::Broken("an element was expected in the array")]),
            ("[,1]", vec![Piece::Broken("an element was expected in the array")]),
            ("[{}", vec![Piece::Broken("the array has no end")]),
            ("[{} ,", vec![request("{} "), Piece::Broken("the array has no end")]),
            ("[{}] {}", vec![request("{}"), Piece::Broken("there is something after the array")]),
        ];
        for (body, pieces) in table {
            for part in 1..=body.len().max(1) {
                let split = split(body.as_bytes(), part);
                // What comes after a broken array is thrown away, once told.
                let known = split.iter().position(|piece| matches!(piece, Piece::Broken(_)));
                let known = known.map_or(split.len(), |at| at + 1);
                assert_eq!(split[..known], pieces, "{body:?} in parts of {part}");
            }
        }
    }

    /// One that is too long costs its neighbours nothing, and no memory.
    #[test]
    fn a_request_that_is_too_long_is_thrown_away_alone() {
        let long = "x".repeat(BODY_BYTES_MAX + 1);
        let just = "y".repeat(BODY_BYTES_MAX);
        let expected = || {
            vec![request("{}"), Piece::TooLarge(BODY_BYTES_MAX + 1), request(&just), request("1")]
        };
        for part in [1_000, 65_536, 1 << 20] {
            let lines = format!("{{}}\n{long}\n{just}\n1");
            assert_eq!(split(lines.as_bytes(), part), expected());
            let array = format!("[{{}},{long},{just},1]");
            assert_eq!(split(array.as_bytes(), part), expected());
        }
    }
}
