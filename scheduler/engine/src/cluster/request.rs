//! What a pod may ask of GPUs: none, parts of some, whole ones, or MIG instances. Owns the arithmetic of such requests.
//! May not know what is free anywhere.

use std::fmt;

use super::shape::{GPUS_PER_NODE_MAX, NodeShape, PodShape};
use crate::units::{GPU, MilliGpu};

/// No pod sensibly asks for more GPUs or MIG instances than this; it keeps sums far from overflow.
const ASKED_MAX: usize = 1 << 20;

/// GPUs asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum GpuRequest {
    /// No GPU.
    #[default]
    None,
    /// A part of one GPU or of each of several, less than all of it.
    Share(Share),
    /// This many GPUs, each whole.
    Whole(usize),
}

/// The same part of each of several different GPUs of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct Share {
    /// How much of each.
    pub size: ShareSize,
    /// Of how many GPUs, 1 to [`GPUS_PER_NODE_MAX`].
    pub devices: u8,
}

/// How much of a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum ShareSize {
    /// Thousandths of it, 1 to 999.
    Milli(MilliGpu),
    /// MiB of its memory, at least 1. Fits on no GPU of unknown memory.
    Memory(u32),
}

impl ShareSize {
    /// MiB taken of a GPU with this much memory: thousandths are rounded down, but nobody gets a share for nothing.
    pub fn mib_of(self, device_mib: u32) -> u32 {
        match self {
            ShareSize::Milli(milli) => ((milli.milli() * u64::from(device_mib) / 1000) as u32).max(1),
            ShareSize::Memory(mib) => mib,
        }
    }
}

impl GpuRequest {
    /// A share of one GPU, in thousandths of it.
    pub fn share(size: MilliGpu) -> Self {
        GpuRequest::Share(Share { size: ShareSize::Milli(size), devices: 1 })
    }

    /// The share, if it is one.
    pub fn as_share(self) -> Option<Share> {
        match self {
            GpuRequest::Share(share) => Some(share),
            _ => None,
        }
    }

    /// Is it a part of GPUs given as memory?
    pub fn is_memory(self) -> bool {
        matches!(self, GpuRequest::Share(Share { size: ShareSize::Memory(_), .. }))
    }

    /// All GPUs together, thousandths. A share asked for as memory counts as its whole GPUs: which part of them it is
    /// depends on the node, see [`PodShape::gpu_milli_on`].
    pub fn total_milli(self) -> u64 {
        self.per_gpu(0).milli() * self.count() as u64
    }

    /// Can any GPU meet this? A share is part of a GPU, a count at least one and not absurd.
    pub fn is_possible(self) -> bool {
        match self {
            GpuRequest::None => true,
            GpuRequest::Share(Share { size, devices }) => {
                let some = match size {
                    ShareSize::Milli(milli) => (1..1000).contains(&milli.0),
                    ShareSize::Memory(mib) => mib > 0,
                };
                some && (1..=GPUS_PER_NODE_MAX).contains(&usize::from(devices))
            }
            GpuRequest::Whole(count) => (1..=ASKED_MAX).contains(&count),
        }
    }

    /// How many GPUs it touches.
    pub fn count(self) -> usize {
        match self {
            GpuRequest::None => 0,
            GpuRequest::Share(share) => usize::from(share.devices),
            GpuRequest::Whole(count) => count,
        }
    }

    /// What it takes of each GPU it touches, where those have this much memory (MiB; 0 = unknown, and memory asked for
    /// counts as a whole GPU). Rounded up.
    pub fn per_gpu(self, device_mib: u32) -> MilliGpu {
        match self {
            GpuRequest::None => MilliGpu(0),
            GpuRequest::Share(Share { size: ShareSize::Milli(milli), .. }) => milli,
            GpuRequest::Share(Share { size: ShareSize::Memory(mib), .. }) if mib < device_mib => {
                MilliGpu((u64::from(mib) * 1000).div_ceil(u64::from(device_mib)) as u16)
            }
            GpuRequest::Share(_) | GpuRequest::Whole(_) => GPU,
        }
    }

    /// What queues are charged for it on such a node, thousandths of a GPU: memory in hundredths of a GPU, rounded up.
    pub fn milli_on(self, node: &NodeShape) -> u64 {
        match self {
            GpuRequest::Share(Share { size: ShareSize::Memory(mib), devices }) if node.gpu_memory_mib > 0 => {
                (u64::from(mib) * 100).div_ceil(u64::from(node.gpu_memory_mib)) * 10 * u64::from(devices)
            }
            _ => self.total_milli(),
        }
    }
}

impl fmt::Display for GpuRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GpuRequest::None => write!(f, "no GPU"),
            GpuRequest::Share(Share { size, devices }) => {
                match size {
                    ShareSize::Milli(milli) => write!(f, "{} thousandths", milli.0)?,
                    ShareSize::Memory(mib) => write!(f, "{mib} MiB")?,
                }
                if *devices == 1 { write!(f, " of a GPU") } else { write!(f, " of each of {devices} GPUs") }
            }
            GpuRequest::Whole(count) => write!(f, "{count} whole GPUs"),
        }
    }
}

impl PodShape {
    /// Can any node meet this? MIG instances are not asked for beside other GPUs, each profile once and in order.
    pub fn is_possible(&self) -> bool {
        let counted = self.mig.iter().all(|(_, count)| (1..=ASKED_MAX).contains(&(*count as usize)));
        let alone = self.mig.is_empty() || self.gpu == GpuRequest::None;
        self.gpu.is_possible() && alone && counted && are_profiles(&self.mig)
    }

    /// What queues are charged for its GPUs while no node is chosen, thousandths; shares asked for as memory count as whole.
    pub fn gpu_milli(&self) -> u64 {
        self.gpu.total_milli() + mig_milli(&self.mig)
    }

    /// Is any way of filling a node with such pods as good as another? Not with shares of several GPUs: these must be
    /// different ones.
    pub fn packs_in_any_order(&self) -> bool {
        self.gpu.as_share().is_none_or(|share| share.devices == 1)
    }

    /// For sorting: who is harder to place. Whole GPUs, then MIG, then shares; the larger, the harder.
    pub(crate) fn size(&self) -> (usize, u64, u64, u64) {
        let whole = if let GpuRequest::Whole(count) = self.gpu { count } else { 0 };
        (whole, self.gpu_milli(), self.cpu_milli, self.memory_bytes)
    }

    /// Does it ask for what most pods do not: ports of the node, or other resources?
    pub(crate) fn asks_for_what_is_rare(&self) -> bool {
        !self.host_ports.is_empty() || !self.others.is_empty()
    }

    /// Does it want any kind of GPU?
    pub fn wants_gpu(&self) -> bool {
        self.gpu != GpuRequest::None || !self.mig.is_empty()
    }

    /// What queues are charged for its GPUs on such a node, thousandths: each MIG instance `Ng.…` is N GPUs, memory is
    /// rounded up to hundredths of a GPU.
    pub fn gpu_milli_on(&self, node: &NodeShape) -> u64 {
        self.gpu.milli_on(node) + mig_milli(&self.mig)
    }
}

/// MIG instances in GPU thousandths: N whole GPUs for each instance of a profile `Ng.…`.
pub(super) fn mig_milli(instances: &[(String, u32)]) -> u64 {
    instances.iter().map(|(profile, count)| 1000 * mig_slices(profile).unwrap_or(0) * u64::from(*count)).sum()
}

/// Is this a list of MIG profiles, each once and sorted by name?
pub(super) fn are_profiles(instances: &[(String, u32)]) -> bool {
    instances.is_sorted_by(|(a, _), (b, _)| a < b) && instances.iter().all(|(profile, _)| mig_slices(profile).is_some())
}

/// The compute slices in a MIG profile's name: 3 of `3g.40gb`; `None` for other names.
pub fn mig_slices(profile: &str) -> Option<u64> {
    const SLICES_MAX: u64 = 16; // real GPUs have 7; the limit only keeps sums small
    let (slices, _) = profile.split_once("g.")?;
    slices.parse().ok().filter(|slices| (1..=SLICES_MAX).contains(slices))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(size: ShareSize, devices: u8) -> GpuRequest {
        GpuRequest::Share(Share { size, devices })
    }

    #[test]
    fn requests_that_no_gpu_can_meet_are_known() {
        let milli = |milli, devices| request(ShareSize::Milli(MilliGpu(milli)), devices);
        let memory = |mib, devices| request(ShareSize::Memory(mib), devices);
        let cases = [
            (GpuRequest::None, true),
            (milli(1, 1), true),
            (milli(999, 16), true),
            (milli(0, 1), false),
            (milli(1000, 1), false),
            (milli(500, 0), false),
            (milli(500, 17), false),
            (memory(1, 1), true),
            (memory(u32::MAX, 2), true),
            (memory(0, 1), false),
            (memory(10, 0), false),
            (GpuRequest::Whole(1), true),
            (GpuRequest::Whole(0), false),
            (GpuRequest::Whole(usize::MAX), false),
        ];
        for (request, possible) in cases {
            assert_eq!(request.is_possible(), possible, "{request}");
        }
    }

    #[test]
    fn mig_requests_stand_alone_with_known_profiles_once_and_in_order() {
        type Instances<'a> = &'a [(&'a str, u32)];
        let cases: [(&str, GpuRequest, Instances<'_>, bool); 9] = [
            ("one", GpuRequest::None, &[("1g.5gb", 1)], true),
            ("two in order", GpuRequest::None, &[("1g.5gb", 1), ("3g.20gb", 2)], true),
            ("beside a share", GpuRequest::share(MilliGpu(500)), &[("1g.5gb", 1)], false),
            ("beside a whole GPU", GpuRequest::Whole(1), &[("1g.5gb", 1)], false),
            ("none of it", GpuRequest::None, &[("1g.5gb", 0)], false),
            ("out of order", GpuRequest::None, &[("3g.20gb", 1), ("1g.5gb", 1)], false),
            ("twice", GpuRequest::None, &[("1g.5gb", 1), ("1g.5gb", 1)], false),
            ("no profile", GpuRequest::None, &[("gpu", 1)], false),
            ("no slices", GpuRequest::None, &[("0g.5gb", 1)], false),
        ];
        for (case, gpu, mig, possible) in cases {
            let mig = mig.iter().map(|(profile, count)| ((*profile).to_owned(), *count)).collect();
            assert_eq!(PodShape { gpu, mig, ..PodShape::default() }.is_possible(), possible, "{case}");
        }
    }

    #[test]
    fn queues_are_charged_by_the_node() {
        let node = |gpu_memory_mib| NodeShape { gpu_memory_mib, ..NodeShape::default() };
        let memory = |mib, devices| PodShape { gpu: request(ShareSize::Memory(mib), devices), ..PodShape::default() };
        let mig = vec![("1g.10gb".to_owned(), 2), ("3g.40gb".to_owned(), 1)];
        let cases = [
            ("no GPU", PodShape::default(), 80, 0),
            ("whole", PodShape { gpu: GpuRequest::Whole(2), ..PodShape::default() }, 80, 2000),
            ("thousandths are not rounded", pod(request(ShareSize::Milli(MilliGpu(333)), 2)), 80, 666),
            ("an exact half", memory(40, 1), 80, 500),
            ("a third, rounded up to hundredths", memory(1, 1), 3, 340),
            ("on each of two", memory(1, 2), 3, 680),
            ("MIG", PodShape { mig, ..PodShape::default() }, 80, 5000),
        ];
        for (case, pod, device_mib, milli) in cases {
            assert_eq!(pod.gpu_milli_on(&node(device_mib)), milli, "{case}");
        }
    }

    fn pod(gpu: GpuRequest) -> PodShape {
        PodShape { gpu, ..PodShape::default() }
    }

    #[test]
    fn thousandths_take_whole_mib_rounded_down_but_at_least_one() {
        for (milli, device_mib, mib) in [(500, 80, 40), (333, 100, 33), (999, 100, 99), (1, 100, 1), (999, 1, 1)] {
            assert_eq!(ShareSize::Milli(MilliGpu(milli)).mib_of(device_mib), mib, "{milli} of {device_mib} MiB");
        }
        assert_eq!(ShareSize::Memory(7).mib_of(5), 7, "what was asked for, whether it fits or not");
        assert_eq!(request(ShareSize::Memory(1), 1).per_gpu(3), MilliGpu(334));
        assert_eq!(request(ShareSize::Memory(1), 1).per_gpu(0), GPU, "nobody knows how much it is");
    }
}
