//! The text form of scenarios, for our own: short to write, and the expected part is what the run prints.
//!
//! ```text
//! # A queue within its deserved share reclaims from the borrower.
//! node a gpus=4
//! queue lab deserved=2
//! queue prod deserved=2
//! job old queue=lab gpu=2 age=2h running on a
//! job new queue=lab gpu=2 age=1h running on a
//! job train queue=prod 2 x gpu=1
//! ----
//! round 1
//!   reclaim: evict new-0 for train
//!   ...
//! ```
//! The first line is the rule that the scenario shows. One object a line, with indented lines for what is part of it; what
//! is not said has a sensible default. Owns this form; its meaning is that of `format`.

mod expect;
mod jobs;
mod objects;
mod steps;
mod terms;
mod units;
mod words;
mod write;

use std::collections::BTreeMap;

pub(crate) use units::{show_mib, show_seconds, show_thousandths};
pub use write::write;

use super::format::{Event, Expect, Mode, Origin, PolicySet, Run, Scenario, Tier, VERSION};
use super::problem::{Finding, Problems, object};
use super::validate;
use steps::Known;
use units::{TIME, seconds};
use words::{Line, Words};

/// Parts what is given from what is expected.
pub const RULE: &str = "----";

/// How long gangs may be below their minimum unless a scenario says so; the engine's default.
const STALE_GRACE_SECONDS: i64 = 60;

/// A scenario from its text form. `file` is for messages, `id` the name it gets.
///
/// # Errors
/// Everything wrong with it.
pub fn parse(text: &str, file: &str, id: &str) -> Result<Scenario, Problems> {
    let lines: Vec<(u64, &str)> = (1..).zip(text.lines()).collect();
    let rule = lines.iter().position(|(_, line)| line.trim_end() == RULE);
    let (given, expected) = lines.split_at(rule.unwrap_or(lines.len()));
    let mut reader = Reader { findings: Vec::new(), scenario: plain(id), lines: BTreeMap::new() };
    match lines.first().and_then(|(_, line)| line.strip_prefix("# ")) {
        Some(title) => reader.scenario.name = title.trim().to_owned(),
        None => {
            reader.findings.push(Finding::at(1, "expected `# ` and, in a sentence, the rule that this scenario shows"))
        }
    }
    for line in words::forest(given, &mut reader.findings) {
        reader.line(&line);
    }
    reader.default_queue();
    if rule.is_some() {
        reader.expected(&expected[1..]);
    }
    reader.finish(file)
}

fn plain(id: &str) -> Scenario {
    Scenario {
        version: VERSION,
        id: id.to_owned(),
        run: Run { rounds: 1, stale_grace_seconds: STALE_GRACE_SECONDS, ..Run::default() },
        ..Scenario::default()
    }
}

struct Reader {
    findings: Vec<Finding>,
    scenario: Scenario,
    /// The line of each object, by what messages call it.
    lines: BTreeMap<String, u64>,
}

impl Reader {
    fn line(&mut self, line: &Line) {
        let word = line.words.first().map_or("", String::as_str);
        if let (Some(below), false) = (line.below.first(), matches!(word, "job" | "at")) {
            self.findings
                .push(Finding::at(below.number, format!("nothing stands below a `{word}` line; indent it less")));
        }
        match word {
            "job" => {
                let job = jobs::job(line, &self.scenario.topologies, &mut self.findings);
                self.lines.insert(object("job", &job.name), line.number);
                for task in &job.tasks {
                    self.lines.insert(object("task", &task.name), line.number);
                }
                self.scenario.jobs.push(job);
            }
            "at" => self.step(line),
            "node" => self.nodes(line),
            _ => self.single(word, line),
        }
    }

    /// `node a b c gpus=8`: several nodes alike.
    fn nodes(&mut self, line: &Line) {
        let mut words = Words::of(line, 1, &mut self.findings);
        let mut node = objects::plain_node("");
        objects::node(&mut words, &self.scenario.topologies, &mut node);
        let first = words.name("node");
        let names: Vec<String> = [first].into_iter().chain(words.rest().into_iter().map(str::to_owned)).collect();
        words.done();
        for name in names {
            self.lines.insert(object("node", &name), line.number);
            self.scenario.nodes.push(super::format::Node { name, ..node.clone() });
        }
    }

    /// Objects of one line, and what is said of the scenario itself.
    fn single(&mut self, word: &str, line: &Line) {
        let scenario = &mut self.scenario;
        let mut words = Words::of(line, 1, &mut self.findings);
        let whole = || line.words[1..].join(" ");
        match word {
            "topology" => {
                let topology = objects::topology(&mut words);
                self.lines.insert(object("topology", &topology.name), line.number);
                scenario.topologies.push(topology);
            }
            "queue" => {
                let mut queue = objects::plain_queue(&words.name("queue"));
                objects::queue(&mut words, &mut queue);
                self.lines.insert(object("queue", &queue.name), line.number);
                scenario.queues.push(queue);
            }
            "budget" => {
                let budget = objects::budget(&mut words);
                self.lines.insert(object("budget", &budget.name), line.number);
                scenario.disruption_budgets.push(budget);
            }
            "run" => run(&mut words, &mut scenario.run),
            "policy" => match words.next() {
                Some("kai") => scenario.policy_set = Some(PolicySet::Kai),
                Some("default") => scenario.policy_set = Some(PolicySet::Default),
                _ => words.complain("expected `policy default` or `policy kai`"),
            },
            "area" => scenario.area = words.name("area"),
            "features" => scenario.features.extend(words.rest().into_iter().map(str::to_owned)),
            "origin" => {
                let mut part = |key| words.text(key).unwrap_or_default().to_owned();
                scenario.origin = Some(Origin { suite: part("suite"), file: part("file"), commit: part("commit") });
            }
            // The rest of these lines is prose.
            "tier" => {
                let tiers = [Tier::Binding, Tier::SharedSemantics, Tier::Taste];
                match words.next().and_then(|word| tiers.into_iter().find(|tier| tier.to_string() == word)) {
                    Some(tier) => scenario.tier = tier,
                    None => words.complain("expected `tier` and binding, shared-semantics or taste, then the reason"),
                }
                scenario.tier_reason = line.words.get(2..).unwrap_or_default().join(" ");
                return;
            }
            "note" => {
                scenario.notes.push(whole());
                return;
            }
            _ => {
                words.complain(format!(
                    "{} begins no line here, expected node, queue, job, topology, budget, run, policy, at, tier, area, \
                     features, origin or note",
                    crate::input::Excerpt::of(word)
                ));
                return;
            }
        }
        words.done();
    }

    fn step(&mut self, line: &Line) {
        self.default_queue();
        let scenario = &self.scenario;
        let mut known = Known {
            topologies: &scenario.topologies,
            nodes: scenario.nodes.iter().map(|node| (node.name.clone(), node.clone())).collect(),
            queues: scenario.queues.iter().map(|queue| (queue.name.clone(), queue.clone())).collect(),
            queue: self.only_leaf(),
        };
        for event in scenario.steps.iter().flat_map(|step| &step.events) {
            match event {
                Event::SetNode(node) => drop(known.nodes.insert(node.name.clone(), node.clone())),
                Event::SetQueue(queue) => drop(known.queues.insert(queue.name.clone(), queue.clone())),
                _ => {}
            }
        }
        let step = steps::step(line, &mut known, &mut self.findings);
        for event in &step.events {
            let (kind, name) = match event {
                Event::AddJob(job) => ("job", &job.name),
                Event::SetNode(node) => ("node", &node.name),
                Event::SetQueue(queue) => ("queue", &queue.name),
                _ => continue,
            };
            self.lines.entry(object(kind, name)).or_insert(line.number);
        }
        self.scenario.steps.push(step);
    }

    /// The leaf queue, if there is one only.
    fn only_leaf(&self) -> Option<String> {
        let queues = &self.scenario.queues;
        let is_leaf = |name: &String| !queues.iter().any(|queue| queue.parent.as_ref() == Some(name));
        let mut leaves = queues.iter().map(|queue| &queue.name).filter(|name| is_leaf(name));
        leaves.next().filter(|_| leaves.next().is_none()).cloned()
    }

    /// Without queues there is one without bounds. Jobs that name no queue go to the only leaf.
    fn default_queue(&mut self) {
        if self.scenario.queues.is_empty() {
            self.scenario.queues.push(objects::plain_queue("default"));
        }
        let only = self.only_leaf();
        for job in self.scenario.jobs.iter_mut().filter(|job| job.queue.is_empty()) {
            job.queue = only.clone().unwrap_or_default();
        }
    }

    fn expected(&mut self, lines: &[(u64, &str)]) {
        let is_result = |line: &&(u64, &str)| line.1.starts_with("expect ");
        let results: Vec<(u64, &str)> = lines.iter().filter(is_result).copied().collect();
        if !results.is_empty() {
            let mut expect = Expect::default();
            for line in words::forest(&results, &mut self.findings) {
                let mut words = Words::of(&line, 1, &mut self.findings);
                expect::line(&mut words, &mut expect);
                words.done();
            }
            self.scenario.expect = Some(expect);
        }
        let text: Vec<&str> = lines.iter().filter(|line| !is_result(line)).map(|(_, text)| text.trim_end()).collect();
        if results.is_empty() || text.iter().any(|line| !line.is_empty()) {
            self.scenario.expect_text = Some(text.join("\n").trim_end().to_owned());
        }
    }

    /// Checks the whole; what is wrong with an object is told with its line.
    fn finish(mut self, file: &str) -> Result<Scenario, Problems> {
        // Objects that could not be read are not worth checking.
        if self.findings.is_empty() {
            let found = validate::findings(&self.scenario);
            let line = |finding: &Finding| finding.line.or_else(|| self.lines.get(&finding.object).copied());
            self.findings = found.into_iter().map(|finding| Finding { line: line(&finding), ..finding }).collect();
        }
        self.findings.sort_by_key(|finding| finding.line);
        Problems::of(file, self.findings)?;
        Ok(self.scenario)
    }
}

/// `run mode=cycle rounds=2 stable=5 stale-grace=60s`
fn run(words: &mut Words<'_>, run: &mut Run) {
    let modes = Mode::ALL.map(Mode::word).join(", ");
    let mode = |text: &str| Mode::ALL.into_iter().find(|mode| mode.word() == text);
    run.mode = words.value("mode", &modes, mode).unwrap_or(run.mode);
    run.rounds = words.number("rounds").unwrap_or(run.rounds);
    run.stable_rounds = words.number("stable").unwrap_or(run.stable_rounds);
    let grace = |text: &str| match text {
        "never" => Some(-1),
        _ => seconds(text).and_then(|seconds| i64::try_from(seconds).ok()),
    };
    run.stale_grace_seconds =
        words.value("stale-grace", "a time such as 60s, or never", grace).unwrap_or(run.stale_grace_seconds);
    run.start_timeout_seconds = words.value("start-timeout", TIME, seconds);
    run.usage_half_life_seconds = words.value("usage-half-life", TIME, seconds);
}
