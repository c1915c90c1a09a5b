//! The tree of queues as objects describe it. Owns which of them can be used; knows no gang.

use std::collections::{BTreeMap, BTreeSet};

use berth_config::crd;
use berth_engine::{QueueId, QueueSpec};

use crate::problem::Fault;

/// Which queues there are and what they are entitled to.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Those that can be used, parents first, each with its name.
    pub(crate) usable: Vec<(String, QueueId, QueueSpec)>,
    /// Those of them that gangs can wait in, and those that they cannot, by name.
    places: BTreeMap<String, Lookup>,
    /// What is wrong with the others, by name.
    pub(crate) faults: BTreeMap<String, Vec<Fault>>,
}

/// What a gang gets for the name of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// It can wait there.
    Leaf(QueueId),
    /// There are queues below it.
    NotLeaf,
    /// There is none, or none that can be used.
    Unknown,
}

impl Plan {
    /// Works out the tree. The default queue is there whether or not an object describes it.
    pub(crate) fn of(
        objects: &BTreeMap<&str, &crd::Queue>,
        default: &str,
        mut id_of: impl FnMut(&str) -> QueueId,
    ) -> Plan {
        let mut ids: BTreeMap<&str, QueueId> = objects.keys().map(|name| (*name, id_of(name))).collect();
        ids.insert(default, id_of(default));
        let mut plan = Plan::default();
        let mut waiting: BTreeMap<&str, QueueSpec> = BTreeMap::new();
        if !objects.contains_key(default) {
            waiting.insert(default, QueueSpec::unlimited(default));
        }
        for (name, queue) in objects {
            match crd::queue_spec(queue, |parent| ids.get(parent).copied()) {
                Ok(spec) => {
                    waiting.insert(name, spec);
                }
                Err(problems) => {
                    let faults = problems.all.into_iter();
                    let faults = faults.map(|one| Fault::refused(one.field, one.text, "mend the queue")).collect();
                    plan.faults.insert((*name).to_owned(), faults);
                }
            }
        }
        plan.place(waiting, objects, &ids);
        let parents: BTreeSet<QueueId> = plan.usable.iter().filter_map(|(_, _, spec)| spec.parent).collect();
        let place = |id| if parents.contains(&id) { Lookup::NotLeaf } else { Lookup::Leaf(id) };
        plan.places = plan.usable.iter().map(|(name, id, _)| (name.clone(), place(*id))).collect();
        plan
    }

    /// Puts queues in order, level by level; those that never come to have a usable parent are told so.
    fn place(
        &mut self,
        mut waiting: BTreeMap<&str, QueueSpec>,
        objects: &BTreeMap<&str, &crd::Queue>,
        ids: &BTreeMap<&str, QueueId>,
    ) {
        loop {
            let known = |parent: QueueId| self.usable.iter().any(|(_, id, _)| *id == parent);
            let ready = waiting.iter().filter(|(_, spec)| spec.parent.is_none_or(known)).map(|(name, _)| *name);
            // Older first: the engine takes siblings in the order in which they come.
            let created = |name: &str| objects.get(name)?.metadata.creation_timestamp.as_ref().map(|made| made.0);
            let mut ready: Vec<&str> = ready.collect();
            ready.sort_by_key(|name| (created(name), *name));
            if ready.is_empty() {
                break;
            }
            for name in ready {
                if let Some((spec, id)) = waiting.remove(name).zip(ids.get(name)) {
                    self.usable.push((name.to_owned(), *id, spec));
                }
            }
        }
        for name in waiting.into_keys() {
            let what = "the queues above it form a ring, or one of them cannot be used";
            let fault = Fault::refused("spec.parent", what, "mend these, or name another parent");
            self.faults.entry(name.to_owned()).or_default().push(fault);
        }
    }

    /// Can gangs wait in it?
    pub(crate) fn is_leaf(&self, queue: QueueId) -> bool {
        self.places.values().any(|place| *place == Lookup::Leaf(queue))
    }

    /// The queue of a name.
    pub(crate) fn lookup(&self, name: &str) -> Lookup {
        self.places.get(name).copied().unwrap_or(Lookup::Unknown)
    }
}
