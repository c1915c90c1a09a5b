//! Is a scenario sound? Checked as a whole before anything runs, so that nothing later meets a name that is not there,
//! an amount that overflows, or a cluster that is impossible from the start.
//! Owns what a sound scenario is. Reads no file and runs nothing.

mod expect;
mod jobs;
mod objects;

use std::collections::BTreeSet;

use super::format::{Event, Mode, Scenario, VERSION};
use super::invariants;
use super::played;
use super::problem::{Finding, list, object};
use super::world::World;
use crate::input::Excerpt;

/// Most CPU, GPU thousandths or any other amount without a narrower bound, one by one and summed over all tasks or nodes:
/// sums, products with a hundred and milliseconds of it stay within 63 bits.
const AMOUNT_MAX: u64 = 1 << 50;

/// Most memory, MiB, one by one and summed: 2^60 bytes.
const MEMORY_MIB_MAX: u64 = 1 << 40;

/// Most memory of one GPU, MiB: 16 TiB.
const GPU_MEMORY_MIB_MAX: u64 = 1 << 24;

/// Longest time, seconds: some thirty thousand years.
const SECONDS_MAX: u64 = 1 << 40;

/// Most devices of a node, or of a request.
const DEVICES_MAX: u32 = 255;

/// Most rounds of a run or a step.
const ROUNDS_MAX: u32 = 1000;

/// Most nodes, queues or tasks: a scenario is small.
const OBJECTS_MAX: usize = 100_000;

/// Longest name, bytes, as in Kubernetes.
const NAME_MAX: usize = 253;

/// Everything wrong with a scenario; empty if it is sound.
pub(super) fn findings(scenario: &Scenario) -> Vec<Finding> {
    let mut check = Check::default();
    check.run(scenario);
    check.names("topology", scenario.topologies.iter().map(|one| one.name.as_str()));
    check.names("node", scenario.nodes.iter().map(|one| one.name.as_str()));
    check.names("queue", scenario.queues.iter().map(|one| one.name.as_str()));
    check.names("budget", scenario.disruption_budgets.iter().map(|one| one.name.as_str()));
    check.names("job", scenario.jobs.iter().map(|one| one.name.as_str()));
    check.names("task", scenario.jobs.iter().flat_map(|job| &job.tasks).map(|one| one.name.as_str()));
    let mut world = World::of(scenario);
    check.node_names = scenario.nodes.iter().map(|node| node.name.clone()).collect();
    check.node_names.extend(scenario.steps.iter().flat_map(|step| &step.events).filter_map(|event| match event {
        Event::SetNode(node) => Some(node.name.clone()),
        _ => None,
    }));
    scenario.topologies.iter().for_each(|topology| check.topology(topology));
    scenario.nodes.iter().for_each(|node| check.node(node));
    scenario.queues.iter().for_each(|queue| check.queue(queue, &world));
    scenario.disruption_budgets.iter().for_each(|budget| check.budget(budget));
    scenario.jobs.iter().for_each(|job| check.job(job, &world));
    if check.found.is_empty() {
        let impossible = invariants::over_capacity(&world, &played::initial(&world));
        check.found.extend(impossible.into_iter().map(|text| Finding::about("", format!("at the start: {text}"))));
    }
    check.totals(scenario);
    check.steps(scenario, &mut world);
    check.expect(scenario, &world);
    check.found
}

/// What has been found so far, and what later checks need to know.
#[derive(Default)]
struct Check {
    found: Vec<Finding>,
    /// The nodes that are there at some time.
    node_names: BTreeSet<String>,
}

impl Check {
    fn complain(&mut self, object: &str, text: impl Into<String>) {
        self.found.push(Finding::about(object, text));
    }

    /// A field holds what it must not.
    fn wrong(&mut self, object: &str, field: &str, found: &str, expected: &str) {
        self.complain(object, format!("field `{field}`: found {}, expected {expected}", Excerpt::of(found)));
    }

    /// An amount is at most so large.
    fn at_most(&mut self, object: &str, field: &str, amount: impl Into<u64>, most: impl Into<u64>) {
        let (amount, most) = (amount.into(), most.into());
        if amount > most {
            self.wrong(object, field, &amount.to_string(), &format!("at most {most}"));
        }
    }

    /// Names that are words, each once.
    fn names<'a>(&mut self, kind: &str, names: impl Iterator<Item = &'a str>) {
        let mut seen = BTreeSet::new();
        for name in names {
            self.name(kind, name);
            if !seen.insert(name) {
                self.complain(&object(kind, name), "there are two of this name; give each a name of its own");
            }
        }
        if seen.len() > OBJECTS_MAX {
            self.complain("", format!("more than {OBJECTS_MAX} objects of the kind {kind}; a scenario is small"));
        }
    }

    fn name(&mut self, kind: &str, name: &str) {
        let fine = |c: char| !c.is_whitespace() && !c.is_control() && !",\"`".contains(c);
        if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(fine) {
            let expected = format!("1 to {NAME_MAX} characters without spaces, commas and quotes");
            self.wrong(&object(kind, name), "name", name, &expected);
        }
    }

    fn run(&mut self, scenario: &Scenario) {
        if scenario.version != VERSION {
            self.wrong("", "version", &scenario.version.to_string(), "1; other versions are not known here");
        }
        let run = &scenario.run;
        let rounds = |check: &mut Check, object: &str, rounds: u32| {
            if !(1..=ROUNDS_MAX).contains(&rounds) {
                check.wrong(object, "rounds", &rounds.to_string(), &format!("1 to {ROUNDS_MAX}"));
            }
        };
        rounds(self, "run", run.rounds);
        self.at_most("run", "stableRounds", run.stable_rounds, ROUNDS_MAX);
        self.at_most("run", "staleGraceSeconds", run.stale_grace_seconds.unsigned_abs(), SECONDS_MAX);
        self.at_most("run", "startTimeoutSeconds", run.start_timeout_seconds.unwrap_or(0), SECONDS_MAX);
        self.at_most("run", "usageHalfLifeSeconds", run.usage_half_life_seconds.unwrap_or(0), SECONDS_MAX);
        if run.usage_half_life_seconds == Some(0) {
            self.wrong("run", "usageHalfLifeSeconds", "0", "at least 1, or none where usage does not count");
        }
        if run.mode != Mode::Cycle && (run.rounds, run.stable_rounds, scenario.steps.len()) != (1, 0, 0) {
            let text = "a single action runs once: `rounds` 1, `stableRounds` 0 and no steps, or the mode `cycle`";
            self.complain("run", text);
        }
        scenario.steps.iter().for_each(|step| rounds(self, "steps", step.rounds));
    }

    /// Sums over everything, so that no later sum overflows.
    fn totals(&mut self, scenario: &Scenario) {
        let added = scenario.steps.iter().flat_map(|step| &step.events).filter_map(|event| match event {
            Event::AddJob(job) => Some(job),
            _ => None,
        });
        let tasks: Vec<_> = scenario.jobs.iter().chain(added).flat_map(|job| &job.tasks).collect();
        let sum = |amounts: &mut dyn Iterator<Item = u64>| amounts.fold(0u64, u64::saturating_add);
        let totals = [
            ("cpuMilli", "tasks", sum(&mut tasks.iter().map(|task| task.request.cpu_milli)), AMOUNT_MAX),
            ("memoryMib", "tasks", sum(&mut tasks.iter().map(|task| task.request.memory_mib)), MEMORY_MIB_MAX),
            ("cpuMilli", "nodes", sum(&mut scenario.nodes.iter().map(|node| node.cpu_milli)), AMOUNT_MAX),
            ("memoryMib", "nodes", sum(&mut scenario.nodes.iter().map(|node| node.memory_mib)), MEMORY_MIB_MAX),
        ];
        for (field, of, total, most) in totals {
            if total > most {
                self.complain("", format!("`{field}` of all {of} together is {total}, expected at most {most}"));
            }
        }
    }

    /// Every step against what is there when it happens.
    fn steps(&mut self, scenario: &Scenario, world: &mut World) {
        let mut before = 0;
        for step in &scenario.steps {
            let at = format!("step at {} s", step.at_seconds);
            self.at_most("steps", "atSeconds", step.at_seconds, SECONDS_MAX);
            if step.at_seconds < before {
                self.complain(&at, "comes after a later step; put the steps in the order of their times");
            }
            before = step.at_seconds;
            for event in &step.events {
                self.event(&at, event, world);
                world.apply(event);
            }
        }
    }

    fn event(&mut self, at: &str, event: &Event, world: &World) {
        match event {
            Event::Finish(name) | Event::Fail(name) | Event::Lose(name) | Event::BindFails(name) => {
                if world.meant(name).is_empty() {
                    self.wrong(at, "events", name, "the name of a job or task that is there then");
                }
            }
            Event::Checkpoint(name) | Event::RemoveJob(name) => {
                self.known(at, "events", name, world.jobs.keys(), "job");
            }
            Event::RemoveNode(name) => self.known(at, "events", name, world.nodes.keys(), "node"),
            Event::SetNode(node) => {
                self.name("node", &node.name);
                self.node(node);
            }
            Event::SetQueue(queue) => {
                self.name("queue", &queue.name);
                let mut then = world.clone();
                then.apply(event);
                self.queue(queue, &then);
                if let Some(job) = then.jobs.values().find(|job| queue.parent.as_ref() == Some(&job.queue)) {
                    let above = Excerpt::of(&job.queue);
                    self.complain(
                        &object("queue", &queue.name),
                        format!("its parent {above} holds jobs; jobs sit in leaves only"),
                    );
                }
            }
            Event::AddJob(job) => self.new_job(job, world),
        }
    }

    fn new_job(&mut self, job: &super::format::Job, world: &World) {
        let there = world.tasks().map(|(_, task)| task.name.as_str());
        self.names("task", there.chain(job.tasks.iter().map(|task| task.name.as_str())));
        self.names("job", world.jobs.keys().chain([&job.name]).map(String::as_str));
        self.job(job, world);
        for task in job.tasks.iter().filter(|task| task.state != super::format::TaskState::Pending) {
            self.wrong(
                &object("task", &task.name),
                "state",
                task.state.word(),
                "pending, since its job arrives in a step",
            );
        }
    }

    /// A name that something must have.
    fn known<'a>(
        &mut self,
        object: &str,
        field: &str,
        name: &str,
        names: impl IntoIterator<Item = &'a String>,
        kind: &str,
    ) {
        let names: Vec<&str> = names.into_iter().map(String::as_str).collect();
        if !names.contains(&name) {
            self.wrong(object, field, name, &format!("a {kind} that is there: {}", list(names)));
        }
    }
}
