//! The second auditor, in Python, asked about many logs.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use webwallet_audit::Audit;

use crate::Found;

/// A process that answers one question after the other; ends when dropped.
pub struct Second {
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Second {
    pub fn start() -> Second {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corruption/second.py");
        let mut child = Command::new("python3")
            .args(["-B".as_ref(), script.as_os_str()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3; scripts/test installs it");
        let questions = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        Second { child, questions, answers }
    }

    /// All that it finds.
    pub fn ask(&mut self, audit: &Audit, place: &str) -> Vec<Found> {
        let from = audit.from.as_ref().map(|note| String::from_utf8_lossy(note));
        let question = json!({
            "place": place, "key": audit.key.to_string(), "domain": audit.domain,
            "now": audit.now.unix_ms(), "max_age": audit.max_age_ms, "from": from,
        });
        writeln!(self.questions.as_ref().expect("piped"), "{question}").expect("it listens");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("it answers");
        let findings: Vec<[Value; 3]> = serde_json::from_str(&line).expect("what it found");
        let number = |value: &Value| value.as_str().map(|text| text.parse().expect("decimal"));
        let found = findings.iter().map(|[code, block, at]| {
            (code.as_str().expect("a code").to_owned(), number(block), number(at))
        });
        found.collect()
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        self.questions = None;
        let _ = self.child.wait();
    }
}
