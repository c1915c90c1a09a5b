//! Where a whole chunk fits: every pod placed, every topology level kept, or nothing changed.
//! First the policy's choice for each pod; where that fails although nothing rules the chunk out, every other way, up to a
//! bound on steps. Owns no state: it changes a trial and takes back what did not work.

mod domains;

pub(crate) use domains::is_torn;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::cluster::{Placement, PodShape, Shared};
use crate::decision::Choice;
use crate::filter::affinity;
use crate::filter::spread::is_even;
use crate::filter::volumes;
use crate::gang::{Chunk, Gang, Stage, Tree};
use crate::miss::{Bound, Miss};
use crate::never;
use crate::placement::Placer;
use crate::queue::amounts::Amounts;
use crate::rules::Rules;
use crate::state::{Assume, Whereabouts};
use crate::trial::Trial;
use crate::units::{GangId, NodeId, PodId, QueueId};

/// How much searching is left in this cycle.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Steps {
    pub(crate) left: u64,
}

/// Of the steps of a cycle one chunk may use this part.
const CHUNK_PART: u64 = 50;

/// Larger chunks are not exhausted: the search goes as deep as the chunk is long.
const EXHAUSTIBLE_PODS: usize = 128;

/// Nodes a search is restricted to, ascending; all for `None`.
type Scope = Option<Arc<Vec<NodeId>>>;

/// What is still to be placed.
#[derive(Clone, Copy)]
enum Goal<'g> {
    /// These subgroups, each wholly.
    Subgroups(&'g [usize]),
    /// These pods of one subgroup; the first one not below the node, where it equals the one before.
    Pods(&'g [PodId], Option<NodeId>),
}

/// A goal and what comes after it.
struct Todo<'g> {
    goal: Goal<'g>,
    scope: Scope,
    rest: Option<&'g Todo<'g>>,
}

/// A chunk, prepared for searching.
struct Task {
    gang: GangId,
    queue: QueueId,
    fixed: bool,
    tree: Shared<Tree>,
    /// By subgroup: pods, those that ask for most first.
    parts: BTreeMap<usize, Vec<PodId>>,
    /// Does it matter which of two equal nodes a pod gets?
    nodes_differ: bool,
    /// Do queues charge for any of the pods by the node they get?
    charged_by_node: bool,
    /// Pods whose place depends on where others are, perhaps some of this chunk that are placed after them: they must be
    /// near those, or spread evenly with them.
    near: Vec<PodId>,
}

/// One search after another, on one trial.
pub(crate) struct Search<'t, 's> {
    pub(crate) trial: &'t mut Trial<'s>,
    pub(crate) placer: &'t mut Placer,
    pub(crate) rules: &'t Rules,
    pub(crate) steps: &'t mut Steps,
    /// Promise room only, although it may be free now: others have yet to leave for the same plan.
    pub(crate) promise: bool,
    /// Where pods come from that were told to stop for this plan: back there they were never disturbed.
    pub(crate) homes: BTreeMap<PodId, Whereabouts>,
    /// A kind of bound that does not hold: to find out whether more of it would help.
    pub(crate) lifted: Option<Bound>,
    /// Required topology levels are taken as so much wider: to find out what would help.
    pub(crate) widened: usize,
    exhaustive: bool,
    now_only: bool,
    chosen: Vec<(PodId, Choice)>,
}

impl<'t, 's> Search<'t, 's> {
    pub(crate) fn new(
        trial: &'t mut Trial<'s>,
        placer: &'t mut Placer,
        rules: &'t Rules,
        steps: &'t mut Steps,
    ) -> Self {
        Search {
            trial,
            placer,
            rules,
            steps,
            promise: false,
            homes: BTreeMap::new(),
            lifted: None,
            widened: 0,
            exhaustive: false,
            now_only: false,
            chosen: Vec::new(),
        }
    }

    /// Places a gang's chunk, whole. Returns why each pod is where it is; or why it has no place, with nothing changed.
    pub(crate) fn place(&mut self, id: GangId, chunk: &Chunk) -> Result<Vec<(PodId, Choice)>, Miss> {
        let Some(task) = self.prepare(id, chunk) else { return Err(Miss::Room) };
        self.check_limits(&task, chunk)?;
        if chunk.len() > 1 && !self.may_fit(&task) {
            return Err(Miss::Room);
        }
        let mark = self.trial.mark();
        self.chosen.clear();
        // With something leaving, room that is free now goes before room that is only promised.
        let leaving = !self.promise && self.trial.state().cluster.is_in_motion();
        self.exhaustive = false;
        let mut found = false;
        for now_only in if leaving { &[true, false][..] } else { &[false] } {
            self.now_only = *now_only;
            found = found || self.solve_all(&task);
        }
        if !found && self.is_worth_exhausting(&task, chunk) {
            let allowed = self.steps.left.min(self.rules.steps_per_cycle / CHUNK_PART);
            let reserve = self.steps.left - allowed;
            self.steps.left = allowed;
            self.exhaustive = true;
            found = self.solve_all(&task);
            let cut_off = self.steps.left == 0;
            self.steps.left += reserve;
            if !found && cut_off {
                self.trial.undo_to(mark);
                return Err(Miss::Steps);
            }
        }
        if !found {
            self.trial.undo_to(mark);
            return Err(Miss::Room);
        }
        self.wait_together(&task, chunk);
        Ok(std::mem::take(&mut self.chosen))
    }

    fn prepare(&self, id: GangId, chunk: &Chunk) -> Option<Task> {
        let state = self.trial.state();
        let gang = state.gangs.get(&id).filter(|_| !chunk.is_empty())?;
        let mut parts = BTreeMap::new();
        let mut terms = false;
        for (leaf, pods) in &chunk.parts {
            let mut sorted: Vec<(&Shared<PodShape>, PodId)> = Vec::with_capacity(pods.len());
            for pod in pods {
                let known = state.pods.get(pod)?;
                terms |= known.terms.is_some();
                sorted.push((&known.shape, *pod));
            }
            // Stable: equal pods stay in the order in which they start.
            sorted.sort_by(|(a, _), (b, _)| (a.size(), a.id()).cmp(&(b.size(), b.id())).reverse());
            parts.insert(*leaf, sorted.into_iter().map(|(_, pod)| pod).collect());
        }
        let (queue, fixed) = (gang.spec.queue, !gang.spec.preemptible);
        let nodes_differ = terms || gang.tree.has_topology();
        let shape = |pod: PodId| state.pods.get(&pod).map(|pod| &pod.shape);
        let charged_by_node = chunk.pods().filter_map(shape).any(|shape| self.is_charged_by_node(shape));
        let wants_company = |pod: &PodId| {
            let terms = state.pods.get(pod).and_then(|pod| pod.terms.as_deref());
            terms.is_some_and(|terms| !terms.affinity.is_empty() || !terms.spread.is_empty())
        };
        let near = if terms { chunk.pods().filter(wants_company).collect() } else { Vec::new() };
        Some(Task { gang: id, queue, fixed, tree: gang.tree.clone(), parts, nodes_differ, charged_by_node, near })
    }

    /// Limits of every queue above, and what is deserved where that is all a gang may use (rule P2).
    fn check_limits(&self, task: &Task, chunk: &Chunk) -> Result<(), Miss> {
        let more = self.trial.state().estimate_all(chunk.pods(), Assume::LargestMemory);
        self.check_amounts(task, &more)
    }

    fn check_amounts(&self, task: &Task, more: &Amounts) -> Result<(), Miss> {
        let queues = &self.trial.state().queues;
        let over_limit = || queues.over_limit(task.queue, more).next();
        if let Some((queue, resource, used)) = over_limit().filter(|_| self.lifted != Some(Bound::Limit)) {
            return Err(Miss::Limit { queue, resource, used });
        }
        let fixed = task.fixed && self.lifted != Some(Bound::Deserved);
        match queues.over_deserved(task.queue, more).next().filter(|_| fixed) {
            Some((queue, resource, used)) => Err(Miss::Deserved { queue, resource, used }),
            None => Ok(()),
        }
    }

    /// May there be a way that the policy's choices have missed?
    fn is_worth_exhausting(&mut self, task: &Task, chunk: &Chunk) -> bool {
        let shapes = self.shapes(task.parts.values().flatten());
        let alike =
            shapes.len() == 1 && !task.nodes_differ && shapes.values().all(|(shape, _)| shape.packs_in_any_order());
        let by_node = task.charged_by_node;
        if chunk.len() > EXHAUSTIBLE_PODS || !by_node && (alike || chunk.len() == 1 && !task.nodes_differ) {
            return false;
        }
        chunk.len() > 1 || self.may_fit(task)
    }

    /// Are there enough places for each kind of pod by itself? Whatever the search, there is no way without that.
    fn may_fit(&mut self, task: &Task) -> bool {
        let shapes = self.shapes(task.parts.values().flatten());
        shapes.into_values().all(|(shape, count)| self.capacity(&shape, None) >= count)
    }

    /// Is there a place for any pod of these gangs that waits?
    pub(crate) fn is_room_for_any(&mut self, gangs: &BTreeSet<GangId>) -> bool {
        let state = self.trial.state();
        let waits = |pod: &PodId| state.pods.get(pod).is_some_and(|pod| pod.stage == Stage::Pending);
        let pods = gangs.iter().filter_map(|gang| state.gangs.get(gang)).flat_map(Gang::pods).filter(waits);
        let shapes = never::shapes(state, pods);
        shapes.into_values().any(|(shape, _)| self.capacity(&shape, None) > 0)
    }

    /// Does what a pod counts as in its queues depend on its node?
    fn is_charged_by_node(&self, pod: &PodShape) -> bool {
        pod.gpu.is_memory() || pod.wants_gpu() && !self.trial.state().queues.models().is_empty()
    }

    fn shapes<'p>(&self, pods: impl Iterator<Item = &'p PodId>) -> BTreeMap<u32, (Shared<PodShape>, u64)> {
        never::shapes(self.trial.state(), pods.copied())
    }

    fn capacity(&mut self, shape: &Shared<PodShape>, scope: Option<&[NodeId]>) -> u64 {
        self.placer.capacity(&self.trial.state().cluster, shape, scope, u64::MAX)
    }

    fn solve_all(&mut self, task: &Task) -> bool {
        self.solve(task, Some(&Todo { goal: Goal::Subgroups(&[0]), scope: None, rest: None }))
    }

    fn solve(&mut self, task: &Task, todo: Option<&Todo<'_>>) -> bool {
        let Some(todo) = todo else { return self.is_company_there(task) };
        match todo.goal {
            Goal::Subgroups([]) | Goal::Pods([], _) => self.solve(task, todo.rest),
            Goal::Subgroups([first, others @ ..]) => {
                let rest = Todo { goal: Goal::Subgroups(others), scope: todo.scope.clone(), rest: todo.rest };
                self.solve_subgroup(task, *first, &todo.scope, &rest)
            }
            Goal::Pods([first, others @ ..], bound) if self.exhaustive => {
                self.solve_pod(task, *first, others, bound, todo)
            }
            Goal::Pods(pods, _) => {
                pods.iter().all(|pod| self.place_by_policy(task, *pod, &todo.scope)) && self.solve(task, todo.rest)
            }
        }
    }

    /// One pod where the policy wants it; a loop over these instead of a recursion keeps large gangs off the stack.
    fn place_by_policy(&mut self, task: &Task, pod: PodId, scope: &Scope) -> bool {
        self.steps.left = self.steps.left.saturating_sub(1);
        let Some((shape, scope)) = self.reach(task, pod, scope) else { return false };
        let way = self.policy_way(pod, &shape, scope.as_deref().map(Vec::as_slice));
        way.is_some_and(|(place, choice)| self.book(task, pod, place, choice))
    }

    /// What a pod asks for, and the nodes its terms leave of the scope.
    fn reach(&self, task: &Task, pod: PodId, scope: &Scope) -> Option<(Shared<PodShape>, Scope)> {
        let state = self.trial.state();
        let known = state.pods.get(&pod)?;
        let within = scope.as_deref().map(Vec::as_slice);
        let mut narrowed = match self.exhaustive && task.near.contains(&pod) {
            // Its company may come after it: that is looked at when everybody has a place.
            true => Some(affinity::anywhere_near(state, pod, known, within, &self.to_come(task, pod))),
            false => affinity::narrow(state, pod, known, within),
        };
        if let Some(nodes) = narrowed.as_mut().filter(|_| self.now_only) {
            nodes.retain(|node| !volumes::must_wait(state, pod, *node));
        }
        Some((known.shape.clone(), narrowed.map(Arc::new).or_else(|| scope.clone())))
    }

    /// The pods of the chunk that have no place yet, but for this one.
    fn to_come(&self, task: &Task, pod: PodId) -> Vec<PodId> {
        let placed = self.trial.state().cluster.placed();
        let others = task.parts.values().flatten().copied().filter(|other| *other != pod);
        others.filter(|other| !placed.contains_key(other)).collect()
    }

    /// Is everybody near to those it must be near to, and spread evenly, now that all have a place?
    fn is_company_there(&self, task: &Task) -> bool {
        let state = self.trial.state();
        task.near.iter().all(|id| {
            let place = state.pods.get(id).zip(state.cluster.placed().get(id));
            place.is_none_or(|(pod, place)| {
                let mut node = vec![place.node];
                affinity::keep_near(state, *id, pod, &mut node);
                !node.is_empty() && is_even(state, *id)
            })
        })
    }

    /// One subgroup, in each domain that may do, best first.
    fn solve_subgroup(&mut self, task: &Task, at: usize, scope: &Scope, rest: &Todo<'_>) -> bool {
        let below: Vec<PodId> = self.below(task, at).copied().collect();
        if below.is_empty() {
            return self.solve(task, Some(rest));
        }
        let scopes = match &task.tree.branch(at).topology {
            None => vec![scope.clone()],
            Some(wish) => self.domains(task, at, wish, scope, &below),
        };
        let pods = task.parts.get(&at).map_or(&[][..], Vec::as_slice);
        let children = task.tree.branch(at).children.as_slice();
        for narrowed in scopes {
            let (mark, chosen) = (self.trial.mark(), self.chosen.len());
            let goal = if children.is_empty() { Goal::Pods(pods, None) } else { Goal::Subgroups(children) };
            if self.solve(task, Some(&Todo { goal, scope: narrowed, rest: Some(rest) })) {
                return true;
            }
            self.trial.undo_to(mark);
            self.chosen.truncate(chosen);
            if self.steps.left == 0 {
                return false;
            }
        }
        false
    }

    fn below<'k>(&self, task: &'k Task, at: usize) -> impl Iterator<Item = &'k PodId> {
        let mut inside = vec![at];
        let mut next = 0;
        while let Some(&branch) = inside.get(next) {
            inside.extend(&task.tree.branch(branch).children);
            next += 1;
        }
        inside.into_iter().filter_map(|leaf| task.parts.get(&leaf)).flatten()
    }

    /// One pod, in every way there is.
    fn solve_pod(&mut self, task: &Task, pod: PodId, others: &[PodId], bound: Option<NodeId>, todo: &Todo<'_>) -> bool {
        let Some((shape, scope)) = self.reach(task, pod, &todo.scope) else { return false };
        let ways = self.every_way(task, &shape, scope.as_deref().map(Vec::as_slice), bound);
        let plain = |pod: &PodId| self.trial.state().pods.get(pod).filter(|pod| pod.terms.is_none());
        let next_is_alike =
            plain(&pod).is_some() && others.first().and_then(plain).is_some_and(|next| next.shape == shape);
        for (place, choice) in ways {
            if self.steps.left == 0 {
                return false;
            }
            self.steps.left -= 1;
            let (mark, chosen, node) = (self.trial.mark(), self.chosen.len(), place.node);
            if self.book(task, pod, place, choice) {
                let goal = Goal::Pods(others, Some(node).filter(|_| next_is_alike));
                if self.solve(task, Some(&Todo { goal, scope: todo.scope.clone(), rest: todo.rest })) {
                    return true;
                }
            }
            self.trial.undo_to(mark);
            self.chosen.truncate(chosen);
        }
        false
    }

    fn policy_way(
        &mut self,
        pod: PodId,
        shape: &Shared<PodShape>,
        scope: Option<&[NodeId]>,
    ) -> Option<(Placement, Choice)> {
        let cluster = &self.trial.state().cluster;
        let (slot, choice) = self.placer.choose(cluster, pod, shape, scope)?;
        if self.now_only && choice.waits {
            return None;
        }
        if (choice.waits || self.rules.reprieve)
            && let Some(home) = self.homes.get(&pod).and_then(|home| home.place.as_ref())
            && scope.is_none_or(|scope| scope.binary_search(&home.node).is_ok())
            && cluster.fits_later(home)
        {
            return Some((home.clone(), choice));
        }
        let place = Placement { shape: shape.clone(), node: slot.node, gpus: slot.gpus, hold: Default::default() };
        Some((place, choice))
    }

    fn every_way(
        &mut self,
        task: &Task,
        shape: &Shared<PodShape>,
        scope: Option<&[NodeId]>,
        bound: Option<NodeId>,
    ) -> Vec<(Placement, Choice)> {
        let cluster = &self.trial.state().cluster;
        let from = bound.unwrap_or(NodeId(0));
        let nodes: Vec<NodeId> = match scope {
            Some(scope) => scope.iter().copied().filter(|node| *node >= from).collect(),
            None => cluster.nodes().range(from..).map(|(node, _)| *node).collect(),
        };
        self.steps.left = self.steps.left.saturating_sub(nodes.len() as u64 / 64);
        let options = if task.nodes_differ {
            let one = |node: &NodeId| self.placer.options(cluster, shape, Some(std::slice::from_ref(node)));
            nodes.iter().flat_map(one).collect()
        } else {
            self.placer.options(cluster, shape, Some(&nodes))
        };
        let policy = self.placer.policy();
        let way = |option: crate::placement::Place| {
            let place =
                Placement { shape: shape.clone(), node: option.node, gpus: option.gpus, hold: Default::default() };
            (place, Choice { policy, loss: 0, next_loss: None, waits: option.waits })
        };
        options.into_iter().map(way).collect()
    }

    /// Books one pod, unless the queues forbid what it holds on just that node.
    fn book(&mut self, task: &Task, pod: PodId, place: Placement, choice: Choice) -> bool {
        // What the queues are charged may be more than was estimated, and pods that come later count on top of it.
        if task.charged_by_node {
            let more = self.trial.state().held(&place);
            if self.check_amounts(task, &more).is_err() {
                return false;
            }
        }
        let waits = choice.waits || volumes::must_wait(self.trial.state(), pod, place.node);
        let choice = Choice { waits, ..choice };
        let home = self.homes.get(&pod).filter(|home| home.place.as_ref().is_some_and(|home| same_place(home, &place)));
        let new = match home {
            Some(home) => home.clone(),
            None => {
                let stage =
                    if self.promise || choice.waits { Stage::Nominated { counted: true } } else { Stage::Placed };
                let former = self.homes.get(&pod).and_then(|_| self.trial.state().whereabouts(pod).place);
                Whereabouts { former, ..Whereabouts::at(stage, place) }
            }
        };
        self.trial.set(pod, new);
        self.chosen.push((pod, choice));
        true
    }

    /// Pods of one start: while a subgroup waits for promised room below its minimum, everything of the chunk waits with it
    /// (rule P3).
    fn wait_together(&mut self, task: &Task, chunk: &Chunk) {
        let state = self.trial.state();
        let Some(gang) = state.gangs.get(&task.gang) else { return };
        let stage = |pod: &PodId| state.pods.get(pod).map(|pod| pod.stage);
        let nominated = |pod: &PodId| matches!(stage(pod), Some(Stage::Nominated { .. }));
        let waits = chunk.parts.iter().any(|(leaf, pods)| {
            pods.iter().any(nominated) && gang.members[*leaf].settled < task.tree.branch(*leaf).min_member
        });
        if !waits {
            return;
        }
        // Who is back where it was never left it.
        let started = |pod: &PodId| stage(pod) == Some(Stage::Placed) && !self.homes.contains_key(pod);
        for pod in chunk.pods().filter(started).collect::<Vec<_>>() {
            if let Some(place) = self.trial.state().whereabouts(pod).place {
                self.trial.set(pod, Whereabouts::at(Stage::Nominated { counted: true }, place));
            }
        }
    }
}

fn same_place(one: &Placement, other: &Placement) -> bool {
    one.node == other.node && one.gpus == other.gpus
}
