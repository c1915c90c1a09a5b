//! Looks at the objects that changed, and marks what has to be compared again.

use std::collections::{BTreeMap, BTreeSet};

use berth_config::names;

use super::{Source, View, World};
use crate::gang::{GangKey, membership};
use crate::objects::{Body, Key, Kind, Pod};
use crate::pod::{self, Phase, Reading};
use crate::problem::Problem;

impl World {
    /// Looks at everything that has changed.
    pub(super) fn look(&mut self) {
        for key in self.store.take_changed() {
            let unreadable = self.store.get(&key).and_then(|object| match &object.body {
                Body::Unreadable(problem) => Some(Problem::clone(problem)),
                _ => None,
            });
            self.report(Source::Object(key.clone()), unreadable.into_iter().collect());
            match key.kind {
                Kind::Pod => self.look_at_pod(key),
                Kind::Node => self.look_at_node(&key),
                Kind::GpuNode => {
                    self.dirty.nodes.insert(key.name);
                }
                Kind::Namespace => {
                    let in_it = self.members.keys().filter(|gang| gang.namespace() == key.name);
                    self.dirty.gangs.extend(in_it.cloned());
                    self.dirty.pods.extend(self.by_namespaces.iter().cloned());
                }
                Kind::PodGroup(convention) => {
                    let Key { namespace, name, .. } = key;
                    self.dirty.gangs.insert(GangKey::Group { convention, namespace, name });
                }
                Kind::PriorityClass => self.dirty.gangs.extend(self.members.keys().cloned()),
                Kind::Budget => self.dirty.budgets = true,
                Kind::Queue => self.dirty.queues = true,
                Kind::Claim => self.volumes.claim_changed(&key),
                Kind::Volume => self.volumes.volume_changed(&key.name),
                Kind::StorageClass => self.volumes.class_changed(),
                Kind::CsiNode => {
                    self.dirty.limits.insert(key.name);
                }
            }
        }
    }

    /// What one source has found replaces what it had found before.
    pub(super) fn report(&mut self, source: Source, problems: Vec<Problem>) {
        let known = self.problems.get(&source).map_or(&[][..], Vec::as_slice);
        if known == problems {
            return;
        }
        self.reported.insert(source.clone());
        if problems.is_empty() {
            self.problems.remove(&source);
        } else {
            self.problems.insert(source, problems);
        }
    }

    fn look_at_pod(&mut self, key: Key) {
        let object = self.store.get(&key);
        let new = object.and_then(|object| match &object.body {
            Body::Pod(pod) => Some(self.view(pod)),
            _ => None,
        });
        if let Some(old) = self.views.remove(&key) {
            self.mark(&key, &old);
            self.index(&key, &old, false);
        }
        self.volumes.pod_changed(&key, self.store.get(&key).and_then(|object| object.body.as_pod()));
        if let Some(new) = new {
            self.mark(&key, &new);
            self.index(&key, &new, true);
            self.views.insert(key.clone(), new);
        }
        self.dirty.pods.insert(key);
    }

    fn view(&self, pod: &Pod) -> View {
        let ours = pod.spec.scheduler_name == self.settings.scheduler;
        let gang = ours.then(|| membership(pod, &self.settings.accept));
        View { reading: pod::read(pod), gang, node: pod.spec.node_name.clone() }
    }

    fn mark(&mut self, key: &Key, view: &View) {
        if let Some((gang, _)) = &view.gang {
            self.dirty.gangs.insert(gang.clone());
        }
        if !view.node.is_empty() {
            self.dirty.nodes.insert(view.node.clone());
        }
        self.dirty.pods.insert(key.clone());
    }

    /// Puts a pod into the lists by which others find it, or takes it out.
    fn index(&mut self, key: &Key, view: &View, there: bool) {
        let put = |lists: &mut BTreeMap<String, BTreeSet<Key>>, name: &str| {
            if there {
                lists.entry(name.to_owned()).or_default().insert(key.clone());
            } else if let Some(list) = lists.get_mut(name) {
                list.remove(key);
                if list.is_empty() {
                    lists.remove(name);
                }
            }
        };
        if view.reading.phase.is_bound() {
            put(&mut self.bound, &view.node);
        }
        if let Some((gang, _)) = &view.gang {
            if there {
                self.members.entry(gang.clone()).or_default().insert(key.clone());
            } else if let Some(members) = self.members.get_mut(gang) {
                members.remove(key);
                if members.is_empty() {
                    self.members.remove(gang);
                }
            }
        }
        if !is_of_interest(view) {
            return;
        }
        for name in view.reading.node_keys() {
            if there { self.node_keys.add(name) } else { self.node_keys.remove(name) }
        }
        for name in view.reading.pod_keys() {
            if there { self.pod_keys.add(&name) } else { self.pod_keys.remove(&name) }
        }
        if there && view.reading.looks_at_namespaces() {
            self.by_namespaces.insert(key.clone());
        } else {
            self.by_namespaces.remove(key);
        }
    }

    fn look_at_node(&mut self, key: &Key) {
        let hostname = self.store.get(key).and_then(|object| match &object.body {
            Body::Node(node) => node.metadata.labels.get(names::HOSTNAME).cloned(),
            _ => None,
        });
        let listed =
            hostname.as_ref().is_some_and(|name| self.hostnames.get(name).is_some_and(|all| all.contains(&key.name)));
        self.dirty.nodes.insert(key.name.clone());
        if listed {
            return;
        }
        let known = self.hostnames.iter().find(|(_, nodes)| nodes.contains(&key.name)).map(|(name, _)| name.clone());
        if known != hostname {
            self.volumes.hostnames_changed();
            for changed in [known.as_ref(), hostname.as_ref()].into_iter().flatten() {
                let asks = |reading: &Reading| reading.constraints.nodes.looks_at_host(changed);
                let asking = self.views.iter().filter(|(_, view)| asks(&view.reading)).map(|(key, _)| key.clone());
                self.dirty.pods.extend(asking.collect::<Vec<_>>());
            }
            if let Some(nodes) = known.as_ref().and_then(|name| self.hostnames.get_mut(name)) {
                nodes.remove(&key.name);
            }
            self.hostnames.retain(|_, nodes| !nodes.is_empty());
            if let Some(hostname) = hostname {
                self.hostnames.entry(hostname).or_default().insert(key.name.clone());
            }
        }
    }
}

/// Does it matter what the pod looks at: it waits for us, or is somewhere?
fn is_of_interest(view: &View) -> bool {
    match view.reading.phase {
        Phase::Waits => view.gang.is_some() && view.reading.is_sound(),
        Phase::Bound(_) => true,
        Phase::Gated | Phase::Succeeded | Phase::Failed => false,
    }
}
