//! What a pod asks for altogether, as kube-scheduler works it out. Owns the arithmetic of containers, init containers,
//! sidecars, overhead, resources of the pod as a whole, and resizes in place. Knows no node.

use std::collections::BTreeMap;

use berth_config::Quantity;
use berth_config::crd::Amount;

use crate::objects::{Amounts, Container, ContainerStatus, Pod};
use crate::problem::{Fault, found};

/// Amounts by resource in billionths, added up exactly and rounded only at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sum(BTreeMap<String, i128>);

/// A sum of more than this is refused: nothing in Kubernetes holds more, and no sum of two of them overflows.
const NANO_MAX: i128 = i64::MAX as i128 * 1_000_000_000;

impl Sum {
    /// The resources that are named, with an amount or without.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, nano)| **nano > 0).map(|(name, _)| name.as_str())
    }

    /// In thousandths, rounded up.
    pub(crate) fn milli(&self, name: &str) -> u64 {
        self.in_units_of(name, 1_000_000)
    }

    /// In whole units, rounded up.
    pub(crate) fn whole(&self, name: &str) -> u64 {
        self.in_units_of(name, 1_000_000_000)
    }

    fn in_units_of(&self, name: &str, nano: i128) -> u64 {
        let amount = self.0.get(name).copied().unwrap_or(0).clamp(0, NANO_MAX);
        u64::try_from((amount + nano - 1) / nano).unwrap_or(u64::MAX)
    }

    fn add(&mut self, other: &Sum) {
        for (name, nano) in &other.0 {
            let sum = self.0.entry(name.clone()).or_default();
            *sum = (*sum + nano).min(NANO_MAX);
        }
    }

    /// The larger of both, resource by resource.
    fn raise_to(&mut self, other: &Sum) {
        for (name, nano) in &other.0 {
            let most = self.0.entry(name.clone()).or_default();
            *most = (*most).max(*nano);
        }
    }

    fn less(&mut self, other: &Sum) {
        for (name, nano) in &other.0 {
            if let Some(rest) = self.0.get_mut(name) {
                *rest = (*rest - nano).max(0);
            }
        }
    }
}

/// Reads amounts; a fault names the entry below `path`.
pub(crate) fn read(amounts: &Amounts, path: &str) -> Result<Sum, Fault> {
    let one = |(name, amount): (&String, &Amount)| {
        let wrong = |said: &str| {
            let remedy = "write a Kubernetes quantity of 0 or more, such as `2`, `500m` or `64Mi`";
            Fault::refused(format!("{path}[{name}]"), format!("{}, {said}", found(&amount.0)), remedy)
        };
        let quantity: Quantity = amount.0.parse().map_err(|_| wrong("which is no quantity"))?;
        if quantity.nano() < 0 { Err(wrong("less than nothing")) } else { Ok((name.clone(), quantity.nano())) }
    };
    amounts.iter().map(one).collect::<Result<_, _>>().map(Sum)
}

/// Everything the pod asks for: the larger of its init containers in their turn and of what runs side by side, or what it says
/// as a whole, and its overhead. While it is being resized, the larger of what it wants and what it has.
///
/// # Errors
/// The first amount that is none.
pub(crate) fn of(pod: &Pod) -> Result<Sum, Fault> {
    let wanted = total(pod, Source::Spec)?;
    let (allocated, actual) = match whole_pod_status(pod)? {
        Some(known) => known,
        None => (total(pod, Source::Allocated)?, total(pod, Source::Actual)?),
    };
    let mut sum = if is_infeasible(pod) { Sum::default() } else { wanted };
    sum.raise_to(&allocated);
    sum.raise_to(&actual);
    for (name, nano) in said_as_a_whole(pod)?.0 {
        sum.0.insert(name, nano);
    }
    sum.add(&read(&pod.spec.overhead, "spec.overhead")?);
    Ok(sum)
}

/// Where amounts of a container are taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// What is asked for.
    Spec,
    /// What the kubelet has set aside.
    Allocated,
    /// What the container has.
    Actual,
}

/// All containers together, as one source has them.
fn total(pod: &Pod, source: Source) -> Result<Sum, Fault> {
    let infeasible = is_infeasible(pod);
    let of = |container: &Container, path: String| requests(pod, container, source, infeasible, &path);
    let mut beside = Sum::default();
    for (at, container) in pod.spec.containers.iter().enumerate() {
        beside.add(&of(container, format!("spec.containers[{at}]"))?);
    }
    let (mut sidecars, mut starting) = (Sum::default(), Sum::default());
    for (at, container) in pod.spec.init_containers.iter().enumerate() {
        let mut turn = of(container, format!("spec.initContainers[{at}]"))?;
        if container.is_sidecar() {
            beside.add(&turn);
            sidecars.add(&turn);
            turn = sidecars.clone();
        } else {
            turn.add(&sidecars);
        }
        starting.raise_to(&turn);
    }
    beside.raise_to(&starting);
    Ok(beside)
}

fn requests(pod: &Pod, container: &Container, source: Source, infeasible: bool, path: &str) -> Result<Sum, Fault> {
    let status = status_of(pod, &container.name);
    let allocated = || status.and_then(|status| status.allocated_resources.as_ref());
    let actual = || status.and_then(|status| status.resources.as_ref()?.requests.as_ref());
    let reported = match source {
        Source::Spec => None,
        Source::Allocated => allocated(),
        Source::Actual => actual().or_else(allocated),
    };
    match reported {
        Some(amounts) => read(amounts, &format!("status.containerStatuses[{}]", container.name)),
        None if source != Source::Spec && infeasible => Ok(Sum::default()),
        None => read(&container.resources.requests, &format!("{path}.resources.requests")),
    }
}

fn status_of<'p>(pod: &'p Pod, container: &str) -> Option<&'p ContainerStatus> {
    let mut all = pod.status.container_statuses.iter().chain(&pod.status.init_container_statuses);
    all.find(|status| status.name == container)
}

/// What the kubelet says of the pod as a whole, if it says all of it: set aside, and given. Overhead is not part of it.
fn whole_pod_status(pod: &Pod) -> Result<Option<(Sum, Sum)>, Fault> {
    let (Some(allocated), Some(actual)) = (&pod.status.allocated_resources, &pod.status.resources) else {
        return Ok(None);
    };
    if actual.requests.is_empty() {
        return Ok(None);
    }
    let allocated = read(allocated, "status.allocatedResources")?;
    Ok(Some((allocated, read(&actual.requests, "status.resources.requests")?)))
}

/// What the pod asks for as a whole, of the resources that can be said so: it overrides the containers' sum.
fn said_as_a_whole(pod: &Pod) -> Result<Sum, Fault> {
    let Some(resources) = &pod.spec.resources else { return Ok(Sum::default()) };
    let mut wanted = read(&resources.requests, "spec.resources.requests")?;
    wanted.0.retain(|name, _| is_said_as_a_whole(name));
    if wanted.0.is_empty() {
        return Ok(wanted);
    }
    let names: Vec<String> = wanted.0.keys().cloned().collect();
    let overhead = read(&pod.spec.overhead, "spec.overhead")?;
    if is_infeasible(pod) && (pod.status.resources.is_some() || pod.status.allocated_resources.is_some()) {
        wanted = Sum::default();
    }
    let reported = [
        (pod.status.resources.as_ref().map(|resources| &resources.requests), "status.resources.requests"),
        (pod.status.allocated_resources.as_ref(), "status.allocatedResources"),
    ];
    for (amounts, path) in reported {
        let Some(amounts) = amounts else { continue };
        let mut sum = read(amounts, path)?;
        sum.less(&overhead);
        sum.0.retain(|name, _| names.contains(name));
        wanted.raise_to(&sum);
    }
    Ok(wanted)
}

fn is_said_as_a_whole(name: &str) -> bool {
    name == CPU || name == MEMORY || name.starts_with("hugepages-")
}

/// Has the kubelet said that the resize asked for can never be? Then what is asked for does not count.
fn is_infeasible(pod: &Pod) -> bool {
    let pending = pod.status.conditions.iter().find(|condition| condition.kind == "PodResizePending");
    pending.is_some_and(|condition| condition.reason == "Infeasible")
}

/// Cores.
pub(crate) const CPU: &str = "cpu";
/// Bytes.
pub(crate) const MEMORY: &str = "memory";

#[cfg(test)]
#[path = "resources_tests.rs"]
mod tests;
