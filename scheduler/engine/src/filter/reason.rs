//! Why nodes were ruled out, in kube-scheduler's own words, which people and tools look for in events and conditions. Owns
//! those words. May not decide anything.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::{Constraint, Resource, VolumeRule};
use crate::cluster::PodShape;
use crate::decision::{RuledOut, Unplaceable};

const NODE_AFFINITY: &str = "node(s) didn't match Pod's node affinity/selector";

impl Constraint {
    /// What kube-scheduler 1.37 says of a node that this rules out for the pod. It knows GPU models and MIG strategies as
    /// node affinity only, and shares of GPUs not at all: these are called by the annotation that asks for them. Where node
    /// affinity names nodes, it does not look at the others, and says so in words of its own.
    pub fn kubernetes_reason(self, pod: &PodShape) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Constraint::Cordon => "node(s) were unschedulable",
            Constraint::Taint => "node(s) had untolerated taint(s)",
            Constraint::NodeName => "node(s) didn't satisfy plugin(s) [NodeAffinity]",
            Constraint::NodeSelector | Constraint::GpuModel | Constraint::Mig => NODE_AFFINITY,
            Constraint::HostPorts => "node(s) didn't have free ports for the requested pod ports",
            Constraint::Lack(resource) => return lack(resource, pod),
            Constraint::Volume(rule) => volume(rule),
            Constraint::SpreadLabel => "node(s) didn't match pod topology spread constraints (missing required label)",
            Constraint::Spread => "node(s) didn't match pod topology spread constraints",
            Constraint::PodAffinity => "node(s) didn't match pod affinity rules",
            Constraint::PodAntiAffinity => "node(s) didn't match pod anti-affinity rules",
            Constraint::Unwanted => "node(s) didn't satisfy existing pods anti-affinity rules",
        })
    }
}

fn volume(rule: VolumeRule) -> &'static str {
    match rule {
        VolumeRule::Disk => "node(s) had no available disk",
        VolumeRule::Sole => {
            "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod"
        }
        VolumeRule::Count => "node(s) exceed max volume count",
        VolumeRule::Affinity => "node(s) didn't match PersistentVolume's node affinity",
        VolumeRule::NoneFree => "node(s) didn't find available persistent volumes to bind",
        VolumeRule::Missing => "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)",
        VolumeRule::Zone => "node(s) had no available volume zone",
    }
}

fn lack(resource: Resource, pod: &PodShape) -> Cow<'static, str> {
    Cow::Borrowed(match resource {
        Resource::Pods => "Too many pods",
        Resource::Cpu => "Insufficient cpu",
        Resource::Memory => "Insufficient memory",
        Resource::Gpus => "Insufficient nvidia.com/gpu",
        Resource::GpuShare => "Insufficient berth.dev/gpu-milli",
        Resource::GpuMemory => "Insufficient berth.dev/gpu-memory-mib",
        Resource::Mig => {
            let asked: Vec<String> = pod.mig.iter().map(|(profile, _)| format!("nvidia.com/mig-{profile}")).collect();
            return Cow::Owned(format!("Insufficient {}", asked.join(" or ")));
        }
        Resource::Other => {
            let asked: Vec<&str> = pod.others.keys().map(|name| &**name).collect();
            return Cow::Owned(format!("Insufficient {}", asked.join(" or ")));
        }
    })
}

impl Unplaceable {
    /// The message of kube-scheduler for the pod: `0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient
    /// cpu.` Reasons are sorted as texts, counts included; those of equal words are counted together.
    pub fn kubernetes_message(&self, pod: &PodShape) -> String {
        let mut counts: BTreeMap<Cow<'static, str>, usize> = BTreeMap::new();
        let named = |reason: &&RuledOut| {
            matches!(reason.constraint, Constraint::Lack(Resource::Mig | Resource::Other)) && !self.short_of.is_empty()
        };
        for (name, nodes) in &self.short_of {
            counts.insert(Cow::Owned(format!("Insufficient {name}")), *nodes);
        }
        for reason in self.ruled_out.iter().filter(|reason| !named(reason)) {
            *counts.entry(reason.constraint.kubernetes_reason(pod)).or_default() += reason.nodes;
        }
        let mut reasons: Vec<String> = counts.iter().map(|(reason, nodes)| format!("{nodes} {reason}")).collect();
        reasons.sort_unstable();
        let head = format!("0/{} nodes are available", self.nodes);
        if reasons.is_empty() { format!("{head}.") } else { format!("{head}: {}.", reasons.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_counted_by_their_words_and_sorted_as_texts() {
        let others = [("ephemeral-storage".into(), 1)].into();
        let pod = PodShape { mig: vec![("1g.10gb".to_owned(), 1)], others, ..PodShape::default() };
        let cases = [
            (vec![], "0/12 nodes are available."),
            (vec![(Constraint::Taint, 3)], "0/12 nodes are available: 3 node(s) had untolerated taint(s)."),
            (
                vec![
                    (Constraint::Taint, 9),
                    (Constraint::Lack(Resource::Cpu), 10),
                    (Constraint::Lack(Resource::Gpus), 3),
                ],
                "0/12 nodes are available: 10 Insufficient cpu, 3 Insufficient nvidia.com/gpu, 9 node(s) had untolerated \
                 taint(s).",
            ),
            (
                vec![(Constraint::NodeSelector, 1), (Constraint::NodeName, 2), (Constraint::GpuModel, 4)],
                "0/12 nodes are available: 2 node(s) didn't satisfy plugin(s) [NodeAffinity], 5 node(s) didn't match Pod's \
                 node affinity/selector.",
            ),
            (
                vec![
                    (Constraint::Cordon, 1),
                    (Constraint::Lack(Resource::Mig), 2),
                    (Constraint::Lack(Resource::Other), 3),
                ],
                "0/12 nodes are available: 1 node(s) were unschedulable, 2 Insufficient nvidia.com/mig-1g.10gb, 3 \
                 Insufficient ephemeral-storage.",
            ),
        ];
        for (reasons, message) in cases {
            let told = |(constraint, nodes)| RuledOut { constraint, nodes, nearest_miss: None };
            let ruled_out = reasons.into_iter().map(told).collect();
            let unplaceable = Unplaceable { nodes: 12, ruled_out, fits_when_empty: true, short_of: BTreeMap::new() };
            assert_eq!(unplaceable.kubernetes_message(&pod), message);
        }
    }

    #[test]
    fn several_other_resources_are_told_one_by_one() {
        let others = [("example.com/a".into(), 1), ("example.com/b".into(), 2)].into();
        let pod = PodShape { others, ..PodShape::default() };
        let lacks = |resource| RuledOut { constraint: Constraint::Lack(resource), nodes: 2, nearest_miss: Some(1) };
        let unplaceable = Unplaceable {
            nodes: 3,
            ruled_out: vec![lacks(Resource::Cpu), lacks(Resource::Other)],
            fits_when_empty: false,
            short_of: [("example.com/a".to_owned(), 2), ("example.com/b".to_owned(), 1)].into(),
        };
        let message = "0/3 nodes are available: 1 Insufficient example.com/b, 2 Insufficient cpu, 2 Insufficient \
                       example.com/a.";
        assert_eq!(unplaceable.kubernetes_message(&pod), message);
    }
}
