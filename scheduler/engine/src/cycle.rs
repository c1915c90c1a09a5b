//! How Berth schedules: one cycle, from waiting pods to decisions.

use std::sync::Arc;

use crate::cluster::{Cluster, Hold, Placement, PodShape, Shared};
use crate::decision::{Decision, Slot};
use crate::placement::Placer;
use crate::queue::Queue;
use crate::trial::Trial;

/// Decides for every waiting pod that may have a chance, and books what it decides. Reasons for waiting are those that
/// hold when the cycle is over.
pub(crate) fn decide(cluster: &mut Cluster, queue: &mut Queue, placer: &mut Placer) -> Vec<Decision> {
    let mut trial = Trial::on(cluster);
    let (mut decisions, refused) = allocate(&mut trial, queue, placer);
    trial.keep();
    for shape in refused {
        let why = placer.why_not(cluster, &shape);
        let wait = |pod| Decision::Wait { pod, why: Arc::clone(&why) };
        decisions.extend(queue.take_untold(&shape, &why).into_iter().map(wait));
    }
    decisions
}

/// Places pods in turn, each where the policy loses least. A pod that does not fit holds up nobody but pods of its own
/// shape. Returns who got a place, and the shapes for which there is none.
fn allocate(trial: &mut Trial<'_>, queue: &mut Queue, placer: &mut Placer) -> (Vec<Decision>, Vec<Shared<PodShape>>) {
    let (mut placed, mut refused) = (Vec::new(), Vec::new());
    while let Some((turn, shape)) = queue.next() {
        let Some((slot, because)) = placer.choose(trial.cluster(), turn.pod, &shape, None) else {
            queue.block(&shape);
            refused.push(shape);
            continue;
        };
        let Slot { pod, node, gpus } = slot.clone();
        queue.remove(pod);
        trial.place(pod, Placement { shape, node, gpus, hold: Hold::Held });
        placed.push(Decision::Bind { slot, because });
    }
    (placed, refused)
}
