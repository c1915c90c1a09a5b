//! Consolidate: others move so that what is free comes together; nobody loses a place (rules C1-C3).

use super::Claim;
use crate::cluster::{Free, NodeShape, ShareSize, mig_slices};
use crate::queue::amounts;
use crate::state::State;

/// Preemptible gangs that ask for no more than is free or leaving, wherever it is.
pub(super) fn may_claim(state: &State, claim: &Claim) -> bool {
    if !claim.preemptible {
        return false;
    }
    let free = |what: fn(&Free, &NodeShape) -> u64| -> u64 {
        let classes = state.cluster.classes().slots().iter();
        classes.map(|class| what(class.state.later(), &class.state.shape) * class.members.len() as u64).sum()
    };
    let mut memory_mib = 0;
    for pod in claim.chunk.pods().filter_map(|pod| state.pods.get(&pod)) {
        if let Some((ShareSize::Memory(mib), devices)) =
            pod.shape.gpu.as_share().map(|share| (share.size, share.devices))
        {
            memory_mib += u64::from(mib) * u64::from(devices);
        }
    }
    let gpu_milli = free(|free, shape| free.gpu_milli() + mig_milli_left(free, shape));
    let asked = u64::try_from(claim.asks.get(amounts::GPU)).unwrap_or(0);
    asked <= gpu_milli && memory_mib <= free(|free, _| free.gpu_mib.iter().map(|mib| u64::from(*mib)).sum())
}

/// What is left of a node's MIG instances, in thousandths of a GPU.
fn mig_milli_left(free: &Free, shape: &NodeShape) -> u64 {
    let left = shape.mig_instances().iter().zip(&free.mig);
    left.map(|((profile, _), count)| 1000 * mig_slices(profile).unwrap_or(0) * u64::from(*count)).sum()
}
