//! Watches: each kind of object is listed and watched by a task of its own, which tells the driver's owner what changed. Owns
//! which API each kind has; what an object means is read elsewhere.

use std::borrow::Cow;

use berth_config::scheduler::GroupConvention;
use futures_util::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::ListParams;
use kube::core::{ApiResource, DynamicResourceScope};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher::Config};
use kube::{Api, Client, Resource};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::objects::{self, Key, Kind};
use crate::store::Change;

/// What a watch tells.
#[derive(Debug)]
pub(super) enum Seen {
    /// Something has changed.
    Change(Change),
    /// A list or watch has failed; it is tried again.
    Failed(Kind, String),
}

/// Every kind there may be, in the order in which they are asked for.
pub(crate) const KINDS: [Kind; 15] = [
    Kind::Namespace,
    Kind::PriorityClass,
    Kind::Queue,
    Kind::GpuNode,
    Kind::PodGroup(GroupConvention::Native),
    Kind::PodGroup(GroupConvention::Coscheduling),
    Kind::PodGroup(GroupConvention::Volcano),
    Kind::PodGroup(GroupConvention::Kai),
    Kind::Budget,
    Kind::StorageClass,
    Kind::CsiNode,
    Kind::Volume,
    Kind::Claim,
    Kind::Node,
    Kind::Pod,
];

/// Objects that are asked for at a time, where all are listed once.
const PAGE: u32 = 500;

/// The API of a kind.
fn resource(kind: Kind) -> ApiResource {
    let (group, version, name, plural) = match kind {
        Kind::Node => ("", "v1", "Node", "nodes"),
        Kind::Pod => ("", "v1", "Pod", "pods"),
        Kind::Namespace => ("", "v1", "Namespace", "namespaces"),
        Kind::PodGroup(GroupConvention::Native | GroupConvention::Berth) => {
            ("scheduling.k8s.io", "v1beta1", "PodGroup", "podgroups")
        }
        Kind::PodGroup(GroupConvention::Coscheduling) => ("scheduling.x-k8s.io", "v1alpha1", "PodGroup", "podgroups"),
        Kind::PodGroup(GroupConvention::Volcano) => ("scheduling.volcano.sh", "v1beta1", "PodGroup", "podgroups"),
        Kind::PodGroup(GroupConvention::Kai) => ("scheduling.run.ai", "v2alpha2", "PodGroup", "podgroups"),
        Kind::PriorityClass => ("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses"),
        Kind::Budget => ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
        Kind::Queue => ("berth.dev", "v1alpha1", "Queue", "queues"),
        Kind::GpuNode => ("berth.dev", "v1alpha1", "GpuNode", "gpunodes"),
        Kind::Claim => ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
        Kind::Volume => ("", "v1", "PersistentVolume", "persistentvolumes"),
        Kind::StorageClass => ("storage.k8s.io", "v1", "StorageClass", "storageclasses"),
        Kind::CsiNode => ("storage.k8s.io", "v1", "CSINode", "csinodes"),
    };
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let (group, version, kind, plural) = (group.to_owned(), version.to_owned(), name.to_owned(), plural.to_owned());
    ApiResource { group, version, api_version, kind, plural }
}

/// Is a kind always there?
fn is_built_in(kind: Kind) -> bool {
    !matches!(kind, Kind::Queue | Kind::GpuNode | Kind::PodGroup(_))
}

/// Does the API server serve this kind?
///
/// # Errors
/// When it does not answer.
pub(crate) async fn is_served(client: &Client, kind: Kind) -> kube::Result<bool> {
    if is_built_in(kind) {
        return Ok(true);
    }
    let resource = resource(kind);
    match client.list_api_group_resources(&resource.api_version).await {
        Ok(list) => Ok(list.resources.iter().any(|served| served.name == resource.plural)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(error),
    }
}

/// All objects of a kind, page by page.
///
/// # Errors
/// When the API server does not answer, or refuses.
pub(crate) async fn list(client: &Client, kind: Kind) -> kube::Result<Vec<objects::Object>> {
    let api: Api<Raw> = Api::all_with(client.clone(), &resource(kind));
    let (mut page, mut all) = (ListParams::default().limit(PAGE), Vec::new());
    loop {
        let list = api.list(&page).await?;
        all.extend(list.items.iter().map(|object| object.read(kind)));
        match list.metadata.continue_.filter(|next| !next.is_empty()) {
            Some(next) => page.continue_token = Some(next),
            None => return Ok(all),
        }
    }
}

/// Lists and watches a kind for as long as anybody listens.
pub(super) fn start(client: Client, kind: Kind, to: mpsc::Sender<Seen>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let api: Api<Raw> = Api::all_with(client, &resource(kind));
        let mut events = std::pin::pin!(watcher::watcher(api, Config::default()).default_backoff());
        let mut listed = Vec::new();
        while let Some(event) = events.next().await {
            let seen = match event {
                Ok(Event::Init) => {
                    listed.clear();
                    continue;
                }
                Ok(Event::InitApply(object)) => {
                    listed.push(object.read(kind));
                    continue;
                }
                Ok(Event::InitDone) => Seen::Change(Change::Replaced { kind, objects: std::mem::take(&mut listed) }),
                Ok(Event::Apply(object)) => Seen::Change(Change::Applied(object.read(kind))),
                Ok(Event::Delete(object)) => {
                    let objects::Object { key, uid, .. } = object.read(kind);
                    Seen::Change(Change::Deleted { key, uid })
                }
                Err(error) => Seen::Failed(kind, error.to_string()),
            };
            if to.send(seen).await.is_err() {
                return; // the scheduler is about to end
            }
        }
    })
}

/// An object as the API server sent it, with no more of it read than a watch needs.
#[derive(Debug, Clone)]
struct Raw {
    meta: ObjectMeta,
    text: Box<RawValue>,
}

impl Raw {
    fn read(&self, kind: Kind) -> objects::Object {
        objects::read_text(kind, self.text.get())
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(from)?;
        let names = objects::names(text.get());
        let meta = ObjectMeta {
            name: Some(names.name),
            namespace: Some(names.namespace).filter(|namespace| !namespace.is_empty()),
            uid: Some(names.uid),
            resource_version: Some(names.resource_version),
            ..ObjectMeta::default()
        };
        Ok(Raw { meta, text })
    }
}

impl Resource for Raw {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(of: &ApiResource) -> Cow<'_, str> {
        of.kind.as_str().into()
    }

    fn group(of: &ApiResource) -> Cow<'_, str> {
        of.group.as_str().into()
    }

    fn version(of: &ApiResource) -> Cow<'_, str> {
        of.version.as_str().into()
    }

    fn api_version(of: &ApiResource) -> Cow<'_, str> {
        of.api_version.as_str().into()
    }

    fn plural(of: &ApiResource) -> Cow<'_, str> {
        of.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

/// Where an object is found, for requests about it.
pub(super) fn path(key: &Key) -> String {
    let ApiResource { group, api_version, plural, .. } = resource(key.kind);
    let root = if group.is_empty() { "/api" } else { "/apis" };
    match key.namespace.as_str() {
        "" => format!("{root}/{api_version}/{plural}/{}", key.name),
        namespace => format!("{root}/{api_version}/namespaces/{namespace}/{plural}/{}", key.name),
    }
}

/// `apiVersion` and `kind` of an object.
pub(super) fn type_of(kind: Kind) -> (String, String) {
    let ApiResource { api_version, kind, .. } = resource(kind);
    (api_version, kind)
}
