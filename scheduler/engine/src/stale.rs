//! Broken gangs: those that hold capacity with fewer pods than they need, or that take too long to start together, lose
//! everything and wait again.

use crate::cycle::Context;
use crate::decision::EvictCause;
use crate::gang::{Gang, Members, Stage, StaleGrace};
use crate::rules::StaleTest;
use crate::state::Whereabouts;
use crate::units::{GangId, PodId};

/// One pass over the gangs that hold something.
pub(crate) fn give_up(context: &mut Context<'_>) {
    let suspects: Vec<GangId> = context.state.suspects.iter().copied().collect();
    for id in suspects {
        let Some(gang) = context.state.gangs.get_mut(&id) else { continue };
        if !is_stale(gang, context.rules.stale_test) {
            gang.spec.stale_since = None;
            context.state.suspects.remove(&id);
            continue;
        }
        let since = *gang.spec.stale_since.get_or_insert(context.now);
        let grace = gang.spec.stale_grace.unwrap_or(context.rules.stale_grace);
        let over = matches!(grace, StaleGrace::For(ms) if context.now.0.saturating_sub(since.0) >= ms);
        if !over {
            continue;
        }
        give_up_one(context, id, EvictCause::Stale);
    }
    let starting: Vec<GangId> = context.state.starting.iter().copied().collect();
    for id in starting {
        if has_taken_too_long(context, id) {
            if let Some(gang) = context.state.gangs.get_mut(&id) {
                // As long as it has kept others out: or it would take the same places back at once.
                let timeout = gang.spec.start_timeout_ms.or(context.rules.start_timeout_ms);
                gang.start_failed(context.now, timeout.unwrap_or(0));
            }
            context.state.starting.remove(&id);
            give_up_one(context, id, EvictCause::StartTimeout);
        }
    }
}

/// Has a gang of several pods been starting for longer than it may? One that has started is forgotten here.
fn has_taken_too_long(context: &mut Context<'_>, id: GangId) -> bool {
    let state = &mut *context.state;
    let Some(gang) = state.gangs.get(&id) else {
        state.starting.remove(&id);
        return false;
    };
    let stage = |pod: &PodId| state.pods.get(pod).map(|pod| pod.stage);
    let running =
        |members: &Members| members.pods.iter().filter(|pod| stage(pod) == Some(Stage::Running)).count() as u32;
    let starts = gang.pods().any(|pod| stage(&pod) == Some(Stage::Placed)) && gang.pods().nth(1).is_some();
    let timeout = gang.spec.start_timeout_ms.or(context.rules.start_timeout_ms);
    if !starts || gang.would_be_satisfied_by(running) {
        if let Some(gang) = state.gangs.get_mut(&id) {
            gang.starting_since = None;
        }
        state.starting.remove(&id);
        return false;
    }
    let since = gang.starting_since.unwrap_or(context.now);
    timeout.is_some_and(|timeout| context.now.0.saturating_sub(since.0) >= timeout)
}

/// Takes everything from a gang.
fn give_up_one(context: &mut Context<'_>, id: GangId, cause: EvictCause) {
    let active = |pod: &PodId| context.state.pods.get(pod).is_some_and(|pod| pod.stage.is_active());
    let pods: Vec<PodId> = gang_pods(context, id).into_iter().filter(active).collect();
    for pod in &pods {
        let home = context.state.whereabouts(*pod);
        let leaves = home.former.or(home.place.filter(|_| !matches!(home.stage, Stage::Nominated { .. })));
        context.state.set(*pod, leaves.map_or(Whereabouts::PENDING, |place| Whereabouts::at(Stage::Evicted, place)));
    }
    context.waiting.changed(id);
    if !pods.is_empty() {
        context.waiting.unblock(); // what was only promised to it is free at once, and no event will say so
        context.report.gave_up(pods, cause);
    }
}

fn gang_pods(context: &Context<'_>, id: GangId) -> Vec<PodId> {
    context.state.gangs.get(&id).map(|gang| gang.pods().collect()).unwrap_or_default()
}

/// Does it hold something although it has not what it needs?
pub(crate) fn is_stale(gang: &Gang, test: StaleTest) -> bool {
    let holds = gang.members.iter().any(|members| members.holding > 0);
    if !holds || gang.spec.succeeded > 0 {
        return false;
    }
    match test {
        StaleTest::AnySubgroup => {
            gang.tree.leaves().any(|at| gang.members[at].holding < gang.tree.branch(at).min_member)
        }
        StaleTest::WholeTree => !gang.would_be_satisfied_by(|members| members.holding),
    }
}
