//! Gangs: pods that start together or not at all. A gang is a tree of subgroups with a minimum at each level; a lone pod is
//! a gang of one. Owns what is known of a gang and how far it has come. May not know where its pods are.

mod chunk;
mod unit;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use smallvec::SmallVec;

pub use chunk::Chunk;
pub(crate) use chunk::next_chunk;
pub(crate) use unit::next_unit;

use crate::cluster::{Hold, Shared};
use crate::units::{GangId, PodId, QueueId, Timestamp};

/// A gang as the driver describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields, default = "GangSpec::nameless")
)]
pub struct GangSpec {
    /// Name, for people and as the last tie-breaker of the order in a queue.
    pub name: Arc<str>,
    /// The leaf queue it waits and runs in.
    pub queue: QueueId,
    /// Higher is served first in its queue.
    pub priority: i64,
    /// May its pods be evicted or moved, and may it use more than its queue deserves?
    pub preemptible: bool,
    /// Older is served first.
    pub created: Timestamp,
    /// When it started last, if it has.
    pub started: Option<Timestamp>,
    /// So long after its creation it does not take room from others, ms.
    pub preemption_delay_ms: u64,
    /// Since when it is below its minimum, if it is.
    pub stale_since: Option<Timestamp>,
    /// For how long it may be, ms; `None` = as configured.
    pub stale_grace: Option<StaleGrace>,
    /// How many of its pods are over and did well.
    pub succeeded: u32,
    /// For how long its pods may take to start together, ms; `None` = as configured.
    pub start_timeout_ms: Option<u64>,
    /// How long it will run once it has started, ms, if anybody knows.
    pub expected_runtime_ms: Option<u64>,
    /// When it last saved its work; `None` where it never does.
    pub last_checkpoint: Option<Timestamp>,
    /// Does something create its pods anew when they are evicted? Bare pods are gone for good.
    pub recreated: bool,
    /// The tree of subgroups.
    pub tree: Subgroup,
}

/// For how long a gang may be below its minimum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum StaleGrace {
    /// So long, ms.
    For(u64),
    /// For ever.
    Forever,
}

/// One subgroup as the driver describes it; the root is the gang itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields, default)
)]
pub struct Subgroup {
    /// Unique within the gang; the root's may be empty.
    pub name: String,
    /// Without subgroups the least number of pods that may run, with them the least number of satisfied subgroups.
    pub min_member: u32,
    /// What it is made of; only subgroups without any hold pods.
    pub subgroups: Vec<Subgroup>,
    /// Where all pods below must or should be together.
    pub topology: Option<TopologyWish>,
}

/// A wish for closeness.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct TopologyWish {
    /// Name of the topology.
    pub topology: String,
    /// Level (a node label key) of which all pods must share a domain.
    pub required: Option<String>,
    /// Level of which they should.
    pub preferred: Option<String>,
}

impl GangSpec {
    /// What a journal leaves out is as here.
    #[cfg(feature = "serde")]
    fn nameless() -> Self {
        GangSpec::lone(crate::Engine::DEFAULT_QUEUE, 0, Timestamp::default())
    }

    /// A gang of one pod, which nobody may evict. It has no name of its own: of two that came together the pod that was told
    /// first goes first.
    pub fn lone(queue: QueueId, priority: i64, created: Timestamp) -> Self {
        GangSpec {
            name: "".into(),
            queue,
            priority,
            preemptible: false,
            created,
            started: None,
            preemption_delay_ms: 0,
            stale_since: None,
            stale_grace: None,
            succeeded: 0,
            start_timeout_ms: None,
            expected_runtime_ms: None,
            last_checkpoint: None,
            recreated: false,
            tree: Subgroup { min_member: 1, ..Subgroup::default() },
        }
    }
}

/// One subgroup in [`Tree`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Branch {
    /// As given.
    pub name: String,
    /// As given.
    pub min_member: u32,
    /// As given.
    pub topology: Option<TopologyWish>,
    /// Positions of its subgroups.
    pub children: SmallVec<[usize; 2]>,
}

/// The tree, flattened: parents before children, the root first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tree(Vec<Branch>);

impl Tree {
    pub(crate) fn of(root: &Subgroup) -> Self {
        let mut branches = Vec::new();
        Tree::flatten(root, &mut branches);
        Tree(branches)
    }

    fn flatten(subgroup: &Subgroup, into: &mut Vec<Branch>) -> usize {
        let at = into.len();
        into.push(Branch {
            name: subgroup.name.clone(),
            min_member: subgroup.min_member,
            topology: subgroup.topology.clone(),
            children: SmallVec::new(),
        });
        for below in &subgroup.subgroups {
            let child = Tree::flatten(below, into);
            into[at].children.push(child);
        }
        at
    }

    /// Every subgroup, the root first.
    pub fn branches(&self) -> &[Branch] {
        &self.0
    }

    /// The subgroup at a position.
    pub fn branch(&self, at: usize) -> &Branch {
        &self.0[at]
    }

    /// Does it hold pods itself?
    pub fn is_leaf(&self, at: usize) -> bool {
        self.0[at].children.is_empty()
    }

    /// Does any subgroup wish for closeness?
    pub fn has_topology(&self) -> bool {
        self.0.iter().any(|branch| branch.topology.is_some())
    }

    /// The subgroups that hold pods.
    pub fn leaves(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.0.len()).filter(|at| self.is_leaf(*at))
    }

    /// Active pods of a subgroup that holds pods, satisfied subgroups of another.
    fn allocated(&self, at: usize, active: &Counts) -> u32 {
        if self.is_leaf(at) {
            return active[at];
        }
        self.branch(at).children.iter().filter(|child| self.is_satisfied(**child, active)).count() as u32
    }

    /// Has the subgroup what it needs?
    fn is_satisfied(&self, at: usize, active: &Counts) -> bool {
        self.allocated(at, active) >= self.branch(at).min_member
    }

    /// Subgroups in the order in which they are served: unsatisfied ones by name, then satisfied ones by the part of their
    /// need that is met, those that need nothing last.
    fn in_order(&self, of: usize, active: &Counts) -> SmallVec<[usize; 2]> {
        let rank = |at: usize| {
            let (needed, allocated) = (self.branch(at).min_member, self.allocated(at, active));
            match (allocated >= needed, needed) {
                (false, _) => (0, 0, 1),
                (true, 0) => (2, u64::from(allocated), 1),
                (true, needed) => (1, u64::from(allocated), u64::from(needed)),
            }
        };
        let mut children = self.branch(of).children.clone();
        children.sort_by(|a, b| {
            let ((group, met, of), (other_group, other_met, other_of)) = (rank(*a), rank(*b));
            let by_need = (met * other_of).cmp(&(other_met * of));
            group.cmp(&other_group).then(by_need).then_with(|| self.branch(*a).name.cmp(&self.branch(*b).name))
        });
        children
    }

    /// The subgroups with pods at or below one.
    pub(crate) fn below(&self, at: usize) -> Vec<usize> {
        let (mut below, mut next) = (vec![at], 0);
        while let Some(&branch) = below.get(next) {
            below.extend(&self.branch(branch).children);
            next += 1;
        }
        below.into_iter().filter(|at| self.is_leaf(*at)).collect()
    }

    /// The subgroup of this name that holds pods.
    pub fn leaf_named(&self, name: &str) -> Option<usize> {
        self.leaves().find(|at| self.0[*at].name == name)
    }
}

/// Active pods by position in a tree.
type Counts = SmallVec<[u32; 1]>;

/// What a pod of a gang is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", rename_all_fields = "camelCase", deny_unknown_fields)
)]
pub enum Stage {
    /// Waits.
    Pending,
    /// Promised capacity that others are still leaving. `counted` in queues, unless the promise was only reported.
    Nominated {
        /// Does it count in its queue?
        counted: bool,
    },
    /// Given a place; not confirmed yet.
    Placed,
    /// Runs.
    Running,
    /// Told to stop, not gone yet.
    Evicted,
    /// Told to stop long ago and does not go.
    Stuck,
}

impl Stage {
    /// Nominated, placed or running.
    pub fn is_active(self) -> bool {
        matches!(self, Stage::Nominated { .. } | Stage::Placed | Stage::Running)
    }

    /// How it holds its place, if it has one.
    pub(crate) fn hold(self) -> Option<Hold> {
        match self {
            Stage::Pending => None,
            Stage::Nominated { .. } => Some(Hold::Promised),
            Stage::Evicted => Some(Hold::Leaving),
            Stage::Placed | Stage::Running | Stage::Stuck => Some(Hold::Held),
        }
    }

    /// Does it count in its queues?
    pub(crate) fn is_counted(self) -> bool {
        matches!(self, Stage::Nominated { counted: true } | Stage::Placed | Stage::Running)
    }
}

/// The pods of one subgroup and how far they have come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Members {
    /// In the order in which they are started: those with an `order` first, larger first, then by name.
    pub pods: SmallVec<[PodId; 1]>,
    /// How many wait.
    pub pending: u32,
    /// How many are nominated, placed or running.
    pub active: u32,
    /// How many are placed or running.
    pub settled: u32,
    /// How many hold capacity in any way.
    pub holding: u32,
}

impl Members {
    /// Counts a pod in (`more`) or out at its stage.
    fn count(&mut self, stage: Stage, more: bool) {
        let step = |counter: &mut u32, hit: bool| {
            if hit {
                *counter = if more { *counter + 1 } else { counter.saturating_sub(1) };
            }
        };
        step(&mut self.pending, stage == Stage::Pending);
        step(&mut self.active, stage.is_active());
        step(&mut self.settled, matches!(stage, Stage::Placed | Stage::Running));
        step(&mut self.holding, stage != Stage::Pending);
    }
}

/// How a gang stands to its minimum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// It has started and has fewer pods than it needs.
    Damaged,
    /// Nothing of it has started.
    Fresh,
    /// It has exactly what it needs.
    Exact,
    /// It has more than it needs.
    Surplus,
}

/// Since when others have been placed before a gang whose turn it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassedOver {
    /// Then.
    pub since: Timestamp,
    /// So many pods had left their places by then, as the engine counts them.
    pub departures: u64,
}

/// A gang and how far it has come.
#[derive(Debug, Clone)]
pub struct Gang {
    /// What the driver said; its `tree` is kept flattened instead.
    pub spec: GangSpec,
    /// The tree of subgroups; gangs with equal ones share it.
    pub tree: Shared<Tree>,
    /// By position in the tree; empty for subgroups that hold no pods.
    pub members: SmallVec<[Members; 1]>,
    /// When others were first placed although it had its turn before them, if they were.
    pub passed_over: Option<PassedOver>,
    /// Since when it has been starting: it has pods with a place, but not yet enough that run.
    pub starting_since: Option<Timestamp>,
    /// How often in a row its start has failed, after it had been given places.
    pub failures: u32,
    /// It is not tried before then, having failed to start.
    pub not_before: Option<Timestamp>,
}

impl Gang {
    /// A gang without pods yet.
    pub(crate) fn new(spec: GangSpec, tree: Shared<Tree>) -> Self {
        let spec = GangSpec { tree: Subgroup::default(), ..spec };
        let members = SmallVec::from_elem(Members::default(), tree.branches().len());
        let (passed_over, starting_since, not_before) = (None, None, None);
        Gang { spec, tree, members, passed_over, starting_since, failures: 0, not_before }
    }

    /// Is this its tree of subgroups?
    pub(crate) fn has_tree(&self, tree: &Subgroup) -> bool {
        *self.tree == Tree::of(tree)
    }

    /// Takes over what the driver says now; the tree stays.
    pub(crate) fn change(&mut self, spec: GangSpec) {
        self.spec = GangSpec { tree: Subgroup::default(), ..spec };
    }

    /// Its start has failed: the first time it may try again at once, then later and later.
    /// `least_ms`: so long others go first in any case.
    pub(crate) fn start_failed(&mut self, now: Timestamp, least_ms: u64) {
        const LONGEST_MS: u64 = 300_000;
        self.failures = self.failures.saturating_add(1);
        let doublings = self.failures.saturating_sub(2).min(20);
        let wait = if self.failures == 1 { 0 } else { (1000 << doublings).min(LONGEST_MS) };
        self.not_before = Some(Timestamp(now.0.saturating_add(wait.max(least_ms))));
        self.starting_since = None;
    }

    /// All its pods, subgroup by subgroup.
    pub fn pods(&self) -> impl Iterator<Item = PodId> + '_ {
        self.members.iter().flat_map(|members| members.pods.iter().copied())
    }

    /// Takes note of a pod's change of stage.
    pub(crate) fn restage(&mut self, leaf: usize, old: Stage, new: Stage) {
        self.members[leaf].count(old, false);
        self.members[leaf].count(new, true);
    }

    pub(crate) fn add(&mut self, leaf: usize, position: usize, pod: PodId, stage: Stage) {
        self.members[leaf].pods.insert(position, pod);
        self.members[leaf].count(stage, true);
    }

    pub(crate) fn remove(&mut self, leaf: usize, pod: PodId, stage: Stage) {
        self.members[leaf].pods.retain(|other| *other != pod);
        self.members[leaf].count(stage, false);
    }

    fn total(&self, what: impl Fn(&Members) -> u32) -> u32 {
        self.members.iter().map(what).sum()
    }

    /// Pods that wait.
    pub fn pending(&self) -> u32 {
        self.total(|members| members.pending)
    }

    /// Pods that are nominated, placed or running.
    pub fn active(&self) -> u32 {
        self.total(|members| members.active)
    }

    /// Pods that hold capacity in any way.
    pub(crate) fn holding(&self) -> u32 {
        self.total(|members| members.holding)
    }

    /// When it is expected to end, if it has started and anybody knows.
    pub(crate) fn end(&self) -> Option<Timestamp> {
        Some(Timestamp(self.spec.started?.0.saturating_add(self.spec.expected_runtime_ms?)))
    }

    /// Active pods by position in the tree.
    fn counts(&self) -> Counts {
        self.members.iter().map(|members| members.active).collect()
    }

    /// Has the gang what it needs?
    pub fn is_satisfied(&self) -> bool {
        self.tree.is_satisfied(0, &self.counts())
    }

    /// Would it have what it needs, counting pods in another way?
    pub(crate) fn would_be_satisfied_by(&self, count: impl Fn(&Members) -> u32) -> bool {
        self.tree.is_satisfied(0, &self.members.iter().map(count).collect())
    }

    /// Subgroups that would have something, but less than they need, with so many pods more by subgroup; and how much they
    /// would have.
    pub(crate) fn broken_with(&self, more: &[u32]) -> BTreeMap<usize, u32> {
        let mut active = self.counts();
        active.iter_mut().zip(more).for_each(|(active, more)| *active += more);
        let some = |at: usize| self.tree.below(at).into_iter().any(|leaf| active[leaf] > 0);
        let broken = (0..self.members.len()).filter(|at| some(*at) && !self.tree.is_satisfied(*at, &active));
        broken.map(|at| (at, self.tree.allocated(at, &active))).collect()
    }

    /// Could the subgroup have what it needs, if there were room for every pod that waits?
    pub fn is_ready(&self, at: usize) -> bool {
        let (branch, members) = (self.tree.branch(at), &self.members[at]);
        let there = if branch.children.is_empty() {
            members.active + members.pending
        } else {
            branch.children.iter().filter(|child| self.is_ready(**child)).count() as u32
        };
        there >= branch.min_member
    }

    /// Is it worth trying: complete, and something waits?
    pub fn is_waiting(&self) -> bool {
        self.pending() > 0 && self.is_ready(0)
    }

    /// How it stands to its minimum.
    pub fn health(&self) -> Health {
        self.health_of(&self.counts())
    }

    /// How it would stand without some pods.
    pub(crate) fn health_without(&self, gone: impl Fn(PodId) -> bool) -> Health {
        let left = |members: &Members| members.active - members.pods.iter().filter(|pod| gone(**pod)).count() as u32;
        self.health_of(&self.members.iter().map(left).collect())
    }

    fn health_of(&self, active: &Counts) -> Health {
        let needs = || self.tree.leaves().map(|at| (active[at], self.tree.branch(at).min_member));
        let below = needs().any(|(active, needed)| active < needed);
        match below {
            true if active.iter().all(|active| *active == 0) => Health::Fresh,
            true => Health::Damaged,
            false if needs().any(|(active, needed)| active > needed) => Health::Surplus,
            false => Health::Exact,
        }
    }
}

/// A gang's place in its queue: the least goes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Turn {
    /// Higher priority first.
    pub priority: Reverse<i64>,
    /// By health, as the rules in force rank it.
    pub health: u8,

    /// Older first.
    pub created: Timestamp,
    /// By name.
    pub name: Arc<str>,
    /// No two gangs tie.
    pub gang: GangId,
}
