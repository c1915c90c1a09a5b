//! What is wrong with an input file, told so that its owner can mend it: where, what stands there, what belongs there.
//! Owns the wording of every complaint about an input. Reads nothing and knows no format.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

/// Characters of a wrong value that a message repeats: enough to find it, short enough for one terminal line.
const EXCERPT_CHARS: usize = 40;

/// One fault in an input file. The first fault ends the reading: nothing of the file is used.
/// No variant is worth a retry without a change to the file, except `Unreadable`, whose cause says why.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The file could not be opened, or reading it broke off.
    #[error("{file}: cannot be read; check that it exists and that you may read it")]
    Unreadable {
        /// The file, as the user named it.
        file: Box<str>,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// There is not even a header.
    #[error("{file}: the file is empty, expected a header with the columns {columns}")]
    Empty {
        /// The file, as the user named it.
        file: Box<str>,
        /// The columns it needs, ready to show.
        columns: Box<str>,
    },
    /// The header lacks a column.
    #[error("{file}:{line}: no column `{column}` among {header}; {advice}")]
    MissingColumn {
        /// The file, as the user named it.
        file: Box<str>,
        /// The header's line, counted from 1.
        line: u64,
        /// The column looked for.
        column: &'static str,
        /// The columns that are there, ready to show.
        header: Box<str>,
        /// What to do about it.
        advice: &'static str,
    },
    /// The header has a column twice, so its values are ambiguous.
    #[error("{place}: stands twice in the header; remove or rename one of them")]
    RepeatedColumn {
        /// The header.
        place: Place,
    },
    /// A value that its column cannot have.
    #[error("{place}: found {found}, expected {expected}")]
    Value {
        /// Where it stands.
        place: Place,
        /// What stands there.
        found: Excerpt,
        /// What may stand there.
        expected: Cow<'static, str>,
    },
    /// A value that its column can have, but not beside another value of the same row.
    #[error("{place}: found {found} beside `{other}` {other_found}, expected {expected}")]
    Contradiction {
        /// Where it stands.
        place: Place,
        /// What stands there.
        found: Excerpt,
        /// The column it contradicts.
        other: &'static str,
        /// What stands in that column.
        other_found: Excerpt,
        /// What may stand here beside it.
        expected: Cow<'static, str>,
    },
    /// A name that an earlier row has.
    #[error("{place}: found {found}, which already stands in line {first_line}; give every row a name of its own")]
    DuplicateName {
        /// Where the second one stands.
        place: Place,
        /// The name.
        found: Excerpt,
        /// The line of the first one, counted from 1.
        first_line: u64,
    },
    /// A row with more or fewer fields than the header.
    #[error(
        "{file}:{line}: found {found} fields, expected {expected} as in the header; \
         the line may be cut short, or a field with a comma may lack its quotes"
    )]
    FieldCount {
        /// The file, as the user named it.
        file: Box<str>,
        /// The line the row starts in, counted from 1.
        line: u64,
        /// Fields of the row.
        found: usize,
        /// Fields of the header.
        expected: usize,
    },
    /// The file ends inside a quoted field.
    #[error("{file}:{line}: a quote in this row is never closed; close it, or double it where it belongs to the text")]
    UnclosedQuote {
        /// The file, as the user named it.
        file: Box<str>,
        /// The line the row starts in, counted from 1.
        line: u64,
    },
    /// The file is larger than a list of its kind can be.
    #[error("{file}: larger than {limit} bytes; check that it is the right file, or split it")]
    TooLarge {
        /// The file, as the user named it.
        file: Box<str>,
        /// The most that is read, bytes.
        limit: u64,
    },
    /// A row is longer than any real one.
    #[error("{file}:{line}: this row is longer than {limit} bytes; look for a quote that is never closed")]
    RowTooLong {
        /// The file, as the user named it.
        file: Box<str>,
        /// The line the row starts in, counted from 1.
        line: u64,
        /// The most that a row may have, bytes.
        limit: u64,
    },
    /// The list is longer than the simulator takes.
    #[error("{file}:{line}: more than {limit} rows; split the list")]
    TooManyRows {
        /// The file, as the user named it.
        file: Box<str>,
        /// The line of the first row too many, counted from 1.
        line: u64,
        /// The most rows that are read, the header not counted.
        limit: u64,
    },
}

/// A field of a table: shown as ``pods.csv:17: column `gpu_milli` ``.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, as the user named it.
    pub file: Box<str>,
    /// The line the row starts in, counted from 1.
    pub line: u64,
    /// The column, by its name in the header.
    pub column: &'static str,
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: column `{}`", self.file, self.line, self.column)
    }
}

/// A piece of input made safe to show: cut where it is long, with control characters and broken UTF-8 as escapes, so
/// that a hostile file cannot write to the terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt(Box<str>);

impl Excerpt {
    /// The excerpt of `text`, which need not be UTF-8.
    pub fn of(text: impl AsRef<[u8]>) -> Self {
        Self(escape(text.as_ref(), EXCERPT_CHARS))
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { out.write_str("nothing") } else { write!(out, "`{}`", self.0) }
    }
}

/// How messages name the file at `path`: as the user did, with control characters escaped.
pub fn shown_path(path: &Path) -> Box<str> {
    escape(path.as_os_str().as_encoded_bytes(), usize::MAX)
}

/// `text` with control characters and broken UTF-8 as escapes, cut after `limit` characters.
fn escape(text: &[u8], limit: usize) -> Box<str> {
    let mut shown = String::new();
    let mut chars = 0;
    for chunk in text.utf8_chunks() {
        let valid = chunk.valid().chars().map(escape_char);
        let broken = chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}"));
        for piece in valid.chain(broken) {
            if chars == limit {
                shown.push('…');
                return shown.into();
            }
            shown.push_str(&piece);
            chars += 1;
        }
    }
    shown.into()
}

/// The character itself where a terminal shows it as it is, else its escape.
fn escape_char(c: char) -> String {
    if matches!(c, '\\' | '\'' | '"') { c.to_string() } else { c.escape_debug().to_string() }
}
