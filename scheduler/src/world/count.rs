//! What status and metrics say: how queues stand, and how many pods there are of which kind.

use berth_engine::{GangId, QueueId};

use super::{Source, World};
use crate::objects::{Key, Kind, Object};
use crate::pod::Phase;
use crate::problem::Effect;
use crate::told::At;

impl World {
    /// All objects of a kind.
    pub(crate) fn objects_of(&self, kind: Kind) -> impl Iterator<Item = (&Key, &Object)> {
        self.store.of_kind(kind)
    }

    /// The queue of this name, if the engine has been told of it.
    pub(crate) fn queue_id(&self, name: &str) -> Option<QueueId> {
        self.told.queues.iter().find(|(known, ..)| known == name).map(|(_, id, _)| *id)
    }

    /// Why a queue is not used.
    pub(crate) fn queue_refusal(&self, name: &str) -> Option<String> {
        let object = Source::Object(Key::cluster(Kind::Queue, name));
        let sources = [Source::Queue(name.to_owned()), object];
        let problems = sources.iter().filter_map(|source| self.problems.get(source)).flatten();
        let refused = problems.filter(|problem| problem.effect == Effect::Refused);
        let texts: Vec<String> = refused.map(|one| format!("{}: {}; {}", one.field, one.what, one.remedy)).collect();
        (!texts.is_empty()).then(|| texts.join(", "))
    }

    /// The gang that the engine knows a pod to be of.
    pub(crate) fn gang_of(&self, pod: &Key) -> Option<GangId> {
        let (gang, _) = self.told.pods.get(pod)?.gang.as_ref()?;
        self.gang_id(gang)
    }

    /// The pods of a gang, ended ones too.
    pub(crate) fn members_of(&self, gang: GangId) -> impl Iterator<Item = &Key> {
        self.gang(gang).and_then(|gang| self.members.get(gang)).into_iter().flatten()
    }

    /// The queue of each gang of which pods wait, and how many of them; looks at all gangs.
    pub(crate) fn waiting_by_queue(&self) -> Vec<(QueueId, usize)> {
        let waits = |key: &&Key| self.told.pods.get(*key).is_some_and(|told| told.at == At::Waits);
        let count = |gang| self.members.get(gang).into_iter().flatten().filter(waits).count();
        let all = self.told.gangs.iter().map(|(key, told)| (told.spec.queue, count(key)));
        all.filter(|(_, pods)| *pods > 0).collect()
    }

    /// How many pods there are of each kind of state; looks at all of them.
    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts { pods: self.views.len() as u64, ..Counts::default() };
        for (key, view) in self.views.iter().filter(|(_, view)| view.gang.is_some()) {
            match view.reading.phase {
                Phase::Gated => counts.gated += 1,
                Phase::Waits if self.booked(key).is_some() => counts.assumed += 1,
                Phase::Waits => counts.waiting += 1,
                Phase::Bound(_) | Phase::Succeeded | Phase::Failed => {}
            }
        }
        counts
    }
}

/// Numbers of pods; all but the first are of our own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// All there are.
    pub(crate) pods: u64,
    /// With scheduling gates.
    pub(crate) gated: u64,
    /// Without a place.
    pub(crate) waiting: u64,
    /// With a place that no watch has shown yet.
    pub(crate) assumed: u64,
}
