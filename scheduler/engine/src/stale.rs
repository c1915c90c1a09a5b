//! Stale gangs: those that hold capacity with fewer pods than they need, for longer than they may, lose everything.

use crate::cycle::Context;
use crate::gang::{Gang, Stage, StaleGrace};
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
        let active = |pod: &PodId| context.state.pods.get(pod).is_some_and(|pod| pod.stage.is_active());
        let pods: Vec<PodId> = gang_pods(context, id).into_iter().filter(active).collect();
        for pod in &pods {
            let home = context.state.whereabouts(*pod);
            let leaves = home.former.or(home.place.filter(|_| !matches!(home.stage, Stage::Nominated { .. })));
            context
                .state
                .set(*pod, leaves.map_or(Whereabouts::PENDING, |place| Whereabouts::at(Stage::Evicted, place)));
        }
        context.waiting.changed(id);
        if !pods.is_empty() {
            context.report.gave_up(pods);
        }
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
