//! What tasks ask of their nodes beyond equal labels, as one word each: node affinity and ports, read and written.
//!
//! ```text
//! node-affinity=disk:In:ssd,nvme&cores:Gt:8|metadata.name:In:a
//! host-port=80 host-port=UDP/10.0.0.1:53
//! spread=zone:1:app=web spread=rack:2:app=web+key=track+min-domains=3+honor-taints
//! ```

use super::super::format::{HostPort, NodeTerm, Operator, Protocol, Requirement, Spread};
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

/// How a spread is written.
pub(super) const SPREAD: &str = "TOPOLOGY-KEY:MAX-SKEW:LABEL=VALUE,…, with `+min-domains=N`, `+key=LABEL`, `+ignore-affinity` or `+honor-taints` behind it";

/// Reads a topology spread constraint.
pub(super) fn spread(text: &str) -> Option<Spread> {
    let mut words = text.split('+');
    let mut parts = words.next()?.splitn(3, ':');
    let (key, skew, labels) = (parts.next()?, parts.next()?, parts.next()?);
    let label = |pair: String| pair.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    let mut spread = Spread {
        topology_key: key.to_owned(),
        max_skew: skew.parse().ok()?,
        min_domains: None,
        match_labels: split(labels).into_iter().map(label).collect::<Option<_>>()?,
        match_label_keys: Vec::new(),
        ignore_affinity: false,
        honor_taints: false,
    };
    for word in words {
        match word.split_once('=') {
            Some(("min-domains", number)) => spread.min_domains = Some(number.parse().ok()?),
            Some(("key", key)) => spread.match_label_keys.push(key.to_owned()),
            None if word == "ignore-affinity" => spread.ignore_affinity = true,
            None if word == "honor-taints" => spread.honor_taints = true,
            _ => return None,
        }
    }
    Some(spread)
}

/// Writes a topology spread constraint.
pub(super) fn show_spread(spread: &Spread) -> String {
    let labels: Vec<String> = spread.match_labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let mut text = format!("{}:{}:{}", spread.topology_key, spread.max_skew, labels.join(","));
    text += &spread.min_domains.map(|number| format!("+min-domains={number}")).unwrap_or_default();
    spread.match_label_keys.iter().for_each(|key| text += &format!("+key={key}"));
    text += if spread.ignore_affinity { "+ignore-affinity" } else { "" };
    text += if spread.honor_taints { "+honor-taints" } else { "" };
    text
}
