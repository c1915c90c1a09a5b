//! Is everybody below a subgroup with a required level in one domain of it?

use std::collections::BTreeSet;

use super::ledger::{Ledger, Spot};
use super::plan::Step;
use crate::gang::Tree;
use crate::units::{GangId, NodeId, PodId};

/// Gangs that got places and are not together where they must be.
pub(super) fn torn(step: &Step<'_, '_>) -> Vec<String> {
    let mut wrong = Vec::new();
    for gang in step.plan.gangs() {
        let there = |pod: PodId| step.ledger.stand(pod).active();
        let given: Vec<PodId> = step.plan.given.iter().map(|given| given.pod).collect();
        for (subgroup, level) in torn_at(step.ledger, gang, &given, &there) {
            let name = step.ledger.gang_name(gang);
            let of = if subgroup.is_empty() { String::new() } else { format!(" (`{subgroup}`)") };
            wrong.push(format!("{name}{of} is not in one domain of level `{level}`"));
        }
    }
    wrong
}

/// Subgroups with one of `whose` pods, and the level of which they would not be in one domain if pods were where `there` says.
pub(super) fn torn_at<'l, 's>(
    ledger: &Ledger<'l>,
    id: GangId,
    whose: &[PodId],
    there: &dyn Fn(PodId) -> Option<&'s Spot>,
) -> Vec<(&'l str, &'l str)> {
    let Some(gang) = ledger.gang(id) else { return Vec::new() };
    let mut torn = Vec::new();
    for (at, branch) in gang.tree.branches().iter().enumerate() {
        let Some(wish) = &branch.topology else { continue };
        let Some(level) = &wish.required else { continue };
        let levels = ledger.facts.topologies().get(&wish.topology).map(|topology| &topology.levels);
        let depth = levels.and_then(|levels| levels.iter().position(|known| known == level));
        let pods: Vec<PodId> =
            below(&gang.tree, at).into_iter().flat_map(|leaf| ledger.members(id)[leaf].iter().copied()).collect();
        let domain = |node: NodeId| -> Option<Vec<&String>> {
            let labels = &ledger.node(node)?.labels;
            let path: Option<Vec<&String>> = levels?.iter().map(|key| labels.get(key)).collect();
            path.map(|path| path[..=depth.unwrap_or(0)].to_vec()).filter(|_| depth.is_some())
        };
        let domains: BTreeSet<_> = pods.iter().filter_map(|pod| there(*pod)).map(|spot| domain(spot.node)).collect();
        let concerned = pods.iter().any(|pod| whose.contains(pod));
        if concerned && (domains.len() > 1 || domains.contains(&None)) {
            torn.push((branch.name.as_str(), level.as_str()));
        }
    }
    torn
}

/// The subgroups with pods at or below one.
pub(super) fn below(tree: &Tree, at: usize) -> Vec<usize> {
    if tree.is_leaf(at) {
        return vec![at];
    }
    tree.branch(at).children.iter().flat_map(|child| below(tree, *child)).collect()
}
