//! An independent judge of what the engine believes and decides. Shares no code with the search, the queues or the accounts:
//! it works everything out anew from what pods ask for, where they are and what was decided, and says in a sentence each
//! what must not be. Decides nothing and changes nothing.

mod booking;
mod fair;
mod gangs;
mod labels;
mod ledger;
mod load;
mod places;
mod plan;
mod quotas;
mod reclaim;
mod spare;
mod spread;
mod topology;
mod victims;
mod volumes;

use std::collections::BTreeSet;

use crate::decision::{Decision, EvictCause};
use crate::rules::Rules;
use crate::state::State;
use crate::units::{PodId, Timestamp};
pub use booking::booking;
use ledger::Ledger;
use plan::Step;

/// What holds for a whole cycle, whatever its plans do.
struct Cycle<'a> {
    rules: &'a Rules,
    now: Timestamp,
    shares: fair::Shares,
}

/// Everything that is wrong with the decisions of one cycle, one sentence each; empty when all is well. `before` is the state
/// before the cycle began, `decisions` are all of the cycle's, in order.
pub fn violations(before: &State, decisions: &[Decision], rules: &Rules, now: Timestamp) -> Vec<String> {
    let mut ledger = Ledger::of(before);
    let cycle = Cycle { rules, now, shares: fair::Shares::of(&ledger) };
    let mut disrupted: BTreeSet<PodId> = BTreeSet::new();
    let mut wrong = Vec::new();
    for plan in plan::plans(decisions) {
        let mut said = plan::nonsense(&ledger, &plan);
        if said.is_empty() {
            let step = Step::take(&mut ledger, &plan);
            said = judge(&cycle, &step);
            let deliberate =
                plan.cause.is_some_and(|cause| !matches!(cause, EvictCause::Stale | EvictCause::StartTimeout));
            disrupted.extend(plan.evicted.iter().filter(|_| deliberate));
        }
        wrong.extend(said.into_iter().map(|what| format!("plan {}: {what}", plan.id.0)));
    }
    wrong.extend(victims::over_budget(before, disrupted.iter()));
    wrong
}

/// One plan, carried out.
fn judge(cycle: &Cycle<'_>, step: &Step<'_, '_>) -> Vec<String> {
    [
        places::overfull(step),
        places::kept_off(step),
        volumes::misplaced(step),
        spread::uneven(step),
        places::apart(step),
        places::too_early(step),
        topology::torn(step),
        gangs::incomplete(step),
        quotas::overdrawn(step),
        victims::wronged(cycle, step),
        spare::beyond_need(cycle, step),
    ]
    .concat()
}
