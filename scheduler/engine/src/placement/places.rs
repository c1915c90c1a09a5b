//! temporary
use crate::cluster::{Cluster, GpuIndexes, GpuRequest, NodeState, PodShape, Shared};
use crate::filter;
use crate::units::NodeId;

pub(crate) struct Place { pub(crate) node: NodeId, pub(crate) gpus: GpuIndexes, pub(crate) waits: bool }

pub(crate) fn count_on(node: &NodeState, pod: &PodShape) -> u64 {
    if filter::shape_rejection(&node.shape, pod).is_some() { return 0; }
    let mut node = node.clone();
    let mut count = 0;
    while filter::resources::fit(&node.shape, node.later(), pod) {
        let later = node.later().clone();
        let gpus: GpuIndexes = match pod.gpu {
            GpuRequest::None => GpuIndexes::new(),
            GpuRequest::Whole(n) => match later.whole_gpus(n) { Some(g) => g, None => break },
            GpuRequest::Share(share) => (0..later.gpus.len() as u8).filter(|g| later.room_on(*g, &node.shape, pod.gpu)).take(share.devices.into()).collect(),
        };
        node.later = None; node.free = later;
        node.book(pod, &gpus);
        count += 1;
    }
    count
}

impl super::Placer {
    pub(crate) fn policy(&self) -> super::Policy { self.config.policy }
    pub(crate) fn capacity(&mut self, cluster: &Cluster, shape: &Shared<PodShape>, scope: Option<&[NodeId]>, _at_most: u64) -> u64 {
        match scope {
            None => cluster.classes().slots().iter().map(|c| c.members.len() as u64 * if c.members.is_empty() {0} else {count_on(&c.state, shape)}).sum(),
            Some(scope) => scope.iter().filter_map(|n| cluster.state(*n)).map(|s| count_on(s, shape)).sum(),
        }
    }
    pub(crate) fn options(&mut self, cluster: &Cluster, shape: &Shared<PodShape>, scope: Option<&[NodeId]>) -> Vec<Place> {
        let nodes: Vec<NodeId> = scope.map_or_else(|| cluster.nodes().keys().copied().collect(), <[NodeId]>::to_vec);
        let pod = crate::units::PodId(0);
        nodes.iter().filter_map(|n| self.choose(cluster, pod, shape, Some(std::slice::from_ref(n)))).map(|(s, c)| Place { node: s.node, gpus: s.gpus, waits: c.waits }).collect()
    }
}
