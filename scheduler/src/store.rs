//! The objects there are, as watches tell of them. Owns which version of an object counts; understands none.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::objects::{Body, Group, Key, Kind, Object};

/// What a watch says.
#[derive(Debug, Clone)]
pub enum Change {
    /// An object is there, or is another one now.
    Applied(Object),
    /// An object is gone.
    Deleted {
        /// Which one.
        key: Key,
        /// Its uid; where it is empty, whatever has the name is gone.
        uid: String,
    },
    /// These are all objects of a kind.
    Replaced {
        /// The kind.
        kind: Kind,
        /// All of them.
        objects: Vec<Object>,
    },
}

/// So many uids of deleted objects are remembered, so that a message that comes late does not bring them back. A minute of
/// the busiest cluster known; later ones are corrected by the next list.
const GRAVES: usize = 10_000;

/// All objects, and which have changed since they were last looked at.
#[derive(Debug, Default)]
pub(crate) struct Store {
    objects: BTreeMap<Key, Object>,
    changed: BTreeSet<Key>,
    buried: BTreeSet<String>,
    graves: VecDeque<String>,
}

impl Store {
    /// Takes note of a change; what is older than what is known changes nothing.
    pub(crate) fn apply(&mut self, change: Change) {
        match change {
            Change::Applied(object) => self.applied(object),
            Change::Deleted { key, uid } => self.deleted(&key, &uid),
            Change::Replaced { kind, objects } => {
                let kept: BTreeSet<&Key> = objects.iter().map(|object| &object.key).collect();
                let gone = self.of_kind(kind).filter(|(key, _)| !kept.contains(key)).map(|(key, _)| key.clone());
                for key in gone.collect::<Vec<_>>() {
                    self.objects.remove(&key);
                    self.changed.insert(key);
                }
                for object in objects.into_iter().filter(|object| object.key.kind == kind) {
                    self.applied(object);
                }
            }
        }
    }

    /// The API server has said yes to a binding: what it shows of the pod may be older for a while.
    pub(crate) fn bound(&mut self, key: &Key, uid: &str, node: &str) {
        let known = self.objects.get_mut(key).filter(|known| known.uid == uid);
        if let Some(Body::Pod(pod)) = known.map(|known| &mut known.body)
            && pod.spec.node_name.is_empty()
        {
            node.clone_into(&mut pod.spec.node_name);
            self.changed.insert(key.clone());
        }
    }

    fn applied(&mut self, mut object: Object) {
        if !object.uid.is_empty() && self.buried.contains(&object.uid) {
            return;
        }
        let older = self.objects.get(&object.key).is_some_and(|known| {
            known.version.zip(object.version).is_some_and(|(known, new)| {
                // A version that is known changes nothing; another object of the same name came after it is newer, too.
                new <= known
            })
        });
        if older {
            return;
        }
        if let Some(known) = self.objects.get(&object.key) {
            stays_bound(known, &mut object);
        }
        let same = self.objects.get(&object.key).is_some_and(|known| says_the_same(known, &object));
        if !same {
            self.changed.insert(object.key.clone());
        }
        self.objects.insert(object.key.clone(), object);
    }

    fn deleted(&mut self, key: &Key, uid: &str) {
        if !uid.is_empty() && self.buried.insert(uid.to_owned()) {
            self.graves.push_back(uid.to_owned());
            if self.graves.len() > GRAVES
                && let Some(oldest) = self.graves.pop_front()
            {
                self.buried.remove(&oldest);
            }
        }
        let same = self.objects.get(key).is_some_and(|known| uid.is_empty() || known.uid == uid);
        if same {
            self.objects.remove(key);
            self.changed.insert(key.clone());
        }
    }

    /// What has changed since the last call.
    pub(crate) fn take_changed(&mut self) -> BTreeSet<Key> {
        std::mem::take(&mut self.changed)
    }

    /// One object.
    pub(crate) fn get(&self, key: &Key) -> Option<&Object> {
        self.objects.get(key)
    }

    /// All objects of a kind, by namespace and name.
    pub(crate) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = (&Key, &Object)> {
        let from = Key::cluster(kind, "");
        self.objects.range(from..).take_while(move |(key, _)| key.kind == kind)
    }
}

/// A pod is never unbound: one that is shown without its node is shown as it was before.
fn stays_bound(known: &Object, new: &mut Object) {
    if let (Body::Pod(known), Body::Pod(pod)) = (&known.body, &mut new.body)
        && pod.spec.node_name.is_empty()
        && known.metadata.uid == pod.metadata.uid
    {
        known.spec.node_name.clone_into(&mut pod.spec.node_name);
    }
}

/// Has only the status changed, which we write ourselves, of an object whose status means nothing to us?
fn says_the_same(known: &Object, new: &Object) -> bool {
    known.uid == new.uid
        && match (&known.body, &new.body) {
            (Body::Queue(known), Body::Queue(new)) => known.spec == new.spec,
            (Body::Group(known), Body::Group(new)) => {
                let labels = |group: &Group| (group.metadata.labels.clone(), group.metadata.annotations.clone());
                known.spec == new.spec && labels(known) == labels(new)
            }
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::read;

    fn node(name: &str, uid: &str, version: &str) -> Object {
        let meta = serde_json::json!({ "name": name, "uid": uid, "resourceVersion": version });
        read(Kind::Node, serde_json::json!({ "metadata": meta }))
    }

    #[test]
    fn a_pod_that_was_bound_stays_bound_whatever_is_shown_late() {
        let mut store = Store::default();
        let key = Key { kind: Kind::Pod, namespace: "lab".into(), name: "a".into() };
        let pod = |uid: &str, version: &str| {
            let meta = serde_json::json!({ "name": "a", "namespace": "lab", "uid": uid, "resourceVersion": version });
            Change::Applied(read(Kind::Pod, serde_json::json!({ "metadata": meta, "spec": {} })))
        };
        let node = |store: &Store| {
            let pod = store.get(&key).and_then(|object| object.body.as_pod());
            pod.map(|pod| pod.spec.node_name.clone())
        };
        store.apply(pod("u1", "1"));
        store.bound(&key, "u0", "n");
        assert_eq!(node(&store).as_deref(), Some(""), "another pod of that name was bound");
        store.bound(&key, "u1", "n");
        store.apply(pod("u1", "2"));
        assert_eq!(node(&store).as_deref(), Some("n"));
        store.apply(pod("u2", "3"));
        assert_eq!(node(&store).as_deref(), Some(""), "its successor is another pod");
    }

    #[test]
    fn only_what_is_newer_counts() {
        let mut store = Store::default();
        let key = Key::cluster(Kind::Node, "a");
        let uid = |store: &Store| store.get(&key).map(|object| (object.uid.clone(), object.version));
        store.apply(Change::Applied(node("a", "u1", "5")));
        store.take_changed();
        for late in [node("a", "u1", "5"), node("a", "u1", "4")] {
            store.apply(Change::Applied(late));
            assert!(store.take_changed().is_empty());
        }
        store.apply(Change::Applied(node("a", "u2", "9")));
        store.apply(Change::Deleted { key: key.clone(), uid: "u1".into() });
        assert_eq!(uid(&store), Some(("u2".into(), Some(9))), "the first one went, not its successor");
        store.apply(Change::Deleted { key: key.clone(), uid: "u2".into() });
        store.apply(Change::Applied(node("a", "u2", "8")));
        assert_eq!(uid(&store), None, "told too late");
        store.apply(Change::Applied(node("a", "u3", "11")));
        store.apply(Change::Replaced { kind: Kind::Node, objects: vec![node("b", "u4", "12"), node("a", "u3", "10")] });
        assert_eq!(uid(&store), Some(("u3".into(), Some(11))), "a list may be older than the watch");
        store.apply(Change::Replaced { kind: Kind::Node, objects: vec![node("b", "u4", "12")] });
        assert_eq!(uid(&store), None);
    }
}
