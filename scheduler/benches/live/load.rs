//! What there is to schedule.

use std::fmt;

use berth_controlplane::{ControlPlane, TestPod};
use clap::ValueEnum;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, PostParams};
use serde_json::json;

/// Pods of a gang.
const GANG: u32 = 32;

/// Where the pods are.
pub(crate) const NAMESPACE: &str = "work";

/// A kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Work {
    /// Pods, each for itself.
    Pods,
    /// Native gangs.
    Gangs,
}

impl fmt::Display for Work {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(if *self == Work::Pods { "pods" } else { "gangs" })
    }
}

/// Creates all of it, for a scheduler of this name (none: the cluster's own). Returns how many pods there are.
pub(crate) async fn create(
    plane: &ControlPlane,
    work: Work,
    options: &super::Options,
    scheduler: Option<&str>,
) -> anyhow::Result<u32> {
    plane.namespace(NAMESPACE).await?;
    let pod = |name: String, group: Option<String>| TestPod {
        scheduler: scheduler.map(str::to_owned),
        pod_group: group,
        ..TestPod::new(name, 1)
    };
    let pods: Vec<TestPod> = match work {
        Work::Pods => (0..options.pods).map(|index| pod(format!("pod-{index}"), None)).collect(),
        Work::Gangs => {
            let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("scheduling.k8s.io", "v1beta1", "PodGroup"));
            let api: Api<DynamicObject> = Api::namespaced_with(plane.client()?, NAMESPACE, &kind);
            let spec = json!({ "schedulingPolicy": { "gang": { "minCount": GANG } } });
            for gang in 0..options.gangs {
                let object = DynamicObject::new(&format!("gang-{gang}"), &kind).data(json!({ "spec": spec }));
                api.create(&PostParams::default(), &object).await?;
            }
            let member = |index: u32| {
                let gang = format!("gang-{}", index / GANG);
                pod(format!("{gang}-{}", index % GANG), Some(gang.clone()))
            };
            (0..options.gangs * GANG).map(member).collect()
        }
    };
    plane.create_pods(NAMESPACE, &pods).await?;
    Ok(pods.len() as u32)
}
