//! What a run of a scenario came to: where every task stands after every action, and what was decided.
//! Owns the words between `play`, which asks the engine, and those who judge or show the result. Knows no engine.

use std::collections::{BTreeMap, BTreeSet};

use super::format::{Mode, TaskState};
use super::world::World;

/// How far every task is, by task name.
pub type State = BTreeMap<String, TaskNow>;

/// How far one task is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TaskNow {
    /// Its state.
    pub state: TaskState,
    /// Where it holds capacity.
    pub node: Option<String>,
    /// The devices of the node that it holds, or parts of; MIG instances not counted.
    pub devices: Vec<u32>,
}

impl TaskNow {
    /// The node of an active task.
    pub fn active_on(&self) -> Option<&str> {
        self.node.as_deref().filter(|_| self.state.is_active())
    }
}

/// A whole run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Played {
    /// The rounds, in order; never empty.
    pub rounds: Vec<Round>,
}

/// One round.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Round {
    /// The step of the scenario that happened just before it, by position.
    pub step: Option<usize>,
    /// Before the first action.
    pub start: State,
    /// The actions, in order.
    pub actions: Vec<Action>,
    /// Jobs that wait at the end of the round, by name, and why.
    pub waits: BTreeMap<String, String>,
    /// After the round has settled; as after the last action where nothing settles.
    pub settled: State,
    /// What the engine booked without deciding it; never anything, where it is sound.
    pub untold: Vec<String>,
    /// What went on, line by line, for people.
    pub report: Vec<String>,
}

impl Round {
    /// After the last action, before the round settled.
    pub fn end(&self) -> &State {
        self.actions.last().map_or(&self.start, |action| &action.state)
    }

    /// Each action with the state before it.
    pub fn actions_with_before(&self) -> impl Iterator<Item = (&State, &Action)> {
        let befores = [&self.start].into_iter().chain(self.actions.iter().map(|action| &action.state));
        befores.zip(&self.actions)
    }

    /// The tasks that lost their place, those that were moved included.
    pub fn evictions(&self) -> BTreeSet<&str> {
        self.actions_with_before().flat_map(|(before, action)| lost(before, &action.state)).collect()
    }
}

/// The tasks that had a place before an action, and after it have none, or another. A promise is no place.
pub fn lost<'a>(before: &'a State, after: &'a State) -> impl Iterator<Item = &'a str> {
    before.iter().filter_map(|(name, was)| {
        let is = after.get(name)?;
        let had_place = matches!(was.state, TaskState::Placed | TaskState::Running);
        let stays = (is.state, &is.node, &is.devices) == (was.state, &was.node, &was.devices);
        (had_place && !stays).then_some(name.as_str())
    })
}

/// The tasks that an action gave a place they had not before.
pub fn arrived<'a>(before: &'a State, after: &'a State) -> impl Iterator<Item = (&'a str, &'a str)> {
    after.iter().filter_map(|(name, is)| {
        let (node, was) = (is.active_on()?, before.get(name));
        (was.is_none_or(|was| was.active_on() != Some(node))).then_some((name.as_str(), node))
    })
}

/// One action of a round.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Action {
    /// Which; never [`Mode::Cycle`].
    pub kind: Mode,
    /// What was decided, in order.
    pub decisions: Vec<Decision>,
    /// After it.
    pub state: State,
}

/// One thing decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// A task was given a node.
    Place {
        /// The task.
        task: String,
        /// The node.
        node: String,
        /// The devices, where it shares them; empty otherwise.
        devices: Vec<u32>,
    },
    /// A task was promised a node that others are still leaving.
    Nominate {
        /// The task.
        task: String,
        /// The node.
        node: String,
        /// The devices, where it shares them; empty otherwise.
        devices: Vec<u32>,
        /// The node it leaves, if it was moved.
        from: Option<String>,
    },
    /// A task was told to stop.
    Evict {
        /// The task.
        task: String,
        /// The job that gets its place, if any.
        claimant: Option<String>,
        /// Why, where the action alone does not say it.
        cause: Option<String>,
    },
    /// A place is kept for a job.
    Reserve {
        /// The job.
        job: String,
        /// From then on, in seconds since the start, if it is known when the place will be free.
        from_seconds: Option<u64>,
    },
}

/// Where every task stands at the start: the devices that the file leaves open are chosen here, lowest first.
/// Labelled devices come first, then whole GPUs, then promises, which rather take devices that are being left.
pub fn initial(world: &World) -> State {
    let mut state = State::new();
    let mut taken: BTreeMap<&str, Taken<'_>> = BTreeMap::new();
    for (_, task) in world.tasks() {
        let now = TaskNow { state: task.state, node: task.node.clone(), devices: Vec::new() };
        state.insert(task.name.clone(), now);
    }
    let placed = || world.tasks().filter_map(|(_, task)| Some((task, task.node.as_deref()?)));
    for (task, node) in placed().filter(|(task, _)| task.request.is_share()) {
        let taken = taken.entry(node).or_default();
        let devices = task.gpu_classes.iter().map(|class| taken.labelled(class, task.state)).collect();
        state.entry(task.name.clone()).or_default().devices = devices;
    }
    for promised in [false, true] {
        let whole = |state: TaskState| (state == TaskState::Nominated) == promised;
        for (task, node) in placed().filter(|(task, _)| task.request.gpus > 0 && whole(task.state)) {
            let taken = taken.entry(node).or_default();
            let devices = (0..task.request.gpus).map(|_| taken.whole(task.state)).collect();
            state.entry(task.name.clone()).or_default().devices = devices;
        }
    }
    state
}

/// The devices of one node that are spoken for.
#[derive(Default)]
struct Taken<'a> {
    labels: BTreeMap<&'a str, u32>,
    now: BTreeSet<u32>,
    later: BTreeSet<u32>,
}

impl<'a> Taken<'a> {
    fn labelled(&mut self, label: &'a str, state: TaskState) -> u32 {
        let next = self.labels.len() as u32;
        let device = *self.labels.entry(label).or_insert(next);
        self.mark(device, state)
    }

    fn whole(&mut self, state: TaskState) -> u32 {
        let left = self.now.difference(&self.later).next().copied();
        let left = left.filter(|_| state == TaskState::Nominated);
        let free = || (0..).find(|device| !self.now.contains(device) && !self.later.contains(device)).unwrap_or(0);
        let device = left.unwrap_or_else(free);
        self.mark(device, state)
    }

    fn mark(&mut self, device: u32, state: TaskState) -> u32 {
        if state.holds_now() {
            self.now.insert(device);
        }
        if state.holds_later() {
            self.later.insert(device);
        }
        device
    }
}
