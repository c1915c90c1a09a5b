//! A port of the node itself is given to one pod only. Owns when two such ports are in each other's way.

use crate::cluster::{Free, PodShape};

/// A port that a pod opens on its node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct HostPort {
    /// By which protocol.
    pub protocol: Protocol,
    /// Number, 1 to 65535.
    pub port: u16,
    /// On this address of the node, as written; `None` on all, which is what `0.0.0.0` and nothing at all mean. As in
    /// kube-scheduler, `::` is an address like any other.
    pub address: Option<String>,
}

/// The protocols of Kubernetes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl HostPort {
    /// May not both be open on one node?
    pub fn conflicts(&self, other: &HostPort) -> bool {
        let addresses_meet = self.address.is_none() || other.address.is_none() || self.address == other.address;
        self.port == other.port && self.protocol == other.protocol && addresses_meet
    }
}

/// Are the pod's ports open to it, beside those that are taken?
pub(crate) fn are_open(free: &Free, pod: &PodShape) -> bool {
    pod.host_ports.iter().all(|wanted| !free.ports_taken().iter().any(|taken| taken.conflicts(wanted)))
}

/// How many such pods a node takes at most, for their ports alone: two of them are in each other's way.
pub(super) fn how_many(free: &Free, pod: &PodShape) -> u64 {
    match pod.host_ports.is_empty() {
        true => u64::MAX,
        false => are_open(free, pod).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_conflict_where_protocol_and_number_are_equal_and_addresses_meet() {
        let port =
            |protocol, port, address: Option<&str>| HostPort { protocol, port, address: address.map(str::to_owned) };
        let web = || port(Protocol::Tcp, 80, None);
        let cases = [
            ("the same", web(), web(), true),
            ("another number", web(), port(Protocol::Tcp, 81, None), false),
            ("another protocol", web(), port(Protocol::Udp, 80, None), false),
            ("one address of all", web(), port(Protocol::Tcp, 80, Some("10.0.0.1")), true),
            ("one address", port(Protocol::Tcp, 80, Some("10.0.0.1")), port(Protocol::Tcp, 80, Some("10.0.0.1")), true),
            ("two addresses", port(Protocol::Tcp, 80, Some("10.0.0.1")), port(Protocol::Tcp, 80, Some("::")), false),
        ];
        for (case, a, b, conflict) in cases {
            assert_eq!(a.conflicts(&b), conflict, "{case}");
            assert_eq!(b.conflicts(&a), conflict, "{case}, the other way");
        }
    }
}
