//! A CSV file as rows of named columns, with the exact line of every fault and a bound on what a file can cost.
//! Owns the form (header, quotes, line ends, limits); knows no column's meaning: that is the importers'.

mod gate;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;

use csv::ByteRecord;

use self::gate::{Gate, Stop};
use crate::input::{Excerpt, InputError, Place};

/// Longest name, bytes: a Kubernetes namespace (63), a slash, and an object name (253).
pub const NAME_BYTES_MAX: usize = 317;

/// Columns of a header that a message lists, so that it stays readable for a wrong file.
const SHOWN_COLUMNS: usize = 12;

/// The most that one file may ask of the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Size of the file, bytes.
    pub file_bytes: u64,
    /// Length of one row with its line end, bytes; with a quote left open, a row runs on to the end of the file.
    pub row_bytes: u64,
    /// Rows below the header.
    pub rows: u64,
}

impl Limits {
    /// For lists of nodes and pods. A million rows is a hundred times the largest openb list, and its rows in memory
    /// stay below half a GiB; 256 bytes for each of them is three times what openb uses; 64 KiB for one row is more
    /// than a hundred times the longest real one.
    pub const STANDARD: Self = Self { file_bytes: 256 << 20, row_bytes: 64 << 10, rows: 1_000_000 };
}

/// A column that the header has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    name: &'static str,
    index: usize,
}

/// A CSV file being read row by row. Columns are found by name, in any order; a byte order mark, `\r\n` and blank lines
/// are fine. Broken UTF-8 matters only in columns that are read.
#[derive(Debug)]
pub struct Table<R> {
    file: Box<str>,
    csv: csv::Reader<Gate<R>>,
    header: ByteRecord,
    header_line: u64,
    record: ByteRecord,
    rows: u64,
    rows_max: u64,
}

/// One row of a table.
#[derive(Debug, Clone, Copy)]
pub struct Row<'t> {
    file: &'t str,
    line: u64,
    record: &'t ByteRecord,
}

impl<R: Read> Table<R> {
    /// Reads the header. `file` is the name for messages; `required` are the columns named if the file is empty.
    pub fn open(input: R, file: &str, limits: Limits, required: &[&str]) -> Result<Self, InputError> {
        let gate = Gate::new(input, limits.file_bytes, limits.row_bytes);
        let csv = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(gate);
        let mut table = Self {
            file: file.into(),
            csv,
            header: ByteRecord::new(),
            header_line: 1,
            record: ByteRecord::new(),
            rows: 0,
            rows_max: limits.rows,
        };
        let Some(line) = table.advance()? else {
            let columns = shown_list(required.iter().map(|name| name.as_bytes()));
            return Err(InputError::Empty { file: table.file, columns });
        };
        table.header_line = line;
        table.header = std::mem::take(&mut table.record);
        table.header.trim();
        Ok(table)
    }

    /// The column `name`, or nothing if the header lacks it.
    pub fn find(&self, name: &'static str) -> Result<Option<Column>, InputError> {
        let mut hits = self.header.iter().enumerate().filter(|(_, field)| *field == name.as_bytes());
        let column = hits.next().map(|(index, _)| Column { name, index });
        if hits.next().is_some() {
            let place = Place { file: self.file.clone(), line: self.header_line, column: name };
            return Err(InputError::RepeatedColumn { place });
        }
        Ok(column)
    }

    /// The column `name`; an error with `advice` if the header lacks it.
    pub fn require(&self, name: &'static str, advice: &'static str) -> Result<Column, InputError> {
        self.find(name)?.ok_or_else(|| InputError::MissingColumn {
            file: self.file.clone(),
            line: self.header_line,
            column: name,
            header: shown_list(self.header.iter()),
            advice,
        })
    }

    /// The next row, or nothing at the end.
    pub fn row(&mut self) -> Result<Option<Row<'_>>, InputError> {
        let Some(line) = self.advance()? else { return Ok(None) };
        if self.rows == self.rows_max {
            return Err(InputError::TooManyRows { file: self.file.clone(), line, limit: self.rows_max });
        }
        self.rows += 1;
        let (found, expected) = (self.record.len(), self.header.len());
        if found != expected {
            return Err(InputError::FieldCount { file: self.file.clone(), line, found, expected });
        }
        Ok(Some(Row { file: &self.file, line, record: &self.record }))
    }

    /// Moves to the next record and says in which line it starts.
    fn advance(&mut self) -> Result<Option<u64>, InputError> {
        match self.csv.read_byte_record(&mut self.record) {
            Ok(true) => Ok(Some(self.csv.get_mut().next_start())),
            Ok(false) => Ok(None),
            Err(error) => Err(self.fault(error)),
        }
    }

    /// Why reading broke off: a limit of the gate, or else the input itself.
    fn fault(&self, error: csv::Error) -> InputError {
        let file = self.file.clone();
        match self.csv.get_ref().stop() {
            Some(Stop::FileTooLarge { limit }) => InputError::TooLarge { file, limit },
            Some(Stop::RowTooLong { line, limit }) => InputError::RowTooLong { file, line, limit },
            Some(Stop::UnclosedQuote { line }) => InputError::UnclosedQuote { file, line },
            None => InputError::Unreadable { file, source: error.into() },
        }
    }
}

impl<'t> Row<'t> {
    /// The line the row starts in, counted from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Where the field of `column` stands.
    pub fn place(&self, column: Column) -> Place {
        Place { file: self.file.into(), line: self.line, column: column.name }
    }

    /// Whether the field is empty.
    pub fn is_empty(&self, column: Column) -> bool {
        self.field(column).is_empty()
    }

    /// A whole number from 0 to `max`, in decimal digits only.
    pub fn number(&self, column: Column, max: u64) -> Result<u64, InputError> {
        let digits = self.digits(column).and_then(|text| text.parse::<u64>().ok());
        match digits {
            Some(number) if number <= max => Ok(number),
            _ => Err(self.fault(column, format!("a whole number from 0 to {max}"))),
        }
    }

    /// A whole number from 0 to `max` where a small type holds it.
    pub fn small(&self, column: Column, max: u32) -> Result<u32, InputError> {
        let number = self.number(column, u64::from(max))?;
        u32::try_from(number).map_err(|_| self.fault(column, format!("a whole number from 0 to {max}")))
    }

    /// A whole number of either sign; an empty field is 0.
    pub fn signed(&self, column: Column) -> Result<i32, InputError> {
        let text = self.text(column)?;
        let digits = text.strip_prefix('-').unwrap_or(text);
        match text.parse() {
            _ if text.is_empty() => Ok(0),
            Ok(number) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Ok(number),
            _ => Err(self.fault(column, format!("a whole number from {} to {}, or nothing", i32::MIN, i32::MAX))),
        }
    }

    /// Text without control characters, without blanks at its ends, of at most [`NAME_BYTES_MAX`] bytes; may be empty.
    pub fn text(&self, column: Column) -> Result<&'t str, InputError> {
        let text = std::str::from_utf8(self.field(column)).map_err(|_| self.fault(column, "UTF-8 text"))?;
        if !is_plain(text) {
            return Err(self.fault(column, "text without control characters or blanks at its ends"));
        }
        if text.len() > NAME_BYTES_MAX {
            return Err(self.fault(column, format!("at most {NAME_BYTES_MAX} bytes, not {}", text.len())));
        }
        Ok(text)
    }

    /// As [`Row::text`], but not empty.
    pub fn name(&self, column: Column) -> Result<&'t str, InputError> {
        match self.text(column)? {
            "" => Err(self.fault(column, "a name")),
            name => Ok(name),
        }
    }

    /// An error about the field of `column`.
    pub fn fault(&self, column: Column, expected: impl Into<Cow<'static, str>>) -> InputError {
        InputError::Value {
            place: self.place(column),
            found: Excerpt::of(self.field(column)),
            expected: expected.into(),
        }
    }

    /// An error about the field of `column`, which does not go with that of `other`.
    pub fn contradiction(&self, column: Column, other: Column, expected: impl Into<Cow<'static, str>>) -> InputError {
        InputError::Contradiction {
            place: self.place(column),
            found: Excerpt::of(self.field(column)),
            other: other.name,
            other_found: Excerpt::of(self.field(other)),
            expected: expected.into(),
        }
    }

    /// The field if it is decimal digits and nothing else (no sign, no blank).
    fn digits(&self, column: Column) -> Option<&'t str> {
        let text = std::str::from_utf8(self.field(column)).ok()?;
        text.bytes().all(|byte| byte.is_ascii_digit()).then_some(text)
    }

    /// The bytes of the field. Every row has as many fields as the header, so the column is there.
    fn field(&self, column: Column) -> &'t [u8] {
        self.record.get(column.index).unwrap_or_default()
    }
}

/// The names of a table so far, to catch the second row of one name.
#[derive(Debug, Default)]
pub struct Names {
    lines: BTreeMap<String, u64>,
}

impl Names {
    /// Adds the name in `column` of `row`; an error names the line that has it already.
    pub fn add(&mut self, row: &Row<'_>, column: Column) -> Result<String, InputError> {
        let name = row.name(column)?;
        if let Some(&first_line) = self.lines.get(name) {
            let (place, found) = (row.place(column), Excerpt::of(name));
            return Err(InputError::DuplicateName { place, found, first_line });
        }
        self.lines.insert(name.to_owned(), row.line());
        Ok(name.to_owned())
    }
}

/// Whether `text` has neither control characters nor blanks at its ends.
pub(crate) fn is_plain(text: &str) -> bool {
    text.trim() == text && !text.chars().any(char::is_control)
}

/// Column names for a message: each as an excerpt, the first few of them.
fn shown_list<'a>(names: impl ExactSizeIterator<Item = &'a [u8]>) -> Box<str> {
    let more = names.len().saturating_sub(SHOWN_COLUMNS);
    let mut shown: Vec<String> = names.take(SHOWN_COLUMNS).map(|name| Excerpt::of(name).to_string()).collect();
    if more > 0 {
        shown.push(format!("{more} more"));
    }
    shown.join(", ").into()
}
