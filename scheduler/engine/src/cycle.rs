//! How Berth schedules: one cycle, from waiting pods to decisions.

use crate::cluster::{Cluster, Placement};
use crate::decision::{Decision, Slot};
use crate::placement::Placer;
use crate::queue::Queue;
use crate::trial::Trial;

/// Decides for every waiting pod that may have a chance, and books what it decides.
pub(crate) fn decide(cluster: &mut Cluster, queue: &mut Queue, placer: &mut Placer) -> Vec<Decision> {
    let mut trial = Trial::on(cluster);
    let decisions = allocate(&mut trial, queue, placer);
    trial.keep();
    decisions
}

/// Places pods in turn, each where the policy loses least. A pod that does not fit holds up nobody but pods of its own
/// shape.
fn allocate(trial: &mut Trial<'_>, queue: &mut Queue, placer: &mut Placer) -> Vec<Decision> {
    let mut decisions = Vec::new();
    while let Some((turn, shape)) = queue.next() {
        match placer.choose(trial.cluster(), turn.pod, &shape) {
            Some((slot, because)) => {
                let Slot { pod, node, gpus } = slot.clone();
                queue.remove(pod);
                trial.place(pod, Placement { shape, node, gpus });
                decisions.push(Decision::Bind { slot, because });
            }
            None => {
                for pod in queue.block(&shape) {
                    let why = placer.why_not(trial.cluster(), &shape);
                    decisions.push(Decision::Wait { pod, why });
                }
            }
        }
    }
    decisions
}
