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

/// By claim: the volumes it may have, best first.
type Wants<'s> = BTreeMap<&'s str, Vec<&'s str>>;

/// By volume: the claim that has it.
type Given<'s> = BTreeMap<&'s str, &'s str>;

/// Gives the claim a volume, moving others where it must; false, with nothing changed, where that cannot be. `wants` are all
/// claims that have something, and this one.
fn serve<'s>(claim: &'s str, wants: &[&Wants<'s>], given: &mut Given<'s>, asked: &mut BTreeSet<&'s str>) -> bool {
    let volumes = wants.iter().find_map(|wants| wants.get(claim)).map_or(&[][..], Vec::as_slice);
    let free = volumes.iter().find(|volume| !given.contains_key(*volume));
    let found = free.or_else(|| {
        volumes.iter().find(|volume| {
            let owner = given.get(*volume).copied().filter(|_| asked.insert(volume));
            owner.is_some_and(|owner| serve(owner, wants, given, asked))
        })
    });
    found.is_some_and(|volume| {
        given.insert(volume, claim);
        true
    })
}

/// What there is for the claims of one pod beside those of all others.
pub(super) struct Offers<'s> {
    own: Vec<Wanted<'s>>,
    wants: Wants<'s>,
    given: Given<'s>,
}

impl<'s> Offers<'s> {
    pub(super) fn of(state: &'s State, id: PodId, own: &'s [UnboundClaim]) -> Self {
        let mut others = claims_of_others(state, id);
        let one = |spec: &'s UnboundClaim| {
            let nodes = others.remove(&*spec.claim).map(|known| known.nodes).unwrap_or_default();
            Wanted { spec, nodes }
        };
        let own: Vec<Wanted<'s>> = own.iter().map(one).collect();
        let needy = others.iter().filter(|(_, wanted)| !wanted.can_be_made(state));
        let wants: Wants<'s> = needy.map(|(claim, wanted)| (*claim, wanted.volumes(state))).collect();
        let mut given = Given::new();
        for claim in wants.keys() {
            serve(claim, &[&wants], &mut given, &mut BTreeSet::new());
        }
        Offers { own, wants, given }
    }

    /// Is there a volume for each claim of the pod, were it on this node?
    pub(super) fn suffice(&self, state: &'s State, node: NodeId) -> bool {
        let here = self.own.iter().map(|one| {
            let mut one = one.clone();
            one.nodes.insert(node);
            one
        });
        let needy = here.filter(|one| !one.can_be_made(state));
        let own: Wants<'s> = needy.map(|one| (&*one.spec.claim, one.volumes(state))).collect();
        // Most nodes have nothing to offer, or have it to spare.
        let is_free = |volume: &&str| !self.given.contains_key(volume);
        if own.values().any(Vec::is_empty) || own.is_empty() {
            return own.is_empty();
        }
        if own.len() == 1 && own.values().flatten().any(is_free) {
            return true;
        }
        let mut given = self.given.clone();
        own.keys().all(|claim| serve(claim, &[&own, &self.wants], &mut given, &mut BTreeSet::new()))
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
    let wants: Wants<'_> = order.iter().map(|one| (&*one.spec.claim, one.volumes(state))).collect();
    let mut given = Given::new();
    let mut chosen = BTreeMap::new();
    for one in order {
        let served = serve(&one.spec.claim, &[&wants], &mut given, &mut BTreeSet::new());
        if let (false, true, Some(node)) = (served, one.can_be_made(state), one.nodes.first()) {
            chosen.insert(Arc::clone(&one.spec.claim), Chosen::New(*node));
        }
    }
    for (volume, claim) in given {
        chosen.insert(claim.into(), Chosen::Volume(volume.into()));
    }
    chosen
}
