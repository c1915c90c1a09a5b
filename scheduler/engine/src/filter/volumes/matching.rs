//! Which claim could have which volume: each volume goes to one claim at most. Owns that question alone, answered by
//! augmenting paths (a claim takes a volume from another one that can have another in turn), so that "no" is never for want of
//! a cleverer choice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::UnboundClaim;
use crate::filter::node_affinity;
use crate::state::State;
use crate::units::{NodeId, PodId};

/// A claim without a volume, and where its pods are.
#[derive(Debug, Clone)]
struct Wanted<'s> {
    spec: &'s UnboundClaim,
    nodes: BTreeSet<NodeId>,
}

/// All claims in use by others than this pod.
fn claims_of_others(state: &State, but: PodId) -> BTreeMap<&str, Wanted<'_>> {
    let mut all = BTreeMap::new();
    for (claim, users) in state.volumes.claims() {
        let users: BTreeMap<&PodId, &NodeId> = users.iter().filter(|(pod, _)| pod.owner() != but).collect();
        let spec = users.keys().next().and_then(|pod| {
            let terms = state.pods.get(&pod.owner())?.terms.as_deref()?;
            terms.volumes.as_deref()?.unbound.iter().find(|one| one.claim == *claim)
        });
        if let Some(spec) = spec {
            all.insert(&**claim, Wanted { spec, nodes: users.into_values().copied().collect() });
        }
    }
    all
}

impl<'s> Wanted<'s> {
    /// The volumes it may have wherever its pods are, best first.
    fn volumes(&self, state: &'s State) -> Vec<&'s str> {
        let of = |node: &NodeId| {
            let there = state.cluster.nodes().get(node).zip(state.cluster.state(*node));
            there.map_or_else(Vec::new, |(known, of)| self.spec.volumes.on(&known.name, &of.shape))
        };
        let mut nodes = self.nodes.iter();
        let mut all: Vec<&'s str> = nodes.next().map(of).unwrap_or_default().into_iter().map(|name| &**name).collect();
        for node in nodes {
            let here: BTreeSet<&str> = of(node).into_iter().map(|name| &**name).collect();
            all.retain(|volume| here.contains(volume));
        }
        all
    }

    /// Could a volume be made for it?
    fn can_be_made(&self, state: &State) -> bool {
        let (Some(terms), Some(node)) = (&self.spec.provision, self.nodes.first()) else { return false };
        let there = state.cluster.nodes().get(node).zip(state.cluster.state(*node));
        self.nodes.len() == 1 && there.is_some_and(|(known, of)| node_affinity::is_met(terms, &of.shape, &known.name))
    }
}

/// Who has what, so far.
#[derive(Debug, Clone, Default)]
struct Matching<'s> {
    /// By claim: the volumes it may have.
    wants: BTreeMap<&'s str, Vec<&'s str>>,
    /// By volume: the claim that has it.
    given: BTreeMap<&'s str, &'s str>,
}

impl<'s> Matching<'s> {
    /// Serves one claim more, moving others where it must; false, with nothing changed, where that cannot be.
    fn serve(&mut self, claim: &'s str, volumes: Vec<&'s str>) -> bool {
        self.wants.insert(claim, volumes);
        self.find(claim, &mut BTreeSet::new())
    }

    fn find(&mut self, claim: &'s str, asked: &mut BTreeSet<&'s str>) -> bool {
        let volumes = self.wants.get(claim).cloned().unwrap_or_default();
        let free = volumes.iter().find(|volume| !self.given.contains_key(*volume)).copied();
        let found = free.or_else(|| {
            volumes.into_iter().find(|volume| {
                let owner = self.given.get(volume).copied().filter(|_| asked.insert(volume));
                owner.is_some_and(|owner| self.find(owner, asked))
            })
        });
        found.is_some_and(|volume| {
            self.given.insert(volume, claim);
            true
        })
    }
}

/// What there is for the claims of one pod beside those of all others.
pub(super) struct Offers<'s> {
    own: Vec<Wanted<'s>>,
    others: Matching<'s>,
}

impl<'s> Offers<'s> {
    pub(super) fn of(state: &'s State, id: PodId, own: &'s [UnboundClaim]) -> Self {
        let mut others = claims_of_others(state, id);
        let mut own: Vec<Wanted<'s>> = own
            .iter()
            .map(|spec| {
                let nodes = others.remove(&*spec.claim).map(|known| known.nodes).unwrap_or_default();
                Wanted { spec, nodes }
            })
            .collect();
        own.sort_by_key(|one| (one.spec.bytes, &one.spec.claim));
        let mut matching = Matching::default();
        for (claim, wanted) in others.iter().filter(|(_, wanted)| !wanted.can_be_made(state)) {
            matching.serve(claim, wanted.volumes(state));
        }
        Offers { own, others: matching }
    }

    /// Is there a volume for each claim of the pod, were it on this node?
    pub(super) fn suffice(&self, state: &'s State, node: NodeId) -> bool {
        let here = self.own.iter().map(|one| {
            let mut one = one.clone();
            one.nodes.insert(node);
            one
        });
        let needy: Vec<Wanted<'_>> = here.filter(|one| !one.can_be_made(state)).collect();
        if needy.is_empty() {
            return true;
        }
        let mut matching = self.others.clone();
        needy.iter().all(|one| matching.serve(&one.spec.claim, one.volumes(state)))
    }
}

/// What a claim gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    /// This volume.
    Volume(Arc<str>),
    /// A new one, for this node.
    New(NodeId),
}

/// What the claims of all that have a place get, as things stand: first those that need what is there, then those for which a
/// volume could be made, of what is left.
pub fn chosen(state: &State) -> BTreeMap<Arc<str>, Chosen> {
    let all = claims_of_others(state, PodId(PodId::DRIVERS_MAX));
    let mut order: Vec<&Wanted<'_>> = all.values().collect();
    order.sort_by_key(|one| (one.can_be_made(state), one.spec.bytes, &one.spec.claim));
    let mut matching = Matching::default();
    let mut chosen = BTreeMap::new();
    for one in order {
        let served = matching.serve(&one.spec.claim, one.volumes(state));
        if let (false, true, Some(node)) = (served, one.can_be_made(state), one.nodes.first()) {
            chosen.insert(Arc::clone(&one.spec.claim), Chosen::New(*node));
        }
    }
    for (volume, claim) in matching.given {
        chosen.insert(claim.into(), Chosen::Volume(volume.into()));
    }
    chosen
}
