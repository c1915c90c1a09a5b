//! Allocate: every waiting gang in its turn gets its next chunk placed, whole or not at all. One that does not fit holds up
//! nobody but those that ask for the same.

use std::collections::BTreeSet;

use crate::cluster::Placement;
use crate::cycle::Context;
use crate::decision::Choice;
use crate::filter::volumes::must_wait;
use crate::gang::{PassedOver, Stage};
use crate::miss::Miss;
use crate::queue::serving::Serving;
use crate::reservation;
use crate::rules::WaitingRule;
use crate::search::Search;
use crate::state::Whereabouts;
use crate::trial::Trial;
use crate::units::{GangId, PodId, QueueId};

/// Nominated pods start as soon as what they were promised is free, those of one start together.
fn keep_promises(context: &mut Context<'_>) {
    for id in context.state.promised.iter().copied().collect::<Vec<_>>() {
        let Some(gang) = context.state.gangs.get(&id) else { continue };
        let nominated: Vec<PodId> = gang.pods().filter(|pod| is_nominated(context, *pod)).collect();
        if nominated.is_empty() {
            context.state.promised.remove(&id);
            continue;
        }
        let policy = context.placer.policy();
        let mut trial = Trial::on(context.state);
        let mut kept = Vec::new();
        for pod in nominated {
            let there = trial.state().whereabouts(pod);
            let ready = there.former.is_none() && !trial.state().pods.get(&pod).is_none_or(|pod| pod.gone);
            let is_free = |place: &Placement| {
                let state = trial.state();
                state.cluster.fits_now(place) && !must_wait(state, pod, place.node)
            };
            if let Some(place) = there.place.filter(|place| ready && is_free(place)) {
                trial.set(pod, Whereabouts::at(Stage::Placed, place));
                kept.push((pod, Choice { policy, waits: false, loss: 0, next_loss: None }));
            }
        }
        let state = trial.state();
        let starts: BTreeSet<usize> =
            kept.iter().filter_map(|(pod, _)| state.pods.get(pod)).map(|pod| pod.leaf).collect();
        let complete = state.gangs.get(&id).is_some_and(|gang| {
            gang.tree.leaves().all(|at| {
                let members = &gang.members[at];
                let all = members.settled == members.active && !starts.contains(&at);
                all || members.settled >= gang.tree.branch(at).min_member
            })
        });
        if complete && !kept.is_empty() {
            trial.keep();
            if let Some(gang) = context.state.gangs.get_mut(&id) {
                gang.starting_since.get_or_insert(context.now);
            }
            context.state.starting.insert(id);
            context.report.placed(context.state, id, &kept);
        }
    }
}

fn is_nominated(context: &Context<'_>, pod: PodId) -> bool {
    context.state.pods.get(&pod).is_some_and(|pod| matches!(pod.stage, Stage::Nominated { counted: true }))
}

/// One pass over everybody worth trying.
pub(crate) fn allocate(context: &mut Context<'_>) {
    keep_promises(context);
    context.reservations.begin(context.state, context.now);
    if context.rules.waiting != WaitingRule::Skip {
        context.waiting.unblock_heads(); // whoever stands first must be asked, or others would pass unnoticed
    }
    let mut heads: BTreeSet<QueueId> = BTreeSet::new();
    let mut missed: Vec<GangId> = Vec::new();
    let entries = context.waiting.lines(false).map(|(line, turn)| (line.queue, line, turn.clone()));
    let mut serving = Serving::of(context.state, entries);
    while let Some((queue, line, gang)) = serving.peek() {
        let chunk = context.state.next_chunk(gang);
        context.reservations.hold_back(context.state, gang, context.now);
        let mut trial = Trial::on(context.state);
        let placed = Search::new(&mut trial, context.placer, context.rules, context.steps).place(gang, &chunk);
        match placed {
            Ok(chosen) => {
                trial.keep();
                if let Some(placed) = context.state.gangs.get_mut(&gang) {
                    placed.passed_over = None;
                    placed.starting_since.get_or_insert(context.now);
                }
                context.state.starting.insert(gang);
                context.reservations.let_go(&mut context.state.cluster);
                note_passed_over(context, &mut missed);
                let name = &context.state.name(gang);
                context.report.note(|| format!("  {name}: {} pods placed", chosen.len()));
                context.report.placed(context.state, gang, &chosen);
                for changed in context.waiting.refresh(context.state, context.rules, gang).into_iter().flatten() {
                    let head = context.waiting.head(changed).cloned();
                    serving.set(context.state, changed.queue, changed, head);
                }
                serving.restand(context.state, queue);
            }
            Err(miss) => {
                drop(trial);
                context.reservations.let_go(&mut context.state.cluster);
                if miss == Miss::Room && heads.insert(queue) {
                    missed.push(gang);
                    if reservation::reserve(context, gang) {
                        let from = context.reservations.of(gang).and_then(|reservation| reservation.from);
                        context.report.reserved(gang, from);
                    }
                }
                let name = &context.state.name(gang);
                context.report.note(|| format!("  {name}: {miss}"));
                context.report.missed(line, gang, miss);
                context.waiting.block(line);
                serving.set(context.state, queue, line, None);
            }
        }
    }
}

/// Somebody was placed after these had their turn in vain.
fn note_passed_over(context: &mut Context<'_>, missed: &mut Vec<GangId>) {
    let (since, departures) = (context.now, context.reservations.departures);
    for gang in missed.drain(..) {
        if let Some(gang) = context.state.gangs.get_mut(&gang) {
            gang.passed_over.get_or_insert(PassedOver { since, departures });
        }
    }
}
