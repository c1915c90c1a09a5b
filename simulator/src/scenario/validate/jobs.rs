//! Jobs, their gangs and their tasks.

use std::collections::BTreeSet;

use super::super::format::{Checkpoint, Gang, GangTopology, Job, Operator, PodAffinity, Requirement, Task, TaskState};
use super::super::problem::{list, object};
use super::super::world::{World, gangs_above};
use super::{AMOUNT_MAX, Check, DEVICES_MAX, GPU_MEMORY_MIB_MAX, MEMORY_MIB_MAX, SECONDS_MAX};

/// A whole device, thousandths: no part is larger.
const SHARE_MILLI_MAX: u32 = 1000;

impl Check {
    pub(super) fn job(&mut self, job: &Job, world: &World) {
        let object = object("job", &job.name);
        self.known(&object, "queue", &job.queue, world.queues.iter().map(|queue| &queue.name), "queue");
        if world.queues.iter().any(|queue| queue.parent.as_ref() == Some(&job.queue)) {
            self.wrong(&object, "queue", &job.queue, "a queue without queues below it; jobs sit in leaves only");
        }
        if job.tasks.is_empty() {
            self.complain(&object, "it has no tasks; give it at least one");
        }
        let started = job.tasks.iter().any(|task| matches!(task.state, TaskState::Placed | TaskState::Running));
        if started && job.started_seconds_ago.is_none() {
            self.wrong(&object, "startedSecondsAgo", "", "when it started, since some task is placed or running");
        }
        self.times(&object, job);
        let mut groups = Vec::new();
        self.gang(&object, &job.gang, true, &mut groups, world);
        self.names(&format!("sub-group of {object}"), groups.into_iter());
        for task in &job.tasks {
            self.task(task, job, world);
        }
    }

    fn times(&mut self, object: &str, job: &Job) {
        let checkpoint = match job.last_checkpoint_seconds_ago {
            Some(Checkpoint::SecondsAgo(seconds)) => seconds,
            _ => 0,
        };
        let times = [
            ("ageSeconds", job.age_seconds),
            ("startedSecondsAgo", job.started_seconds_ago.unwrap_or(0)),
            ("preemptionDelaySeconds", job.preemption_delay_seconds),
            ("staleSeconds", job.stale_seconds.unwrap_or(0)),
            ("staleGraceSeconds", job.stale_grace_seconds.unwrap_or(0).unsigned_abs()),
            ("expectedRuntimeSeconds", job.expected_runtime_seconds.unwrap_or(0)),
            ("lastCheckpointSecondsAgo", checkpoint),
            ("startTimeoutSeconds", job.start_timeout_seconds.unwrap_or(0)),
        ];
        for (field, seconds) in times {
            self.at_most(object, field, seconds, SECONDS_MAX);
        }
    }

    /// A gang and those below; their names go to `groups`.
    fn gang<'a>(&mut self, object: &str, gang: &'a Gang, is_root: bool, groups: &mut Vec<&'a str>, world: &World) {
        if !is_root || !gang.name.is_empty() {
            groups.push(&gang.name);
        }
        if let Some(GangTopology { name, required, preferred }) = &gang.topology {
            self.known(object, "topology.name", name, world.topologies.keys(), "topology");
            let levels = world.topologies.get(name).map(|topology| &topology.levels);
            for (field, level) in [("topology.required", required), ("topology.preferred", preferred)] {
                if let (Some(level), Some(levels)) = (level, levels) {
                    self.known(object, field, level, levels, "level of the topology");
                }
            }
        }
        gang.sub_groups.iter().for_each(|below| self.gang(object, below, false, groups, world));
    }

    fn task(&mut self, task: &Task, job: &Job, world: &World) {
        let object = object("task", &task.name);
        if gangs_above(&job.gang, &task.sub_group).is_empty() {
            let names = list(holders(&job.gang));
            self.wrong(&object, "subGroup", &task.sub_group, &format!("a gang of its job that holds tasks: {names}"));
        }
        match (&task.node, task.state.has_node()) {
            (None, true) => self.wrong(&object, "node", "", &format!("the node it is on, since it is {}", task.state)),
            (Some(node), false) => self.wrong(&object, "node", node, &format!("nothing, since it is {}", task.state)),
            (Some(node), true) => self.known(&object, "node", node, world.nodes.keys(), "node"),
            (None, false) => {}
        }
        self.request(&object, task);
        self.classes(&object, task);
        for name in task.node_names.iter().flatten() {
            let names = self.node_names.clone();
            self.known(&object, "nodeNames", name, &names, "node");
        }
        for asked in task.node_affinity.iter().flat_map(|term| term.match_expressions.iter().chain(&term.match_fields))
        {
            self.requirement(&object, asked);
        }
        for asked in task.node_affinity.iter().flat_map(|term| &term.match_fields) {
            if asked.key != "metadata.name" || !matches!(asked.operator, Operator::In | Operator::NotIn) {
                self.wrong(&object, "nodeAffinity.matchFields", &asked.key, "`metadata.name` with In or NotIn");
            }
        }
        for spread in &task.topology_spread {
            if spread.max_skew == 0 || spread.min_domains == Some(0) || spread.match_labels.is_empty() {
                self.complain(&object, "field `topologySpread`: expected numbers from 1 and some `matchLabels`");
            }
        }
        for port in &task.host_ports {
            if port.host_port == 0 {
                self.wrong(&object, "hostPorts", "0", "a port from 1 to 65535");
            }
        }
        for (field, affinity) in [("podAffinity", &task.pod_affinity), ("podAntiAffinity", &task.pod_anti_affinity)] {
            let empty = |PodAffinity { topology_key, match_labels }: &PodAffinity| {
                topology_key.is_empty() || match_labels.is_empty()
            };
            if affinity.as_ref().is_some_and(empty) {
                self.complain(&object, format!("field `{field}`: expected a `topologyKey` and some `matchLabels`"));
            }
        }
    }

    fn requirement(&mut self, object: &str, asked: &Requirement) {
        let expected = match asked.operator {
            Operator::In | Operator::NotIn if asked.values.is_empty() => "at least one value",
            Operator::Exists | Operator::DoesNotExist if !asked.values.is_empty() => "no values",
            Operator::Gt | Operator::Lt if !matches!(asked.values.as_slice(), [one] if one.parse::<i64>().is_ok()) => {
                "one whole number"
            }
            _ => return,
        };
        let found = format!("{} {}", asked.operator.word(), list(asked.values.iter().map(String::as_str)));
        self.wrong(object, &format!("`{}`", asked.key), &found, expected);
    }

    fn request(&mut self, object: &str, task: &Task) {
        let request = &task.request;
        let kinds = [
            ("gpus", request.gpus > 0),
            ("gpuMilli", request.gpu_milli > 0),
            ("gpuMemoryMib", request.gpu_memory_mib > 0),
            ("mig", !request.mig.is_empty()),
        ];
        let set: Vec<&str> = kinds.iter().filter(|(_, set)| *set).map(|(name, _)| *name).collect();
        if set.len() > 1 {
            self.complain(object, format!("asks for GPUs in {} ways ({}); choose one", set.len(), list(set)));
        }
        if request.is_share() != (request.gpu_devices > 0) {
            let expected = if request.is_share() { "at least 1 for a share" } else { "0 where no share is asked for" };
            self.wrong(object, "gpuDevices", &request.gpu_devices.to_string(), expected);
        }
        self.at_most(object, "gpus", request.gpus, DEVICES_MAX);
        self.at_most(object, "gpuMilli", request.gpu_milli, SHARE_MILLI_MAX);
        self.at_most(object, "gpuMemoryMib", request.gpu_memory_mib, GPU_MEMORY_MIB_MAX);
        self.at_most(object, "gpuDevices", request.gpu_devices, DEVICES_MAX);
        self.at_most(object, "cpuMilli", request.cpu_milli, AMOUNT_MAX);
        self.at_most(object, "memoryMib", request.memory_mib, MEMORY_MIB_MAX);
        for amount in request.others.values() {
            self.at_most(object, "others", *amount, AMOUNT_MAX);
            if *amount == 0 {
                self.wrong(object, "others", "0", "at least 1, or no such resource");
            }
        }
        for (profile, count) in &request.mig {
            self.mig(object, profile, *count);
            if *count == 0 {
                self.wrong(object, "mig", "0", "at least 1 instance, or no such profile");
            }
        }
    }

    /// A task that shares devices says which.
    fn classes(&mut self, object: &str, task: &Task) {
        let shares = task.request.is_share() && task.state.has_node();
        let expected = if shares { task.request.gpu_devices as usize } else { 0 };
        let distinct: BTreeSet<&String> = task.gpu_classes.iter().collect();
        if task.gpu_classes.len() != expected || distinct.len() != expected {
            let labels = list(task.gpu_classes.iter().map(String::as_str));
            let why = if shares { "one for each device it shares" } else { "as it shares no device now" };
            self.complain(
                object,
                format!("field `gpuClasses`: found {labels}, expected {expected} different labels, {why}"),
            );
        }
    }
}

/// The names of the gangs that hold tasks.
fn holders(gang: &Gang) -> Vec<&str> {
    if gang.sub_groups.is_empty() {
        return vec![&gang.name];
    }
    gang.sub_groups.iter().flat_map(holders).collect()
}
