//! Plays a scenario on the engine, round by round (FORMAT.md, section 3). The only place that asks the engine.
//! Owns ids for names, and what happens between rounds. Judges nothing, but that the engine's decisions tell all that it
//! booked.

mod events;
mod shares;

use std::collections::BTreeMap;

use berth_engine::decision::{Assigned, EvictCause};
use berth_engine::gang::Stage;
use berth_engine::queue::UsageRule;
use berth_engine::{
    Config, Decision as Told, Engine, Event as Happens, EventError, GangId, NodeId, Pass, PodId, Policy, QueueId,
    Rules, Seat, Timestamp,
};

use super::convert;
use super::format::{Job, Mode, Node, PolicySet, Scenario, Task, TaskState};
use super::played::{self, Action, Decision, Played, Round, State, TaskNow};
use super::text::show_seconds;
use super::world::World;

/// The present, when a scenario starts: late enough for any age before it.
const START: Timestamp = Timestamp(1 << 52);

/// What a round does, in order.
const CYCLE: [(Mode, Pass); 5] = [
    (Mode::Allocate, Pass::Allocate),
    (Mode::Consolidate, Pass::Consolidate),
    (Mode::Reclaim, Pass::Reclaim),
    (Mode::Preempt, Pass::Preempt),
    (Mode::StaleGang, Pass::Stale),
];

/// Why a scenario could not be played; the scenario has to be changed.
#[derive(Debug, thiserror::Error)]
pub enum PlayError {
    /// The engine refused what the scenario says.
    #[error("the engine refuses this scenario")]
    Refused(#[from] EventError),
    /// An event to which nothing answers.
    #[error("step at {at}: nothing to {event} under the name `{name}` then; it is in no state for it")]
    Idle {
        /// When.
        at: String,
        /// What should have happened.
        event: &'static str,
        /// To what.
        name: String,
    },
}

/// Plays a whole scenario: its rounds, then its steps with theirs, then the rounds in which nothing may flap. With
/// `tracing` the rounds report what went on in them.
///
/// # Errors
/// When it cannot be played as it is.
pub fn play(scenario: &Scenario, set: PolicySet, tracing: bool) -> Result<Played, PlayError> {
    let mut player = Player::new(scenario, set)?;
    player.engine.set_tracing(tracing);
    player.tracing = tracing;
    let passes: &[(Mode, Pass)] = match CYCLE.iter().position(|(mode, _)| *mode == scenario.run.mode) {
        Some(index) => &CYCLE[index..=index],
        None => &CYCLE,
    };
    let settles = scenario.run.mode == Mode::Cycle;
    let mut rounds = Vec::new();
    for _ in 0..scenario.run.rounds {
        rounds.push(player.round(passes, settles)?);
    }
    for (index, step) in scenario.steps.iter().enumerate() {
        player.now = Timestamp(START.0 + convert::ms(step.at_seconds));
        for event in &step.events {
            player.happens(event, &show_seconds(step.at_seconds))?;
        }
        for number in 0..step.rounds {
            let round = player.round(passes, settles)?;
            rounds.push(Round { step: (number == 0).then_some(index), ..round });
        }
    }
    for _ in 0..scenario.run.stable_rounds {
        rounds.push(player.round(passes, settles)?);
    }
    Ok(Played { rounds })
}

/// The engine configured for a set of rules.
fn config(scenario: &Scenario, set: PolicySet) -> Config {
    let (policy, rules) = match set {
        PolicySet::Kai => (Policy::Pack, Rules::kai()),
        PolicySet::Default => (Policy::Berth, Rules::default()),
    };
    let run = &scenario.run;
    let usage =
        run.usage_half_life_seconds.map(|seconds| UsageRule { half_life_ms: convert::ms(seconds), factor_milli: 1000 });
    let rules = Rules {
        stale_grace: convert::stale_grace(run.stale_grace_seconds),
        start_timeout_ms: run.start_timeout_seconds.map(convert::ms).or(rules.start_timeout_ms),
        usage: usage.or(rules.usage),
        ..rules
    };
    Config { policy, rules, ..Config::default() }
}

struct Player {
    engine: Engine,
    now: Timestamp,
    world: World,
    nodes: BTreeMap<String, NodeId>,
    queues: BTreeMap<String, QueueId>,
    gangs: BTreeMap<String, GangId>,
    /// Tasks that wait or hold something.
    pods: BTreeMap<String, PodId>,
    names: BTreeMap<PodId, String>,
    /// Tasks that are over.
    over: BTreeMap<String, TaskState>,
    /// What jobs were told last of why they wait.
    waits: BTreeMap<String, String>,
    /// Does a promise outlive its round?
    promises_stand: bool,
    /// Are rounds to report what goes on in them?
    tracing: bool,
    ids: u64,
}

impl Player {
    fn new(scenario: &Scenario, set: PolicySet) -> Result<Self, PlayError> {
        let mut player = Player {
            engine: Engine::new(config(scenario, set)),
            now: START,
            world: World::of(scenario),
            nodes: BTreeMap::new(),
            queues: BTreeMap::new(),
            gangs: BTreeMap::new(),
            pods: BTreeMap::new(),
            names: BTreeMap::new(),
            over: BTreeMap::new(),
            waits: BTreeMap::new(),
            promises_stand: set == PolicySet::Default,
            tracing: false,
            ids: 0,
        };
        for topology in &scenario.topologies {
            player.tell(Happens::TopologySet { name: topology.name.clone(), levels: topology.levels.clone() })?;
        }
        player.set_queues()?;
        for queue in scenario.queues.iter().filter(|queue| queue.used_gpu_seconds > 0) {
            let amount_ms = u128::from(queue.used_gpu_seconds) * 1000 * 1000;
            player.tell(Happens::UsageRestored { queue: player.queues[&queue.name], amount_ms, at: player.now })?;
        }
        for node in player.world.nodes.clone().values() {
            player.add_node(node)?;
        }
        let initial = played::initial(&player.world);
        let jobs = player.world.jobs.clone();
        for job in jobs.values() {
            player.add_gang(job)?;
        }
        // Whoever is promised a place comes after those who leave it.
        for promised in [false, true] {
            for job in jobs.values() {
                player.add_tasks(job, &initial, promised)?;
            }
        }
        player.set_budgets()?;
        Ok(player)
    }

    fn tell(&mut self, event: Happens) -> Result<(), EventError> {
        self.engine.apply(event, self.now)
    }

    fn fresh_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    /// Tells all queues, parents before children, else in the file's order, which is that of their age.
    fn set_queues(&mut self) -> Result<(), EventError> {
        let mut queues = self.world.queues.clone();
        queues.sort_by_key(|queue| self.world.lineage(&queue.name).len());
        for queue in queues {
            let next = QueueId(self.queues.len() as u32);
            let id = *self.queues.entry(queue.name.clone()).or_insert(next);
            let parent = queue.parent.as_ref().and_then(|parent| self.queues.get(parent)).copied();
            self.tell(Happens::QueueSet { queue: id, spec: convert::queue(&queue, parent) })?;
        }
        Ok(())
    }

    /// Tells how many of the tasks under each budget may be taken away, as things stand.
    fn set_budgets(&mut self) -> Result<(), EventError> {
        for budget in self.world.budgets.clone() {
            let members: Vec<&str> = self.world.protected_by(&budget).map(|task| task.name.as_str()).collect();
            let running = members.iter().filter(|name| self.task_now(name).state == TaskState::Running).count();
            let told = convert::budget(&budget, members.len(), running);
            self.tell(Happens::BudgetSet { name: budget.name.clone(), budget: told })?;
        }
        Ok(())
    }

    fn add_node(&mut self, node: &Node) -> Result<(), EventError> {
        let next = NodeId(self.fresh_id() as u32);
        let id = *self.nodes.entry(node.name.clone()).or_insert(next);
        self.tell(Happens::NodeAdded { node: id, spec: convert::node(node) })
    }

    fn add_gang(&mut self, job: &Job) -> Result<(), EventError> {
        let gang = GangId(self.fresh_id());
        self.gangs.insert(job.name.clone(), gang);
        let queue = self.queues.get(&job.queue).copied().unwrap_or(Engine::DEFAULT_QUEUE);
        let succeeded = job.tasks.iter().filter(|task| task.state == TaskState::Succeeded).count() as u32;
        self.tell(Happens::GangAdded { gang, spec: convert::gang(job, queue, succeeded, self.now) })
    }

    /// Adds the tasks of a job that are promised a place, or all others.
    fn add_tasks(&mut self, job: &Job, initial: &State, promised: bool) -> Result<(), EventError> {
        for task in &job.tasks {
            let now = initial.get(&task.name).cloned().unwrap_or_default();
            match now.state {
                state if promised != (state == TaskState::Nominated) => {}
                TaskState::Succeeded | TaskState::Failed => drop(self.over.insert(task.name.clone(), now.state)),
                _ => self.add_task(&job.name, task, &now)?,
            }
        }
        Ok(())
    }

    fn add_task(&mut self, job: &str, task: &Task, now: &TaskNow) -> Result<(), EventError> {
        let Some(&gang) = self.gangs.get(job) else { return Ok(()) };
        let pod = PodId(self.fresh_id());
        let spec = berth_engine::PodSpec { seat: self.seat(now), ..convert::pod(task, gang) };
        self.tell(Happens::PodAdded { pod, spec })?;
        self.pods.insert(task.name.clone(), pod);
        self.names.insert(pod, task.name.clone());
        Ok(())
    }

    fn seat(&self, now: &TaskNow) -> Option<Seat> {
        let stage = match now.state {
            TaskState::Nominated => Stage::Nominated { counted: false },
            TaskState::Placed => Stage::Placed,
            TaskState::Running => Stage::Running,
            TaskState::Evicted => Stage::Evicted,
            TaskState::Stuck => Stage::Stuck,
            TaskState::Pending | TaskState::Succeeded | TaskState::Failed => return None,
        };
        let node = *self.nodes.get(now.node.as_deref()?)?;
        Some(Seat { stage, node, gpus: convert::devices(&now.devices) })
    }

    /// How far a task is, as the engine has it.
    fn task_now(&self, name: &str) -> TaskNow {
        let Some(pod) = self.pods.get(name) else {
            let state = self.over.get(name).copied().unwrap_or_default();
            return TaskNow { state, ..TaskNow::default() };
        };
        let there = self.engine.state().whereabouts(*pod);
        let state = match there.stage {
            Stage::Pending => TaskState::Pending,
            Stage::Nominated { .. } => TaskState::Nominated,
            Stage::Placed => TaskState::Placed,
            Stage::Running => TaskState::Running,
            Stage::Evicted => TaskState::Evicted,
            Stage::Stuck => TaskState::Stuck,
        };
        let node = there.place.as_ref().map(|place| self.node_name(place.node));
        let devices = there.place.iter().flat_map(|place| place.gpus.iter().map(|gpu| u32::from(*gpu))).collect();
        TaskNow { state, node, devices }
    }

    fn node_name(&self, id: NodeId) -> String {
        self.engine.cluster().nodes().get(&id).map(|node| node.name.clone()).unwrap_or_default()
    }

    fn task_name(&self, pod: PodId) -> String {
        self.names.get(&pod).cloned().unwrap_or_default()
    }

    fn state(&self) -> State {
        self.world.tasks().map(|(_, task)| (task.name.clone(), self.task_now(&task.name))).collect()
    }

    fn round(&mut self, passes: &[(Mode, Pass)], settles: bool) -> Result<Round, EventError> {
        let mut round = Round { start: self.state(), ..Round::default() };
        let held = if self.tracing { self.held() } else { shares::Held::new() };
        for (index, (kind, pass)) in passes.iter().enumerate() {
            let told = match index {
                0 => self.engine.run(&[*pass], self.now),
                _ => self.engine.run_further(&[*pass], self.now),
            };
            if self.tracing && index == 0 {
                round.report.extend(self.shares(&held));
            }
            let mut after = round.end().clone();
            told.iter().for_each(|one| self.carry_out(one, &mut after));
            let state = self.state();
            round.untold.extend(untold(kind.word(), &after, &state));
            let decisions = told.iter().flat_map(|one| self.decisions(one)).collect();
            self.hear_reasons(&told);
            round.actions.push(Action { kind: *kind, decisions, state });
            round.report.extend(self.engine.take_trace());
        }
        let end = round.end().clone();
        let pending = |task: &Task| end.get(&task.name).is_some_and(|now| now.state == TaskState::Pending);
        self.waits.retain(|job, _| self.world.jobs.get(job).is_some_and(|job| job.tasks.iter().any(pending)));
        round.waits = self.waits.clone();
        if settles {
            self.settle()?;
        }
        round.settled = self.state();
        Ok(round)
    }

    /// What a driver would make of a decision, which knows nothing but that.
    fn carry_out(&self, told: &Told, state: &mut State) {
        let mut put = |one: &Assigned, stage: TaskState| {
            let node = Some(self.node_name(one.slot.node));
            let devices = one.slot.gpus.iter().map(|gpu| u32::from(*gpu)).collect();
            state.insert(self.task_name(one.slot.pod), TaskNow { state: stage, node, devices });
        };
        match told {
            Told::Bind { pods, .. } => pods.iter().for_each(|one| put(one, TaskState::Placed)),
            Told::Nominate { pods, .. } => pods.iter().for_each(|one| put(one, TaskState::Nominated)),
            Told::Evict { pods, .. } => {
                for pod in pods {
                    let now = state.entry(self.task_name(*pod)).or_default();
                    match now.state {
                        TaskState::Nominated => *now = TaskNow::default(),
                        _ => now.state = TaskState::Evicted,
                    }
                }
            }
            Told::Reserve { .. } | Told::Wait { .. } => {}
        }
    }

    fn hear_reasons(&mut self, told: &[Told]) {
        for one in told {
            if let Told::Wait { gang, why, .. } = one
                && let Some(job) = self.job_name(*gang)
            {
                self.waits.insert(job, why.to_string());
            }
        }
    }

    fn job_name(&self, gang: GangId) -> Option<String> {
        self.engine.state().gangs().get(&gang).map(|gang| gang.spec.name.to_string())
    }

    /// A decision in the words of the scenario.
    fn decisions(&self, told: &Told) -> Vec<Decision> {
        match told {
            Told::Bind { pods, .. } => pods.iter().map(|one| self.assigned(one, false)).collect(),
            Told::Nominate { pods, .. } => pods.iter().map(|one| self.assigned(one, true)).collect(),
            Told::Evict { pods, claimant, cause, .. } => {
                // One that moves is told of where it goes.
                let stays = |pod: &&PodId| self.engine.state().whereabouts(**pod).former.is_none();
                let evict = |pod: &PodId| Decision::Evict {
                    task: self.task_name(*pod),
                    claimant: claimant.and_then(|gang| self.job_name(gang)),
                    cause: cause_told(*cause).map(str::to_owned),
                };
                pods.iter().filter(stays).map(evict).collect()
            }
            Told::Reserve { gang, from } => {
                let seconds = |from: &Timestamp| from.0.saturating_sub(START.0) / 1000;
                let job = self.job_name(*gang).unwrap_or_default();
                vec![Decision::Reserve { job, from_seconds: from.as_ref().map(seconds) }]
            }
            Told::Wait { .. } => Vec::new(),
        }
    }

    fn assigned(&self, one: &Assigned, promised: bool) -> Decision {
        let pod = self.engine.state().pods().get(&one.slot.pod);
        let shares = pod.is_some_and(|pod| pod.shape.gpu.as_share().is_some());
        let devices = one.slot.gpus.iter().map(|gpu| u32::from(*gpu)).filter(|_| shares).collect();
        let (task, node) = (self.task_name(one.slot.pod), self.node_name(one.slot.node));
        if !promised {
            return Decision::Place { task, node, devices };
        }
        let former = self.engine.state().whereabouts(one.slot.pod).former;
        Decision::Nominate { task, node, devices, from: former.map(|place| self.node_name(place.node)) }
    }

    /// What happens to tasks between two rounds.
    fn settle(&mut self) -> Result<(), EventError> {
        let tasks: Vec<(Job, Task)> = self.world.tasks().map(|(job, task)| (job.clone(), task.clone())).collect();
        for (job, task) in tasks {
            let Some(&pod) = self.pods.get(&task.name) else { continue };
            let there = self.engine.state().whereabouts(pod);
            match there.stage {
                Stage::Placed if !task.never_starts => self.tell(Happens::Confirmed { pod })?,
                Stage::Nominated { .. } => self.settle_promise(&job, &task, pod, there.former.is_some())?,
                Stage::Evicted if !job.terminates_slowly => self.lose(&job, &task)?,
                _ => {}
            }
        }
        self.set_budgets()
    }

    /// A promise is not kept over a round under the rules of FORMAT.md; under our own it stands, and passes on to the pod
    /// that is made anew for one that moves.
    fn settle_promise(&mut self, job: &Job, task: &Task, pod: PodId, moves: bool) -> Result<(), EventError> {
        if !self.promises_stand {
            self.tell(Happens::NominationExpired { pod })?;
        }
        if moves && !job.terminates_slowly { self.lose(job, task) } else { Ok(()) }
    }

    /// A task is gone; its owner makes it anew, if there is one.
    fn lose(&mut self, job: &Job, task: &Task) -> Result<(), EventError> {
        if let Some(pod) = self.pods.remove(&task.name)
            && self.engine.state().pods().contains_key(&pod)
        {
            self.tell(Happens::PodGone { pod })?;
        }
        if job.bare {
            self.over.insert(task.name.clone(), TaskState::Failed);
            return Ok(());
        }
        self.add_task(&job.name, task, &TaskNow::default())
    }
}

/// Where what was booked is not what the decisions say.
fn untold(action: &str, told: &State, booked: &State) -> Vec<String> {
    let differs = |(name, is): &(&String, &TaskNow)| told.get(*name) != Some(is);
    let sentence = |(name, is): (&String, &TaskNow)| {
        let on = is.node.as_ref().map(|node| format!(" on `{node}`")).unwrap_or_default();
        format!("after {action}: task `{name}` is {}{on} in the engine's books, and no decision says so", is.state)
    };
    booked.iter().filter(differs).map(sentence).collect()
}

/// Why a task is evicted, where no claimant says it.
fn cause_told(cause: EvictCause) -> Option<&'static str> {
    match cause {
        EvictCause::Stale => Some("its gang is broken"),
        EvictCause::StartTimeout => Some("its gang took too long to start"),
        EvictCause::Consolidate | EvictCause::Reclaim | EvictCause::Preempt => None,
    }
}
