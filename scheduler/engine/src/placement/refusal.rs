//! Why a pod shape fits nowhere: counts per constraint and nearest misses, kept in step through the cluster's change log.
//! Started at the first refusal of a shape, so shapes that always fit cost nothing here.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::tournament::Tournament;
use crate::cluster::{ClassId, Classes, Free, PodShape};
use crate::decision::{RuledOut, Unplaceable};
use crate::filter::{self, Constraint, Resource};

/// What one class slot adds to the reasons.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    nodes: usize,
    rejected_by: Option<Constraint>,
    /// By resource, in the order of [`Resource::ALL`]; 0 where there is enough.
    missing: [u64; Resource::ALL.len()],
    fits_when_empty: bool,
}

/// The reasons for one pod shape.
#[derive(Debug, Default)]
pub(super) struct Refusal {
    seen: u64,
    tallies: Vec<Tally>,
    nodes: usize,
    fits_when_empty: usize,
    /// Nodes ruled out, by constraint in the order of [`Constraint::ALL`].
    ruled_out: [usize; Constraint::ALL.len()],
    /// The least missing, by resource.
    nearest: [Tournament<u64>; Resource::ALL.len()],
    answer: Option<Arc<Unplaceable>>,
}

impl Refusal {
    /// The reasons as the cluster is now.
    pub(super) fn of(&mut self, classes: &Classes, pod: &PodShape) -> Arc<Unplaceable> {
        if let Some(answer) = &self.answer
            && self.seen == classes.now()
        {
            return Arc::clone(answer);
        }
        self.catch_up(classes, pod);
        let mut answer = self.answer();
        if filter::resources::need_names(pod) {
            answer.short_of = short_of(classes, pod);
        }
        let answer = Arc::new(answer);
        self.answer = Some(Arc::clone(&answer));
        answer
    }

    fn catch_up(&mut self, classes: &Classes, pod: &PodShape) {
        let slots = classes.slots().len();
        let changed = classes.changed_since(self.seen).filter(|_| slots <= self.nearest[0].len());
        match changed {
            Some(changed) => {
                self.tallies.resize(slots, Tally::default());
                for &class in changed {
                    self.refresh(classes, class, pod);
                    for (index, nearest) in self.nearest.iter_mut().enumerate() {
                        nearest.set(class.index(), self.tallies[class.index()].miss(index));
                    }
                }
            }
            None => {
                *self = Refusal { tallies: vec![Tally::default(); slots], ..Refusal::default() };
                for class in classes.ids() {
                    self.refresh(classes, class, pod);
                }
                for (index, nearest) in self.nearest.iter_mut().enumerate() {
                    nearest.reset(self.tallies.iter().map(|tally| tally.miss(index)));
                }
            }
        }
        self.seen = classes.now();
    }

    fn refresh(&mut self, classes: &Classes, id: ClassId, pod: &PodShape) {
        let old = std::mem::replace(&mut self.tallies[id.index()], Tally::of(classes, id, pod));
        let new = self.tallies[id.index()];
        self.nodes = self.nodes + new.nodes - old.nodes;
        self.fits_when_empty =
            self.fits_when_empty + usize::from(new.fits_when_empty) - usize::from(old.fits_when_empty);
        for (constraint, count) in Constraint::ALL.iter().zip(&mut self.ruled_out) {
            *count = *count + new.ruled_out_by(*constraint) - old.ruled_out_by(*constraint);
        }
    }

    fn answer(&self) -> Unplaceable {
        let hit = Constraint::ALL.iter().zip(self.ruled_out).filter(|(_, nodes)| *nodes > 0);
        let reason = |(&constraint, nodes)| {
            let nearest_miss = match constraint {
                Constraint::Lack(resource) => self.nearest[resource as usize].first(),
                _ => None,
            };
            RuledOut { constraint, nodes, nearest_miss }
        };
        Unplaceable {
            nodes: self.nodes,
            ruled_out: hit.map(reason).collect(),
            fits_when_empty: self.fits_when_empty > 0,
            short_of: BTreeMap::new(),
        }
    }
}

/// Resources that count as one, told apart. Few pods ask for several, so that all classes are looked at anew.
fn short_of(classes: &Classes, pod: &PodShape) -> BTreeMap<String, usize> {
    let mut nodes: BTreeMap<String, usize> = BTreeMap::new();
    for class in classes.ids().map(|id| classes.get(id)).filter(|class| !class.members.is_empty()) {
        let (shape, free) = (&class.state.shape, class.state.later());
        if filter::rejection(shape, free, pod).is_none() {
            for name in filter::resources::short_of(shape, free, pod) {
                *nodes.entry(name).or_default() += class.members.len();
            }
        }
    }
    nodes
}

impl Tally {
    fn of(classes: &Classes, id: ClassId, pod: &PodShape) -> Self {
        let class = classes.get(id);
        let nodes = class.members.len();
        if nodes == 0 {
            return Tally::default();
        }
        let (shape, free) = (&class.state.shape, class.state.later());
        match filter::rejection(shape, free, pod) {
            Some(constraint) => {
                let fits_when_empty =
                    constraint == Constraint::HostPorts && filter::resources::fit(shape, &Free::all_of(shape), pod);
                Tally { nodes, rejected_by: Some(constraint), fits_when_empty, ..Tally::default() }
            }
            None => Tally {
                nodes,
                rejected_by: None,
                missing: Resource::ALL.map(|resource| resource.missing(shape, free, pod)),
                fits_when_empty: filter::resources::fit(shape, &Free::all_of(shape), pod),
            },
        }
    }

    fn ruled_out_by(&self, constraint: Constraint) -> usize {
        let hit = match constraint {
            Constraint::Lack(resource) => self.missing[resource as usize] > 0,
            rule => self.rejected_by == Some(rule),
        };
        if hit { self.nodes } else { 0 }
    }

    fn miss(&self, resource: usize) -> Option<u64> {
        Some(self.missing[resource]).filter(|missing| *missing > 0)
    }
}
