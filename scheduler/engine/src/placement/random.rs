//! `random`: any node the pod fits on, and any GPU there, by a hash of seed, pod and node.

use super::Chosen;
use super::berth::Prices;
use super::candidates::Candidates;
use crate::cluster::{Cluster, GpuRequest, PodShape};
use crate::units::PodId;

/// The fitting node with the least hash: every fitting node is equally likely. The one policy that looks at nodes one
/// by one, since nodes of one class are not equal to chance.
pub(super) fn choose(
    candidates: &Candidates<Prices>,
    cluster: &Cluster,
    seed: u64,
    pod: PodId,
    shape: &PodShape,
) -> Option<Chosen> {
    let classes = candidates.fitting_slots(cluster.classes()).map(|slot| &cluster.classes().slots()[slot]);
    let nodes = classes.flat_map(|class| class.members.iter().map(move |node| (*node, &class.state)));
    let (node, state) = nodes.min_by_key(|(node, _)| (hash(seed, pod.0, u64::from(node.0)), *node))?;
    let gpu = match shape.gpu {
        GpuRequest::Share(share) => {
            let roomy = (0u8..).zip(&state.free.gpus).filter(|(_, left)| **left >= share);
            roomy.map(|(index, _)| index).min_by_key(|index| hash(!seed, pod.0, u64::from(*index)))?
        }
        _ => 0,
    };
    Some(Chosen { node, gpu, loss: 0, next_loss: None })
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
