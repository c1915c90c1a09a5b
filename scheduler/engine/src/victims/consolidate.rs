//! Consolidate: others move so that what is free comes together; nobody loses a place (rules C1-C3).

use super::Claim;
use crate::cluster::{Cluster, Free, NodeShape, ShareSize, mig_slices};
use crate::queue::amounts;
use crate::state::State;

/// What is free or leaving, wherever it is.
#[derive(Debug)]
pub(super) struct Left {
    gpu_milli: u64,
    /// Device memory.
    mib: u64,
}

impl Left {
    pub(super) fn of(cluster: &Cluster) -> Self {
        let mut left = Left { gpu_milli: 0, mib: 0 };
        for class in cluster.classes().slots() {
            let (free, shape, nodes) = (class.state.later(), &class.state.shape, class.members.len() as u64);
            left.gpu_milli += nodes * (free.gpu_milli() + mig_milli_left(free, shape));
            left.mib += nodes * free.gpu_mib.iter().map(|mib| u64::from(*mib)).sum::<u64>();
        }
        left
    }
}

/// Preemptible gangs that ask for no more than is left.
pub(super) fn may_claim(state: &State, claim: &Claim, left: &Left) -> bool {
    if !claim.preemptible {
        return false;
    }
    let mut memory_mib = 0;
    for pod in claim.chunk.pods().filter_map(|pod| state.pods.get(&pod)) {
        if let Some((ShareSize::Memory(mib), devices)) =
            pod.shape.gpu.as_share().map(|share| (share.size, share.devices))
        {
            memory_mib += u64::from(mib) * u64::from(devices);
        }
    }
    let asked = u64::try_from(claim.asks.get(amounts::GPU)).unwrap_or(0);
    asked <= left.gpu_milli && memory_mib <= left.mib
}

/// What is left of a node's MIG instances, in thousandths of a GPU.
fn mig_milli_left(free: &Free, shape: &NodeShape) -> u64 {
    let left = shape.mig_instances().iter().zip(&free.mig);
    left.map(|((profile, _), count)| 1000 * mig_slices(profile).unwrap_or(0) * u64::from(*count)).sum()
}
