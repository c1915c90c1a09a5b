//! What tasks ask of their nodes beyond equal labels, as one word each: node affinity and ports, read and written.
//!
//! ```text
//! node-affinity=disk:In:ssd,nvme&cores:Gt:8|metadata.name:In:a
//! host-port=80 host-port=UDP/10.0.0.1:53
//! ```

use super::super::format::{HostPort, NodeTerm, Operator, Protocol, Requirement};
use super::words::split;

/// How node affinity is written.
pub(super) const NODE_AFFINITY: &str =
    "KEY:OPERATOR:VALUE,VALUE with `&` between those of a term and `|` between terms";

/// How a port is written.
pub(super) const HOST_PORT: &str = "PORT, PROTOCOL/PORT or PROTOCOL/ADDRESS:PORT";

/// The key that means the node's name.
const NAME: &str = "metadata.name";

const PROTOCOLS: [(Protocol, &str); 3] = [(Protocol::Tcp, "TCP"), (Protocol::Udp, "UDP"), (Protocol::Sctp, "SCTP")];

/// Reads the terms of a node affinity.
pub(super) fn node_affinity(text: &str) -> Option<Vec<NodeTerm>> {
    text.split('|').map(node_term).collect()
}

fn node_term(text: &str) -> Option<NodeTerm> {
    let asked = text.split('&').map(requirement).collect::<Option<Vec<_>>>()?;
    let (match_fields, match_expressions) = asked.into_iter().partition(|one| one.key == NAME);
    Some(NodeTerm { match_expressions, match_fields })
}

fn requirement(text: &str) -> Option<Requirement> {
    let mut parts = text.splitn(3, ':');
    let (key, word, values) = (parts.next()?, parts.next()?, parts.next().map(split).unwrap_or_default());
    let operator = Operator::ALL.into_iter().find(|operator| operator.word() == word)?;
    Some(Requirement { key: key.to_owned(), operator, values })
}

/// Writes the terms of a node affinity.
pub(super) fn show_node_affinity(terms: &[NodeTerm]) -> String {
    let one = |asked: &Requirement| {
        let values = if asked.values.is_empty() { String::new() } else { format!(":{}", asked.values.join(",")) };
        format!("{}:{}{values}", asked.key, asked.operator.word())
    };
    let term = |term: &NodeTerm| {
        let all = term.match_expressions.iter().chain(&term.match_fields).map(one);
        all.collect::<Vec<_>>().join("&")
    };
    terms.iter().map(term).collect::<Vec<_>>().join("|")
}

/// Reads a port.
pub(super) fn host_port(text: &str) -> Option<HostPort> {
    let (word, rest) = text.split_once('/').unwrap_or(("TCP", text));
    let (protocol, _) = PROTOCOLS.into_iter().find(|(_, known)| *known == word)?;
    let (address, port) = rest.rsplit_once(':').map_or((None, rest), |(address, port)| (Some(address), port));
    let host_port = port.parse().ok().filter(|port| *port > 0)?;
    Some(HostPort { protocol, host_port, host_ip: address.map(str::to_owned) })
}

/// Writes a port.
pub(super) fn show_host_port(port: &HostPort) -> String {
    let protocol = PROTOCOLS.into_iter().find(|(one, _)| *one == port.protocol).map_or("TCP", |(_, word)| word);
    let address = port.host_ip.as_ref().map(|address| format!("{address}:")).unwrap_or_default();
    format!("{protocol}/{address}{}", port.host_port)
}
