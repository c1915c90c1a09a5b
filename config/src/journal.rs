//! The form of a journal: lines of JSON, the first a header, then what an engine was told and asked, in that order. Here,
//! since both who writes it (the scheduler) and who reads it (the offline command) know this crate. Opens no file.
//!
//! An engine is pure: with the configuration and all lines in their order anybody comes to the same decisions.

use berth_engine::{Decision, Event, Timestamp};
use serde::{Deserialize, Serialize};

use crate::SchedulerConfiguration;

/// The version of this form. Another one cannot be read.
pub const FORMAT: u32 = 1;

/// Events that a line holds at most, so that no line becomes too long for whoever reads by lines.
pub const EVENTS_PER_LINE_MAX: usize = 1_000;

/// The first line of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Header {
    /// [`FORMAT`].
    pub journal: u32,
    /// Who wrote it, of which version: an engine of another one may decide otherwise.
    pub version: String,
    /// When it began, ms since 1970; the same in all files of a journal.
    pub begun: Timestamp,
    /// The files of a journal are numbered from 1: each goes on where the one before ends.
    pub part: u32,
    /// What the engine was configured with, defaults and flags included.
    pub configuration: SchedulerConfiguration,
    /// In a snapshot, what of the objects could not be used, for people to read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// Every other line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The time of it, ms since 1970.
    pub at: Timestamp,
    /// The engine was told this, one after the other. Those it refused are here too: they are refused again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<Event>>,
    /// Or it was asked, and decided this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<Vec<Decision>>,
}

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// The engine was told this.
    Told(Vec<Event>),
    /// The engine decided this.
    Decided(Vec<Decision>),
}

/// The header in the first line of a file.
///
/// # Errors
/// What is wrong with it, to be put after the name of the file.
pub fn read_header(line: &str) -> Result<Header, String> {
    /// Enough to tell a journal of another form from something else.
    #[derive(Deserialize)]
    struct Form {
        journal: u32,
    }
    let form: Form = serde_json::from_str(line).map_err(|_| "not a journal: its first line is no header".to_owned())?;
    if form.journal != FORMAT {
        let found = form.journal;
        return Err(format!("a journal of form {found}, and this reads form {FORMAT}; use the berth that wrote it"));
    }
    serde_json::from_str(line).map_err(|error| format!("a header that cannot be read: {error}"))
}

/// The time and the content of any line but the first.
///
/// # Errors
/// What is wrong with it, to be put after file and line.
pub fn read_line(line: &str) -> Result<(Timestamp, Entry), String> {
    let line: Line = serde_json::from_str(line).map_err(|error| format!("cannot be read: {error}"))?;
    match (line.events, line.decided) {
        (Some(events), None) => Ok((line.at, Entry::Told(events))),
        (None, Some(decided)) => Ok((line.at, Entry::Decided(decided))),
        _ => Err("expected either `events` or `decided`".to_owned()),
    }
}
