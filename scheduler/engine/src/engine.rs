//! The engine as a driver sees it: tell it what happened, ask it what to do.

mod nodes;

use std::collections::BTreeMap;

use crate::cluster::{Hold, Interner, Placement, PodShape, PodSpec, Seat};
use crate::cycle::{self, Context, Pass};
use crate::decision::{Decision, Why};
use crate::event::{Event, EventError};
use crate::filter::volumes::are_reachable;
use crate::gang::{GangSpec, Stage};
use crate::placement::{Demand, Placer, Policy, TieBreak};
use crate::queue::waiting::Waiting;
use crate::queue::{QueueSpec, Queues, UsageBook, shares};
use crate::report::Report;
use crate::reservation::{Reservation, Reservations};
use crate::rules::Rules;
use crate::search::Steps;
use crate::state::{Pod, State, Whereabouts};
use crate::units::{GangId, PodId, QueueId, Timestamp};
use crate::why;

/// How an engine decides; fixed for its life, but for the rules ([`Event::RulesSet`]).
#[derive(Debug, Clone)]
pub struct Config {
    /// Orders the nodes a pod fits on.
    pub policy: Policy,
    /// Decides between nodes the policy finds equally good.
    pub ties: TieBreak,
    /// Where the policy takes its expectation of future pods from.
    pub demand: Demand,
    /// Seed of the `random` policy; no other policy uses it.
    pub seed: u64,
    /// Who goes first, who gives way, and how long anybody waits.
    pub rules: Rules,
}

impl Default for Config {
    fn default() -> Self {
        let (policy, ties, demand) = (Policy::Berth, TieBreak::Rank, Demand::Learnt);
        Config { policy, ties, demand, seed: 0, rules: Rules::default() }
    }
}

/// Cluster, queues, gangs and policy: everything a decision depends on.
#[derive(Debug)]
pub struct Engine {
    state: State,
    waiting: Waiting,
    placer: Placer,
    rules: Rules,
    shapes: Interner<PodShape>,
    report: Report,
    reservations: Reservations,
}

impl Engine {
    /// The queue of pods and gangs that name none; without bounds.
    pub const DEFAULT_QUEUE: QueueId = QueueId(u32::MAX);

    /// An engine that knows of no node and no pod yet.
    pub fn new(config: Config) -> Self {
        let mut state = State::default();
        state.set_queue(Self::DEFAULT_QUEUE, QueueSpec::unlimited("default"));
        let rules = config.rules.clone();
        state.usage = rules.usage.map(UsageBook::new);
        let placer = Placer::new(config);
        Engine {
            state,
            waiting: Waiting::default(),
            placer,
            rules,
            shapes: Interner::new(),
            report: Report::default(),
            reservations: Reservations::default(),
        }
    }

    /// The gang of a pod that was added without one.
    pub fn lone_gang(pod: PodId) -> GangId {
        GangId(pod.former().0)
    }

    /// What there is and who has what, as the engine believes.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Nodes and who holds what of them.
    pub fn cluster(&self) -> &crate::cluster::Cluster {
        &self.state.cluster
    }

    /// The rules in force.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// How many gangs wait with something that could be placed, as of the last cycle.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The first gang that waits in each leaf queue, as of the last cycle.
    pub fn heads(&self) -> BTreeMap<QueueId, GangId> {
        self.waiting.heads().into_iter().map(|(queue, turn)| (queue, turn.gang)).collect()
    }

    /// Takes note of one event.
    ///
    /// # Errors
    /// When the event contradicts what is known; the engine is then as it was before.
    pub fn apply(&mut self, event: Event, now: Timestamp) -> Result<(), EventError> {
        self.count_usage(now);
        match event {
            Event::RulesSet { rules } => self.set_rules(*rules, now),
            Event::UsageRestored { queue, amount_ms, at } => {
                self.known_queue(queue)?;
                if let Some(usage) = &mut self.state.usage {
                    usage.restore(queue, at.min(now), now, amount_ms);
                }
            }
            Event::NodeAdded { node, spec } => self.add_node(node, spec)?,
            Event::NodeChanged { node, spec } => self.change_node(node, spec)?,
            Event::NodeRemoved { node } => self.remove_node(node)?,
            Event::VolumeLimits { node, limits } => {
                self.state.cluster.state(node).ok_or(EventError::NoSuchNode { node })?;
                self.state.volumes.set_limits(node, limits);
            }
            Event::TopologySet { name, levels } => {
                let cluster = &self.state.cluster;
                let nodes = cluster.nodes().keys().filter_map(|id| Some((*id, &cluster.state(*id)?.shape.labels)));
                self.state.topologies.set(&name, levels, nodes);
            }
            Event::QueueSet { queue, spec } => self.set_queue(queue, spec)?,
            Event::QueueRemoved { queue } => {
                self.known_queue(queue)?;
                if !self.state.queues.children(Some(queue)).is_empty() || self.has_gangs(queue) {
                    return Err(EventError::QueueInUse { name: self.queue_name(queue) });
                }
                self.state.remove_queue(queue);
            }
            Event::BudgetSet { name, budget } => {
                self.state.budgets.insert(name, budget);
            }
            Event::GangAdded { gang, spec } => return self.add_gang(gang, spec), // makes no room
            Event::GangChanged { gang, spec } => self.change_gang(gang, spec)?,
            Event::GangRemoved { gang } => {
                let known = self.state.gangs.get(&gang).ok_or(EventError::NoSuchGang { gang })?;
                if known.pods().next().is_some() {
                    return Err(EventError::GangInUse { name: known.spec.name.to_string() });
                }
                self.forget_gang(gang);
            }
            Event::PodAdded { pod, spec } => return self.add_pod(pod, spec, now),
            Event::VolumesChanged { pod, volumes } => {
                let gang = self.state.pods.get(&pod).ok_or(EventError::NoSuchPod { pod })?.gang;
                self.state.set_volumes(pod, volumes);
                let there = self.state.whereabouts(pod);
                if matches!(there.stage, Stage::Nominated { .. }) && !are_reachable(&self.state, pod) {
                    self.promise_falls(pod, there);
                    self.promises_fall_together(gang);
                }
                self.pod_changed(pod);
            }
            Event::PodGone { pod } => self.pod_gone(pod, false)?,
            Event::PodSucceeded { pod } => self.pod_gone(pod, true)?,
            Event::BindFailed { pod } => {
                self.back_to_waiting(pod, |stage| stage == Stage::Placed)?;
                let gang = self.state.pods.get(&pod).map(|pod| pod.gang);
                if let Some(gang) = gang.and_then(|gang| self.state.gangs.get_mut(&gang)) {
                    gang.start_failed(now, 0);
                }
            }
            Event::NominationExpired { pod } => {
                self.back_to_waiting(pod, |stage| matches!(stage, Stage::Nominated { .. }))?;
            }
            Event::Confirmed { pod } => self.confirm(pod, now)?,
            Event::PodStuck { pod } => {
                let there = self.state.whereabouts(pod);
                let place = there.place.filter(|_| there.stage == Stage::Evicted);
                let place = place.ok_or(EventError::NotPlaced { pod })?;
                self.state.set(pod, Whereabouts::at(Stage::Stuck, place));
                self.pod_changed(pod);
            }
        }
        self.state.settle_narrowed();
        self.waiting.unblock();
        Ok(())
    }

    /// Decides everything that can be decided now, and books it. Call it when the batch of events is drained.
    pub fn decide(&mut self, now: Timestamp) -> Vec<Decision> {
        self.run(&Pass::ALL, now)
    }

    /// Runs only some passes of a cycle, with fair shares worked out first.
    pub fn run(&mut self, passes: &[Pass], now: Timestamp) -> Vec<Decision> {
        self.count_usage(now);
        shares::divide(&mut self.state);
        self.run_further(passes, now)
    }

    /// Runs further passes of a cycle: fair shares stay as they were at its start.
    pub fn run_further(&mut self, passes: &[Pass], now: Timestamp) -> Vec<Decision> {
        self.with_context(now, |context| cycle::run(context, passes))
    }

    /// Why a gang waits, with the smallest change that would admit it: more thorough than what a cycle tells everybody.
    /// `None` for one that does not wait, or that would be placed now.
    pub fn explain(&mut self, gang: GangId, now: Timestamp) -> Option<Why> {
        self.with_context(now, |context| why::full(context, gang))
    }

    fn with_context<T>(&mut self, now: Timestamp, work: impl FnOnce(&mut Context<'_>) -> T) -> T {
        let mut steps = Steps { left: self.rules.steps_per_cycle };
        let mut context = Context {
            state: &mut self.state,
            waiting: &mut self.waiting,
            placer: &mut self.placer,
            rules: &self.rules,
            now,
            steps: &mut steps,
            report: &mut self.report,
            reservations: &mut self.reservations,
        };
        work(&mut context)
    }

    /// Counts what queues have held until now, before anything changes.
    fn count_usage(&mut self, now: Timestamp) {
        let State { usage, queues, .. } = &mut self.state;
        if let Some(usage) = usage {
            usage.advance(queues, now);
        }
    }

    /// What a queue has used of late, in GPU-thousandths times ms; 0 where the rules do not count it.
    pub fn usage_ms(&self, queue: QueueId) -> u128 {
        self.state.usage.as_ref().map_or(0, |usage| usage.of(queue))
    }

    /// Starts or stops writing down every step of a cycle, for [`Engine::take_trace`].
    pub fn set_tracing(&mut self, on: bool) {
        self.report.set_tracing(on);
    }

    /// What was written down since the last call, a line per step.
    pub fn take_trace(&mut self) -> Vec<String> {
        self.report.take_trace()
    }

    /// Whatever was worked out by the old rules is worked out anew.
    fn set_rules(&mut self, rules: Rules, now: Timestamp) {
        let usage = self.state.usage.take();
        self.state.usage = rules.usage.map(|rule| match usage {
            Some(usage) => usage.under(rule, now),
            None => UsageBook::new(rule),
        });
        self.rules = rules;
        self.state.queues.all_stale();
        self.reservations.forget_all();
        for gang in self.state.gangs.keys() {
            self.waiting.changed(*gang);
        }
    }

    fn set_queue(&mut self, queue: QueueId, spec: QueueSpec) -> Result<(), EventError> {
        if let Some(parent) = spec.parent {
            if !self.state.queues.all().contains_key(&parent) {
                return Err(EventError::NoSuchQueue { queue: parent });
            }
            if self.state.queues.is_under(parent, queue) {
                return Err(EventError::QueueUnderItself { name: spec.name });
            }
            if self.has_gangs(parent) {
                return Err(EventError::QueueNotLeaf { name: self.queue_name(parent) });
            }
        }
        self.state.set_queue(queue, spec);
        Ok(())
    }

    fn has_gangs(&self, queue: QueueId) -> bool {
        self.state.gangs.values().any(|gang| gang.spec.queue == queue)
    }

    fn known_queue(&self, queue: QueueId) -> Result<(), EventError> {
        self.state.queues.get(queue).map(|_| ()).ok_or(EventError::NoSuchQueue { queue })
    }

    fn queue_name(&self, queue: QueueId) -> String {
        self.state.queues.get(queue).map(|queue| queue.spec.name.clone()).unwrap_or_default()
    }

    fn add_gang(&mut self, gang: GangId, spec: GangSpec) -> Result<(), EventError> {
        if self.state.gangs.contains_key(&gang) {
            return Err(EventError::GangTwice { gang, name: spec.name.to_string() });
        }
        self.known_queue(spec.queue)?;
        if !self.state.queues.children(Some(spec.queue)).is_empty() {
            return Err(EventError::QueueNotLeaf { name: self.queue_name(spec.queue) });
        }
        self.state.add_gang(gang, spec);
        Ok(())
    }

    fn change_gang(&mut self, gang: GangId, spec: GangSpec) -> Result<(), EventError> {
        let known = self.state.gangs.get(&gang).ok_or(EventError::NoSuchGang { gang })?;
        if known.spec.queue != spec.queue || known.spec.preemptible != spec.preemptible || !known.has_tree(&spec.tree) {
            return Err(EventError::GangFixed { name: spec.name.to_string() });
        }
        self.state.change_gang(gang, |known| known.change(spec));
        self.waiting.changed(gang);
        Ok(())
    }

    fn add_pod(&mut self, id: PodId, spec: PodSpec, now: Timestamp) -> Result<(), EventError> {
        if self.state.pods.contains_key(&id) || id.0 > PodId::DRIVERS_MAX {
            return Err(EventError::PodTwice { pod: id, name: spec.name });
        }
        let mut shape = spec.shape;
        if !shape.gpu.is_possible() {
            return Err(EventError::BadGpuRequest { name: spec.name, asked: shape.gpu });
        }
        if !shape.is_possible() {
            return Err(EventError::BadMigRequest { name: spec.name });
        }
        if !shape.wants_gpu() {
            shape.gpu_models.clear(); // says nothing about a pod that wants no GPU
        }
        shape.others.retain(|_, amount| *amount > 0);
        let (gang, leaf) = match &spec.gang {
            None => (Self::lone_gang(id), 0),
            Some(member) => {
                let gang = self.state.gangs.get(&member.gang).ok_or(EventError::NoSuchGang { gang: member.gang })?;
                let subgroup =
                    || EventError::NoSuchSubgroup { name: spec.name.clone(), subgroup: member.subgroup.clone() };
                (member.gang, gang.tree.leaf_named(&member.subgroup).ok_or_else(subgroup)?)
            }
        };
        if let Some(seat) = &spec.seat {
            self.check_seat(&spec.name, seat, &shape)?;
        }
        let shape = self.shapes.intern(shape);
        self.placer.observe(&self.state.cluster, &shape);
        if spec.gang.is_none() {
            let lone = GangSpec::lone(Self::DEFAULT_QUEUE, spec.priority.into(), now);
            self.state.add_gang(gang, lone);
        }
        let terms = spec.terms.map(std::sync::Arc::new);
        let pod = Pod {
            name: spec.name.into(),
            gang,
            leaf,
            order: spec.order,
            shape: shape.clone(),
            stage: Stage::Pending,
            terms,
            gone: false,
        };
        let predecessor = self.state.predecessor(&pod);
        self.state.add_pod(id, pod);
        if let Some(predecessor) = predecessor {
            let promise = self.state.whereabouts(predecessor);
            self.forget_pod(predecessor);
            self.state.set(id, promise);
        }
        match spec.seat {
            Some(Seat { stage, node, gpus }) => {
                let place = Placement { shape, node, gpus, hold: Hold::default() };
                self.state.set(id, Whereabouts::at(stage, place));
            }
            None => self.report.owe(gang),
        }
        self.waiting.changed(gang);
        Ok(())
    }

    /// A pod that runs somewhere already must be possible there: the driver is asked to look again otherwise.
    fn check_seat(&self, name: &str, seat: &Seat, shape: &PodShape) -> Result<(), EventError> {
        let node = self.state.cluster.state(seat.node).ok_or(EventError::NoSuchNode { node: seat.node })?;
        let hold = seat.stage.hold().filter(|hold| node.can_seat(shape, &seat.gpus, *hold));
        hold.map(|_| ()).ok_or_else(|| EventError::NoSeat { name: name.to_owned(), node: seat.node })
    }

    fn pod_gone(&mut self, pod: PodId, succeeded: bool) -> Result<(), EventError> {
        let gang = self.state.pods.get(&pod).ok_or(EventError::NoSuchPod { pod })?.gang;
        if !succeeded && self.state.has_left(pod) {
            return Ok(());
        }
        if succeeded && let Some(gang) = self.state.gangs.get_mut(&gang) {
            gang.spec.succeeded += 1;
        }
        if self.state.whereabouts(pod).place.is_some() {
            self.reservations.departures += 1;
        }
        self.forget_pod(pod);
        self.promises_fall_together(gang);
        Ok(())
    }

    /// What a waiting gang has reserved.
    pub fn reservation(&self, gang: GangId) -> Option<&Reservation> {
        self.reservations.of(gang)
    }

    /// Takes a pod out, and its gang where nothing else could ever be in it.
    fn forget_pod(&mut self, pod: PodId) {
        let Some(gang) = self.state.remove_pod(pod) else { return };
        if gang == Self::lone_gang(pod) {
            self.forget_gang(gang);
        } else {
            self.waiting.changed(gang);
        }
    }

    fn forget_gang(&mut self, gang: GangId) {
        self.state.remove_gang(gang);
        self.report.forget(gang);
        self.waiting.changed(gang);
        self.waiting.refresh(&self.state, &self.rules, gang);
    }

    fn back_to_waiting(&mut self, pod: PodId, is: impl Fn(Stage) -> bool) -> Result<(), EventError> {
        let there = self.state.whereabouts(pod);
        if !self.state.pods.contains_key(&pod) {
            return Err(EventError::NoSuchPod { pod });
        }
        if !is(there.stage) {
            return Err(EventError::NotPlaced { pod });
        }
        self.promise_falls(pod, there);
        Ok(())
    }

    fn confirm(&mut self, pod: PodId, now: Timestamp) -> Result<(), EventError> {
        let there = self.state.whereabouts(pod);
        let place = there.place.filter(|_| matches!(there.stage, Stage::Placed | Stage::Running));
        let place = place.ok_or(EventError::NotPlaced { pod })?;
        let Some(gang) = self.state.pods.get(&pod).map(|pod| pod.gang) else { return Ok(()) };
        let runs = |pod: PodId| self.state.pods.get(&pod).is_some_and(|pod| pod.stage == Stage::Running);
        let goes_on = self.state.gangs.get(&gang).is_some_and(|gang| gang.pods().any(runs));
        self.state.set(pod, Whereabouts::at(Stage::Running, place));
        self.state.change_gang(gang, |gang| {
            // One that starts again has lost what it did before; what is told of a start is believed while it goes on.
            gang.spec.started = gang.spec.started.filter(|_| goes_on).or(Some(now));
            (gang.failures, gang.not_before) = (0, None);
        });
        Ok(())
    }

    fn pod_changed(&mut self, pod: PodId) {
        if let Some(pod) = self.state.pods.get(&pod) {
            self.waiting.changed(pod.gang);
            self.report.owe(pod.gang);
        }
    }

    /// The queues and their accounts.
    pub fn queues(&self) -> &Queues {
        &self.state.queues
    }
}
