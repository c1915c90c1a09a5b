//! What a journal says of each piece of work: when it came, how long it ran, where it started, how often it was evicted. A piece
//! of work is a pod and those that were created anew in its place. Reads only; decides nothing.

use std::collections::{BTreeMap, VecDeque};

use berth_config::journal::Entry;
use berth_engine::{Decision, Engine, Event, GangId, NodeId, PodId, PodSpec, QueueId, Timestamp};

use super::{BrokenJournal, Journal};

/// A piece of work, numbered in the order of coming.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WorkId(pub(super) usize);

/// All work in a journal.
#[derive(Debug, Default)]
pub(super) struct Outline {
    pub(super) works: Vec<Work>,
    /// Whose pod it is.
    pub(super) of_pod: BTreeMap<PodId, WorkId>,
    /// Names of nodes, those that left too.
    pub(super) nodes: BTreeMap<NodeId, String>,
    pub(super) gangs: BTreeMap<GangId, Group>,
    /// How long pods took to run once they had a place, to go when they were told to, and their successors to come, ms.
    confirming: Vec<u64>,
    leaving: Vec<u64>,
    coming: Vec<u64>,
    /// Work whose pod is gone without having ended, by what its successor has in common with it; the longest gone first.
    orphans: BTreeMap<Alike, VecDeque<WorkId>>,
}

/// What a pod has in common with the one that is created in its place: gang and subgroup, or, where a gang has one pod, queue
/// and name up to the last `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Alike {
    Gang(GangId, String),
    Name(Option<QueueId>, String),
}

/// A gang as it was first told.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) queue: QueueId,
    pub(super) recreated: bool,
    /// One pod is all it needs.
    single: bool,
}

/// One piece of work as it was recorded.
#[derive(Debug)]
pub(super) struct Work {
    /// For people: the gang, or the pod where it is alone.
    pub(super) gang: GangId,
    pub(super) name: String,
    /// It was there from the beginning, or placed by somebody else.
    pub(super) seated: bool,
    /// How long it ran until it was over, all its pods together, ms; `None` where nobody knows.
    pub(super) runs_ms: Option<u64>,
    /// And then did it end well?
    pub(super) well: bool,
    /// Its last pod went away before it had a place.
    pub(super) withdrawn: bool,
    /// It was created anew after an eviction.
    pub(super) recreated: bool,
    pub(super) first: Option<(Timestamp, NodeId)>,
    pub(super) evictions: u32,
    /// After the first start: until it ran, ms.
    pub(super) runs_after: Option<u64>,
    /// After the first eviction: until it was gone, and from then to the next pod, ms.
    pub(super) gone_after: Option<u64>,
    pub(super) back_after: Option<u64>,
    ran_ms: u64,
    started: Option<(Timestamp, NodeId)>,
    told_to_go: Option<Timestamp>,
    gone: Option<Timestamp>,
    alike: Alike,
}

/// How long pods usually take, ms.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usual {
    /// Until they run, once they have a place.
    pub(super) runs_after: u64,
    /// Until they are gone, once they are told to go.
    pub(super) gone_after: u64,
    /// From then until the next one comes in their place.
    pub(super) back_after: u64,
}

impl Outline {
    /// Reads a journal to its end.
    pub(super) fn of(journal: &mut Journal) -> Result<Outline, BrokenJournal> {
        let mut outline = Outline::default();
        while let Some((at, entry)) = journal.next_entry()? {
            match entry {
                Entry::Told(events) => events.into_iter().for_each(|event| outline.told(event, at)),
                Entry::Decided(decisions) => decisions.iter().for_each(|decision| outline.decided(decision, at)),
            }
        }
        Ok(outline)
    }

    /// How long pods usually take.
    pub(super) fn usual(&mut self) -> Usual {
        let middle = |all: &mut Vec<u64>| {
            all.sort_unstable();
            all.get(all.len() / 2).copied().unwrap_or(0)
        };
        let (runs_after, gone_after) = (middle(&mut self.confirming), middle(&mut self.leaving));
        Usual { runs_after, gone_after, back_after: middle(&mut self.coming) }
    }

    fn work(&mut self, pod: PodId) -> Option<&mut Work> {
        self.works.get_mut(self.of_pod.get(&pod)?.0)
    }

    fn told(&mut self, event: Event, at: Timestamp) {
        match event {
            Event::NodeAdded { node, spec } => {
                self.nodes.insert(node, spec.name);
            }
            Event::NodeRemoved { node } => {
                let there = |work: &Work| work.started.is_some_and(|(_, on)| on == node);
                let lost: Vec<_> = (0..self.works.len()).filter(|index| there(&self.works[*index])).collect();
                lost.into_iter().for_each(|index| self.left(WorkId(index), at, false));
            }
            Event::GangAdded { gang, spec } => {
                let single = spec.tree.subgroups.is_empty() && spec.tree.min_member <= 1;
                let (name, recreated) = (spec.name.to_string(), spec.recreated);
                let group = Group { name, queue: spec.queue, recreated, single };
                self.gangs.insert(gang, group);
            }
            Event::PodAdded { pod, spec } => self.came(pod, &spec, at),
            Event::PodGone { pod } => {
                let Some(&id) = self.of_pod.get(&pod) else { return };
                let ended = self.works.get(id.0).is_some_and(|work| work.told_to_go.is_none());
                self.left(id, at, ended);
            }
            Event::PodSucceeded { pod } => {
                let Some(&id) = self.of_pod.get(&pod) else { return };
                self.left(id, at, true);
                self.works[id.0].well = true;
            }
            Event::Confirmed { pod } => {
                let Some(work) = self.work(pod) else { return };
                let delay = work.started.map_or(0, |(started, _)| at.since(started));
                work.runs_after.get_or_insert(delay);
                self.confirming.push(delay);
            }
            Event::BindFailed { pod } => {
                if let Some(work) = self.work(pod) {
                    work.started = None;
                }
            }
            _ => {}
        }
    }

    fn came(&mut self, pod: PodId, spec: &PodSpec, at: Timestamp) {
        let gang = spec.gang.as_ref().map_or_else(|| Engine::lone_gang(pod), |member| member.gang);
        let alike = self.alike(gang, spec);
        let seat = spec.seat.as_ref().map(|seat| seat.node);
        let orphans = self.orphans.get_mut(&alike).filter(|_| seat.is_none());
        if let Some(id) = orphans.and_then(VecDeque::pop_front) {
            self.of_pod.insert(pod, id);
            let work = &mut self.works[id.0];
            (work.recreated, work.told_to_go) = (true, None);
            let delay = work.gone.take().map_or(0, |gone| at.since(gone));
            work.back_after.get_or_insert(delay);
            return self.coming.push(delay);
        }
        self.of_pod.insert(pod, WorkId(self.works.len()));
        self.works.push(Work {
            gang,
            name: spec.name.clone(),
            seated: seat.is_some(),
            runs_ms: None,
            well: false,
            withdrawn: false,
            recreated: false,
            first: seat.map(|node| (at, node)),
            evictions: 0,
            runs_after: None,
            gone_after: None,
            back_after: None,
            ran_ms: 0,
            started: seat.map(|node| (at, node)),
            told_to_go: None,
            gone: None,
            alike,
        });
    }

    fn alike(&self, gang: GangId, spec: &PodSpec) -> Alike {
        let group = self.gangs.get(&gang).filter(|group| !group.single);
        match (&spec.gang, group) {
            (Some(member), Some(_)) => Alike::Gang(gang, member.subgroup.clone()),
            _ => {
                let stem = spec.name.rsplit_once('-').map_or(spec.name.as_str(), |(stem, _)| stem);
                Alike::Name(self.gangs.get(&gang).map(|group| group.queue), stem.to_owned())
            }
        }
    }

    /// Its pod is gone: for good, or somebody else may come in its place.
    fn left(&mut self, id: WorkId, at: Timestamp, ended: bool) {
        let Some(work) = self.works.get_mut(id.0) else { return };
        if let Some(told) = work.told_to_go {
            let delay = at.since(told);
            work.gone_after.get_or_insert(delay);
            self.leaving.push(delay);
        }
        let started = work.started.take();
        work.ran_ms += started.map_or(0, |(started, _)| at.since(started));
        match (ended, started) {
            (true, Some(_)) => work.runs_ms = Some(work.ran_ms),
            (true, None) => work.withdrawn = true,
            (false, _) => {
                work.gone = Some(at);
                self.orphans.entry(work.alike.clone()).or_default().push_back(id);
            }
        }
    }

    fn decided(&mut self, decision: &Decision, at: Timestamp) {
        match decision {
            Decision::Bind { pods, .. } => {
                for assigned in pods {
                    if let Some(work) = self.work(assigned.slot.pod) {
                        work.started = Some((at, assigned.slot.node));
                        work.first.get_or_insert((at, assigned.slot.node));
                    }
                }
            }
            Decision::Evict { pods, .. } => {
                for pod in pods {
                    if let Some(work) = self.work(*pod) {
                        work.evictions += 1;
                        work.told_to_go = Some(at);
                    }
                }
            }
            _ => {}
        }
    }
}
