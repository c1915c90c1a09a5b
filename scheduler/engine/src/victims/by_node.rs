//! Room for many equal pods at once: node after node is emptied as far as one more pod needs it, the cheapest nodes first. A
//! set of victims spread over as few nodes as possible, where taking everybody in the order of asking would have to go through
//! most of the cluster before whole nodes are free.

use std::collections::{BTreeMap, BTreeSet};

use super::attempt::{Outcome, may_go, try_set};
use super::order::{Considered, is_active, unit_loss};
use super::room::Room;
use super::{Action, Claim, holds, is_within};
use crate::cycle::Context;
use crate::gang::{Health, next_unit};
use crate::queue::amounts::Amounts;
use crate::rules::Rules;
use crate::state::State;
use crate::units::{GangId, NodeId, PodId, QueueId, Timestamp};

/// The nodes on which gangs of a leaf could give way as a whole, the cheapest first; made once per pass. Gangs that have given
/// way since are passed over.
#[derive(Debug, Default)]
pub(super) struct NodeCosts {
    leaves: BTreeMap<QueueId, Vec<NodeCost>>,
}

/// One node: the highest priority on it, what would be lost with all of them, and who they are, the cheapest first.
type NodeCost = (i64, i128, NodeId, Vec<(i64, i128, GangId)>);

impl NodeCosts {
    fn of(&mut self, state: &State, rules: &Rules, now: Timestamp, leaf: QueueId) -> &[NodeCost] {
        self.leaves.entry(leaf).or_insert_with(|| {
            let mut nodes: BTreeMap<NodeId, Vec<(i64, i128, GangId)>> = BTreeMap::new();
            for (_, id) in state.evictable.get(&leaf).into_iter().flatten() {
                if let Some((node, pods)) = whole_on_one_node(state, *id)
                    && let Some(gang) = state.gangs.get(id)
                {
                    let loss = unit_loss(state, rules, now, gang, &pods);
                    nodes.entry(node).or_default().push((gang.spec.priority, loss, *id));
                }
            }
            let mut costs: Vec<NodeCost> = nodes
                .into_iter()
                .map(|(node, mut gangs)| {
                    gangs.sort_unstable();
                    let highest = gangs.last().map_or(0, |(priority, ..)| *priority);
                    (highest, gangs.iter().map(|(_, loss, _)| loss).sum(), node, gangs)
                })
                .collect();
            costs.sort_unstable();
            costs
        })
    }
}

/// The pods of a gang that has just what it needs, if all of them are on one node.
fn whole_on_one_node(state: &State, id: GangId) -> Option<(NodeId, Vec<PodId>)> {
    let gang = state.gangs.get(&id).filter(|gang| gang.health() == Health::Exact)?;
    let unit = next_unit(gang, |pod| is_active(state, pod)).filter(|unit| !unit.surplus)?;
    let nodes: BTreeSet<NodeId> =
        unit.pods.iter().filter_map(|pod| state.cluster.placed().get(pod)).map(|place| place.node).collect();
    let node = nodes.first().copied().filter(|_| nodes.len() == 1)?;
    Some((node, unit.pods))
}

/// Tries the cheapest nodes of the leaf that is to give first, for a chunk of several pods of one shape.
pub(super) fn by_node(
    context: &mut Context<'_>,
    costs: &mut NodeCosts,
    action: Action,
    claim: &Claim,
    leaf: QueueId,
    mut room: Room,
) -> Option<Outcome> {
    let mut chosen: Vec<Considered> = Vec::new();
    'nodes: for (.., gangs) in costs.of(context.state, context.rules, context.now, leaf) {
        let state = &*context.state;
        let mut taken: Vec<Considered> = Vec::new();
        let before = room.places();
        for (priority, loss, id) in gangs {
            let Some(unit) = unit(context, action, claim, *id, *priority, *loss) else { continue };
            room.free(state, &unit);
            taken.push(unit);
            if room.places() > before {
                chosen.append(&mut taken);
                if room.could_do() {
                    break 'nodes;
                }
                continue 'nodes;
            }
        }
        taken.iter().for_each(|unit| room.keep(unit)); // emptying this node gives no place
    }
    let set: Vec<&Considered> = chosen.iter().collect();
    (room.could_do() && may_go(context.state, &set)).then(|| try_set(context, action, claim, &set)).flatten()
}

fn unit(
    context: &Context<'_>,
    action: Action,
    claim: &Claim,
    id: GangId,
    priority: i64,
    loss: i128,
) -> Option<Considered> {
    let state = &*context.state;
    let gang = state.gangs.get(&id).filter(|_| action.may_ask(claim, id, priority))?;
    let protected = action.min_runtime_ms(state, claim, gang.spec.queue);
    if is_within(gang.spec.started, context.now, protected) {
        return None;
    }
    let (node, pods) = whole_on_one_node(state, id)?;
    let mut amounts = Amounts::zero();
    pods.iter().for_each(|pod| amounts.add(&holds(state, *pod), 1));
    let (queue, nodes) = (gang.spec.queue, BTreeSet::from([node]));
    Some(Considered { queue, gang: id, pods, surplus: false, amounts, before: None, nodes, priority, loss })
}
