//! The gangs that wait, in lines of equals: where one gang of a line finds no place, none does, so they are tried and
//! blocked together. Owns which lines are not worth trying for now. May not look at the cluster.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::cluster::{Interner, Shared};
use crate::gang::{Gang, Health, Stage, Tree, Turn};
use crate::rules::Rules;
use crate::state::State;
use crate::units::{GangId, QueueId, Timestamp};

/// What makes two waiting gangs of a queue equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Likeness {
    /// Fresh gangs of one kind, by number.
    Kind(u32),
    /// Nothing is like this gang.
    Unlike(GangId),
}

/// A line of equals, in a leaf queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LineId {
    pub(crate) queue: QueueId,
    like: Likeness,
}

/// What a fresh gang asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    tree: Shared<Tree>,
    /// Pods by subgroup and shape, with their number.
    pods: Vec<(usize, u32, u32)>,
    priority: i64,
    preemptible: bool,
    preemption_delay_ms: u64,
    runtime_ms: Option<u64>,
}

/// One line.
#[derive(Debug, Default)]
struct Line {
    turns: BTreeSet<Turn>,
}

/// Every line.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    kinds: Interner<Kind>,
    /// Keeps the kinds of present lines from being forgotten.
    kept: BTreeMap<u32, (Shared<Kind>, u32)>,
    lines: BTreeMap<LineId, Line>,
    places: BTreeMap<GangId, (LineId, Turn)>,
    /// Lines worth trying.
    open: BTreeSet<LineId>,
    /// All others.
    blocked: BTreeSet<LineId>,
    /// Gangs that changed since they were last put in line.
    changed: BTreeSet<GangId>,
    /// Gangs that are not to be tried before a time.
    delayed: BTreeSet<(Timestamp, GangId)>,
    now: Timestamp,
}

impl Waiting {
    /// How many gangs wait.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// A gang has changed; it is put in line anew when somebody looks.
    pub(crate) fn changed(&mut self, gang: GangId) {
        self.changed.insert(gang);
    }

    /// Puts every gang that changed where it belongs.
    pub(crate) fn catch_up(&mut self, state: &State, rules: &Rules, now: Timestamp) {
        self.now = now;
        while let Some(&(due, gang)) = self.delayed.first().filter(|(due, _)| *due <= now) {
            self.delayed.remove(&(due, gang));
            self.changed.insert(gang);
        }
        for gang in std::mem::take(&mut self.changed) {
            self.refresh(state, rules, gang);
        }
    }

    /// Puts one gang where it belongs; returns the lines that changed.
    pub(crate) fn refresh(&mut self, state: &State, rules: &Rules, id: GangId) -> [Option<LineId>; 2] {
        self.changed.remove(&id);
        let left = self.take_out(id);
        let gang = state.gangs().get(&id).filter(|gang| gang.is_waiting());
        let Some(gang) = gang else { return [left, None] };
        if let Some(due) = gang.not_before.filter(|due| *due > self.now) {
            self.delayed.insert((due, id));
            return [left, None];
        }
        let like = self.likeness(state, id, gang);
        let line_id = LineId { queue: gang.spec.queue, like };
        let turn = turn(id, gang, rules);
        self.lines.entry(line_id).or_default().turns.insert(turn.clone());
        self.open(line_id);
        self.places.insert(id, (line_id, turn));
        [left, Some(line_id)]
    }

    fn take_out(&mut self, id: GangId) -> Option<LineId> {
        let (line_id, turn) = self.places.remove(&id)?;
        if let Some(line) = self.lines.get_mut(&line_id) {
            line.turns.remove(&turn);
            if line.turns.is_empty() {
                self.lines.remove(&line_id);
                self.open.remove(&line_id);
                self.blocked.remove(&line_id);
            }
        }
        if let Likeness::Kind(kind) = line_id.like
            && let Some((_, users)) = self.kept.get_mut(&kind)
        {
            *users -= 1;
            if *users == 0 {
                self.kept.remove(&kind);
            }
        }
        Some(line_id)
    }

    fn likeness(&mut self, state: &State, id: GangId, gang: &Gang) -> Likeness {
        if gang.health() != Health::Fresh {
            return Likeness::Unlike(id);
        }
        let mut pods: Vec<(usize, u32, u32)> = Vec::new();
        for (at, members) in gang.members.iter().enumerate() {
            for pod in members.pods.iter().filter_map(|pod| state.pods().get(pod)) {
                if pod.terms.is_some() || pod.stage != Stage::Pending {
                    return Likeness::Unlike(id);
                }
                match pods.last_mut() {
                    Some((leaf, shape, count)) if (*leaf, *shape) == (at, pod.shape.id()) => *count += 1,
                    _ => pods.push((at, pod.shape.id(), 1)),
                }
            }
        }
        let kind = self.kinds.intern(Kind {
            tree: gang.tree.clone(),
            pods,
            priority: gang.spec.priority,
            preemptible: gang.spec.preemptible,
            preemption_delay_ms: gang.spec.preemption_delay_ms,
            runtime_ms: gang.spec.expected_runtime_ms,
        });
        self.kept.entry(kind.id()).or_insert((kind.clone(), 0)).1 += 1;
        Likeness::Kind(kind.id())
    }

    /// The lines worth trying, or all of them, each with its first gang.
    pub(crate) fn lines(&self, blocked_too: bool) -> impl Iterator<Item = (LineId, &Turn)> {
        let open = self.open.iter().filter(move |_| !blocked_too);
        let all = self.lines.keys().filter(move |_| blocked_too);
        open.chain(all).filter_map(|id| Some((*id, self.head(*id)?)))
    }

    /// The first gang of a line.
    pub(crate) fn head(&self, line: LineId) -> Option<&Turn> {
        self.lines.get(&line)?.turns.first()
    }

    /// The line a gang is in.
    pub(crate) fn line_of(&self, gang: GangId) -> Option<LineId> {
        self.places.get(&gang).map(|(line, _)| *line)
    }

    /// The gangs of a line, first to last.
    pub(crate) fn turns(&self, line: LineId) -> impl Iterator<Item = &Turn> {
        self.lines.get(&line).into_iter().flat_map(|line| line.turns.iter())
    }

    /// The first gang that waits in each leaf.
    pub(crate) fn heads(&self) -> BTreeMap<QueueId, Turn> {
        let mut heads: BTreeMap<QueueId, Turn> = BTreeMap::new();
        for (line, turn) in self.lines(true) {
            if heads.get(&line.queue).is_none_or(|head| turn < head) {
                heads.insert(line.queue, turn.clone());
            }
        }
        heads
    }

    fn open(&mut self, line: LineId) {
        self.blocked.remove(&line);
        self.open.insert(line);
    }

    /// Nothing in this line fits: skips it until [`Waiting::unblock`].
    pub(crate) fn block(&mut self, line: LineId) {
        if self.open.remove(&line) {
            self.blocked.insert(line);
        }
    }

    /// The first gang of each leaf may be tried again.
    pub(crate) fn unblock_heads(&mut self) {
        for head in self.heads().into_values() {
            if let Some((line, _)) = self.places.get(&head.gang) {
                self.open(*line);
            }
        }
    }

    /// Room has appeared: everybody may be tried again.
    pub(crate) fn unblock(&mut self) {
        self.open.append(&mut self.blocked);
    }
}

/// A gang's place in its queue.
pub(crate) fn turn(id: GangId, gang: &Gang, rules: &Rules) -> Turn {
    Turn {
        priority: Reverse(gang.spec.priority),
        health: rules.serve_health(gang.health()),
        created: gang.spec.created,
        name: Arc::clone(&gang.spec.name),
        gang: id,
    }
}
