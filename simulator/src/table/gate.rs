//! The bytes on their way to the CSV reader: counts lines and stops at the limits before a hostile file costs memory.
//! Follows quotes only as far as needed to know where rows begin; never changes a byte after the byte order mark.
//! (The CSV reader has line numbers of its own, but they lag behind where lines end in `\r\n` or are blank.)

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read};

/// What an editor on Windows puts before UTF-8 text; not part of the first column's name.
const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// Why the gate closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// More bytes than a file may have.
    FileTooLarge { limit: u64 },
    /// More bytes than a row may have; the line is that of its start.
    RowTooLong { line: u64, limit: u64 },
    /// The input ended inside quotes; the line is that of the row's start.
    UnclosedQuote { line: u64 },
}

/// Where in a row the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    RowStart,
    FieldStart,
    Bare,
    Quoted,
    /// After a quote inside quotes: a second one is text, anything else ends the quoting.
    QuoteSeen,
}

/// A reader that passes bytes on until a limit is met.
#[derive(Debug)]
pub(super) struct Gate<R> {
    input: R,
    file_bytes_max: u64,
    row_bytes_max: u64,
    /// Bytes at the front that turned out not to be a byte order mark; `None` until that is known.
    front: Option<VecDeque<u8>>,
    state: State,
    after_return: bool,
    line: u64,
    row_line: u64,
    file_bytes: u64,
    row_bytes: u64,
    /// Lines of the rows that passed and that the CSV reader has not asked for yet.
    starts: VecDeque<u64>,
    stop: Option<Stop>,
}

impl<R: Read> Gate<R> {
    pub(super) fn new(input: R, file_bytes_max: u64, row_bytes_max: u64) -> Self {
        Self {
            input,
            file_bytes_max,
            row_bytes_max,
            front: None,
            state: State::RowStart,
            after_return: false,
            line: 1,
            row_line: 1,
            file_bytes: 0,
            row_bytes: 0,
            starts: VecDeque::new(),
            stop: None,
        }
    }

    /// The line of the oldest row not yet asked for.
    pub(super) fn next_start(&mut self) -> u64 {
        self.starts.pop_front().unwrap_or(self.row_line)
    }

    /// Why the gate closed, if it did.
    pub(super) fn stop(&self) -> Option<Stop> {
        self.stop
    }

    /// Fills `buffer` from what was looked at already, then from the input.
    fn fetch(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.front.is_none() {
            let mut first = Vec::new();
            self.input.by_ref().take(BYTE_ORDER_MARK.len() as u64).read_to_end(&mut first)?;
            self.front = Some(if first == BYTE_ORDER_MARK { VecDeque::new() } else { first.into() });
        }
        if let Some(front) = self.front.as_mut().filter(|front| !front.is_empty()) {
            return front.read(buffer);
        }
        loop {
            match self.input.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Follows `bytes` and says how many of them may pass.
    fn admit(&mut self, bytes: &[u8]) -> usize {
        for (index, &byte) in bytes.iter().enumerate() {
            let line_end = matches!(byte, b'\n' | b'\r');
            if self.state == State::RowStart && !line_end {
                self.row_line = self.line;
                self.row_bytes = 0;
                self.starts.push_back(self.line);
            }
            self.file_bytes += 1;
            self.row_bytes += 1;
            self.stop = self.limit_met();
            if self.stop.is_some() {
                return index;
            }
            self.state = self.state.after(byte);
            if self.state == State::RowStart {
                self.row_bytes = 0;
            }
            self.line += u64::from(line_end && !(byte == b'\n' && self.after_return));
            self.after_return = byte == b'\r';
        }
        bytes.len()
    }

    fn limit_met(&self) -> Option<Stop> {
        if self.file_bytes > self.file_bytes_max {
            return Some(Stop::FileTooLarge { limit: self.file_bytes_max });
        }
        let too_long = Stop::RowTooLong { line: self.row_line, limit: self.row_bytes_max };
        (self.row_bytes > self.row_bytes_max).then_some(too_long)
    }
}

impl State {
    fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Quoted, b'"') => Self::QuoteSeen,
            (Self::Quoted, _) => Self::Quoted,
            (Self::RowStart | Self::FieldStart | Self::QuoteSeen, b'"') => Self::Quoted,
            (_, b',') => Self::FieldStart,
            (_, b'\n' | b'\r') => Self::RowStart,
            _ => Self::Bare,
        }
    }
}

impl<R: Read> Read for Gate<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.is_some() {
            return Err(ErrorKind::InvalidData.into());
        }
        let fetched = self.fetch(buffer)?;
        if fetched == 0 && !buffer.is_empty() && self.state == State::Quoted {
            self.stop = Some(Stop::UnclosedQuote { line: self.row_line });
            return Err(ErrorKind::InvalidData.into());
        }
        match self.admit(&buffer[..fetched]) {
            0 if self.stop.is_some() => Err(ErrorKind::InvalidData.into()),
            passed => Ok(passed),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// The gate and the CSV reader see the same rows, so each row gets its own line and none is left over.
        #[test]
        fn the_gate_sees_the_rows_that_the_csv_reader_sees(text in "[a,\"\r\n]{0,40}") {
            let gate = Gate::new(text.as_bytes(), u64::MAX, u64::MAX);
            let mut csv = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(gate);
            let mut record = csv::ByteRecord::new();
            while csv.read_byte_record(&mut record).is_ok_and(|more| more) {
                prop_assert!(csv.get_mut().starts.pop_front().is_some());
            }
            let unfinished = usize::from(csv.get_ref().stop().is_some());
            prop_assert_eq!(csv.get_ref().starts.len(), unfinished);
        }
    }
}
