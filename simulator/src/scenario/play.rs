//! Plays a scenario on the engine, round by round (FORMAT.md, section 3). The only place that asks the engine.
//! Owns ids for names, and what happens between rounds. Judges nothing.

use std::collections::{BTreeMap, BTreeSet};

use berth_engine::decision::{Assigned, EvictCause};
use berth_engine::gang::Stage;
use berth_engine::rules::Rules;
use berth_engine::{
    Config, Decision as Told, Engine, Event as Happens, EventError, GangId, NodeId, Pass, PodId, Policy, QueueId, Seat,
    Timestamp,
};

use super::convert;
use super::format::{Event, Job, Mode, PolicySet, Scenario, Task, TaskState};
use super::played::{self, Action, Decision, Played, Round, State, TaskNow};
use super::world::World;

/// The present, when a scenario starts: late enough for any age before it.
const START: Timestamp = Timestamp(1 << 52);

/// Plays a whole scenario.
///
/// # Errors
/// When the engine refuses what the scenario says; a validated scenario is at fault only where a task could not be where it
/// is said to be.
pub fn play(scenario: &Scenario, set: PolicySet, tracing: bool) -> Result<Played, EventError> {
    let mut player = Player::new(scenario, set)?;
    player.engine.set_tracing(tracing);
    let mut rounds = Vec::new();
    let passes: &[(Mode, Pass)] = match CYCLE.iter().position(|(mode, _)| *mode == scenario.run.mode) {
        Some(index) => &CYCLE[index..=index],
        None => &CYCLE,
    };
    let whole = scenario.run.mode == Mode::Cycle;
    for _ in 0..scenario.run.rounds + scenario.run.stable_rounds {
        rounds.push(player.round(passes, whole, None)?);
    }
    for (index, step) in scenario.steps.iter().enumerate() {
        player.now = Timestamp(START.0 + convert::ms(step.at_seconds));
        for event in &step.events {
            player.happens(event)?;
        }
        for _ in 0..step.rounds {
            rounds.push(player.round(passes, whole, Some(index))?);
        }
    }
    Ok(Played { rounds })
}

/// What a round does, in order.
const CYCLE: [(Mode, Pass); 5] = [
    (Mode::Allocate, Pass::Allocate),
    (Mode::Consolidate, Pass::Consolidate),
    (Mode::Reclaim, Pass::Reclaim),
    (Mode::Preempt, Pass::Preempt),
    (Mode::StaleGang, Pass::Stale),
];

/// The engine configured for a set of rules.
fn config(scenario: &Scenario, set: PolicySet) -> Config {
    let (policy, rules) = match set {
        PolicySet::Kai => (Policy::Pack, Rules::kai()),
        PolicySet::Default => (Policy::Berth, Rules::default()),
    };
    let rules = Rules { stale_grace: convert::stale_grace(scenario.run.stale_grace_seconds), ..rules };
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
    ids: u64,
}

impl Player {
    fn new(scenario: &Scenario, set: PolicySet) -> Result<Self, EventError> {
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
            ids: 0,
        };
        for topology in &scenario.topologies {
            player.tell(Happens::TopologySet { name: topology.name.clone(), levels: topology.levels.clone() })?;
        }
        for queue in &scenario.queues {
            player.number_queue(&queue.name);
        }
        player.set_queues()?;
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

    fn number_queue(&mut self, name: &str) {
        let next = QueueId(self.queues.len() as u32);
        self.queues.entry(name.to_owned()).or_insert(next);
    }

    /// Tells all queues, parents before children, else in the file's order.
    fn set_queues(&mut self) -> Result<(), EventError> {
        let mut queues = self.world.queues.clone();
        queues.sort_by_key(|queue| self.world.lineage(&queue.name).len());
        // The order of the file is their age, whatever order parents force here.
        let ranked: Vec<_> = self.world.queues.iter().map(|queue| queue.name.clone()).collect();
        queues.sort_by_key(|queue| {
            let depth = self.world.lineage(&queue.name).len();
            (depth, ranked.iter().position(|name| *name == queue.name))
        });
        for queue in queues {
            let parent = queue.parent.as_ref().and_then(|parent| self.queues.get(parent)).copied();
            let id = self.queues[&queue.name];
            self.tell(Happens::QueueSet { queue: id, spec: convert::queue(&queue, parent) })?;
        }
        Ok(())
    }

    fn set_budgets(&mut self) -> Result<(), EventError> {
        for budget in self.world.budgets.clone() {
            let matches =
                |task: &Task| budget.match_labels.iter().all(|(key, value)| task.labels.get(key) == Some(value));
            let matching: Vec<String> =
                self.world.tasks().filter(|(_, task)| matches(task)).map(|(_, task)| task.name.clone()).collect();
            let runs = |name: &&String| self.now_of(name).state == TaskState::Running;
            let running = matching.iter().filter(runs).count();
            let budget_now = convert::budget(&budget, matching.len() as u32, running as u32);
            self.tell(Happens::BudgetSet { name: budget.name.clone(), budget: budget_now })?;
        }
        Ok(())
    }

    fn add_node(&mut self, node: &super::format::Node) -> Result<(), EventError> {
        let id = NodeId(self.fresh_id() as u32);
        self.nodes.insert(node.name.clone(), id);
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
        let gang = self.gangs[&job.name];
        for task in &job.tasks {
            let now = initial.get(&task.name).cloned().unwrap_or_default();
            match now.state {
                state if promised != (state == TaskState::Nominated) => {}
                TaskState::Succeeded | TaskState::Failed => {
                    self.over.insert(task.name.clone(), now.state);
                }
                _ => self.add_task(task, gang, &now)?,
            }
        }
        Ok(())
    }

    fn add_task(&mut self, task: &Task, gang: GangId, now: &TaskNow) -> Result<(), EventError> {
        let pod = PodId(self.fresh_id());
        let mut spec = convert::pod(task, gang);
        spec.seat = seat(now, &self.nodes);
        self.tell(Happens::PodAdded { pod, spec })?;
        self.pods.insert(task.name.clone(), pod);
        self.names.insert(pod, task.name.clone());
        Ok(())
    }

    /// How far a task is, as the engine has it.
    fn now_of(&self, name: &str) -> TaskNow {
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

    fn state(&self) -> State {
        self.world.tasks().map(|(_, task)| (task.name.clone(), self.now_of(&task.name))).collect()
    }

    fn round(&mut self, passes: &[(Mode, Pass)], settles: bool, step: Option<usize>) -> Result<Round, EventError> {
        let mut round = Round { step, start: self.state(), ..Round::default() };
        for (index, (kind, pass)) in passes.iter().enumerate() {
            let told = match index {
                0 => self.engine.run(&[*pass], self.now),
                _ => self.engine.run_further(&[*pass], self.now),
            };
            let decisions = self.decisions(&told, &mut round.waits);
            round.actions.push(Action { kind: *kind, decisions, state: self.state() });
        }
        round.report = self.engine.take_trace();
        let end = round.end().clone();
        round.waits.retain(|job, _| {
            let tasks = self.world.jobs.get(job).map_or(&[][..], |job| &job.tasks);
            tasks.iter().any(|task| end.get(&task.name).is_some_and(|now| now.state == TaskState::Pending))
        });
        if settles {
            self.settle()?;
        }
        round.settled = self.state();
        Ok(round)
    }

    fn decisions(&self, told: &[Told], waits: &mut BTreeMap<String, String>) -> Vec<Decision> {
        let job = |gang: &GangId| self.engine.state().gangs().get(gang).map(|gang| gang.spec.name.to_string());
        let mut decisions = Vec::new();
        for one in told {
            match one {
                Told::Bind { pods, .. } => decisions.extend(pods.iter().map(|one| {
                    let (task, node, devices) = self.slot(one);
                    Decision::Place { task, node, devices }
                })),
                Told::Nominate { pods, .. } => decisions.extend(pods.iter().map(|one| {
                    let (task, node, devices) = self.slot(one);
                    let former = self.engine.state().whereabouts(one.slot.pod).former;
                    let from = former.map(|place| self.node_name(place.node));
                    Decision::Nominate { task, node, devices, from }
                })),
                Told::Evict { pods, claimant, cause, .. } => {
                    let moves = |pod: &&PodId| self.engine.state().whereabouts(**pod).former.is_some();
                    decisions.extend(pods.iter().filter(|pod| !moves(pod)).map(|pod| Decision::Evict {
                        task: self.task_name(*pod),
                        claimant: claimant.as_ref().and_then(job),
                        cause: (*cause == EvictCause::Stale).then(|| "stale".to_owned()),
                    }));
                }
                Told::Reserve { gang, from } => {
                    let when = match from {
                        Some(from) => format!("from +{}s", from.0.saturating_sub(START.0) / 1000),
                        None => "as its place becomes free".to_owned(),
                    };
                    decisions.extend(job(gang).map(|job| Decision::Note(format!("reserve {job} {when}"))));
                }
                Told::Wait { gang, why, .. } => {
                    if let Some(job) = job(gang) {
                        waits.insert(job, why.to_string());
                    }
                }
            }
        }
        decisions
    }

    fn task_name(&self, pod: PodId) -> String {
        self.names.get(&pod).cloned().unwrap_or_default()
    }

    fn slot(&self, one: &Assigned) -> (String, String, Vec<u32>) {
        let shared =
            self.engine.state().pods().get(&one.slot.pod).is_some_and(|pod| pod.shape.gpu.as_share().is_some());
        let devices = one.slot.gpus.iter().map(|gpu| u32::from(*gpu)).filter(|_| shared).collect();
        (self.task_name(one.slot.pod), self.node_name(one.slot.node), devices)
    }

    /// What happens to tasks between two rounds.
    fn settle(&mut self) -> Result<(), EventError> {
        let tasks: Vec<(Job, Task)> = self.world.tasks().map(|(job, task)| (job.clone(), task.clone())).collect();
        for (job, task) in tasks {
            let Some(&pod) = self.pods.get(&task.name) else { continue };
            let there = self.engine.state().whereabouts(pod);
            match there.stage {
                Stage::Placed if !task.never_starts => self.tell(Happens::Confirmed { pod })?,
                Stage::Nominated { .. } if there.former.is_none() || job.terminates_slowly => {
                    self.tell(Happens::NominationExpired { pod })?;
                }
                Stage::Evicted if job.terminates_slowly => {}
                Stage::Nominated { .. } => {
                    self.tell(Happens::NominationExpired { pod })?;
                    self.make_anew(&job.name, &task)?;
                }
                Stage::Evicted => self.make_anew(&job.name, &task)?,
                _ => {}
            }
        }
        self.set_budgets()
    }

    /// A task is gone and its owner makes it anew.
    fn make_anew(&mut self, job: &str, task: &Task) -> Result<(), EventError> {
        if let Some(pod) = self.pods.remove(&task.name) {
            self.tell(Happens::PodGone { pod })?;
        }
        let gang = self.gangs[job];
        self.add_task(task, gang, &TaskNow::default())
    }

    fn happens(&mut self, event: &Event) -> Result<(), EventError> {
        let before = self.world.clone();
        self.world.apply(event);
        match event {
            Event::Finish(name) => self.end(&before, name, TaskState::Succeeded)?,
            Event::Fail(name) => self.end(&before, name, TaskState::Failed)?,
            Event::Lose(name) => {
                for (job, task) in meant(&before, name) {
                    if self.now_of(&task.name).state.is_active() {
                        self.make_anew(&job, &task)?;
                    }
                }
            }
            Event::BindFails(name) => {
                for (_, task) in meant(&before, name) {
                    if let Some(&pod) = self.pods.get(&task.name)
                        && self.now_of(&task.name).state == TaskState::Placed
                    {
                        self.tell(Happens::BindFailed { pod })?;
                    }
                }
            }
            Event::Checkpoint(name) => self.checkpoint(name)?,
            Event::SetNode(node) => {
                if self.nodes.contains_key(&node.name) {
                    self.remove_node(&before, &node.name)?;
                }
                self.add_node(node)?;
            }
            Event::RemoveNode(name) => self.remove_node(&before, name)?,
            Event::SetQueue(queue) => {
                self.number_queue(&queue.name);
                self.set_queues()?;
            }
            Event::AddJob(job) => {
                self.add_gang(job)?;
                self.add_tasks(job, &State::new(), false)?;
            }
            Event::RemoveJob(name) => {
                for (_, task) in meant(&before, name) {
                    if let Some(pod) = self.pods.remove(&task.name) {
                        self.tell(Happens::PodGone { pod })?;
                    }
                }
                if let Some(gang) = self.gangs.remove(name) {
                    self.tell(Happens::GangRemoved { gang })?;
                }
            }
        }
        self.set_budgets()
    }

    fn end(&mut self, world: &World, name: &str, state: TaskState) -> Result<(), EventError> {
        for (_, task) in meant(world, name) {
            let ends = matches!(self.now_of(&task.name).state, TaskState::Placed | TaskState::Running);
            if ends && let Some(pod) = self.pods.remove(&task.name) {
                self.over.insert(task.name.clone(), state);
                self.tell(match state {
                    TaskState::Succeeded => Happens::PodSucceeded { pod },
                    _ => Happens::PodGone { pod },
                })?;
            }
        }
        Ok(())
    }

    fn checkpoint(&mut self, job: &str) -> Result<(), EventError> {
        let Some(&gang) = self.gangs.get(job) else { return Ok(()) };
        let known = self.engine.state().gangs().get(&gang).map(|gang| gang.spec.clone());
        let (Some(mut spec), Some(job)) = (known, self.world.jobs.get(job)) else { return Ok(()) };
        spec.tree = convert::gang(job, spec.queue, 0, self.now).tree;
        spec.last_checkpoint = Some(self.now);
        self.tell(Happens::GangChanged { gang, spec })
    }

    fn remove_node(&mut self, world: &World, name: &str) -> Result<(), EventError> {
        let lost: BTreeSet<String> = self
            .state()
            .into_iter()
            .filter(|(_, now)| now.node.as_deref() == Some(name))
            .map(|(task, _)| task)
            .collect();
        let Some(node) = self.nodes.remove(name) else { return Ok(()) };
        self.tell(Happens::NodeRemoved { node })?;
        let tasks: Vec<(String, Task)> = world
            .tasks()
            .filter(|(_, task)| lost.contains(&task.name))
            .map(|(job, task)| (job.name.clone(), task.clone()))
            .collect();
        for (job, task) in tasks {
            if self.pods.get(&task.name).is_some_and(|pod| !self.engine.state().pods().contains_key(pod)) {
                self.pods.remove(&task.name);
                let gang = self.gangs[&job];
                self.add_task(&task, gang, &TaskNow::default())?;
            }
        }
        Ok(())
    }
}

/// The tasks that a name means, with the job of each.
fn meant(world: &World, name: &str) -> Vec<(String, Task)> {
    let meant: BTreeSet<&str> = world.meant(name).into_iter().map(|task| task.name.as_str()).collect();
    let tasks = world.tasks().filter(|(_, task)| meant.contains(task.name.as_str()));
    tasks.map(|(job, task)| (job.name.clone(), task.clone())).collect()
}

fn seat(now: &TaskNow, nodes: &BTreeMap<String, NodeId>) -> Option<Seat> {
    let stage = match now.state {
        TaskState::Nominated => Stage::Nominated { counted: false },
        TaskState::Placed => Stage::Placed,
        TaskState::Running => Stage::Running,
        TaskState::Evicted => Stage::Evicted,
        TaskState::Stuck => Stage::Stuck,
        TaskState::Pending | TaskState::Succeeded | TaskState::Failed => return None,
    };
    let node = *nodes.get(now.node.as_deref()?)?;
    Some(Seat { stage, node, gpus: convert::devices(&now.devices) })
}
