//! Which of two siblings is served first (rule O1): by what each deserves, has, and would have with its next piece of work.

use std::cmp::Ordering;

use smallvec::SmallVec;

use crate::queue::Queue;
use crate::queue::Queues;
use crate::queue::amounts::Amounts;

/// A fraction with a positive denominator, compared exactly.
#[derive(Debug, Clone, Copy)]
struct Part {
    of: i128,
    whole: i128,
}

impl Part {
    const NONE: Part = Part { of: 0, whole: 1 };
}

impl Ord for Part {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.of * other.whole).cmp(&(other.of * self.whole))
    }
}

impl PartialOrd for Part {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Part {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Part {}

/// How a queue stands among its siblings; the least is served first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Above its fair share in everything.
    over_share: bool,
    /// Not within what it deserves, with the next piece.
    over_deserved: bool,
    priority: i64,
    /// Would use something of which it may have nothing.
    uses_forbidden: bool,
    share_with: Part,
    share_without: Part,
    /// May have, by resource; without limit is more than any amount.
    allocatable: SmallVec<[i64; 3]>,
    rank: u32,
}

impl Standing {
    /// Of a queue that has `allocated` and asks for `more`, in a cluster of `total`.
    pub(crate) fn of(queues: &Queues, queue: &Queue, allocated: &Amounts, more: &Amounts, total: &Amounts) -> Self {
        let with = allocated.plus(more);
        let resources = 0..queues.resources();
        let allocatable: SmallVec<[Option<i64>; 3]> =
            resources.clone().map(|resource| queues.allocatable(queue, resource)).collect();
        let within = |resource| {
            let deserved = queues.quota(queue, resource).deserved;
            deserved.is_none_or(|deserved| with.get(resource) <= deserved)
        };
        let dominant = |amounts: &Amounts| {
            let part = |(resource, most): (usize, &Option<i64>)| {
                let (of, whole) = (i128::from(amounts.get(resource)), most.unwrap_or(total.get(resource)));
                if whole > 0 { Part { of, whole: whole.into() } } else { Part { of: of * 1000, whole: 1 } }
            };
            allocatable.iter().enumerate().map(part).max().unwrap_or(Part::NONE)
        };
        Standing {
            // The GPU model accounts are parts of the GPU account: being within one of them is no merit.
            over_share: (0..3).all(|resource| allocated.get(resource) > queue.fair_share.get(resource)),
            over_deserved: !resources.clone().all(within),
            priority: queue.spec.priority,
            uses_forbidden: resources
                .clone()
                .any(|resource| with.get(resource) > 0 && allocatable[resource] == Some(0)),
            share_with: dominant(&with),
            share_without: dominant(allocated),
            allocatable: allocatable.iter().map(|most| most.unwrap_or(i64::MAX)).collect(),
            rank: queue.rank,
        }
    }

    fn by_allocatable(&self, other: &Self) -> Ordering {
        let pairs = || self.allocatable.iter().zip(&other.allocatable);
        match (pairs().any(|(mine, theirs)| mine < theirs), pairs().any(|(mine, theirs)| mine > theirs)) {
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            _ => Ordering::Equal,
        }
    }
}

impl Ord for Standing {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.over_share.cmp(&other.over_share))
            .then(self.over_deserved.cmp(&other.over_deserved))
            .then(other.priority.cmp(&self.priority))
            .then(self.uses_forbidden.cmp(&other.uses_forbidden))
            .then(self.share_with.cmp(&other.share_with))
            .then(self.share_without.cmp(&other.share_without))
            .then_with(|| self.by_allocatable(other))
            .then(self.rank.cmp(&other.rank))
    }
}

impl PartialOrd for Standing {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
