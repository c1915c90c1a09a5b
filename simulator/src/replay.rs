//! Journals of the scheduler, played again: the same decisions, or what another configuration would have made of it.
//! The engine is the one that runs in production; nothing in here decides anything.

pub mod changes;
pub mod explain;
pub mod journal;
pub mod what_if;

mod outline;

use std::collections::BTreeMap;
use std::path::PathBuf;

use berth_config::journal::{Entry, Header};
use berth_engine::{Decision, Engine, Timestamp};
use serde::Serialize;

pub use journal::{BrokenJournal, Journal};

/// What a journal holds, and whether it came out the same again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Replayed {
    /// Who wrote the journal.
    pub version: String,
    /// From its beginning to its last line, ms.
    pub covers_ms: u64,
    /// Events the engine was told.
    pub events: u64,
    /// Those of them that it refused.
    pub refused: u64,
    /// How often it was asked.
    pub cycles: u64,
    /// Decisions in the journal, by kind.
    pub decisions: BTreeMap<&'static str, u64>,
    /// Where the engine decided otherwise for the first time. What comes after is its consequence, and is only counted.
    pub difference: Option<Difference>,
    /// The last line is cut off: where, if so. It is left out.
    pub cut_off: Option<String>,
}

/// A cycle in which the engine did not decide as the journal says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The file, as the user named it, and the line, counted from 1.
    pub place: String,
    /// The time of the cycle, ms since 1970.
    pub at: Timestamp,
    /// The first decision of the cycle that differs, counted from 1.
    pub number: usize,
    /// What the journal has there; nothing where it has fewer.
    pub recorded: Option<Decision>,
    /// What the engine decides now; nothing where it decides less.
    pub replayed: Option<Decision>,
}

/// The kind of a decision, for counts.
pub(crate) fn kind(decision: &Decision) -> &'static str {
    match decision {
        Decision::Bind { .. } => "bind",
        Decision::Nominate { .. } => "nominate",
        Decision::Evict { .. } => "evict",
        Decision::Reserve { .. } => "reserve",
        Decision::Wait { .. } => "wait",
    }
}

/// An engine as it was configured when the journal was written.
pub(crate) fn engine_of(header: &Header) -> Engine {
    Engine::new(berth_config::engine_config(&header.configuration))
}

/// Plays the files of a journal, in their order, on an engine of the same configuration, and compares every decision.
///
/// # Errors
/// When a file cannot be read or is no journal; the message says where.
pub fn replay(files: &[PathBuf]) -> Result<Replayed, BrokenJournal> {
    let mut journal = Journal::open(files)?;
    let mut engine = engine_of(journal.header());
    let (version, begun) = (journal.header().version.clone(), journal.header().begun);
    let mut replayed = Replayed {
        version,
        covers_ms: 0,
        events: 0,
        refused: 0,
        cycles: 0,
        decisions: BTreeMap::new(),
        difference: None,
        cut_off: None,
    };
    while let Some((at, entry)) = journal.next_entry()? {
        replayed.covers_ms = at.since(begun);
        match entry {
            Entry::Told(events) => {
                for event in events {
                    replayed.events += 1;
                    replayed.refused += u64::from(engine.apply(event, at).is_err());
                }
            }
            Entry::Decided(recorded) => {
                replayed.cycles += 1;
                recorded.iter().for_each(|decision| *replayed.decisions.entry(kind(decision)).or_default() += 1);
                if replayed.difference.is_none() {
                    let decided = engine.decide(at);
                    replayed.difference = difference(&recorded, &decided, at, &journal);
                }
            }
        }
    }
    replayed.cut_off = journal.cut_off();
    Ok(replayed)
}

fn difference(recorded: &[Decision], decided: &[Decision], at: Timestamp, journal: &Journal) -> Option<Difference> {
    let longer = recorded.len().max(decided.len());
    let first = (0..longer).find(|index| recorded.get(*index) != decided.get(*index))?;
    let (recorded, replayed) = (recorded.get(first).cloned(), decided.get(first).cloned());
    Some(Difference { place: journal.place(), at, number: first + 1, recorded, replayed })
}
