//! `random`: any node the pod fits on, and any GPU there, by a hash of seed, pod and node. What fits at once still goes
//! before what must wait.

use super::Chosen;
use super::gpus::GpuSet;
use crate::cluster::{GpuRequest, NodeState, PodShape};
use crate::units::{NodeId, PodId};

/// The fitting node with the least hash: every fitting node is equally likely. The one policy that looks at nodes one
/// by one, since nodes of one class are not equal to chance. `fitting`: whether the pod would wait there, node, state.
pub(super) fn choose<'a>(
    fitting: impl Iterator<Item = (bool, NodeId, &'a NodeState)>,
    seed: u64,
    pod: PodId,
    shape: &PodShape,
) -> Option<Chosen> {
    let order = |waits: bool, node: NodeId| (waits, hash(seed, pod.0, u64::from(node.0)), node);
    let (waits, node, state) = fitting.min_by_key(|(waits, node, _)| order(*waits, *node))?;
    let gpus = match shape.gpu {
        GpuRequest::Share(share) => state.seen(waits, |state| {
            let all = 0..state.free.gpus.len() as u8;
            let mut roomy: Vec<u8> = all.filter(|gpu| state.free.room_on(*gpu, &state.shape, shape.gpu)).collect();
            roomy.sort_by_key(|gpu| (hash(!seed, pod.0, u64::from(*gpu)), *gpu));
            roomy.into_iter().take(usize::from(share.devices)).collect()
        }),
        _ => GpuSet::default(),
    };
    Some(Chosen { node, gpus, waits, loss: 0, next_loss: None })
}

/// A well-mixed number for three numbers (the finaliser of SplitMix64, applied in turn).
fn hash(seed: u64, pod: u64, node: u64) -> u64 {
    mix(mix(mix(seed) ^ pod) ^ node)
}

fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
