//! Jobs: a line each, with their groups and tasks on the same line or indented below it.
//!
//! ```text
//! job old gpu=4 running on a
//! job train queue=lab age=5m gpu=1
//!   2 x running on a
//!   2 x
//! job server
//!   group prefill min=2 gpu=2  3 x
//!   group decode gpu=1  2 x
//! ```
//! What a job or group says of tasks holds for all those below it. A job is a gang: all of its tasks start together unless
//! `min=` says how many must.

use super::super::format::{
    Checkpoint, Gang, GangTopology, Job, PodAffinity, Request, Task, TaskState, Toleration, Topology,
};
use super::super::problem::Finding;
use super::objects::{key_value_effect, profiles};
use super::terms;
use super::units::{MEMORY, THOUSANDTHS, TIME, digits, mib, seconds, thousandths};
use super::words::{Line, Words};

/// Priority of jobs that name none.
const PRIORITY: i32 = 50;

/// What a task asks for where it says nothing.
pub(super) const CPU_MILLI: u64 = 1000;
pub(super) const MEMORY_MIB: u64 = 1024;

/// Most tasks one line stands for; larger counts are surely slips of the finger.
const COUNT_MAX: u32 = 100_000;

const NEVER: &str = "never";

/// Reads a job with everything below its line.
pub(super) fn job(line: &Line, topologies: &[Topology], findings: &mut Vec<Finding>) -> Job {
    let mut reader = Reader { topologies, findings, job: String::new(), tasks: Vec::new() };
    reader.job(line)
}

struct Reader<'a> {
    topologies: &'a [Topology],
    findings: &'a mut Vec<Finding>,
    /// The job's name.
    job: String,
    /// The tasks so far, over all groups.
    tasks: Vec<Task>,
}

/// What a line says of tasks.
struct Phrase {
    /// How many, if it says so.
    count: Option<u32>,
    /// What they are like.
    task: Task,
}

impl Reader<'_> {
    fn job(&mut self, line: &Line) -> Job {
        let mut words = Words::of(line, 1, self.findings);
        self.job = words.name("job");
        let mut job = head(&mut words, &self.job);
        let gang = words.text("gang").unwrap_or_default().to_owned();
        let min = words.number("min");
        let topology = topology(&mut words, self.topologies);
        let plain = Request { cpu_milli: CPU_MILLI, memory_mib: MEMORY_MIB, ..Request::default() };
        let base = phrase(&mut words, Task { request: plain, ..Task::default() });
        words.done();
        job.gang = self.holder(line, Gang { name: gang, topology, ..Gang::default() }, min, base);
        job.tasks = std::mem::take(&mut self.tasks);
        let started = job.tasks.iter().any(|task| matches!(task.state, TaskState::Placed | TaskState::Running));
        if started && job.started_seconds_ago.is_none() {
            job.started_seconds_ago = Some(job.age_seconds);
        }
        job
    }

    /// A job or group: its tasks stand on its own line, or below it, or it has groups below it.
    fn holder(&mut self, line: &Line, mut gang: Gang, min: Option<u32>, base: Phrase) -> Gang {
        if line.below.is_empty() {
            let count = base.count.unwrap_or(1);
            self.add(base.task, count, &gang.name, None, line.number);
            gang.min_member = min.unwrap_or(count);
            return gang;
        }
        let complain = |reader: &mut Self, text: &str| reader.findings.push(Finding::at(line.number, text));
        if base.count.is_some() {
            complain(self, "a count belongs to the lines below, since there are some");
        }
        let is_group = |line: &Line| line.words.first().is_some_and(|word| word == "group");
        let groups = line.below.iter().filter(|line| is_group(line)).count();
        if groups > 0 && groups < line.below.len() {
            complain(self, "has both groups and tasks directly below it; put the tasks into groups");
        }
        let before = self.tasks.len();
        for below in &line.below {
            if is_group(below) {
                gang.sub_groups.push(self.group(below, &base.task));
            } else {
                self.task_line(below, &base.task, &gang.name);
            }
        }
        let all = if groups > 0 { groups } else { self.tasks.len() - before };
        gang.min_member = min.unwrap_or(u32::try_from(all).unwrap_or(u32::MAX));
        gang
    }

    fn group(&mut self, line: &Line, base: &Task) -> Gang {
        let mut words = Words::of(line, 1, self.findings);
        let name = words.name("group");
        let min = words.number("min");
        let topology = topology(&mut words, self.topologies);
        let base = phrase(&mut words, base.clone());
        words.done();
        self.holder(line, Gang { name, topology, ..Gang::default() }, min, base)
    }

    fn task_line(&mut self, line: &Line, base: &Task, group: &str) {
        let mut words = Words::of(line, 0, self.findings);
        let phrase = phrase(&mut words, base.clone());
        let name = words.text("name").map(str::to_owned);
        words.done();
        if let Some(below) = line.below.first() {
            self.findings.push(Finding::at(below.number, "nothing stands below a task; indent it less"));
        }
        self.add(phrase.task, phrase.count.unwrap_or(1), group, name, line.number);
    }

    fn add(&mut self, task: Task, count: u32, group: &str, name: Option<String>, line: u64) {
        if count == 0 || count > COUNT_MAX || (name.is_some() && count > 1) {
            let text = format!("found {count} tasks, expected 1 to {COUNT_MAX}, and one where `name=` names it");
            self.findings.push(Finding::at(line, text));
            return;
        }
        for _ in 0..count {
            let name = name.clone().unwrap_or_else(|| format!("{}-{}", self.job, self.tasks.len()));
            self.tasks.push(Task { name, sub_group: group.to_owned(), ..task.clone() });
        }
    }
}

/// What a line says of the job itself.
fn head(words: &mut Words<'_>, name: &str) -> Job {
    let grace = |text: &str| if text == NEVER { Some(-1) } else { seconds(text).and_then(|time| time.try_into().ok()) };
    let checkpoint = |text: &str| match text {
        NEVER => Some(Checkpoint::Never),
        _ => seconds(text).map(Checkpoint::SecondsAgo),
    };
    Job {
        name: name.to_owned(),
        queue: words.text("queue").unwrap_or_default().to_owned(),
        priority: words.number("priority").unwrap_or(PRIORITY),
        preemptible: !words.flag("non-preemptible"),
        age_seconds: words.value("age", TIME, seconds).unwrap_or(0),
        started_seconds_ago: words.value("started", TIME, seconds),
        preemption_delay_seconds: words.value("delay", TIME, seconds).unwrap_or(0),
        stale_seconds: words.value("stale", TIME, seconds),
        stale_grace_seconds: words.value("stale-grace", "a time such as 60s, or never", grace),
        terminates_slowly: words.flag("terminates-slowly"),
        expected_runtime_seconds: words.value("runtime", TIME, seconds),
        last_checkpoint_seconds_ago: words.value("checkpoint", "a time such as 5m, or never", checkpoint),
        start_timeout_seconds: words.value("start-timeout", TIME, seconds),
        bare: words.flag("bare"),
        gang: Gang::default(),
        tasks: Vec::new(),
    }
}

fn topology(words: &mut Words<'_>, topologies: &[Topology]) -> Option<GangTopology> {
    let name = words.text("topology").map(str::to_owned);
    let required = words.text("required").map(str::to_owned);
    let preferred = words.text("preferred").map(str::to_owned);
    if name.is_none() && required.is_none() && preferred.is_none() {
        return None;
    }
    let only = match topologies {
        [only] => Some(only.name.clone()),
        _ => None,
    };
    let name = name.or(only);
    if name.is_none() {
        words.complain("say which topology is meant with `topology=`, and declare it above with a `topology` line");
    }
    Some(GangTopology { name: name.unwrap_or_default(), required, preferred })
}

/// `[COUNT x] [STATE [on NODE]]` and the keys of a task, over what is said above.
fn phrase(words: &mut Words<'_>, mut task: Task) -> Phrase {
    task.never_starts |= words.flag("never-starts");
    let count = words.next_if(|word| word.bytes().all(|byte| byte.is_ascii_digit())).map(|number| {
        if words.next_if(|word| word == "x").is_none() {
            words.complain(format!("expected `x` after the count {number}, as in `{number} x gpu=1`"));
        }
        digits(number).unwrap_or(u32::MAX)
    });
    if let Some(state) = words.next_if(|word| TaskState::of_word(word).is_some()).and_then(TaskState::of_word) {
        task.state = state;
        task.node = None;
        task.gpu_classes.clear();
    }
    if words.next_if(|word| word == "on").is_some() {
        task.node = Some(words.name("node"));
    }
    gpus(words, &mut task.request);
    task.request.cpu_milli = words.value("cpu", THOUSANDTHS, thousandths).unwrap_or(task.request.cpu_milli);
    task.request.memory_mib = words.value("memory", MEMORY, mib).unwrap_or(task.request.memory_mib);
    task.request.others.extend(words.amounts("other."));
    task.gpu_classes = words.names("sharing").unwrap_or(task.gpu_classes);
    task.order = words.number("order").or(task.order);
    if let Some(names) = words.text("only") {
        task.node_names = Some(if names == "none" { Vec::new() } else { super::words::split(names) });
    }
    task.node_selector.extend(words.prefixed("select."));
    task.labels.extend(words.prefixed("label."));
    task.node_affinity =
        words.value("node-affinity", terms::NODE_AFFINITY, terms::node_affinity).unwrap_or(task.node_affinity);
    while let Some(port) = words.value("host-port", terms::HOST_PORT, terms::host_port) {
        task.host_ports.push(port);
    }
    while let Some(spread) = words.value("spread", terms::SPREAD, terms::spread) {
        task.topology_spread.push(spread);
    }
    task.gpu_models = words.names("models").unwrap_or(task.gpu_models);
    while let Some(toleration) = words.value("tolerate", "KEY, KEY=VALUE, KEY=VALUE:EFFECT, or * for any key", tolerate)
    {
        task.tolerations.push(toleration);
    }
    const AFFINITY: &str = "TOPOLOGY-KEY:LABEL=VALUE, as in node:app=db";
    task.pod_affinity = words.value("affinity", AFFINITY, affinity).or(task.pod_affinity);
    task.pod_anti_affinity = words.value("anti-affinity", AFFINITY, affinity).or(task.pod_anti_affinity);
    Phrase { count, task }
}

/// `gpu=2` whole ones, `gpu=0.5` or `gpu=500m` a part of one, `gpu-memory=8Gi` of one, `devices=2` of two, `mig=1g.10gb*2`.
fn gpus(words: &mut Words<'_>, request: &mut Request) {
    let gpu = words.value("gpu", THOUSANDTHS, |text| Some((text.contains(['.', 'm']), thousandths(text)?)));
    let memory = words.value("gpu-memory", MEMORY, mib);
    let mig = words.value("mig", "profiles such as 1g.10gb*2", profiles);
    if gpu.is_some() || memory.is_some() || mig.is_some() {
        let Request { cpu_milli, memory_mib, ref others, .. } = *request;
        *request = Request { cpu_milli, memory_mib, others: others.clone(), ..Request::default() };
    }
    let small = |amount: u64| u32::try_from(amount).unwrap_or(u32::MAX);
    match gpu {
        Some((false, milli)) => request.gpus = small(milli / 1000),
        Some((true, milli)) => request.gpu_milli = small(milli),
        None => {}
    }
    request.gpu_memory_mib = memory.unwrap_or(request.gpu_memory_mib);
    request.mig = mig.unwrap_or_else(|| request.mig.clone());
    let devices = words.number("devices");
    let default = if request.is_share() { request.gpu_devices.max(1) } else { 0 };
    request.gpu_devices = devices.unwrap_or(default);
}

fn tolerate(text: &str) -> Option<Toleration> {
    let (key, value, effect) = key_value_effect(text)?;
    Some(Toleration { key, value, effect })
}

fn affinity(text: &str) -> Option<PodAffinity> {
    let (topology_key, labels) = text.split_once(':')?;
    let label = |pair: String| pair.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    let match_labels = super::words::split(labels).into_iter().map(label).collect::<Option<_>>()?;
    Some(PodAffinity { topology_key: topology_key.to_owned(), match_labels })
}
