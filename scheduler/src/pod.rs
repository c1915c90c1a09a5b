//! From a pod to what the engine knows of it. Owns what a pod asks for, what it is doing, and which labels it looks at;
//! which gang it is of is `gang`'s.

use std::collections::BTreeSet;

use berth_config::names;
use berth_engine::filter::affinity::PodTerms;
use berth_engine::filter::labels::Requirement;
use berth_engine::gang::Stage;
use berth_engine::{GpuRequest, PodShape};

use crate::constraints::{self, Constraints, Near, pod_keys, spread_key};
use crate::gpu;
use crate::objects::Pod;
use crate::problem::{Fault, refuses};
use crate::resources::{self, CPU, MEMORY, Sum};

/// What a pod is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nobody may place it yet: it has scheduling gates, or is deleted before it was bound.
    Gated,
    /// Waits.
    Waits,
    /// Bound to a node, at this stage: [`Stage::Placed`], [`Stage::Running`] or [`Stage::Evicted`].
    Bound(Stage),
    /// Ended well.
    Succeeded,
    /// Ended badly.
    Failed,
}

impl Phase {
    /// Does it hold something of a node?
    pub(crate) fn is_bound(self) -> bool {
        matches!(self, Phase::Bound(_))
    }
}

/// A pod as far as it can be read without looking at other objects.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub(crate) phase: Phase,
    /// All it asks for; without labels of hostname, which depend on the nodes.
    pub(crate) shape: PodShape,
    pub(crate) constraints: Constraints,
    /// What keeps it from being placed, and what is passed over; constraints' faults included.
    pub(crate) faults: Vec<Fault>,
    /// Amounts that cannot be read: then nobody knows what it holds, where it is bound already.
    pub(crate) broken: Vec<Fault>,
}

/// Reads a pod.
pub(crate) fn read(pod: &Pod) -> Reading {
    let phase = phase(pod);
    let mut constraints = constraints::of(pod);
    let mut faults = std::mem::take(&mut constraints.faults);
    let mut broken = Vec::new();
    let shape = shape(pod, &constraints, &mut broken, &mut faults);
    Reading { phase, shape, constraints, faults, broken }
}

impl Reading {
    /// Could it be placed, as far as the pod itself goes?
    pub(crate) fn is_sound(&self) -> bool {
        !refuses(&self.faults) && self.broken.is_empty()
    }

    fn near(&self) -> impl Iterator<Item = &Near> {
        self.constraints.affinity.iter().chain(&self.constraints.anti_affinity)
    }

    /// Keys of node labels it looks at.
    pub(crate) fn node_keys(&self) -> impl Iterator<Item = &String> {
        let domains = self.near().filter_map(Near::node_key);
        self.constraints.nodes.keys().chain(domains).chain(self.constraints.spread.iter().filter_map(spread_key))
    }

    /// What it looks at on pods.
    pub(crate) fn pod_keys(&self) -> impl Iterator<Item = String> {
        let spread = self.constraints.spread.iter().flat_map(|spread| pod_keys(&spread.pods));
        self.near().flat_map(Near::pod_keys).chain(spread)
    }

    /// Does it look at labels of namespaces?
    pub(crate) fn looks_at_namespaces(&self) -> bool {
        self.near().any(Near::looks_at_namespaces)
    }

    /// Where it may be beyond its shape. `asked` is what anybody looks at on pods, `named` are the nodes with a hostname, `like`
    /// the namespaces whose labels meet all of it.
    pub(crate) fn terms(
        &self,
        pod: &Pod,
        asked: impl Fn(&str) -> bool,
        named: impl Fn(&str) -> BTreeSet<String>,
        like: impl Fn(&[Requirement]) -> BTreeSet<String>,
    ) -> Option<PodTerms> {
        let rules = &self.constraints;
        let (namespace, labels) = constraints::shown(pod, asked);
        let resolved = |terms: &[Near]| terms.iter().map(|term| term.resolved(&like)).collect();
        let terms = PodTerms {
            node_names: rules.nodes.only(),
            node_affinity: rules.nodes.of_terms(named),
            namespace,
            spread: rules.spread.clone(),
            labels,
            affinity: resolved(&rules.affinity),
            anti_affinity: resolved(&rules.anti_affinity),
            volumes: None,
        };
        Some(terms).filter(|terms| *terms != PodTerms::default())
    }
}

fn phase(pod: &Pod) -> Phase {
    let deleted = pod.metadata.deletion_timestamp.is_some();
    match pod.status.phase.as_str() {
        "Succeeded" => Phase::Succeeded,
        "Failed" => Phase::Failed,
        _ if pod.spec.node_name.is_empty() && deleted => Phase::Gated,
        _ if pod.spec.node_name.is_empty() && !pod.spec.scheduling_gates.is_empty() => Phase::Gated,
        _ if pod.spec.node_name.is_empty() => Phase::Waits,
        _ if deleted => Phase::Bound(Stage::Evicted),
        // A node that cannot be reached says nothing of its pods: they run until somebody knows better.
        "Running" | "Unknown" => Phase::Bound(Stage::Running),
        _ => Phase::Bound(Stage::Placed),
    }
}

/// What it asks for. A bound pod holds what its resources say, whatever else is wrong with it.
fn shape(pod: &Pod, constraints: &Constraints, broken: &mut Vec<Fault>, faults: &mut Vec<Fault>) -> PodShape {
    let sum = resources::of(pod).unwrap_or_else(|fault| {
        broken.push(fault);
        Sum::default()
    });
    let (gpu, mig) = gpu::of_resources(&sum).unwrap_or_else(|fault| {
        broken.push(fault);
        Default::default()
    });
    faults.extend(uncounted(&sum));
    faults.extend(share(pod, gpu));
    let shape = PodShape {
        cpu_milli: sum.milli(CPU),
        memory_bytes: sum.whole(MEMORY),
        gpu,
        mig,
        gpu_models: Vec::new(),
        node_selector: constraints.nodes.selector.clone(),
        node_affinity: constraints.nodes.of_shape(),
        tolerations: constraints.tolerations.clone(),
        host_ports: constraints.host_ports.clone(),
    };
    if !shape.is_possible() {
        let what = format!("asks for {} and MIG instances {:?}", shape.gpu, shape.mig);
        broken.push(Fault::refused(REQUESTS, what, "ask for as many as a node can have, by names of MIG profiles"));
        return PodShape { gpu: GpuRequest::None, mig: Vec::new(), ..shape };
    }
    shape
}

const REQUESTS: &str = "spec.containers[].resources.requests";

/// Resources that nodes may run out of without the engine knowing.
fn uncounted(sum: &Sum) -> Vec<Fault> {
    let known =
        |name: &str| matches!(name, CPU | MEMORY | names::GPU_RESOURCE) || name.starts_with(names::MIG_RESOURCE);
    let unknown = sum.names().filter(|name| !known(name));
    let fault =
        |name: &str| Fault::refused(format!("{REQUESTS}[{name}]"), "this resource is not counted yet", "leave it out");
    unknown.map(fault).collect()
}

/// Shares of GPUs: nothing on a node keeps a pod to its share yet, so none is given out.
fn share(pod: &Pod, gpu: GpuRequest) -> Option<Fault> {
    let asked = [names::GPU_MILLI, names::GPU_MEMORY_MIB, names::KAI_GPU_FRACTION, names::KAI_GPU_MEMORY];
    match gpu::share(&pod.metadata.annotations) {
        Err(fault) => Some(fault),
        Ok(None) => None,
        Ok(Some(share)) => {
            let name = asked.into_iter().find(|name| pod.metadata.annotations.contains_key(*name))?;
            let also = if gpu == GpuRequest::None { "" } else { ", beside whole GPUs" };
            let what =
                format!("asks for {}{also}, and nothing on the nodes enforces shares yet", GpuRequest::Share(share));
            Some(Fault::refused(gpu::field(name), what, "ask for a whole GPU or a MIG instance"))
        }
    }
}
