//! Room for many equal pods at once: node after node is emptied as far as one more pod needs it, the cheapest nodes first. A
//! set of victims spread over as few nodes as possible, where taking everybody in the order of asking would have to go through
//! most of the cluster before whole nodes are free.

use std::collections::{BTreeMap, BTreeSet};

use super::asking::Considered;
use super::attempt::{Outcome, accounts, may_go, try_set};
use super::order::{is_active, unit_loss};
use super::room::Room;
use super::{Action, Before, Claim, holds, is_within};
use crate::cycle::Context;
use crate::gang::{Health, next_unit};
use crate::queue::amounts::Amounts;
use crate::rules::Rules;
use crate::state::State;
use crate::units::{GangId, NodeId, PodId, QueueId, Timestamp};

/// One node: the highest priority on it, what would be lost with all gangs that could give way as a whole there, and who
/// they are, the cheapest first.
#[derive(Debug)]
struct NodeCost {
    highest: i64,
    loss: i128,
    node: NodeId,
    gangs: Vec<(i64, i128, GangId)>,
}

/// All such nodes, the cheapest first; made once per pass. Gangs that have given way since are struck off when they are met.
#[derive(Debug, Default)]
pub(super) struct NodeCosts(Option<Vec<NodeCost>>);

impl NodeCosts {
    fn of(&mut self, state: &State, rules: &Rules, now: Timestamp) -> &mut [NodeCost] {
        self.0.get_or_insert_with(|| {
            let mut nodes: BTreeMap<NodeId, Vec<(i64, i128, GangId)>> = BTreeMap::new();
            for (priority, id) in state.evictable.values().flatten() {
                if let Some((node, pods)) = whole_on_one_node(state, *id)
                    && let Some(gang) = state.gangs.get(id)
                {
                    let loss = unit_loss(state, rules, now, gang, &pods);
                    nodes.entry(node).or_default().push((*priority, loss, *id));
                }
            }
            let mut costs: Vec<NodeCost> = nodes.into_iter().map(|(node, gangs)| NodeCost::of(node, gangs)).collect();
            costs.sort_by_key(|cost| (cost.highest, cost.loss, cost.node));
            costs
        })
    }
}

impl NodeCost {
    fn of(node: NodeId, mut gangs: Vec<(i64, i128, GangId)>) -> Self {
        gangs.sort_unstable();
        let highest = gangs.last().map_or(0, |(priority, ..)| *priority);
        NodeCost { highest, loss: gangs.iter().map(|(_, loss, _)| loss).sum(), node, gangs }
    }
}

/// The pods of a gang that has just what it needs, if all of them are on one node.
fn whole_on_one_node(state: &State, id: GangId) -> Option<(NodeId, Vec<PodId>)> {
    let gang = state.gangs.get(&id).filter(|gang| gang.health() == Health::Exact)?;
    let unit = next_unit(gang, |pod| is_active(state, pod)).filter(|unit| !unit.surplus)?;
    let mut nodes = unit.pods.iter().filter_map(|pod| state.cluster.placed().get(pod)).map(|place| place.node);
    let node = nodes.next()?;
    nodes.all(|other| other == node).then_some((node, unit.pods))
}

/// Tries the cheapest nodes for a chunk of several pods of one shape. Only queues are taken from that would have to give as
/// much if everybody were asked in turn, and none gives more than it may.
pub(super) fn by_node(
    context: &mut Context<'_>,
    costs: &mut NodeCosts,
    action: Action,
    claim: &Claim,
    givers: &BTreeSet<QueueId>,
    mut room: Room,
) -> Option<Outcome> {
    let before = accounts(context.state, givers.iter().copied().chain([claim.queue]));
    let mut rest = before.clone();
    let mut chosen: Vec<Considered> = Vec::new();
    for cost in costs.of(context.state, context.rules, context.now) {
        let state = &*context.state;
        let mut taken: Vec<Considered> = Vec::new();
        let places = room.places();
        cost.gangs.retain(|(priority, loss, id)| {
            let Some((node, pods)) = whole_on_one_node(state, *id).filter(|(node, _)| *node == cost.node) else {
                return false;
            };
            if room.places() == places
                && let Some(unit) = unit(context, action, claim, givers, (*id, node, pods), (*priority, *loss))
                && action.may_give(state, claim, &before, &rest, unit.queue)
            {
                room.free(state, &unit);
                give(state, &mut rest, &unit, -1);
                taken.push(unit);
            }
            true
        });
        if room.places() > places {
            chosen.append(&mut taken);
        }
        for unit in &taken {
            room.keep(unit); // emptying this node gives no place
            give(state, &mut rest, unit, 1);
        }
        if room.could_do() {
            break;
        }
    }
    let set: Vec<&Considered> = chosen.iter().collect();
    (room.could_do() && may_go(context.state, &set)).then(|| try_set(context, action, claim, &set)).flatten()
}

/// Counts a unit out of what is left to its queues, or in again.
fn give(state: &State, rest: &mut Before, unit: &Considered, times: i64) {
    for (id, _) in state.queues.path(unit.queue) {
        if let Some(left) = rest.get_mut(&id) {
            left.add(&unit.amounts, times);
        }
    }
}

fn unit(
    context: &Context<'_>,
    action: Action,
    claim: &Claim,
    givers: &BTreeSet<QueueId>,
    (id, node, pods): (GangId, NodeId, Vec<PodId>),
    (priority, loss): (i64, i128),
) -> Option<Considered> {
    let state = &*context.state;
    let gang = state.gangs.get(&id).filter(|_| action.may_ask(claim, id, priority))?;
    let queue = gang.spec.queue;
    let protected = action.min_runtime_ms(state, claim, queue);
    if !givers.contains(&queue) || is_within(gang.spec.started, context.now, protected) {
        return None;
    }
    let mut amounts = Amounts::zero();
    pods.iter().for_each(|pod| amounts.add(&holds(state, *pod), 1));
    let nodes = BTreeSet::from([node]);
    Some(Considered {
        queue,
        gang: id,
        pods,
        surplus: false,
        amounts,
        before: None,
        nodes,
        priority,
        started: gang.spec.started,
        loss,
    })
}
