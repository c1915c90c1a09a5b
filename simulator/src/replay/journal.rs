//! The files of a journal as a stream of entries. Owns what may be wrong with them, and where; knows no engine.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use berth_config::journal::{self as form, Entry, Header};
use berth_engine::Timestamp;

use crate::input::shown_path;

/// The longest line that is read, bytes: thousands of times a usual one.
const LINE_BYTES_MAX: u64 = 1 << 30;

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BrokenJournal {
    /// A file could not be opened, or reading it broke off.
    #[error("{file}: cannot be read; check that it exists, is a file, and that you may read it")]
    Unreadable {
        /// The file, as the user named it.
        file: Box<str>,
        /// What the operating system said.
        source: io::Error,
    },
    /// A line is not what it should be.
    #[error("{place}: {what}")]
    Line {
        /// File and line, counted from 1.
        place: String,
        /// What is wrong with it.
        what: String,
    },
    /// The files do not belong together in this order.
    #[error("{file}: {what}; give all files of one journal in their order, from the one that ends in -0001.jsonl on")]
    Part {
        /// The file, as the user named it.
        file: Box<str>,
        /// What is wrong with it.
        what: String,
    },
}

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    header: Header,
    open: Lines,
    next: VecDeque<PathBuf>,
    cut_off: Option<String>,
}

/// The lines of one file.
#[derive(Debug)]
struct Lines {
    file: Box<str>,
    from: BufReader<File>,
    number: u64,
}

impl Lines {
    fn open(path: &Path) -> Result<Lines, BrokenJournal> {
        let file = shown_path(path);
        match File::open(path) {
            Ok(from) => Ok(Lines { file, from: BufReader::with_capacity(1 << 16, from), number: 0 }),
            Err(source) => Err(BrokenJournal::Unreadable { file, source }),
        }
    }

    fn place(&self) -> String {
        format!("{}:{}", self.file, self.number)
    }

    fn broken(&self, what: String) -> BrokenJournal {
        BrokenJournal::Line { place: self.place(), what }
    }

    /// The next line without its end, and whether it had one; `None` after the last.
    fn next(&mut self) -> Result<Option<(String, bool)>, BrokenJournal> {
        let mut bytes = Vec::new();
        self.number += 1;
        let read = (&mut self.from).take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes);
        read.map_err(|source| BrokenJournal::Unreadable { file: self.file.clone(), source })?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let ended = bytes.pop_if(|byte| *byte == b'\n').is_some();
        if !ended && bytes.len() as u64 == LINE_BYTES_MAX {
            return Err(self.broken(format!("longer than {LINE_BYTES_MAX} bytes; this is no journal")));
        }
        match String::from_utf8(bytes) {
            Ok(line) => Ok(Some((line, ended))),
            // Cut off within a character.
            Err(error) if !ended => Ok(Some((String::from_utf8_lossy(error.as_bytes()).into_owned(), false))),
            Err(_) => Err(self.broken("the text is not UTF-8".to_owned())),
        }
    }

    /// The first line, as a header.
    fn header(&mut self) -> Result<Header, BrokenJournal> {
        let line = self.next()?.map_or_else(String::new, |(line, _)| line);
        form::read_header(&line).map_err(|what| self.broken(what))
    }
}

impl Journal {
    /// Opens the files of one journal, given in their order.
    ///
    /// # Errors
    /// When the first cannot be read or does not begin a journal.
    pub fn open(files: &[PathBuf]) -> Result<Journal, BrokenJournal> {
        let mut next: VecDeque<PathBuf> = files.iter().cloned().collect();
        let first = next.pop_front().unwrap_or_default();
        let mut open = Lines::open(&first)?;
        let header = open.header()?;
        if header.part != 1 {
            let what = format!("this is part {} of a journal, and nothing is known of what went before", header.part);
            return Err(BrokenJournal::Part { file: open.file, what });
        }
        Ok(Journal { header, open, next, cut_off: None })
    }

    /// The header of the file that is being read.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The next entry with its time; `None` at the end. A last line without an end that cannot be read is left out: the
    /// scheduler was killed while it wrote it.
    ///
    /// # Errors
    /// When a line is not what it should be, or a file does not go on where the one before ended.
    pub fn next_entry(&mut self) -> Result<Option<(Timestamp, Entry)>, BrokenJournal> {
        loop {
            let Some((line, ended)) = self.open.next()? else {
                let Some(next) = self.next.pop_front() else { return Ok(None) };
                self.go_on(&next)?;
                continue;
            };
            return match form::read_line(&line) {
                Ok(entry) => Ok(Some(entry)),
                Err(_) if !ended && self.next.is_empty() => {
                    self.cut_off = Some(self.open.place());
                    Ok(None)
                }
                Err(what) => Err(self.open.broken(what)),
            };
        }
    }

    fn go_on(&mut self, path: &Path) -> Result<(), BrokenJournal> {
        self.open = Lines::open(path)?;
        let header = self.open.header()?;
        let part = |what| BrokenJournal::Part { file: self.open.file.clone(), what };
        if header.begun != self.header.begun || header.configuration != self.header.configuration {
            return Err(part("this belongs to another journal than the file before".to_owned()));
        }
        if header.part != self.header.part + 1 {
            return Err(part(format!("this is part {}, and the one before is part {}", header.part, self.header.part)));
        }
        self.header = header;
        Ok(())
    }

    /// File and line of the entry read last.
    pub fn place(&self) -> String {
        self.open.place()
    }

    /// Where the last line was cut off, if it was.
    pub fn cut_off(&self) -> Option<String> {
        self.cut_off.clone()
    }
}
