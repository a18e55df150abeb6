//! What others wrote, made fit for a terminal.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, Write as _};

/// One line of text by somebody else in which nothing moves the cursor, colours,
/// erases, begins a line or turns the direction of reading: such characters are
/// shown as `\u{1b}`. Otherwise a server, or a log that is audited, could write over
/// what we say of it.
pub fn harmless(line: &str) -> Cow<'_, str> {
    if !line.contains(is_harmful) {
        return Cow::Borrowed(line);
    }
    let mut plain = String::with_capacity(line.len() + 16);
    for character in line.chars() {
        match is_harmful(character) {
            true => plain.extend(character.escape_unicode()),
            false => plain.push(character),
        }
    }
    Cow::Owned(plain)
}

/// Writes a complaint or progress to standard error. What cannot be written there
/// is lost: how a command ends does not depend on who listens.
pub fn complain(text: impl Display) {
    let text = text.to_string();
    let lines: String = text.lines().map(|line| format!("{}\n", harmless(line))).collect();
    // In one piece, lest lines of several processes mix.
    let _ = io::stderr().write_all(lines.as_bytes());
}

/// Controls (C0, DEL, C1), the ends of lines and paragraphs, and the bidirectional
/// controls of Unicode.
pub fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log could erase the verdict on it and write another.
    #[test]
    fn what_moves_a_terminal_is_shown_and_all_else_stays() {
        for (text, shown) in [
            ("\x1b[2K\raccepted", r"\u{1b}[2K\u{d}accepted"),
            ("a\nb\tc", r"a\u{a}b\u{9}c"),
            ("\u{9b}1m\u{7f}", r"\u{9b}1m\u{7f}"),
            ("\u{202e}01\u{2066}", r"\u{202e}01\u{2066}"),
        ] {
            assert_eq!(harmless(text), shown);
        }
        for text in ["", "alice pays 5", "müller ✓ 支払い", r"C:\u{1b}"] {
            assert!(matches!(harmless(text), Cow::Borrowed(same) if same == text));
        }
    }
}
