//! Which GPUs of a node a pod would take: sets of GPUs, and the usual ways to choose one.
//! Asks `Free` whether a GPU has room, and nobody else.

use super::Loss;
use crate::cluster::{GPUS_PER_NODE_MAX, GpuIndexes, GpuRequest, NodeState, PerGpu, PodShape, Share};
use crate::units::MilliGpu;

/// Some GPUs of one node, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct GpuSet(u16);

const _: () = assert!(GPUS_PER_NODE_MAX <= u16::BITS as usize);

impl GpuSet {
    pub(super) fn with(self, gpu: u8) -> Self {
        GpuSet(self.0 | 1 << gpu)
    }

    pub(super) fn contains(self, gpu: u8) -> bool {
        self.0 >> gpu & 1 == 1
    }

    /// Its GPUs, ascending.
    pub(super) fn iter(self) -> impl Iterator<Item = u8> {
        let without_first = |bits: &u16| Some(bits & (bits - 1)).filter(|rest| *rest != 0);
        let rests = std::iter::successors(Some(self.0).filter(|bits| *bits != 0), without_first);
        rests.map(|bits| bits.trailing_zeros() as u8)
    }

    pub(super) fn indexes(self) -> GpuIndexes {
        self.iter().collect()
    }
}

impl FromIterator<u8> for GpuSet {
    fn from_iter<T: IntoIterator<Item = u8>>(gpus: T) -> Self {
        gpus.into_iter().fold(GpuSet::default(), GpuSet::with)
    }
}

/// The fullest GPUs that still have room for a share, those of lowest index among equals: the usual choice of policies
/// with no opinion.
pub(super) fn fullest(node: &NodeState, pod: &PodShape) -> GpuSet {
    let GpuRequest::Share(share) = pod.gpu else { return GpuSet::default() };
    let (free, mut chosen) = (&node.free, GpuSet::default());
    for _ in 0..share.devices {
        let others = (0u8..).zip(&free.gpus).filter(|(gpu, _)| !chosen.contains(*gpu));
        let roomy = others.filter(|(gpu, _)| free.left_after(*gpu, &node.shape, share).is_some());
        let Some((gpu, _)) = roomy.min_by_key(|(gpu, left)| (**left, *gpu)) else { break };
        chosen = chosen.with(gpu);
    }
    chosen
}

/// The least loss over the ways a pod could take GPUs of a node, given the loss for what would be left of them: every
/// GPU with room for a share, or the first whole free ones. A share of several GPUs takes the best one, then the best
/// one beside it, and so on.
pub(super) fn least_loss(node: &NodeState, pod: &PodShape, loss_with: impl Fn(&[MilliGpu]) -> i64) -> Loss {
    let free = &node.free;
    let mut gpus = free.gpus.clone();
    let GpuRequest::Share(share) = pod.gpu else {
        for gpu in free.whole_gpus(pod.gpu.count()).unwrap_or_default() {
            gpus[usize::from(gpu)] = MilliGpu(0);
        }
        return Loss { loss: loss_with(&gpus), gpus: GpuSet::default() };
    };
    let mut best = Loss { loss: i64::MAX, gpus: GpuSet::default() };
    for _ in 0..share.devices {
        let Some((loss, gpu, left)) = one_more(node, share, &mut gpus, best.gpus, &loss_with) else { break };
        best = Loss { loss, gpus: best.gpus.with(gpu) };
        gpus[usize::from(gpu)] = left;
    }
    best
}

/// The best GPU to take a share of beside those taken, with the loss and what would be left of it.
fn one_more(
    node: &NodeState,
    share: Share,
    gpus: &mut PerGpu<MilliGpu>,
    taken: GpuSet,
    loss_with: impl Fn(&[MilliGpu]) -> i64,
) -> Option<(i64, u8, MilliGpu)> {
    let mut best: Option<(i64, u8, MilliGpu)> = None;
    let mut tried: PerGpu<MilliGpu> = PerGpu::new();
    for (gpu, &left) in (0u8..).zip(&node.free.gpus) {
        if taken.contains(gpu) || tried.contains(&left) {
            continue; // equal GPUs lose equally, and the lowest index wins
        }
        let Some(left_after) = node.free.left_after(gpu, &node.shape, share) else { continue };
        tried.push(left);
        gpus[usize::from(gpu)] = left_after;
        let loss = loss_with(gpus);
        gpus[usize::from(gpu)] = left;
        if best.is_none_or(|(least, ..)| loss < least) {
            best = Some((loss, gpu, left_after));
        }
    }
    best
}
