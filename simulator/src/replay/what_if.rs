//! What another configuration would have made of a recorded time. Nodes, queues, gangs and pods come when they came; who
//! starts when and who gives way is decided anew, at the times at which it was decided then.
//!
//! What cannot be known is assumed: work runs as long as it ran, and loses nothing when it is evicted; work that was not over
//! when the journal ends runs on; a binding works; a pod that did not start or was not told to go then, and is now, takes what was
//! usual to do so, and to come back. With the recorded configuration all of this comes out as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use berth_config::SchedulerConfiguration;
use berth_config::journal::Entry;
use berth_engine::{Decision, Engine, Event, GangId, NodeId, PodId, PodSpec, Timestamp};

use super::changes::{self, Changes, Course};
use super::outline::{Outline, WorkId};
use super::{BrokenJournal, Journal};

/// Ids of pods that were not in the journal begin here.
const NEW_PODS: u64 = 1 << 62;

/// Something that comes about without having been recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Runs(PodId),
    Goes(PodId),
    Ends(PodId),
    Comes(WorkId),
}

/// How far a piece of work has come.
#[derive(Debug, Default)]
struct Now {
    pod: Option<PodId>,
    /// What its pods are like; the gang is kept for as long as there may be another one.
    spec: Option<PodSpec>,
    started: Option<(Timestamp, NodeId)>,
    leaves: bool,
    done_ms: u64,
    course: Course,
}

struct Player {
    engine: Engine,
    outline: Outline,
    now: Vec<Now>,
    /// Whose the pods of this engine are.
    of_pod: BTreeMap<PodId, WorkId>,
    due: BTreeSet<(Timestamp, Due)>,
    /// How much work each gang has, and gangs that go with the last of it.
    work_of: BTreeMap<GangId, usize>,
    ending: BTreeSet<GangId>,
    next_pod: u64,
    refused: u64,
}

/// Plays a journal under another configuration and says what changes.
///
/// # Errors
/// When a file cannot be read or is no journal; the message says where.
pub fn what_if(files: &[PathBuf], configuration: &SchedulerConfiguration) -> Result<Changes, BrokenJournal> {
    let outline = Outline::of(&mut Journal::open(files)?)?;
    let now = outline.works.iter().map(|_| Now::default()).collect();
    let mut player = Player {
        engine: Engine::new(berth_config::engine_config(configuration)),
        outline,
        now,
        of_pod: BTreeMap::new(),
        due: BTreeSet::new(),
        work_of: BTreeMap::new(),
        ending: BTreeSet::new(),
        next_pod: NEW_PODS,
        refused: 0,
    };
    let mut journal = Journal::open(files)?;
    while let Some((at, entry)) = journal.next_entry()? {
        match entry {
            Entry::Told(events) => {
                player.until(at, false);
                events.into_iter().for_each(|event| player.told(event, at));
            }
            Entry::Decided(_) => {
                player.until(at, true);
                for decision in player.engine.decide(at) {
                    player.decided(&decision, at);
                }
            }
        }
    }
    let Player { outline, now, refused, .. } = player;
    Ok(changes::between(&outline, now.into_iter().map(|now| now.course), refused, journal.cut_off()))
}

impl Player {
    /// What comes about before a time, or until then.
    fn until(&mut self, time: Timestamp, including: bool) {
        while let Some(&(at, due)) = self.due.first()
            && (at < time || (including && at == time))
        {
            self.due.pop_first();
            self.comes_about(due, at);
        }
    }

    fn comes_about(&mut self, due: Due, at: Timestamp) {
        match due {
            // It may have been evicted since.
            Due::Runs(pod) => drop(self.engine.apply(Event::Confirmed { pod }, at)),
            Due::Ends(pod) => {
                let Some(&id) = self.of_pod.get(&pod) else { return };
                if self.now[id.0].started.is_some() && !self.now[id.0].leaves {
                    let well = self.outline.works[id.0].well;
                    self.apply(if well { Event::PodSucceeded { pod } } else { Event::PodGone { pod } }, at);
                    self.gone(pod, at);
                    self.release(id, at);
                }
            }
            Due::Goes(pod) => {
                let Some(&id) = self.of_pod.get(&pod) else { return };
                self.apply(Event::PodGone { pod }, at);
                self.gone(pod, at);
                self.comes_back(id, at);
            }
            Due::Comes(id) => {
                if self.now[id.0].pod.is_none()
                    && let Some(spec) = self.now[id.0].spec.clone()
                {
                    self.next_pod += 1;
                    self.add(id, PodId(self.next_pod), spec, at);
                }
            }
        }
    }

    /// A pod is gone, and the engine knows it.
    fn gone(&mut self, pod: PodId, at: Timestamp) {
        let Some(id) = self.of_pod.remove(&pod) else { return };
        let now = &mut self.now[id.0];
        now.done_ms += now.started.take().map_or(0, |(started, _)| at.since(started));
        (now.pod, now.leaves) = (None, false);
    }

    /// There will not be another pod for it, or one of another gang.
    fn release(&mut self, id: WorkId, at: Timestamp) {
        let gang = self.now[id.0].spec.take().and_then(|spec| spec.gang).map(|member| member.gang);
        let Some((gang, left)) = gang.and_then(|gang| Some((gang, self.work_of.get_mut(&gang)?))) else { return };
        *left -= 1;
        if *left == 0 {
            self.work_of.remove(&gang);
            if self.ending.remove(&gang) {
                self.apply(Event::GangRemoved { gang }, at);
            }
        }
    }

    fn comes_back(&mut self, id: WorkId, at: Timestamp) {
        let work = &self.outline.works[id.0];
        let recreated = self.outline.gangs.get(&work.gang).is_some_and(|gang| gang.recreated);
        if work.recreated || recreated {
            self.due.insert((at.plus(work.back_after.unwrap_or(self.outline.usual.back_after)), Due::Comes(id)));
        } else {
            self.release(id, at);
        }
    }

    fn apply(&mut self, event: Event, at: Timestamp) -> bool {
        let accepted = self.engine.apply(event, at).is_ok();
        self.refused += u64::from(!accepted);
        accepted
    }

    fn told(&mut self, event: Event, at: Timestamp) {
        match event {
            Event::PodAdded { pod, spec } => self.came(pod, spec, at),
            Event::PodGone { pod } | Event::PodSucceeded { pod } => self.withdrawn(pod, at),
            Event::NodeRemoved { node } => {
                self.apply(Event::NodeRemoved { node }, at);
                let there = |now: &Now| now.pod.filter(|_| now.started.is_some_and(|(_, on)| on == node));
                let lost: Vec<PodId> = self.now.iter().filter_map(there).collect();
                for pod in lost {
                    let id = self.of_pod.get(&pod).copied();
                    self.gone(pod, at);
                    id.into_iter().for_each(|id| self.comes_back(id, at));
                }
            }
            Event::GangRemoved { gang } if self.work_of.contains_key(&gang) => drop(self.ending.insert(gang)),
            Event::Confirmed { pod } => {
                // Who was placed by somebody else runs now; all others are told of when they are placed here.
                let id = self.outline.of_pod.get(&pod).filter(|id| self.outline.works[id.0].seated);
                if id.is_some_and(|id| self.now[id.0].pod == Some(pod)) {
                    self.apply(Event::Confirmed { pod }, at);
                }
            }
            // What became of decisions that may not be made this time.
            Event::NominationExpired { .. } | Event::PodStuck { .. } | Event::BindFailed { .. } => {}
            // The other configuration holds all the time.
            Event::RulesSet { .. } => {}
            other => drop(self.apply(other, at)),
        }
    }

    fn came(&mut self, pod: PodId, spec: PodSpec, at: Timestamp) {
        let Some(&id) = self.outline.of_pod.get(&pod) else { return };
        // If there is one: it came in the place of one that is still there this time.
        if self.now[id.0].pod.is_none() {
            self.add(id, pod, spec, at);
        }
    }

    fn add(&mut self, id: WorkId, pod: PodId, spec: PodSpec, at: Timestamp) {
        let seat = spec.seat.as_ref().map(|seat| seat.node);
        if let Some(member) = &spec.gang {
            *self.work_of.entry(member.gang).or_default() += 1;
        }
        self.release(id, at); // what it was of before
        self.now[id.0].spec = Some(PodSpec { seat: None, ..spec.clone() });
        if self.apply(Event::PodAdded { pod, spec }, at) {
            self.of_pod.insert(pod, id);
            self.now[id.0].pod = Some(pod);
            seat.into_iter().for_each(|node| self.starts(id, pod, node, at));
        }
    }

    /// It went away before it had a place: so it does now, wherever it is.
    fn withdrawn(&mut self, pod: PodId, at: Timestamp) {
        let Some(&id) = self.outline.of_pod.get(&pod) else { return };
        if !self.outline.works[id.0].withdrawn {
            return;
        }
        if let Some(pod) = self.now[id.0].pod {
            self.apply(Event::PodGone { pod }, at);
            self.gone(pod, at);
        }
        self.release(id, at);
    }

    fn starts(&mut self, id: WorkId, pod: PodId, node: NodeId, at: Timestamp) {
        let now = &mut self.now[id.0];
        now.started = Some((at, node));
        now.course.first.get_or_insert((at, node));
        if let Some(runs) = self.outline.works[id.0].runs_ms {
            self.due.insert((at.plus(runs.saturating_sub(now.done_ms)), Due::Ends(pod)));
        }
    }

    fn decided(&mut self, decision: &Decision, at: Timestamp) {
        match decision {
            Decision::Bind { pods, .. } => {
                for slot in pods.iter().map(|assigned| &assigned.slot) {
                    let Some(&id) = self.of_pod.get(&slot.pod) else { continue };
                    self.starts(id, slot.pod, slot.node, at);
                    let after = self.outline.works[id.0].runs_after.unwrap_or(self.outline.usual.runs_after);
                    self.due.insert((at.plus(after), Due::Runs(slot.pod)));
                }
            }
            Decision::Evict { pods, .. } => {
                for pod in pods {
                    let Some(&id) = self.of_pod.get(pod) else { continue };
                    let after = self.outline.works[id.0].gone_after.unwrap_or(self.outline.usual.gone_after);
                    let now = &mut self.now[id.0];
                    now.leaves = true;
                    now.course.evictions += 1;
                    self.due.insert((at.plus(after), Due::Goes(*pod)));
                }
            }
            Decision::Nominate { .. } | Decision::Reserve { .. } | Decision::Wait { .. } => {}
        }
    }
}
