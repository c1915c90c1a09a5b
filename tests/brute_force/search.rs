//! What a gang asks for next, and whether there is any way to place it. Tries everything.

use std::collections::BTreeSet;

use berth_engine::gang::Stage;

use crate::model::{Gang, Model, Pod, Spot, Stand, taken};

impl Model {
    /// A gang's pods of one subgroup that do something, in the order in which they start (rule O3).
    fn of_leaf(&self, gang: usize, leaf: usize, what: impl Fn(&Stand) -> bool) -> Vec<u64> {
        let here = |(_, pod): &(&u64, &Pod)| pod.gang == gang && pod.leaf == leaf && what(&pod.stand);
        let mut pods: Vec<(&u64, &Pod)> = self.pods.iter().filter(here).collect();
        pods.sort_by_key(|(id, pod)| {
            let order = pod.spec.order;
            (order.is_none(), order.map(|order| -order), pod.spec.name.clone(), **id)
        });
        pods.into_iter().map(|(id, _)| *id).collect()
    }

    fn pending(&self, gang: usize, leaf: usize) -> Vec<u64> {
        self.of_leaf(gang, leaf, |stand| stand.stage == Stage::Pending)
    }

    /// Rule G1: active pods, or satisfied subgroups.
    fn allocated(&self, gang: usize, at: usize) -> usize {
        let group = &self.gangs[gang].groups[at];
        match group.below.is_empty() {
            true => self.of_leaf(gang, at, Stand::is_active).len(),
            false => group.below.iter().filter(|child| self.is_satisfied(gang, **child)).count(),
        }
    }

    pub(crate) fn is_satisfied(&self, gang: usize, at: usize) -> bool {
        self.allocated(gang, at) >= self.gangs[gang].groups[at].least
    }

    /// Has some subgroup fewer active pods than it needs?
    pub(crate) fn is_short(&self, gang: usize) -> bool {
        let groups = &self.gangs[gang].groups;
        (0..groups.len()).any(|at| groups[at].below.is_empty() && !self.is_satisfied(gang, at))
    }

    /// Rule G2.
    fn is_ready(&self, gang: usize, at: usize) -> bool {
        let group = &self.gangs[gang].groups[at];
        let there = match group.below.is_empty() {
            true => self.of_leaf(gang, at, Stand::is_active).len() + self.pending(gang, at).len(),
            false => group.below.iter().filter(|child| self.is_ready(gang, **child)).count(),
        };
        there >= group.least
    }

    /// Rules G2 and G3, nothing for a gang that is not ready.
    pub(crate) fn chunk(&self, gang: usize) -> Vec<u64> {
        if self.is_ready(gang, 0) { self.chunk_at(gang, 0) } else { Vec::new() }
    }

    fn chunk_at(&self, gang: usize, at: usize) -> Vec<u64> {
        let Gang { groups, .. } = &self.gangs[gang];
        let (has, least) = (self.allocated(gang, at), groups[at].least);
        if groups[at].below.is_empty() {
            return self.pending(gang, at).into_iter().take(least.saturating_sub(has).max(1)).collect();
        }
        let mut ready: Vec<usize> =
            groups[at].below.iter().copied().filter(|child| self.is_ready(gang, *child)).collect();
        ready.sort_by(|one, other| {
            let rank = |at: usize| (self.is_satisfied(gang, at), self.is_satisfied(gang, at) && groups[at].least == 0);
            let part = |at: usize| match (self.is_satisfied(gang, at), groups[at].least) {
                (false, _) => 0.0,
                (true, 0) => self.allocated(gang, at) as f64,
                (true, least) => self.allocated(gang, at) as f64 / least as f64,
            };
            let names = groups[*one].name.cmp(&groups[*other].name);
            rank(*one).cmp(&rank(*other)).then(part(*one).total_cmp(&part(*other))).then(names)
        });
        if has >= least {
            return ready
                .into_iter()
                .map(|child| self.chunk_at(gang, child))
                .find(|pods| !pods.is_empty())
                .unwrap_or_default();
        }
        let first = ready.into_iter().take(least).filter(|child| !self.is_satisfied(gang, *child));
        first.flat_map(|child| self.chunk_at(gang, child)).collect()
    }

    /// Is there any way to place all of these, now or when those that leave have gone? All at once: nobody of them comes first.
    pub(crate) fn has_a_way(&self, pods: &[u64]) -> bool {
        self.clone().try_all(pods, pods, None)
    }

    fn try_all(&mut self, all: &[u64], left: &[u64], last: Option<(u64, Spot)>) -> bool {
        let Some((&id, rest)) = left.split_first() else {
            return all.iter().all(|id| self.is_in_company(*id) && self.is_even(*id));
        };
        // Of two pods that ask for the same, the later one is not tried before the earlier one's node.
        let after = last.as_ref().filter(|(other, _)| self.are_alike(*other, id)).map(|(_, spot)| spot.node);
        for spot in self.distinct_spots(id).into_iter().filter(|spot| after.is_none_or(|node| spot.node >= node)) {
            self.put(id, Stand::at(Stage::Nominated { counted: true }, spot.clone()));
            if self.is_right(id) && self.try_all(all, rest, Some((id, spot))) {
                return true;
            }
            self.put(id, Stand::PENDING);
        }
        false
    }

    pub(crate) fn put(&mut self, id: u64, stand: Stand) {
        if let Some(pod) = self.pods.get_mut(&id) {
            pod.stand = stand;
        }
    }

    /// May the pod be where it is, with all that are there? Whoever it must be with may come after it.
    pub(crate) fn is_right(&self, id: u64) -> bool {
        let pod = &self.pods[&id];
        let Some(spot) = &pod.stand.place else { return false };
        self.is_admitted(pod, spot.node)
            && self.may_leave(pod, spot.node)
            && self.is_enough(spot.node, true)
            && self.is_apart(id)
            && self.is_together(pod)
            && self.is_allowed(id)
    }

    fn are_alike(&self, one: u64, other: u64) -> bool {
        let (one, other) = (&self.pods[&one], &self.pods[&other]);
        (one.leaf, &one.spec.shape, &one.spec.terms) == (other.leaf, &other.spec.shape, &other.spec.terms)
    }

    /// The places of a pod, of GPUs that are used alike only the first.
    fn distinct_spots(&self, id: u64) -> Vec<Spot> {
        let mut spots = Vec::new();
        for node in 0..self.nodes.len() {
            let mut met = BTreeSet::new();
            for spot in self.spots(id as usize, node) {
                let mut used: Vec<u64> = spot.gpus.iter().map(|gpu| self.used(node, *gpu)).collect();
                used.sort_unstable();
                if met.insert(used) {
                    spots.push(spot);
                }
            }
        }
        spots
    }

    /// What will be in use of one GPU, later.
    fn used(&self, node: usize, gpu: u8) -> u64 {
        let on_it = |pod: &&Pod| {
            let stays = pod.stand.is_active() || pod.stand.stage == Stage::Stuck;
            stays && pod.stand.place.as_ref().is_some_and(|spot| spot.node == node && spot.gpus.contains(&gpu))
        };
        let users = self.pods.values().filter(on_it);
        users.map(|pod| taken(pod.spec.shape.gpu, self.nodes[node].gpu_memory_mib)).sum()
    }
}
