//! What is left on one node, now and later: the part that changes as pods come and go.
//! Owns the arithmetic of taking and giving back. May not decide whether a pod may run there.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use smallvec::SmallVec;

use super::request::{GpuRequest, Share, ShareSize};
use super::shape::{NodeShape, PodShape};
use super::shared::Shared;
use crate::filter::ports::HostPort;
use crate::units::{GPU, MilliGpu};

/// Per-GPU quantities of one node, by GPU index.
pub type PerGpu<T> = SmallVec<[T; 8]>;

/// The indexes of the GPUs a pod uses on its node, ascending.
pub type GpuIndexes = SmallVec<[u8; 8]>;

/// From when to when a pod holds its place. What is free is counted twice: as things are now, and as they will be later,
/// when those that leave are gone and those that were promised a place have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Hold {
    /// Now and later.
    #[default]
    Held,
    /// Now only: it was told to stop and is not gone yet.
    Leaving,
    /// Later only: it was promised the place that others are leaving.
    Promised,
}

impl Hold {
    /// Does it take from what is free now?
    pub fn is_now(self) -> bool {
        self != Hold::Promised
    }

    /// Does it take from what is free later?
    pub fn is_later(self) -> bool {
        self != Hold::Leaving
    }
}

/// All that placement can see of a node. Equal states are one class.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeState {
    /// What the node offers when empty.
    pub shape: Shared<NodeShape>,
    /// What is left of it now.
    pub free: Free,
    /// What is left of it later; `None` where that is the same. See [`NodeState::later`].
    pub later: Option<Box<Free>>,
    /// Which kinds of GPU pods run there, those that leave left out.
    pub kinds: GpuKinds,
}

/// What is free on a node.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Free {
    /// CPU left, thousandths of a core.
    pub cpu_milli: u64,
    /// Memory left, bytes.
    pub memory_bytes: u64,
    /// Pods it may still take.
    pub pods: u32,
    /// What is left of each GPU, by index. 1000 only if it is untouched; rounded down where its memory is known.
    pub gpus: PerGpu<MilliGpu>,
    /// Memory left on each GPU, MiB; empty where the node's GPU memory is unknown.
    pub gpu_mib: PerGpu<u32>,
    /// MIG instances left, in the order of [`NodeShape::mig_instances`].
    pub mig: SmallVec<[u16; 4]>,
    /// What is taken of what few pods ask for; most nodes have nothing of it taken and pay for one word.
    rare: Option<Box<Rare>>,
}

/// What is taken of what few pods ask for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Rare {
    /// Ports of the node, sorted, as often as they are taken.
    ports: Vec<HostPort>,
    /// Amounts of other resources; none is 0.
    others: BTreeMap<Arc<str>, u64>,
}

impl Clone for Free {
    /// States are copied with every change, so the arrays are copied as a whole and not, as derived, one by one.
    fn clone(&self) -> Self {
        Free {
            gpus: SmallVec::from_slice(&self.gpus),
            gpu_mib: SmallVec::from_slice(&self.gpu_mib),
            mig: SmallVec::from_slice(&self.mig),
            rare: self.rare.clone(),
            ..*self
        }
    }
}

impl NodeState {
    /// An empty node of this shape.
    pub fn empty(shape: Shared<NodeShape>) -> Self {
        let free = Free::all_of(&shape);
        NodeState { shape, free, later: None, kinds: GpuKinds::default() }
    }

    /// What is left when those that leave are gone and those that were promised a place have come.
    pub fn later(&self) -> &Free {
        self.later.as_deref().unwrap_or(&self.free)
    }

    /// What is left now and stays left: what a pod that starts at once may take.
    pub fn at_once(&self) -> Cow<'_, Free> {
        match &self.later {
            None => Cow::Borrowed(&self.free),
            Some(later) => Cow::Owned(self.free.least(later)),
        }
    }

    /// Looks at the node as a pod sees it: with what it may take later if it `waits`, else with what it may take at once.
    pub fn seen<T>(&self, waits: bool, look: impl FnOnce(&NodeState) -> T) -> T {
        let Some(later) = &self.later else { return look(self) };
        let free = if waits { Free::clone(later) } else { self.free.least(later) };
        look(&NodeState { shape: self.shape.clone(), free, later: None, kinds: self.kinds })
    }

    /// The GPUs for a request of `count` whole ones, if there are as many. At once: those of lowest index. Later: those
    /// that are leaving first, so that idle ones stay for pods that can start at once.
    pub fn whole_gpus(&self, count: usize, waits: bool) -> Option<GpuIndexes> {
        let Some(later) = &self.later else { return self.free.whole_gpus(count) };
        if !waits {
            return self.free.least(later).whole_gpus(count);
        }
        let mut whole: GpuIndexes = later.whole_gpus(later.gpus_with(GPU))?;
        whole.sort_by_key(|&gpu| (self.free.gpus[usize::from(gpu)] == GPU, gpu));
        whole.truncate(count);
        whole.sort_unstable();
        (whole.len() == count).then_some(whole)
    }

    /// Books what a pod takes. The caller has checked that it fits.
    pub(super) fn take(&mut self, pod: &PodShape, gpus: &[u8], hold: Hold) {
        self.change(hold, |free, node| free.take(node, pod, gpus));
    }

    /// Gives back what a pod took, the inverse of [`NodeState::take`].
    pub(super) fn give_back(&mut self, pod: &PodShape, gpus: &[u8], hold: Hold) {
        self.change(hold, |free, node| free.give_back(node, pod, gpus));
    }

    /// The node with a pod that is promised a place there.
    pub(crate) fn book_later(&mut self, pod: &PodShape, gpus: &[u8]) {
        self.take(pod, gpus, Hold::Promised);
    }

    /// The node without a pod that would leave it.
    pub(crate) fn without(&mut self, place: &super::Placement) {
        self.give_back(&place.shape, &place.gpus, place.hold);
    }

    /// Is there room for a pod found there on these GPUs, as it holds them?
    pub(crate) fn can_seat(&self, pod: &PodShape, gpus: &[u8], hold: Hold) -> bool {
        let distinct =
            gpus.is_sorted_by(|a, b| a < b) && gpus.iter().all(|gpu| usize::from(*gpu) < self.free.gpus.len());
        let fits = |free: &Free| crate::filter::resources::hold_on(&self.shape, free, pod, gpus);
        gpus.len() == pod.gpu.count()
            && distinct
            && crate::filter::mig::allows(&self.shape, pod)
            && (!hold.is_now() || fits(&self.free))
            && (!hold.is_later() || fits(self.later()))
    }

    fn change(&mut self, hold: Hold, change: impl Fn(&mut Free, &NodeShape)) {
        if hold != Hold::Held && self.later.is_none() {
            self.later = Some(Box::new(self.free.clone()));
        }
        if hold.is_now() {
            change(&mut self.free, &self.shape);
        }
        if let Some(later) = &mut self.later {
            if hold.is_later() {
                change(later, &self.shape);
            }
            if **later == self.free {
                self.later = None; // one way to write each state, and nothing costs more once nobody leaves
            }
        }
    }
}

impl Free {
    /// All that an empty node of this shape offers.
    pub fn all_of(shape: &NodeShape) -> Self {
        let known = if shape.gpu_memory_mib > 0 { shape.gpus } else { 0 };
        Free {
            cpu_milli: shape.cpu_milli,
            memory_bytes: shape.memory_bytes,
            pods: shape.pods,
            gpus: SmallVec::from_elem(GPU, shape.gpus),
            gpu_mib: SmallVec::from_elem(shape.gpu_memory_mib, known),
            mig: shape.mig_instances().iter().map(|(_, count)| *count as u16).collect(),
            rare: None,
        }
    }

    /// GPU left over all GPUs, thousandths.
    pub fn gpu_milli(&self) -> u64 {
        self.gpus.iter().map(|left| left.milli()).sum()
    }

    /// How many GPUs have at least this much left.
    pub fn gpus_with(&self, at_least: MilliGpu) -> usize {
        self.gpus.iter().filter(|left| **left >= at_least).count()
    }

    /// The GPUs of lowest index that are whole and free, if there are `count` of them.
    pub fn whole_gpus(&self, count: usize) -> Option<GpuIndexes> {
        let free = (0u8..).zip(&self.gpus).filter(|(_, left)| **left == GPU);
        let found: GpuIndexes = free.map(|(index, _)| index).take(count).collect();
        (found.len() == count).then_some(found)
    }

    /// Has this GPU room for what the request takes of each of its GPUs? The one place that says so.
    pub fn room_on(&self, gpu: u8, node: &NodeShape, request: GpuRequest) -> bool {
        match request {
            GpuRequest::None => true,
            GpuRequest::Share(share) => self.left_after(gpu, node, share).is_some(),
            GpuRequest::Whole(_) => self.gpus.get(usize::from(gpu)) == Some(&GPU),
        }
    }

    /// What is left of a GPU beside one share more, thousandths; `None` where the share does not fit.
    pub fn left_after(&self, gpu: u8, node: &NodeShape, share: Share) -> Option<MilliGpu> {
        let gpu = usize::from(gpu);
        match (self.gpu_mib.get(gpu), share.size) {
            (Some(left), size) => {
                let left = left.checked_sub(size.mib_of(node.gpu_memory_mib))?;
                Some(thousandths(left, node.gpu_memory_mib))
            }
            (None, ShareSize::Milli(milli)) => self.gpus.get(gpu)?.0.checked_sub(milli.0).map(MilliGpu),
            (None, ShareSize::Memory(_)) => None,
        }
    }

    /// MIG instances left of a profile.
    pub fn mig_left(&self, node: &NodeShape, profile: &str) -> u32 {
        mig_index(node, profile).and_then(|index| self.mig.get(index)).map_or(0, |left| u32::from(*left))
    }

    /// The lesser of both, one by one. What fits in it on certain GPUs fits in both on those.
    pub fn least(&self, other: &Free) -> Free {
        Free {
            cpu_milli: self.cpu_milli.min(other.cpu_milli),
            memory_bytes: self.memory_bytes.min(other.memory_bytes),
            pods: self.pods.min(other.pods),
            gpus: self.gpus.iter().zip(&other.gpus).map(|(a, b)| *a.min(b)).collect(),
            gpu_mib: self.gpu_mib.iter().zip(&other.gpu_mib).map(|(a, b)| *a.min(b)).collect(),
            mig: self.mig.iter().zip(&other.mig).map(|(a, b)| *a.min(b)).collect(),
            rare: self.rare_of_both(other),
        }
    }

    /// The ports of the node that are taken, sorted.
    pub fn ports_taken(&self) -> &[HostPort] {
        self.rare.as_ref().map_or(&[], |rare| rare.ports.as_slice())
    }

    /// How much is left of another resource; 0 of one that the node does not offer.
    pub fn other_left(&self, node: &NodeShape, name: &str) -> u64 {
        let taken = self.rare.as_ref().and_then(|rare| rare.others.get(name)).unwrap_or(&0);
        node.others.get(name).map_or(0, |offered| offered.saturating_sub(*taken))
    }

    fn rare_of_both(&self, other: &Free) -> Option<Box<Rare>> {
        let (Some(mine), Some(theirs)) = (&self.rare, &other.rare) else {
            return self.rare.clone().or_else(|| other.rare.clone());
        };
        let mut both = Rare::clone(mine);
        for port in &theirs.ports {
            if both.ports.binary_search(port).is_err() {
                both.ports.push(port.clone());
                both.ports.sort_unstable();
            }
        }
        for (name, amount) in &theirs.others {
            let most = both.others.entry(Arc::clone(name)).or_default();
            *most = (*most).max(*amount);
        }
        Some(Box::new(both))
    }

    fn take_rare(&mut self, pod: &PodShape) {
        let rare = self.rare.get_or_insert_default();
        rare.ports.extend_from_slice(&pod.host_ports);
        rare.ports.sort_unstable();
        for (name, amount) in &pod.others {
            *rare.others.entry(Arc::clone(name)).or_default() += amount;
        }
    }

    fn give_back_rare(&mut self, pod: &PodShape) {
        let Some(rare) = &mut self.rare else { return };
        for port in &pod.host_ports {
            if let Ok(at) = rare.ports.binary_search(port) {
                rare.ports.remove(at);
            }
        }
        for (name, amount) in &pod.others {
            if let Some(taken) = rare.others.get_mut(name) {
                *taken -= amount;
            }
        }
        rare.others.retain(|_, taken| *taken > 0);
        if rare.ports.is_empty() && rare.others.is_empty() {
            self.rare = None; // one way to write each state
        }
    }

    fn take(&mut self, node: &NodeShape, pod: &PodShape, gpus: &[u8]) {
        self.cpu_milli -= pod.cpu_milli;
        self.memory_bytes -= pod.memory_bytes;
        self.pods -= 1;
        for &gpu in gpus {
            self.change_gpu(gpu, node, pod.gpu, |left, part| left - part);
        }
        for (profile, count) in &pod.mig {
            if let Some(index) = mig_index(node, profile) {
                self.mig[index] -= *count as u16;
            }
        }
        if pod.asks_for_what_is_rare() {
            self.take_rare(pod);
        }
    }

    fn give_back(&mut self, node: &NodeShape, pod: &PodShape, gpus: &[u8]) {
        self.cpu_milli += pod.cpu_milli;
        self.memory_bytes += pod.memory_bytes;
        self.pods += 1;
        for &gpu in gpus {
            self.change_gpu(gpu, node, pod.gpu, |left, part| left + part);
        }
        for (profile, count) in &pod.mig {
            if let Some(index) = mig_index(node, profile) {
                self.mig[index] += *count as u16;
            }
        }
        if pod.asks_for_what_is_rare() {
            self.give_back_rare(pod);
        }
    }

    /// Changes what is left of one GPU by what the request takes of each: by MiB where they are known.
    fn change_gpu(&mut self, gpu: u8, node: &NodeShape, request: GpuRequest, change: impl Fn(u32, u32) -> u32) {
        let gpu = usize::from(gpu);
        let Some(left) = self.gpu_mib.get_mut(gpu) else {
            let part = u32::from(request.per_gpu(0).0);
            self.gpus[gpu] = MilliGpu(change(self.gpus[gpu].0.into(), part) as u16);
            return;
        };
        let part = match request {
            GpuRequest::Share(share) => share.size.mib_of(node.gpu_memory_mib),
            _ => node.gpu_memory_mib,
        };
        *left = change(*left, part);
        self.gpus[gpu] = thousandths(*left, node.gpu_memory_mib);
    }
}

/// Part of a GPU's memory as thousandths of the GPU, rounded down, so that 1000 means untouched.
fn thousandths(left_mib: u32, device_mib: u32) -> MilliGpu {
    MilliGpu((u64::from(left_mib) * 1000 / u64::from(device_mib)) as u16)
}

fn mig_index(node: &NodeShape, profile: &str) -> Option<usize> {
    node.mig_instances().iter().position(|(known, _)| known == profile)
}

/// Which kinds of GPU pods run on a node: bit 0 for shares, bit n for pods with n whole GPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct GpuKinds(u32);

impl GpuKinds {
    /// The kind of one request; none for a pod without GPUs.
    pub fn of(request: GpuRequest) -> Self {
        match request {
            GpuRequest::None => GpuKinds(0),
            GpuRequest::Share(_) => GpuKinds(1),
            GpuRequest::Whole(count) => GpuKinds(1 << count),
        }
    }

    /// Are all of `other` in here?
    pub fn contain(self, other: GpuKinds) -> bool {
        self.0 & other.0 == other.0
    }

    /// No GPU pod at all?
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Both together.
    pub fn with(self, other: GpuKinds) -> Self {
        GpuKinds(self.0 | other.0)
    }
}
