//! What is different between two courses of the same work, gang by gang. Owns what counts as a change.

use std::collections::BTreeMap;

use berth_engine::{GangId, NodeId, Timestamp};
use serde::Serialize;

use super::outline::Outline;

/// How a piece of work fared.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Course {
    pub(super) first: Option<(Timestamp, NodeId)>,
    pub(super) evictions: u32,
}

/// What another configuration changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Changes {
    /// Gangs that were to be placed, those found running left out.
    pub gangs: usize,
    /// Of these, how many fare so.
    pub counts: BTreeMap<Fate, usize>,
    /// Evictions that were, and are not now; counted gang by gang.
    pub evictions_avoided: u64,
    /// Evictions that were not, and are now.
    pub evictions_added: u64,
    /// Gangs to which anything happens otherwise, in the order of their coming.
    pub changed: Vec<Change>,
    /// Events that do not go with what is decided now, and were left out.
    pub refused: u64,
    /// The last line is cut off: where, if so. It is left out.
    pub cut_off: Option<String>,
}

/// What becomes of a gang's first start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// Then and there, or still not.
    Same,
    /// Then, on other nodes.
    Elsewhere,
    /// Before.
    Earlier,
    /// Later, but within the journal.
    Later,
    /// It had not started when the journal ended, now it does.
    StartsNow,
    /// It started, and now does not before the journal ends.
    NoLongerStarts,
}

impl Fate {
    /// In a word or three.
    pub fn name(self) -> &'static str {
        match self {
            Fate::Same => "same",
            Fate::Elsewhere => "elsewhere",
            Fate::Earlier => "earlier",
            Fate::Later => "later",
            Fate::StartsNow => "starts now",
            Fate::NoLongerStarts => "no longer starts",
        }
    }
}

/// A gang that fares otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// The gang's name, or that of its pod where it is alone.
    pub gang: String,
    /// What becomes of its first start.
    pub fate: Fate,
    /// As it was.
    pub recorded: Start,
    /// As it would be.
    pub replayed: Start,
}

/// How a gang fares.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Start {
    /// When its first pod got a place, ms since 1970.
    pub at: Option<Timestamp>,
    /// Where its pods started first; a node stands once for each.
    pub nodes: Vec<String>,
    /// Evictions of its pods.
    pub evictions: u64,
}

impl Start {
    fn add(&mut self, course: Course, names: &BTreeMap<NodeId, String>) {
        self.evictions += u64::from(course.evictions);
        if let Some((at, node)) = course.first {
            self.at = Some(self.at.map_or(at, |first| first.min(at)));
            self.nodes.push(names.get(&node).cloned().unwrap_or_else(|| node.to_string()));
        }
    }
}

/// Compares what was recorded with the courses of the same work, in the order of the outline.
pub(super) fn between(
    outline: &Outline,
    courses: impl Iterator<Item = Course>,
    refused: u64,
    cut_off: Option<String>,
) -> Changes {
    let mut gangs: BTreeMap<GangId, (usize, bool, Start, Start)> = BTreeMap::new();
    for (index, (work, course)) in outline.works.iter().zip(courses).enumerate() {
        let (_, seated, recorded, replayed) =
            gangs.entry(work.gang).or_insert((index, false, Start::default(), Start::default()));
        *seated |= work.seated;
        recorded.add(Course { first: work.first, evictions: work.evictions }, &outline.nodes);
        replayed.add(course, &outline.nodes);
    }
    let mut changes = Changes {
        gangs: 0,
        counts: BTreeMap::new(),
        evictions_avoided: 0,
        evictions_added: 0,
        changed: Vec::new(),
        refused,
        cut_off,
    };
    let mut in_order: Vec<_> = gangs.into_iter().collect();
    in_order.sort_by_key(|(_, (index, ..))| *index);
    for (gang, (index, seated, mut recorded, mut replayed)) in in_order {
        recorded.nodes.sort();
        replayed.nodes.sort();
        let fate = fate(&recorded, &replayed);
        if !seated {
            changes.gangs += 1;
            *changes.counts.entry(fate).or_default() += 1;
        }
        changes.evictions_avoided += recorded.evictions.saturating_sub(replayed.evictions);
        changes.evictions_added += replayed.evictions.saturating_sub(recorded.evictions);
        if fate != Fate::Same || recorded.evictions != replayed.evictions {
            let named = outline.gangs.get(&gang).map(|gang| &gang.name).filter(|name| !name.is_empty());
            let gang = named.unwrap_or(&outline.works[index].name).clone();
            changes.changed.push(Change { gang, fate, recorded, replayed });
        }
    }
    changes
}

fn fate(recorded: &Start, replayed: &Start) -> Fate {
    match (recorded.at, replayed.at) {
        (None, None) => Fate::Same,
        (None, Some(_)) => Fate::StartsNow,
        (Some(_), None) => Fate::NoLongerStarts,
        (Some(then), Some(now)) if now < then => Fate::Earlier,
        (Some(then), Some(now)) if now > then => Fate::Later,
        _ if recorded.nodes != replayed.nodes => Fate::Elsewhere,
        _ => Fate::Same,
    }
}
