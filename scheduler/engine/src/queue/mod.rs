//! Queues: who deserves what, who has what, and who goes next.
//! Owns the tree of queues and their accounts, kept incrementally. May not look at nodes: amounts are told to it.

pub mod amounts;
mod fair_share;
pub(crate) mod serving;
pub(crate) mod shares;
pub(crate) mod standing;
mod usage;
pub(crate) mod waiting;

use std::collections::{BTreeMap, BTreeSet};

pub use amounts::Amounts;
pub(crate) use usage::UsageBook;
pub use usage::UsageRule;

use crate::cluster::PodShape;
use crate::cluster::Shared;
use crate::units::QueueId;
use smallvec::SmallVec;

/// What a queue is entitled to, of one resource. `None` is without limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct Quota {
    /// Guaranteed.
    pub deserved: Option<i64>,
    /// Never more than this.
    pub limit: Option<i64>,
    /// Share of what nobody deserves; 0 = none of it.
    pub over_quota_weight: i64,
}

impl Quota {
    /// No bound in either direction.
    pub const UNLIMITED: Quota = Quota { deserved: None, limit: None, over_quota_weight: 1 };
}

/// A queue as the driver describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields, default = "QueueSpec::nameless")
)]
pub struct QueueSpec {
    /// Name, for people and as the last tie-breaker.
    pub name: String,
    /// The queue it divides its share with siblings under; `None` for a root.
    pub parent: Option<QueueId>,
    /// Higher is served first among siblings.
    pub priority: i64,
    /// GPU in thousandths.
    pub gpu: Quota,
    /// CPU in thousandths of a core.
    pub cpu: Quota,
    /// Memory in MiB.
    pub memory: Quota,
    /// GPU of one model, in thousandths, by model. Counted when a pod's model is certain.
    pub gpu_models: BTreeMap<String, Quota>,
    /// A gang that started less than this ago is not reclaimed below its minimum; ms, 0 = unset (an ancestor decides).
    pub reclaim_min_runtime_ms: u64,
    /// The same for preemption within the queue.
    pub preempt_min_runtime_ms: u64,
}

impl QueueSpec {
    /// What a journal leaves out is as here.
    #[cfg(feature = "serde")]
    fn nameless() -> Self {
        QueueSpec::unlimited("")
    }

    /// A root queue without bounds.
    pub fn unlimited(name: &str) -> Self {
        QueueSpec {
            name: name.to_owned(),
            parent: None,
            priority: 0,
            gpu: Quota::UNLIMITED,
            cpu: Quota::UNLIMITED,
            memory: Quota::UNLIMITED,
            gpu_models: BTreeMap::new(),
            reclaim_min_runtime_ms: 0,
            preempt_min_runtime_ms: 0,
        }
    }
}

/// A queue with its accounts.
#[derive(Debug, Clone)]
pub struct Queue {
    /// What the driver said.
    pub spec: QueueSpec,
    /// Order of arrival: an earlier sibling is older.
    pub rank: u32,
    /// Held by active pods below.
    pub allocated: Amounts,
    /// The part of it that belongs to gangs that are not preemptible.
    pub fixed: Amounts,
    /// What it should have, worked out at the start of a cycle.
    pub fair_share: Amounts,
    /// Waiting pods of this leaf, by shape.
    pub(crate) waiting: BTreeMap<u32, (Shared<PodShape>, u32)>,
    /// What those come to, as of the last division of shares.
    waits: Amounts,
    /// The same with all queues below.
    waits_below: Amounts,
    /// Has anything changed in this leaf since the last division of shares?
    stale: bool,
}

impl Queue {
    fn new(spec: QueueSpec, rank: u32) -> Self {
        Queue {
            spec,
            rank,
            allocated: Amounts::zero(),
            fixed: Amounts::zero(),
            fair_share: Amounts::zero(),
            waiting: BTreeMap::new(),
            waits: Amounts::zero(),
            waits_below: Amounts::zero(),
            stale: false,
        }
    }
}

/// All queues.
#[derive(Debug, Default, Clone)]
pub struct Queues {
    all: BTreeMap<QueueId, Queue>,
    children: BTreeMap<Option<QueueId>, Vec<QueueId>>,
    models: Vec<String>,
    ranks: u32,
    /// Leaves in which something has changed since the last division of shares, and what was divided then.
    stale: Vec<QueueId>,
    pub(crate) divided: Amounts,
}

impl Queues {
    /// Every queue, by id.
    pub fn all(&self) -> &BTreeMap<QueueId, Queue> {
        &self.all
    }

    /// One queue.
    pub fn get(&self, id: QueueId) -> Option<&Queue> {
        self.all.get(&id)
    }

    fn get_mut(&mut self, id: QueueId) -> Option<&mut Queue> {
        self.all.get_mut(&id)
    }

    /// The queues directly under this one, oldest first; the roots for `None`.
    pub fn children(&self, of: Option<QueueId>) -> &[QueueId] {
        self.children.get(&of).map_or(&[], Vec::as_slice)
    }

    /// GPU models with accounts of their own, sorted: the order of their positions in [`Amounts`].
    pub fn models(&self) -> &[String] {
        &self.models
    }

    /// How many resources are accounted.
    pub fn resources(&self) -> usize {
        amounts::MODELS + self.models.len()
    }

    /// The queue and its ancestors, from the bottom up.
    pub fn path(&self, from: QueueId) -> impl Iterator<Item = (QueueId, &Queue)> + Clone + '_ {
        let at = |id: QueueId| self.all.get(&id).map(|queue| (id, queue));
        std::iter::successors(at(from), move |(_, queue)| queue.spec.parent.and_then(at))
    }

    /// Is `above` the queue itself or one of its ancestors?
    pub fn is_under(&self, queue: QueueId, above: QueueId) -> bool {
        self.path(queue).any(|(id, _)| id == above)
    }

    /// The two ancestors (or the queues themselves) that are siblings: just below the lowest common ancestor.
    pub fn siblings_above(&self, one: QueueId, other: QueueId) -> Option<(QueueId, QueueId)> {
        let ones: SmallVec<[QueueId; 8]> = self.path(one).map(|(id, _)| id).collect();
        let others: SmallVec<[QueueId; 8]> = self.path(other).map(|(id, _)| id).collect();
        ones.iter().rev().zip(others.iter().rev()).find(|(x, y)| x != y).map(|(&x, &y)| (x, y))
    }

    /// Adds a queue or changes what one is entitled to. Returns whether accounts are wrong now and must be booked anew.
    pub(crate) fn set(&mut self, id: QueueId, spec: QueueSpec) -> bool {
        let mut moved = false;
        if let Some(queue) = self.all.get_mut(&id) {
            let old = std::mem::replace(&mut queue.spec, spec);
            moved = old.parent != queue.spec.parent;
            if let Some(siblings) = self.children.get_mut(&old.parent) {
                siblings.retain(|sibling| *sibling != id);
            }
        } else {
            self.all.insert(id, Queue::new(spec, self.ranks));
            self.ranks += 1;
        }
        let parent = self.all[&id].spec.parent;
        let siblings = self.children.entry(parent).or_default();
        siblings.push(id);
        siblings.sort_by_key(|sibling| self.all[sibling].rank);
        self.all_stale();
        self.find_models() || moved
    }

    /// Takes a queue out; the caller has checked that nothing is in it or under it. Returns whether accounts are wrong now.
    pub(crate) fn remove(&mut self, id: QueueId) -> bool {
        let Some(queue) = self.all.remove(&id) else { return false };
        if let Some(siblings) = self.children.get_mut(&queue.spec.parent) {
            siblings.retain(|sibling| *sibling != id);
        }
        self.children.remove(&Some(id));
        self.all_stale();
        self.find_models()
    }

    /// Lists the models that some queue has a quota of; returns whether the list is another one now.
    fn find_models(&mut self) -> bool {
        let models: BTreeSet<&String> = self.all.values().flat_map(|queue| queue.spec.gpu_models.keys()).collect();
        let changed = !self.models.iter().eq(models.iter().copied());
        if changed {
            self.models = models.into_iter().cloned().collect();
        }
        changed
    }

    /// Something has changed in a leaf: what it asks for, or what it has.
    fn touch(&mut self, leaf: QueueId) {
        if let Some(queue) = self.all.get_mut(&leaf)
            && !std::mem::replace(&mut queue.stale, true)
        {
            self.stale.push(leaf);
        }
    }

    /// Nothing that is known of what waits can be relied on any more.
    pub(crate) fn all_stale(&mut self) {
        for queue in self.all.values_mut() {
            (queue.waits, queue.waits_below, queue.stale) = (Amounts::zero(), Amounts::zero(), true);
        }
        self.stale = self.all.keys().copied().collect();
    }

    /// The leaves in which something has changed since the last call.
    fn take_stale(&mut self) -> Vec<QueueId> {
        let stale = std::mem::take(&mut self.stale);
        for leaf in &stale {
            if let Some(queue) = self.all.get_mut(leaf) {
                queue.stale = false;
            }
        }
        stale
    }

    /// Counts a pod that waits in a leaf in or out.
    pub(crate) fn count_waiting(&mut self, leaf: QueueId, shape: &Shared<PodShape>, more: bool) {
        self.touch(leaf);
        let Some(queue) = self.all.get_mut(&leaf) else { return };
        if more {
            queue.waiting.entry(shape.id()).or_insert_with(|| (shape.clone(), 0)).1 += 1;
        } else if let Some((_, count)) = queue.waiting.get_mut(&shape.id()) {
            *count -= 1;
            if *count == 0 {
                queue.waiting.remove(&shape.id());
            }
        }
    }

    /// Nobody has anything: what pods hold is about to be booked anew.
    pub(crate) fn clear_accounts(&mut self) {
        for queue in self.all.values_mut() {
            (queue.allocated, queue.fixed) = (Amounts::zero(), Amounts::zero());
        }
    }

    /// Books what an active pod holds (`times` 1) or no longer holds (-1), on every level.
    pub(crate) fn book(&mut self, leaf: QueueId, amounts: &Amounts, fixed: bool, times: i64) {
        self.touch(leaf);
        let mut next = Some(leaf);
        while let Some(queue) = next.and_then(|id| self.all.get_mut(&id)) {
            queue.allocated.add(amounts, times);
            if fixed {
                queue.fixed.add(amounts, times);
            }
            next = queue.spec.parent;
        }
    }

    /// What a queue is entitled to of a resource.
    pub fn quota(&self, queue: &Queue, resource: usize) -> Quota {
        match resource {
            amounts::GPU => queue.spec.gpu,
            amounts::CPU => queue.spec.cpu,
            amounts::MEMORY => queue.spec.memory,
            _ => {
                let model = self.models.get(resource - amounts::MODELS);
                model.and_then(|model| queue.spec.gpu_models.get(model)).copied().unwrap_or(Quota::UNLIMITED)
            }
        }
    }

    /// The most a queue may come to have by right (rule F6); `None` is without limit.
    pub fn allocatable(&self, queue: &Queue, resource: usize) -> Option<i64> {
        let quota = self.quota(queue, resource);
        let due = match quota.deserved {
            None => return quota.limit,
            Some(deserved) => deserved.max(queue.fair_share.get(resource)),
        };
        Some(quota.limit.map_or(due, |limit| due.min(limit)))
    }

    /// The queues on the way up, each with the resources, whose limits the pods would break, with what would be used then.
    pub(crate) fn over_limit<'a>(
        &'a self,
        leaf: QueueId,
        more: &'a Amounts,
    ) -> impl Iterator<Item = (QueueId, usize, i64)> + 'a {
        self.over(leaf, more, |queue, resource| (queue.allocated.get(resource), self.quota(queue, resource).limit))
    }

    /// The same for what gangs that are not preemptible may use: only what is deserved.
    pub(crate) fn over_deserved<'a>(
        &'a self,
        leaf: QueueId,
        more: &'a Amounts,
    ) -> impl Iterator<Item = (QueueId, usize, i64)> + 'a {
        self.over(leaf, more, |queue, resource| (queue.fixed.get(resource), self.quota(queue, resource).deserved))
    }

    fn over<'a>(
        &'a self,
        leaf: QueueId,
        more: &'a Amounts,
        bound: impl Fn(&Queue, usize) -> (i64, Option<i64>) + Copy + 'a,
    ) -> impl Iterator<Item = (QueueId, usize, i64)> + 'a {
        self.path(leaf).flat_map(move |(id, queue)| {
            let asked = more.iter().enumerate().filter(|(_, asked)| *asked > 0);
            asked.filter_map(move |(resource, asked)| {
                let (used, most) = bound(queue, resource);
                most.is_some_and(|most| used + asked > most).then_some((id, resource, used + asked))
            })
        })
    }
}
