//! Tells the engine the difference, in an order it accepts: what goes first, then what comes, and of both those on which
//! nothing else stands.

use berth_engine::gang::Stage;
use berth_engine::{Engine, Event, Member, PodId, PodSpec, QueueSpec, Quota, Seat};

use super::compare::{Telling, Wanted, volumes};
use super::{GangKey, Source, View, World};
use crate::objects::Key;
use crate::pod::Phase;
use crate::problem::Fault;
use crate::told::{At, ToldGang, ToldPod};

/// The queue of what we do not place but count: pods of other schedulers, and those of ours whose queue or gang cannot be
/// used. No queue can be named so.
const OUTSIDE: &str = "(outside)";

impl World {
    pub(super) fn tell(&mut self, telling: Telling) -> Vec<Event> {
        let mut events = Vec::new();
        for key in &telling.pods_gone {
            self.pod_gone(key, &telling.gangs_gone, &mut events);
        }
        for key in &telling.gangs_gone {
            self.gang_gone(key, &mut events);
        }
        if telling.queues {
            self.tell_queues(&mut events);
        }
        for name in &telling.nodes_gone {
            self.node_gone(name, &mut events);
        }
        for (name, levels) in telling.topologies {
            if self.told.topologies.get(&name) != Some(&levels) {
                self.told.topologies.insert(name.clone(), levels.clone());
                events.push(Event::TopologySet { name, levels });
            }
        }
        let mut limits = std::mem::take(&mut self.dirty.limits);
        limits.extend(telling.nodes_new.keys().cloned());
        for (name, spec) in telling.nodes_new {
            let node = self.told.add_node(&name, spec.clone());
            events.push(Event::NodeAdded { node, spec });
        }
        for (name, spec) in telling.nodes_changed {
            if let Some((node, told)) = self.told.nodes.get_mut(&name) {
                *told = spec.clone();
                events.push(Event::NodeChanged { node: *node, spec });
            }
        }
        self.tell_limits(limits, &mut events);
        for (name, budget) in telling.budgets {
            if self.told.budgets.get(&name) != Some(&budget) {
                self.told.budgets.insert(name.clone(), budget.clone());
                events.push(Event::BudgetSet { name, budget });
            }
        }
        for (key, spec) in telling.gangs_new {
            let gang = self.told.new_gang();
            self.told.gang_keys.insert(gang, key.clone());
            self.told.gangs.insert(key, ToldGang { id: gang, spec: spec.clone(), ghosts: Vec::new() });
            events.push(Event::GangAdded { gang, spec });
        }
        // Before what is told of their gangs: the engine takes the time of telling for a start until it hears of another.
        for key in telling.confirmed {
            self.confirm(&key, &mut events);
        }
        for (key, spec) in telling.gangs_changed {
            // Pods that have ended well just now are in both counts.
            if let Some(told) = self.told.gangs.get_mut(&key).filter(|told| told.spec != spec) {
                told.spec = spec.clone();
                events.push(Event::GangChanged { gang: told.id, spec });
            }
        }
        self.tell_volumes(telling.volumes, &mut events);
        // Those that are somewhere first, so that nobody is promised their place; in an order that the watches do not choose.
        let mut pods = telling.pods_new;
        for (key, wanted) in pods.extract_if(.., |(_, wanted)| wanted.bound.is_some()) {
            self.add_pod(key, wanted, &mut events);
        }
        for (key, wanted) in pods {
            self.add_pod(key, wanted, &mut events);
        }
        events
    }

    /// A pod leaves the engine, because it is gone or is about to be told anew.
    pub(super) fn pod_gone(
        &mut self,
        key: &Key,
        gangs_gone: &std::collections::BTreeSet<GangKey>,
        events: &mut Vec<Event>,
    ) {
        let Some(told) = self.told.remove_pod(key) else { return };
        // What the node was made out to offer for the sake of a booking is looked at again.
        if let At::Seat { node, .. } = &told.at {
            self.dirty.nodes.insert(node.clone());
        }
        // The same pod, and still of that gang: only then does it count among those of the gang that ended well.
        let same = self.store.get(key).is_some_and(|object| object.uid == told.uid);
        let ended_well = |view: &View| view.reading.phase == Phase::Succeeded && view.gang == told.gang;
        let succeeded = same && self.views.get(key).is_some_and(ended_well);
        if succeeded {
            events.push(Event::PodSucceeded { pod: told.id });
            let gang = told.gang.as_ref().and_then(|(gang, _)| self.told.gangs.get_mut(gang));
            if let Some(gang) = gang {
                gang.spec.succeeded += 1; // as the engine does
            }
            return;
        }
        events.push(Event::PodGone { pod: told.id });
        if !(told.evicted && told.nominated.is_some()) {
            return;
        }
        // It moves: the engine keeps its new place for the pod that comes in its stead, as long as its gang stays.
        let gang = told.gang.clone().map(|(gang, _)| gang).filter(|gang| !gangs_gone.contains(gang));
        match gang.and_then(|key| Some((self.told.gangs.get_mut(&key)?, key))) {
            Some((gang, key)) => {
                gang.ghosts.push(told);
                self.told.haunted.insert(key);
            }
            None => events.push(Event::PodGone { pod: told.id }),
        }
    }

    fn gang_gone(&mut self, key: &GangKey, events: &mut Vec<Event>) {
        let Some(told) = self.told.gangs.remove(key) else { return };
        self.told.gang_keys.remove(&told.id);
        events.extend(told.ghosts.iter().map(|ghost| Event::PodGone { pod: ghost.id }));
        events.push(Event::GangRemoved { gang: told.id });
    }

    /// Queues that get another parent become roots first, so that no two are ever above each other; then those that are gone
    /// go, the lowest first.
    fn tell_queues(&mut self, events: &mut Vec<Event>) {
        if self.told.queues.is_empty() {
            // Nothing is due to it beyond what it holds, and nobody can take that back.
            let rest = Quota { over_quota_weight: 0, ..Quota::UNLIMITED };
            let (gpu, cpu, memory) = (rest, rest, rest);
            let spec = QueueSpec { gpu, cpu, memory, ..QueueSpec::unlimited(OUTSIDE) };
            events.push(Event::QueueSet { queue: Engine::DEFAULT_QUEUE, spec });
        }
        let wanted = self.queues.usable.clone();
        let told = std::mem::take(&mut self.told.queues);
        let of = |id| wanted.iter().find(|(_, other, _)| *other == id).map(|(_, _, spec)| spec);
        for (_, queue, old) in &told {
            if old.parent.is_some() && of(*queue).is_none_or(|new| new.parent != old.parent) {
                events.push(Event::QueueSet { queue: *queue, spec: QueueSpec { parent: None, ..old.clone() } });
            }
        }
        for (_, queue, _) in told.iter().rev().filter(|(_, queue, _)| of(*queue).is_none()) {
            events.push(Event::QueueRemoved { queue: *queue });
        }
        for (_, queue, spec) in &wanted {
            if !told.iter().any(|(_, other, old)| other == queue && old == spec) {
                events.push(Event::QueueSet { queue: *queue, spec: spec.clone() });
            }
        }
        self.told.queues = wanted;
    }

    /// Its pods went before, or are told anew after it; promises there fall, as they do in the engine.
    fn node_gone(&mut self, name: &str, events: &mut Vec<Event>) {
        let Some((node, _)) = self.told.nodes.get(name) else { return };
        events.push(Event::NodeRemoved { node: *node });
        for pod in self.told.pods.values_mut().filter(|pod| pod.nominated.as_deref() == Some(name)) {
            pod.nominated = None;
        }
        self.told.remove_node(name);
        if self.store.get(&Key::cluster(crate::Kind::Node, name)).is_none() {
            self.told.forget_node(name);
        }
    }

    fn add_pod(&mut self, key: Key, wanted: Wanted, events: &mut Vec<Event>) {
        let Wanted { uid, spec, gang, bound, before } = wanted;
        let evicted = before.as_ref().is_some_and(|told| told.evicted);
        let at = match self.place(&spec, bound, before.as_deref()) {
            Ok(at) => at,
            Err(node) => {
                let what = format!("runs on {node}, where all GPUs are held by others");
                let fault = Fault::refused("spec.nodeName", what, "end one of the pods there");
                self.report(Source::Engine(key.clone()), vec![fault.of(key)]);
                return;
            }
        };
        self.report(Source::Engine(key.clone()), Vec::new());
        let seat = match &at {
            At::Waits => None,
            At::Seat { stage, node, gpus } => {
                // Its own place has been kept; another one, even on other GPUs of the same node, may be promised to somebody.
                let had = before.as_ref().map(|told| &told.at);
                let same = matches!(had, Some(At::Seat { node: its, gpus: were, .. }) if its == node && were == gpus);
                if !same {
                    self.promises_fall(node, events);
                }
                let Some((id, _)) = self.told.nodes.get(node) else { return };
                Some(Seat { stage: *stage, node: *id, gpus: gpus.clone() })
            }
        };
        let mut nominated = None;
        let member = gang.as_ref().and_then(|(gang, subgroup)| {
            let told = self.told.gangs.get_mut(gang)?;
            let heir = |ghost: &ToldPod| {
                ghost.spec.shape == spec.shape
                    && volumes(&ghost.spec) == volumes(&spec)
                    && ghost.gang.as_ref().is_some_and(|(_, of)| of == subgroup)
            };
            if let Some(at) = told.ghosts.iter().position(heir) {
                // The engine gives the newcomer its place.
                nominated = told.ghosts.remove(at).nominated.filter(|_| seat.is_none());
            }
            Some(Member { gang: told.id, subgroup: subgroup.clone() })
        });
        let pod: PodId = self.told.new_pod();
        events.push(Event::PodAdded { pod, spec: PodSpec { gang: member, seat, ..spec.clone() } });
        self.told.add_pod(key, ToldPod { id: pod, uid, spec, gang, at, evicted, nominated });
    }

    /// Where a pod is: as the watches say, else as the engine has booked. Its GPUs are those it was believed to have, or the
    /// lowest that are free; an error names the node that has too few.
    fn place(&self, spec: &PodSpec, bound: Option<(Stage, String)>, before: Option<&ToldPod>) -> Result<At, String> {
        let booked = before.and_then(|told| match &told.at {
            At::Seat { stage, node, gpus } => Some((*stage, node, gpus, told.evicted)),
            At::Waits => None,
        });
        let (stage, node) = match (bound, &booked) {
            (None, None) => return Ok(At::Waits),
            // Told to go before it was known whether it has come: its place may be promised to others.
            (None, Some((_, node, _, true))) if self.told.nodes.contains_key(*node) => {
                (Stage::Evicted, (*node).clone())
            }
            (None, Some((stage, node, _, _))) if self.told.nodes.contains_key(*node) => (*stage, (*node).clone()),
            (None, Some(_)) => return Ok(At::Waits),
            (Some((_, node)), Some((_, known, _, true))) if node == **known => (Stage::Evicted, node),
            (Some((Stage::Placed, node)), Some((Stage::Running, known, _, _))) if node == **known => {
                (Stage::Running, node)
            }
            (Some(bound), _) => bound,
        };
        let count = spec.shape.gpu.count();
        let has = self.told.nodes.get(&node).map_or(0, |(_, spec)| spec.shape.gpus);
        let same = booked.filter(|(_, known, gpus, _)| **known == node && gpus.len() == count);
        let kept =
            same.map(|(_, _, gpus, _)| gpus.clone()).filter(|gpus| gpus.iter().all(|gpu| usize::from(*gpu) < has));
        let kept = kept.filter(|gpus| self.are_free(&node, gpus));
        match kept.or_else(|| self.told.free_gpus(&node, count)) {
            Some(gpus) => Ok(At::Seat { stage, node, gpus }),
            None => Err(node),
        }
    }

    fn are_free(&self, node: &str, gpus: &[u8]) -> bool {
        let pods = self.told.on_node.get(node).into_iter().flatten().filter_map(|key| self.told.pods.get(key));
        let mut taken = pods.filter_map(|pod| match &pod.at {
            At::Seat { gpus, .. } => Some(gpus),
            At::Waits => None,
        });
        !taken.any(|theirs| theirs.iter().any(|gpu| gpus.contains(gpu)))
    }

    /// Somebody else has taken room on a node: what was promised there may not be free any longer, and is promised anew.
    pub(super) fn promises_fall(&mut self, node: &str, events: &mut Vec<Event>) {
        // Tens of thousands of pods come at a start, when nobody has been promised anything.
        if self.told.promised_on.contains(node) {
            for pod in self.told.pods.values_mut().filter(|pod| pod.nominated.as_deref() == Some(node)) {
                pod.nominated = None;
                events.push(Event::NominationExpired { pod: pod.id });
            }
        }
        for gang in &self.told.haunted {
            let Some(told) = self.told.gangs.get_mut(gang) else { continue };
            let there = |ghost: &mut ToldPod| ghost.nominated.as_deref() == Some(node);
            events.extend(told.ghosts.extract_if(.., there).map(|ghost| Event::PodGone { pod: ghost.id }));
        }
    }

    fn confirm(&mut self, key: &Key, events: &mut Vec<Event>) {
        let Some(told) = self.told.pods.get(key) else { return };
        let At::Seat { node, gpus, .. } = told.at.clone() else { return };
        events.push(Event::Confirmed { pod: told.id });
        self.told.move_pod(key, At::Seat { stage: Stage::Running, node, gpus });
    }
}
