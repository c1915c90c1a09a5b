//! Where a pod may be: each standard constraint of a pod in one function of its own, those about nodes and about other pods in
//! files of theirs. Owns what the engine can honour of each, and refuses the rest with the field's name. Knows no node and no
//! other pod.

mod nodes;
mod pods;

use berth_engine::filter::ports::{HostPort, Protocol};
use berth_engine::filter::spread::Spread;
use berth_engine::{TaintEffect, Toleration};

pub(crate) use self::nodes::{NodeRules, set_test};
pub(crate) use self::pods::{Near, pod_keys, selected, shown, spread_key};
use crate::objects::{self, Container, ContainerPort, Pod};
use crate::problem::{Fault, found};

/// What the constraints of a pod come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Constraints {
    /// Nodes it may use.
    pub(crate) nodes: NodeRules,
    /// Taints it puts up with.
    pub(crate) tolerations: Vec<Toleration>,
    /// Pods to be near to.
    pub(crate) affinity: Vec<Near>,
    /// Pods to be away from.
    pub(crate) anti_affinity: Vec<Near>,
    /// How its like must be spread.
    pub(crate) spread: Vec<Spread>,
    /// Ports it opens on its node.
    pub(crate) host_ports: Vec<HostPort>,
    /// What cannot be honoured.
    pub(crate) faults: Vec<Fault>,
}

/// All constraints of a pod.
pub(crate) fn of(pod: &Pod) -> Constraints {
    let mut all = Constraints::default();
    all.nodes = nodes::read(pod, &mut all.faults);
    let preferred = pod.spec.affinity.node_affinity.preferred.len();
    all.preferred("spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution", preferred);
    tolerations(pod, &mut all);
    pod_affinity(pod, &mut all);
    host_ports(pod, &mut all);
    topology_spread(pod, &mut all);
    resource_claims(pod, &mut all);
    all
}

impl Constraints {
    fn refuse(&mut self, field: impl Into<String>, what: impl Into<String>, remedy: &str) {
        self.faults.push(Fault::refused(field, what, remedy));
    }

    fn preferred(&mut self, field: &str, count: usize) {
        if count > 0 {
            let remedy = "make it required where it has to be kept";
            self.faults.push(Fault::ignored(field, "preferences of this kind are not weighed yet", remedy));
        }
    }
}

/// `spec.tolerations`.
fn tolerations(pod: &Pod, into: &mut Constraints) {
    for (at, toleration) in pod.spec.tolerations.iter().enumerate() {
        match self::toleration(toleration) {
            Ok(read) => into.tolerations.push(read),
            Err((name, text)) => {
                let remedy = "use `Equal` or `Exists`, and an effect of Kubernetes";
                into.refuse(format!("spec.tolerations[{at}].{name}"), found(text), remedy);
            }
        }
    }
    into.tolerations.sort();
    into.tolerations.dedup();
}

fn toleration(toleration: &objects::Toleration) -> Result<Toleration, (&'static str, &str)> {
    let value = match toleration.operator.as_str() {
        "" | "Equal" => Some(toleration.value.clone()),
        "Exists" => None,
        other => return Err(("operator", other)),
    };
    let effect = match toleration.effect.as_str() {
        "" => None,
        text => Some(taint_effect(text).ok_or(("effect", text))?),
    };
    let key = Some(toleration.key.clone()).filter(|key| !key.is_empty());
    if key.is_none() && value.is_some() {
        return Err(("operator", &toleration.operator));
    }
    Ok(Toleration { key, value, effect })
}

/// A taint's effect.
pub(crate) fn taint_effect(text: &str) -> Option<TaintEffect> {
    match text {
        "NoSchedule" => Some(TaintEffect::NoSchedule),
        "PreferNoSchedule" => Some(TaintEffect::PreferNoSchedule),
        "NoExecute" => Some(TaintEffect::NoExecute),
        _ => None,
    }
}

/// Pod affinity and anti-affinity.
fn pod_affinity(pod: &Pod, into: &mut Constraints) {
    let rules = &pod.spec.affinity;
    let all = [("podAffinity", &rules.pod_affinity), ("podAntiAffinity", &rules.pod_anti_affinity)];
    for (name, rules) in all {
        let path = format!("spec.affinity.{name}");
        into.preferred(&format!("{path}.preferredDuringSchedulingIgnoredDuringExecution"), rules.preferred.len());
        for (at, term) in rules.required.iter().enumerate() {
            match pods::near(term, &pod.metadata.namespace) {
                Ok(term) if name == "podAffinity" => into.affinity.push(term),
                Ok(term) => into.anti_affinity.push(term),
                Err(wrong) => {
                    let path = format!("{path}.requiredDuringSchedulingIgnoredDuringExecution[{at}]");
                    into.faults.push(pods::fault(&path, wrong));
                }
            }
        }
    }
}

/// Ports of the node: those of containers that run side by side, sidecars included, as kube-scheduler counts them.
fn host_ports(pod: &Pod, into: &mut Constraints) {
    let all = [("initContainers", &pod.spec.init_containers), ("containers", &pod.spec.containers)];
    for (name, containers) in all {
        let runs_on = |container: &Container| name == "containers" || container.is_sidecar();
        for (at, container) in containers.iter().enumerate().filter(|(_, container)| runs_on(container)) {
            for (which, port) in container.ports.iter().enumerate().filter(|(_, port)| port.host_port != 0) {
                match host_port(port) {
                    Some(port) => into.host_ports.push(port),
                    None => {
                        let what = format!("{} by {}", port.host_port, found(&port.protocol));
                        let remedy = "use a port from 1 to 65535 by `TCP`, `UDP` or `SCTP`";
                        into.refuse(format!("spec.{name}[{at}].ports[{which}].hostPort"), what, remedy);
                    }
                }
            }
        }
    }
    into.host_ports.sort();
    into.host_ports.dedup();
}

fn host_port(port: &ContainerPort) -> Option<HostPort> {
    let protocol = match port.protocol.as_str() {
        "" | "TCP" => Protocol::Tcp,
        "UDP" => Protocol::Udp,
        "SCTP" => Protocol::Sctp,
        _ => return None,
    };
    let address = Some(&port.host_ip).filter(|address| !address.is_empty() && *address != "0.0.0.0").cloned();
    Some(HostPort { protocol, port: u16::try_from(port.host_port).ok()?, address })
}

/// Even spreading.
fn topology_spread(pod: &Pod, into: &mut Constraints) {
    for (at, spread) in pod.spec.topology_spread_constraints.iter().enumerate() {
        let path = format!("spec.topologySpreadConstraints[{at}]");
        match (spread.when_unsatisfiable.as_str(), pods::spread(spread, pod)) {
            ("ScheduleAnyway", _) => into.preferred(&path, 1),
            ("" | "DoNotSchedule", Ok(spread)) => into.spread.push(spread),
            ("" | "DoNotSchedule", Err(wrong)) => into.faults.push(pods::fault(&path, wrong)),
            (other, _) => into.faults.push(pods::fault(&path, ("whenUnsatisfiable", found(other)))),
        }
    }
}

/// Claims of devices.
fn resource_claims(pod: &Pod, into: &mut Constraints) {
    if let Some(claim) = pod.spec.resource_claims.first() {
        let what = format!("claims devices as `{}`, which are not allocated yet", claim.name);
        into.refuse("spec.resourceClaims", what, "ask for `nvidia.com/gpu` instead");
    }
}

#[cfg(test)]
#[path = "constraints_tests.rs"]
mod tests;
