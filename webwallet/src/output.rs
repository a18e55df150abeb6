//! What goes to standard output, answers and nothing else; and how we complain.
//!
//! Progress, logs and complaints go to standard error, so that a script can
//! read every line here. A reader that has gone (`head`, a pager) changes nothing of
//! what a command does and how it ends: what is refused stays refused.

use std::io::{self, ErrorKind, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

// What a server, a log or a file says goes through them before people read it.
pub use webwallet_audit::{complain, harmless};

static READER_IS_GONE: AtomicBool = AtomicBool::new(false);

/// How a command that could run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Exit code 0.
    Done,
    /// Exit code 1.
    Refused,
}

/// Writes one line to standard output and flushes it: a script waits for it.
/// Without a reader that is no failure.
pub fn line(text: impl AsRef<[u8]>) -> io::Result<()> {
    let write = || {
        let mut out = io::stdout().lock();
        out.write_all(text.as_ref())?;
        out.write_all(b"\n")?;
        out.flush()
    };
    match write() {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {
            READER_IS_GONE.store(true, Ordering::Relaxed);
            Ok(())
        }
        Err(error) => {
            Err(io::Error::new(error.kind(), format!("cannot write to standard output: {error}")))
        }
        Ok(()) => Ok(()),
    }
}

/// Whether nobody reads our output any more: then what only prints may end.
pub fn reader_is_gone() -> bool {
    READER_IS_GONE.load(Ordering::Relaxed)
}

/// A text as one word of a shell.
pub fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// A file as one word of a shell, whatever folder that is in.
pub fn path(file: &Path) -> String {
    word(&std::path::absolute(file).unwrap_or_else(|_| file.to_owned()).to_string_lossy())
}

/// Columns padded to the widest cell; a cell that starts with a digit or a
/// sign is aligned to the right, as amounts are. Cells may be somebody else's text.
pub fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let plain = |row: Vec<String>| -> Vec<String> {
        row.iter().map(|cell| harmless(cell).into_owned()).collect()
    };
    let rows: Vec<Vec<String>> = rows.into_iter().map(plain).collect();
    let column = |column: usize| rows.iter().filter_map(move |row| row.get(column));
    let width = |at: usize| {
        let cells = column(at).map(|cell| cell.chars().count());
        cells.chain(head.get(at).map(|title| title.chars().count())).max().unwrap_or_default()
    };
    let is_number = |cell: &str| {
        let digits = cell.strip_prefix('-').unwrap_or(cell);
        digits == "Infinity"
            || (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
    };
    let is_right = |at: usize| !rows.is_empty() && column(at).all(|cell| is_number(cell));
    // Once for each column: a list may be as long as a server likes.
    let columns: Vec<(usize, bool)> = (0..head.len()).map(|at| (width(at), is_right(at))).collect();
    let titles = head.iter().map(|title| title.to_string()).collect::<Vec<_>>();
    let mut text = String::new();
    for row in std::iter::once(&titles).chain(&rows) {
        let mut line = String::new();
        for (cell, (width, is_right)) in row.iter().zip(&columns) {
            let gap = width.saturating_sub(cell.chars().count());
            let (before, after) = if *is_right { (gap, 0) } else { (0, gap) };
            line.push_str(&" ".repeat(before));
            line.push_str(cell);
            line.push_str(&" ".repeat(after + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.trim_end().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A command that is printed is run as it stands; a name must not become a second one.
    #[test]
    fn a_word_is_read_by_a_shell_as_it_is() {
        for text in ["a/b.json", "", "two words", "it's", "$HOME", "`x`", "a;b", "*", "a\nb", "~"] {
            let printed = std::process::Command::new("sh")
                .args(["-c", &format!("printf %s {}", word(text))])
                .output()
                .expect("a shell");
            assert_eq!(String::from_utf8(printed.stdout).expect("UTF-8"), text);
        }
        assert_eq!(word("http://127.0.0.1:8080"), "http://127.0.0.1:8080");
    }

    /// Amounts that do not line up are misread by a factor of ten.
    #[test]
    fn amounts_are_aligned_to_the_right() {
        let rows = [vec!["bob".into(), "-6".into()], vec!["carol".into(), "1200".into()]];
        assert_eq!(table(&["who", "net"], rows), "who     net\nbob      -6\ncarol  1200");
        assert_eq!(table(&["who", "net"], []), "who  net");
    }

    /// A server may send a very long list; widths that are sought anew for each cell take hours.
    #[test]
    fn a_long_table_is_made_at_once() {
        let rows = (0..200_000).map(|n| vec!["bob".into(), n.to_string()]);
        assert_eq!(table(&["who", "net"], rows).lines().count(), 200_001);
    }
}
