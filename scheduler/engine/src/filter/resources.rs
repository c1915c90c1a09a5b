//! Enough must be left on the node, of everything the pod asks for, and its ports must be open.

use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use super::ports;
use crate::cluster::{Free, GpuRequest, NodeShape, PodShape, Share, ShareSize};
use crate::units::GPU;

/// What a node can run short of, in the order kube-scheduler reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum Resource {
    /// Room for one more pod; unit: pods.
    Pods,
    /// CPU; unit: thousandths of a core.
    Cpu,
    /// Memory; unit: bytes.
    Memory,
    /// GPUs that are whole and free; unit: GPUs.
    Gpus,
    /// Room on one GPU, or on each of several; unit: thousandths of a GPU.
    GpuShare,
    /// Memory on one GPU, or on each of several; unit: MiB.
    GpuMemory,
    /// MIG instances of the profiles asked for; unit: instances.
    Mig,
    /// The other resources asked for; unit: that of each.
    Other,
}

impl Resource {
    /// Every resource, in reporting order.
    pub const ALL: [Resource; 8] = [
        Resource::Pods,
        Resource::Cpu,
        Resource::Memory,
        Resource::Gpus,
        Resource::GpuShare,
        Resource::GpuMemory,
        Resource::Mig,
        Resource::Other,
    ];

    /// How much of this a node of this shape is short of for the pod, with this much free; 0 where there is enough.
    pub fn missing(self, node: &NodeShape, free: &Free, pod: &PodShape) -> u64 {
        match (self, pod.gpu) {
            (Resource::Pods, _) => u64::from(free.pods == 0),
            (Resource::Cpu, _) => pod.cpu_milli.saturating_sub(free.cpu_milli),
            (Resource::Memory, _) => pod.memory_bytes.saturating_sub(free.memory_bytes),
            (Resource::Gpus, GpuRequest::Whole(count)) => count.saturating_sub(free.gpus_with(GPU)) as u64,
            (Resource::GpuShare, GpuRequest::Share(share @ Share { size: ShareSize::Milli(milli), devices })) => {
                if has_room(node, free, share) {
                    return 0;
                }
                // Rounding to MiB may leave no room where thousandths say there is.
                milli.milli().saturating_sub(roomiest(&free.gpus, devices).milli()).max(1)
            }
            (Resource::GpuMemory, GpuRequest::Share(Share { size: ShareSize::Memory(mib), devices })) => {
                mib.saturating_sub(roomiest(&free.gpu_mib, devices)).into()
            }
            (Resource::Mig, _) => {
                let missing = |(profile, count): &(String, u32)| count.saturating_sub(free.mig_left(node, profile));
                pod.mig.iter().map(|asked| u64::from(missing(asked))).sum()
            }
            (Resource::Other, _) if !pod.others.is_empty() => {
                let missing = |(name, amount): (&Arc<str>, &u64)| amount.saturating_sub(free.other_left(node, name));
                pod.others.iter().map(missing).fold(0, u64::saturating_add)
            }
            _ => 0,
        }
    }

    /// Is this about GPUs one by one, so that which of them are taken matters?
    fn is_by_gpu(self) -> bool {
        matches!(self, Resource::Gpus | Resource::GpuShare | Resource::GpuMemory)
    }
}

/// Does the pod ask for several resources that count as one? Then it is told which of them are short by [`short_of`].
pub(crate) fn need_names(pod: &PodShape) -> bool {
    pod.mig.len() > 1 || pod.others.len() > 1
}

/// The names in Kubernetes of MIG profiles and other resources that a node is short of for the pod.
pub(crate) fn short_of(node: &NodeShape, free: &Free, pod: &PodShape) -> Vec<String> {
    let mig = pod.mig.iter().filter(|(profile, count)| free.mig_left(node, profile) < *count);
    let others = pod.others.iter().filter(|(name, amount)| free.other_left(node, name) < **amount);
    let mig = mig.map(|(profile, _)| format!("nvidia.com/mig-{profile}"));
    mig.chain(others.map(|(name, _)| name.to_string())).collect()
}

/// Have enough GPUs room for the share?
fn has_room(node: &NodeShape, free: &Free, share: Share) -> bool {
    let mut roomy = (0u8..).zip(&free.gpus).filter(|(gpu, _)| free.left_after(*gpu, node, share).is_some());
    share.devices > 0 && roomy.nth(usize::from(share.devices) - 1).is_some()
}

/// What is left on the GPU with `devices`th most of all, 0 where there are not so many: the one that decides whether so
/// many GPUs have room.
fn roomiest<T: Copy + Ord + Default>(left: &[T], devices: u8) -> T {
    if devices == 1 {
        return left.iter().max().copied().unwrap_or_default();
    }
    let mut left: SmallVec<[T; 16]> = SmallVec::from_slice(left);
    left.sort_unstable_by(|a, b| b.cmp(a));
    left.get(usize::from(devices).saturating_sub(1)).copied().unwrap_or_default()
}

/// Is there enough of everything, and are its ports open?
pub(crate) fn fit(node: &NodeShape, free: &Free, pod: &PodShape) -> bool {
    Resource::ALL.iter().all(|resource| resource.missing(node, free, pod) == 0) && ports::are_open(free, pod)
}

/// How many pods of this kind there is enough of everything for, at once.
pub(crate) fn how_many(node: &NodeShape, free: &Free, pod: &PodShape) -> u32 {
    let by = |left: u64, each: u64| left.checked_div(each).unwrap_or(u64::MAX);
    let by_mig = |(profile, each): &(String, u32)| by(free.mig_left(node, profile).into(), (*each).into());
    let by_gpu = match pod.gpu {
        GpuRequest::None => u64::MAX,
        GpuRequest::Whole(count) => by(free.gpus_with(GPU) as u64, count as u64),
        GpuRequest::Share(share) => how_many_shares(node, free, share),
    };
    let by_ports = ports::how_many(free, pod);
    let by_other = |(name, each): (&Arc<str>, &u64)| by(free.other_left(node, name), *each);
    let others = [by(free.cpu_milli, pod.cpu_milli), by(free.memory_bytes, pod.memory_bytes), by_gpu, by_ports];
    let least = others
        .into_iter()
        .chain(pod.mig.iter().map(by_mig))
        .chain(pod.others.iter().map(by_other))
        .fold(free.pods.into(), u64::min);
    least as u32 // no more than pods, which are
}

/// How many shares there is room for. `k` shares of `n` GPUs fit exactly if GPUs that take at most `k` parts each have room
/// for `n × k` parts together: dealt out in turn, GPU after GPU, no share then meets a GPU twice.
fn how_many_shares(node: &NodeShape, free: &Free, share: Share) -> u64 {
    let parts = |gpu: usize| match (free.gpu_mib.get(gpu), share.size) {
        (Some(left), size) => u64::from(*left) / u64::from(size.mib_of(node.gpu_memory_mib).max(1)),
        (None, ShareSize::Milli(milli)) => free.gpus[gpu].milli() / milli.milli().max(1),
        (None, ShareSize::Memory(_)) => 0,
    };
    let parts: SmallVec<[u64; 16]> = (0..free.gpus.len()).map(parts).collect();
    let devices = u64::from(share.devices).max(1);
    let room = |shares: u64| parts.iter().map(|parts| parts.min(&shares)).sum::<u64>() >= devices * shares;
    let (mut fit, mut too_many) = (0, parts.iter().sum::<u64>() / devices + 1);
    while fit + 1 < too_many {
        let middle = fit.midpoint(too_many);
        *(if room(middle) { &mut fit } else { &mut too_many }) = middle;
    }
    fit
}

/// Is there enough of everything but GPUs, room on these GPUs, and are the pod's ports open?
pub(crate) fn fit_on(node: &NodeShape, free: &Free, pod: &PodShape, gpus: &[u8]) -> bool {
    hold_on(node, free, pod, gpus) && ports::are_open(free, pod)
}

/// The same of what can be counted alone. Pods that are found together may well ask for the same port: nothing but schedulers
/// keeps them apart.
pub(crate) fn hold_on(node: &NodeShape, free: &Free, pod: &PodShape, gpus: &[u8]) -> bool {
    let mut others = Resource::ALL.iter().filter(|resource| !resource.is_by_gpu());
    others.all(|resource| resource.missing(node, free, pod) == 0)
        && gpus.iter().all(|gpu| free.room_on(*gpu, node, pod.gpu))
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Resource::Pods => "room for pods",
            Resource::Cpu => "CPU",
            Resource::Memory => "memory",
            Resource::Gpus => "whole free GPUs",
            Resource::GpuShare => "room on one GPU",
            Resource::GpuMemory => "memory on one GPU",
            Resource::Mig => "MIG instances",
            Resource::Other => "other resources",
        })
    }
}
