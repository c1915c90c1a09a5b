//! What the driver asks about objects, beside what the engine is told of them.

use std::collections::BTreeSet;

use berth_engine::gang::Stage;
use berth_engine::{GangId, PodId, QueueId, Timestamp};

use super::{Source, World};
use crate::objects::{Body, Key, Kind, Object, Pod};
use crate::pod::Phase;
use crate::problem::Effect;
use crate::time::timestamp;
use crate::told::At;

/// What a pod is doing, as the watches say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doing<'w> {
    /// It waits for a place, or may not have one yet.
    Waits,
    /// It is on this node, and perhaps asked to stop.
    On {
        /// The node.
        node: &'w str,
        /// Is it asked to stop?
        stops: bool,
    },
    /// It has ended, or goes without ever having been anywhere.
    Ended,
}

impl World {
    /// An object as the watches have it.
    pub fn object(&self, key: &Key) -> Option<&Object> {
        self.store.get(key)
    }

    /// A pod as the watches have it, with this uid.
    pub(crate) fn pod_with_uid(&self, key: &Key, uid: &str) -> Option<&Pod> {
        self.store.get(key).filter(|object| object.uid == uid).and_then(|object| match &object.body {
            Body::Pod(pod) => Some(&**pod),
            _ => None,
        })
    }

    /// What the pod with this name and uid is doing; `None` where there is no such pod.
    pub(crate) fn doing(&self, key: &Key, uid: &str) -> Option<Doing<'_>> {
        let pod = self.pod_with_uid(key, uid)?;
        let view = self.views.get(key)?;
        Some(match view.reading.phase {
            Phase::Bound(stage) => Doing::On { node: &view.node, stops: stage == Stage::Evicted },
            Phase::Succeeded | Phase::Failed => Doing::Ended,
            Phase::Gated if pod.metadata.deletion_timestamp.is_some() => Doing::Ended,
            Phase::Gated | Phase::Waits => Doing::Waits,
        })
    }

    /// Where the engine has booked a pod that is not known to be there yet: the uid and the node. `None` for one that has been
    /// told to go again.
    pub(crate) fn booked(&self, key: &Key) -> Option<(&str, &str)> {
        let told = self.told.pods.get(key).filter(|told| !told.evicted)?;
        match &told.at {
            At::Seat { stage: Stage::Placed, node, .. } => Some((&told.uid, node)),
            _ => None,
        }
    }

    /// Pods of a gang that have no place, by name.
    pub(crate) fn waiting_of(&self, gang: GangId) -> Vec<(Key, String)> {
        let Some(gang) = self.gang(gang) else { return Vec::new() };
        let members = self.members.get(gang).into_iter().flatten();
        let waits = |key: &&Key| self.told.pods.get(*key).is_some_and(|told| told.at == At::Waits);
        members.filter(waits).filter_map(|key| Some((key.clone(), self.told.pods.get(key)?.uid.clone()))).collect()
    }

    /// The promise of a place that a pod has, as the engine was last heard to say.
    pub(crate) fn nominated(&self, key: &Key) -> Option<&str> {
        self.told.pods.get(key)?.nominated.as_deref()
    }

    /// Has the engine told this pod to go?
    pub(crate) fn is_evicted(&self, key: &Key) -> Option<PodId> {
        self.told.pods.get(key).filter(|told| told.evicted).map(|told| told.id)
    }

    /// When a pod was created.
    pub(crate) fn created(&self, key: &Key) -> Option<Timestamp> {
        match &self.store.get(key)?.body {
            Body::Pod(pod) => timestamp(pod.metadata.creation_timestamp.as_deref()?),
            _ => None,
        }
    }

    /// Pods that wait and of which something else is wrong than when this was last asked, each with its uid and everything that
    /// keeps it from being placed; nothing if it is not kept any longer.
    pub(crate) fn take_refusals(&mut self) -> Vec<(Key, String, Option<String>)> {
        let mut pods = BTreeSet::new();
        for source in std::mem::take(&mut self.reported) {
            match source {
                Source::Pod(key) | Source::Object(key) | Source::Engine(key) if key.kind == Kind::Pod => {
                    pods.insert(key);
                }
                Source::Gang(gang) => pods.extend(self.members.get(&gang).into_iter().flatten().cloned()),
                _ => {}
            }
        }
        let ours = |key: &Key| {
            let view = self.views.get(key)?;
            let uid = self.store.get(key).map(|object| object.uid.clone())?;
            let (gang, _) = view.gang.as_ref().filter(|_| view.reading.phase == Phase::Waits)?;
            let of = |source| self.problems.get(&source).into_iter().flatten();
            let all = of(Source::Pod(key.clone())).chain(of(Source::Gang(gang.clone())));
            let all = all.chain(of(Source::Engine(key.clone())));
            let refused: Vec<String> = all
                .filter(|problem| problem.effect == Effect::Refused)
                .map(|problem| format!("{}: {}; {}", problem.field, problem.what, problem.remedy))
                .collect();
            Some((uid, (!refused.is_empty()).then(|| refused.join(", "))))
        };
        pods.into_iter().filter_map(|key| ours(&key).map(|(uid, why)| (key, uid, why))).collect()
    }

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
