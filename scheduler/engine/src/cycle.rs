//! How Berth schedules: one cycle, from waiting pods to decisions.

use std::sync::Arc;

use crate::cluster::{Cluster, Placement};
use crate::decision::{self, Decision, Slot};
use crate::placement::Placer;
use crate::queue::Queue;
use crate::trial::Trial;

/// Tries every waiting pod whose turn can come, and books what it decides. A pod that does not fit holds up nobody but
/// pods of its own shape.
pub(crate) fn decide(cluster: &mut Cluster, queue: &mut Queue, placer: &mut Placer) -> Vec<Decision> {
    let mut trial = Trial::on(cluster);
    let mut decisions = allocate(&mut trial, queue, placer);
    trial.keep();
    decisions.extend(queue.take_answers().into_iter().map(|(pod, why)| Decision::Wait { pod, why }));
    decisions
}

/// Places pods in turn, each where the policy loses least.
fn allocate(trial: &mut Trial<'_>, queue: &mut Queue, placer: &mut Placer) -> Vec<Decision> {
    let mut placed = Vec::new();
    while let Some((turn, shape)) = queue.next() {
        let Some((slot, because)) = placer.choose(trial.cluster(), turn.pod, &shape) else {
            let why = decision::explain(trial.cluster(), &shape);
            queue.block(turn, &shape, Arc::new(why));
            continue;
        };
        let Slot { pod, node, gpus } = slot.clone();
        queue.remove(pod);
        trial.place(pod, Placement { shape, node, gpus });
        placed.push(Decision::Bind { slot, because });
    }
    placed
}
