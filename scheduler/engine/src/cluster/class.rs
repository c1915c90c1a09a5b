//! Node classes: nodes in the same state are one class, so that work grows with distinct states, not with nodes.
//! Owns the change log through which indexes elsewhere catch up. May not know what any index is for.

use std::collections::{BTreeMap, BTreeSet};

use super::state::NodeState;
use crate::units::NodeId;

/// A slot for a class. Slots are reused once their last member has left; the generation tells the users apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClassId(u32);

impl ClassId {
    /// As an index into per-class arrays.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Nodes in one state.
#[derive(Debug)]
pub struct NodeClass {
    /// The state all members are in.
    pub state: NodeState,
    /// The members; empty while the slot is vacant.
    pub members: BTreeSet<NodeId>,
    /// How many states this slot has held before.
    pub generation: u32,
}

/// Every class of a cluster.
#[derive(Debug, Default)]
pub struct Classes {
    by_state: BTreeMap<NodeState, ClassId>,
    slots: Vec<NodeClass>,
    vacant: Vec<ClassId>,
    changed: Vec<ClassId>,
    changes_dropped: u64,
}

impl Classes {
    /// All slots, vacant ones included, in [`ClassId`] order.
    pub fn slots(&self) -> &[NodeClass] {
        &self.slots
    }

    /// Every slot's id, vacant ones included.
    pub fn ids(&self) -> impl Iterator<Item = ClassId> + use<> {
        (0..self.slots.len() as u32).map(ClassId)
    }

    /// The class in this slot.
    pub fn get(&self, id: ClassId) -> &NodeClass {
        &self.slots[id.index()]
    }

    /// How many inhabited classes there are.
    pub fn len(&self) -> usize {
        self.by_state.len()
    }

    /// No nodes at all?
    pub fn is_empty(&self) -> bool {
        self.by_state.is_empty()
    }

    /// A position in the change log: everything after it has yet to be seen.
    pub fn now(&self) -> u64 {
        self.changes_dropped + self.changed.len() as u64
    }

    /// The classes whose members or state changed since `seen`, oldest first, repeats possible; `None` where the log no
    /// longer reaches back that far, or where looking at every slot is cheaper.
    pub fn changed_since(&self, seen: u64) -> Option<&[ClassId]> {
        let start = usize::try_from(seen.checked_sub(self.changes_dropped)?).ok()?;
        self.changed.get(start..).filter(|changed| changed.len() <= self.slots.len())
    }

    pub(super) fn insert(&mut self, node: NodeId, state: NodeState) -> ClassId {
        let id = match self.by_state.get(&state) {
            Some(&id) => id,
            None => self.open(state),
        };
        self.slots[id.index()].members.insert(node);
        self.log(id);
        id
    }

    pub(super) fn remove(&mut self, node: NodeId, id: ClassId) {
        let class = &mut self.slots[id.index()];
        class.members.remove(&node);
        if class.members.is_empty() {
            self.by_state.remove(&class.state);
            self.vacant.push(id);
        }
        self.log(id);
    }

    fn open(&mut self, state: NodeState) -> ClassId {
        let id = match self.vacant.pop() {
            Some(id) => {
                let class = &mut self.slots[id.index()];
                class.state = state.clone();
                class.generation = class.generation.wrapping_add(1);
                id
            }
            None => {
                let id = ClassId(self.slots.len() as u32);
                self.slots.push(NodeClass { state: state.clone(), members: BTreeSet::new(), generation: 0 });
                id
            }
        };
        self.by_state.insert(state, id);
        id
    }

    /// Appends to the change log, and drops its older half once nobody can want it: readers that far behind look at every
    /// slot.
    fn log(&mut self, id: ClassId) {
        const LOG_AT_LEAST: usize = if cfg!(test) { 8 } else { 4096 };
        if self.changed.len() >= LOG_AT_LEAST.max(4 * self.slots.len()) {
            let older = self.changed.len() / 2;
            self.changed.drain(..older);
            self.changes_dropped += older as u64;
        }
        self.changed.push(id);
    }
}
