//! Pods for tests: as short as a test wants to say them.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::{
    Binding, Container, ObjectReference, Pod, PodSchedulingGroup, PodSpec, ResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};

use crate::nodes::IN_FLIGHT;
use crate::{ControlPlane, Error};

/// Annotation that KWOK reads: how many seconds the pod runs. Without it, until it is deleted.
pub const RUN_SECONDS: &str = "test.berth.dev/run-seconds";
/// Annotation that KWOK reads: the phase it ends in, `Succeeded` (the default) or `Failed`.
pub const ENDS_AS: &str = "test.berth.dev/ends-as";

/// A pod of one container, which asks for one core, 1 GiB and some GPUs.
#[derive(Debug, Clone, Default)]
pub struct TestPod {
    /// Its name.
    pub name: String,
    /// `spec.schedulerName`; unset, the neighbour's.
    pub scheduler: Option<String>,
    /// GPUs it asks for.
    pub gpus: u32,
    /// `spec.schedulingGroup.podGroupName`.
    pub pod_group: Option<String>,
    /// `spec.nodeSelector`.
    pub node_selector: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations, such as [`RUN_SECONDS`].
    pub annotations: BTreeMap<String, String>,
}

impl TestPod {
    /// A pod that asks for some GPUs.
    pub fn new(name: impl Into<String>, gpus: u32) -> TestPod {
        TestPod { name: name.into(), gpus, ..TestPod::default() }
    }

    /// It runs for this long and ends well.
    #[must_use]
    pub fn runs(mut self, seconds: u32) -> TestPod {
        self.annotations.insert(RUN_SECONDS.to_owned(), seconds.to_string());
        self
    }

    /// The object to create.
    pub fn to_pod(&self) -> Pod {
        let mut amounts = vec![("cpu", "1".to_owned()), ("memory", "1Gi".to_owned())];
        if self.gpus > 0 {
            amounts.push(("nvidia.com/gpu", self.gpus.to_string()));
        }
        let amounts: BTreeMap<String, Quantity> =
            amounts.into_iter().map(|(name, amount)| (name.to_owned(), Quantity(amount))).collect();
        let resources =
            ResourceRequirements { requests: Some(amounts.clone()), limits: Some(amounts), ..Default::default() };
        let container = Container {
            name: "main".into(),
            image: Some("never-pulled".into()),
            resources: Some(resources),
            ..Container::default()
        };
        Pod {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                labels: Some(self.labels.clone()),
                annotations: Some(self.annotations.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(PodSpec {
                containers: vec![container],
                scheduler_name: self.scheduler.clone(),
                restart_policy: Some("Never".into()),
                node_selector: Some(self.node_selector.clone()),
                scheduling_group: self.pod_group.clone().map(|name| PodSchedulingGroup { pod_group_name: Some(name) }),
                ..PodSpec::default()
            }),
            status: None,
        }
    }
}

impl ControlPlane {
    /// Creates pods in one namespace, in no order.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn create_pods(&self, namespace: &str, pods: &[TestPod]) -> Result<(), Error> {
        let api: Api<Pod> = Api::namespaced(self.client()?, namespace);
        let create = async |pod: &TestPod| api.create(&PostParams::default(), &pod.to_pod()).await.map(drop);
        stream::iter(pods).map(create).buffer_unordered(IN_FLIGHT).try_collect::<()>().await?;
        Ok(())
    }

    /// Binds a pod to a node, as a scheduler does.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn bind(&self, namespace: &str, pod: &str, node: &str) -> Result<(), Error> {
        let api: Api<Pod> = Api::namespaced(self.client()?, namespace);
        let target = ObjectReference { kind: Some("Node".into()), name: Some(node.to_owned()), ..Default::default() };
        let metadata = ObjectMeta { name: Some(pod.to_owned()), ..ObjectMeta::default() };
        let binding = Binding { metadata, target };
        api.create_subresource::<_, Status>("binding", pod, &PostParams::default(), &binding).await?;
        Ok(())
    }
}
