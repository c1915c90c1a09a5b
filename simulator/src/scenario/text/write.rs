//! A scenario in its text form. What is written reads back as the same scenario (tests hold it to that), names of queues
//! and topologies spelled out, what has its default left out.

use std::fmt::Write;

use super::super::format::{
    Checkpoint, Event, Expect, Gang, Job, Labels, Mig, MigStrategy, Mode, Node, PodAffinity, Queue, Quota, Request,
    Run, Scenario, Taint, TaintEffect, Task, TaskResult, UNLIMITED,
};
use super::super::world::World;
use super::objects::{plain_node, plain_queue};
use super::units::{show_mib, show_seconds, show_thousandths};
use super::{RULE, STALE_GRACE_SECONDS, jobs, terms};

/// The text form of a scenario. Tasks stand with their group, so their order may change; it means nothing.
pub fn write(scenario: &Scenario) -> String {
    let mut out = format!("# {}\n", scenario.name);
    about(scenario, &mut out);
    let mut say = |line: String| out.push_str(&(line + "\n"));
    scenario.topologies.iter().for_each(|one| say(format!("topology {} levels={}", one.name, one.levels.join(","))));
    scenario.nodes.iter().for_each(|one| say(node(one, &plain_node(&one.name))));
    scenario.queues.iter().for_each(|one| say(queue(one, &plain_queue(&one.name))));
    for one in &scenario.disruption_budgets {
        let max = one.max_unavailable.map(|most| format!(" max-unavailable={most}")).unwrap_or_default();
        let min = one.min_available.map(|least| format!(" min-available={least}")).unwrap_or_default();
        say(format!("budget {}{max}{min}{}", one.name, labels("match.", &one.match_labels)));
    }
    scenario.jobs.iter().for_each(|one| job(one, "", &mut out));
    steps(scenario, &mut out);
    if scenario.expect.is_some() || scenario.expect_text.is_some() {
        let _ = writeln!(out, "{RULE}");
    }
    scenario.expect.iter().for_each(|expect| results(expect, &mut out));
    scenario.expect_text.iter().for_each(|text| out.push_str(text));
    out
}

fn about(scenario: &Scenario, out: &mut String) {
    let mut say = |line: String| out.push_str(&(line + "\n"));
    if let Some(policy) = scenario.policy_set {
        say(format!("policy {policy}"));
    }
    if !scenario.area.is_empty() {
        say(format!("area {}", scenario.area));
    }
    if (scenario.tier, scenario.tier_reason.as_str()) != Default::default() {
        say(format!("tier {} {}", scenario.tier, scenario.tier_reason));
    }
    if !scenario.features.is_empty() {
        say(format!("features {}", scenario.features.join(" ")));
    }
    if let Some(origin) = &scenario.origin {
        say(format!("origin suite={} file={} commit={}", origin.suite, origin.file, origin.commit));
    }
    scenario.notes.iter().for_each(|note| say(format!("note {note}")));
    let Run { mode, rounds, stable_rounds, stale_grace_seconds, start_timeout_seconds, usage_half_life_seconds } =
        &scenario.run;
    let grace = (*stale_grace_seconds != STALE_GRACE_SECONDS).then(|| grace(*stale_grace_seconds));
    let words = [
        (*mode != Mode::Cycle).then(|| format!(" mode={}", mode.word())),
        (*rounds != 1).then(|| format!(" rounds={rounds}")),
        (*stable_rounds != 0).then(|| format!(" stable={stable_rounds}")),
        grace.map(|grace| format!(" stale-grace={grace}")),
        start_timeout_seconds.map(|time| format!(" start-timeout={}", show_seconds(time))),
        usage_half_life_seconds.map(|time| format!(" usage-half-life={}", show_seconds(time))),
    ];
    let words: String = words.into_iter().flatten().collect();
    if !words.is_empty() {
        say(format!("run{words}"));
    }
}

fn grace(seconds: i64) -> String {
    u64::try_from(seconds).map_or_else(|_| "never".to_owned(), show_seconds)
}

fn labels(prefix: &str, labels: &Labels) -> String {
    labels.iter().map(|(key, value)| format!(" {prefix}{key}={value}")).collect()
}

fn differs<T: PartialEq>(key: &str, value: &T, base: &T, show: impl Fn(&T) -> String) -> String {
    if value == base { String::new() } else { format!(" {key}={}", show(value)) }
}

fn node(node: &Node, base: &Node) -> String {
    let mut line = format!("node {}", node.name);
    line += &differs("gpus", &node.gpus, &base.gpus, u32::to_string);
    line += &differs("model", &node.gpu_model, &base.gpu_model, String::clone);
    line += &differs("gpu-memory", &node.gpu_memory_mib, &base.gpu_memory_mib, |mib| show_mib(*mib));
    line += &differs("cpu", &node.cpu_milli, &base.cpu_milli, |milli| show_thousandths(*milli));
    line += &differs("memory", &node.memory_mib, &base.memory_mib, |mib| show_mib(*mib));
    line += &differs("pods", &node.pods, &base.pods, u32::to_string);
    if let Some(Mig { strategy, instances }) = &node.mig {
        let strategy = if *strategy == MigStrategy::Single { "single" } else { "mixed" };
        line += &format!(" mig={strategy}:{}", profiles(instances));
    }
    let more = node.others.iter().filter(|(name, amount)| base.others.get(*name) != Some(amount));
    line += &others(more);
    let new = node.labels.iter().filter(|(key, value)| base.labels.get(*key) != Some(value));
    line += &labels("label.", &new.map(|(key, value)| (key.clone(), value.clone())).collect());
    if node.taints != base.taints {
        let taint = |taint: &Taint| format!(" taint={}={}:{}", taint.key, taint.value, effect(taint.effect));
        line += &node.taints.iter().map(taint).collect::<String>();
        line += if node.taints.is_empty() { " untainted" } else { "" };
    }
    match (node.cordoned, base.cordoned) {
        (true, false) => line + " cordoned",
        (false, true) => line + " uncordoned",
        _ => line,
    }
}

fn others<'a>(amounts: impl Iterator<Item = (&'a String, &'a u64)>) -> String {
    amounts.map(|(name, amount)| format!(" other.{name}={amount}")).collect()
}

fn profiles(instances: &std::collections::BTreeMap<String, u32>) -> String {
    instances.iter().map(|(profile, count)| format!("{profile}*{count}")).collect::<Vec<_>>().join(",")
}

fn effect(effect: TaintEffect) -> &'static str {
    match effect {
        TaintEffect::NoSchedule => "NoSchedule",
        TaintEffect::PreferNoSchedule => "PreferNoSchedule",
        TaintEffect::NoExecute => "NoExecute",
    }
}

fn queue(queue: &Queue, base: &Queue) -> String {
    let mut line = format!("queue {}", queue.name);
    line += &queue.parent.iter().map(|parent| format!(" parent={parent}")).collect::<String>();
    line += &differs("priority", &queue.priority, &base.priority, i32::to_string);
    line += &quota("", &queue.gpu, &base.gpu, show_thousandths);
    line += &quota("cpu.", &queue.cpu, &base.cpu, show_thousandths);
    line += &quota("memory.", &queue.memory, &base.memory, show_mib);
    for (model, one) in &queue.gpu_models {
        // All three, so that the model is there even if nothing differs.
        let none = Quota { deserved: UNLIMITED - 1, limit: UNLIMITED - 1, over_quota_weight: u64::MAX };
        line += &quota(&format!("gpu:{model}."), one, base.gpu_models.get(model).unwrap_or(&none), show_thousandths);
    }
    let time = |seconds: &u64| show_seconds(*seconds);
    line +=
        &differs("reclaim-min-runtime", &queue.reclaim_min_runtime_seconds, &base.reclaim_min_runtime_seconds, time);
    line +=
        &differs("preempt-min-runtime", &queue.preempt_min_runtime_seconds, &base.preempt_min_runtime_seconds, time);
    line + &differs("used-gpu-seconds", &queue.used_gpu_seconds, &base.used_gpu_seconds, u64::to_string)
}

fn quota(prefix: &str, quota: &Quota, base: &Quota, show: impl Fn(u64) -> String) -> String {
    let bound = |amount: &i64| u64::try_from(*amount).map_or_else(|_| "unlimited".to_owned(), &show);
    let deserved = differs(&format!("{prefix}deserved"), &quota.deserved, &base.deserved, bound);
    let limit = differs(&format!("{prefix}limit"), &quota.limit, &base.limit, bound);
    let (weight, plain) = (&quota.over_quota_weight, &base.over_quota_weight);
    deserved + &limit + &differs(&format!("{prefix}weight"), weight, plain, u64::to_string)
}

fn job(job: &Job, indent: &str, out: &mut String) {
    let time = |key: &str, seconds: Option<u64>| {
        seconds.map(|seconds| format!(" {key}={}", show_seconds(seconds))).unwrap_or_default()
    };
    let some = |seconds: u64| (seconds > 0).then_some(seconds);
    let flag = |is: bool, word: &str| if is { format!(" {word}") } else { String::new() };
    let checkpoint = job.last_checkpoint_seconds_ago.map(|checkpoint| match checkpoint {
        Checkpoint::Never => " checkpoint=never".to_owned(),
        Checkpoint::SecondsAgo(seconds) => format!(" checkpoint={}", show_seconds(seconds)),
    });
    let line = [
        format!("{indent}job {} queue={} priority={}", job.name, job.queue, job.priority),
        flag(!job.preemptible, "non-preemptible"),
        time("age", some(job.age_seconds)),
        time("started", job.started_seconds_ago),
        time("delay", some(job.preemption_delay_seconds)),
        time("stale", job.stale_seconds),
        job.stale_grace_seconds.map(|seconds| format!(" stale-grace={}", grace(seconds))).unwrap_or_default(),
        flag(job.terminates_slowly, "terminates-slowly"),
        time("runtime", job.expected_runtime_seconds),
        checkpoint.unwrap_or_default(),
        time("start-timeout", job.start_timeout_seconds),
        flag(job.bare, "bare"),
        flag(!job.gang.name.is_empty(), &format!("gang={}", job.gang.name)),
        gang(&job.gang),
    ];
    let _ = writeln!(out, "{}", line.concat());
    let mut number = 0;
    members(job, &job.gang, &format!("{indent}  "), &mut number, out);
}

fn gang(gang: &Gang) -> String {
    let mut line = format!(" min={}", gang.min_member);
    if let Some(topology) = &gang.topology {
        line += &format!(" topology={}", topology.name);
        line += &topology.required.iter().map(|level| format!(" required={level}")).collect::<String>();
        line += &topology.preferred.iter().map(|level| format!(" preferred={level}")).collect::<String>();
    }
    line
}

/// The groups or tasks below a gang, tasks that are alike on one line where their names are those they would get.
fn members(job: &Job, of: &Gang, indent: &str, number: &mut usize, out: &mut String) {
    for below in &of.sub_groups {
        let _ = writeln!(out, "{indent}group {}{}", below.name, gang(below));
        members(job, below, &format!("{indent}  "), number, out);
    }
    if !of.sub_groups.is_empty() {
        return;
    }
    let mut tasks = job.tasks.iter().filter(|task| task.sub_group == of.name).peekable();
    while let Some(first) = tasks.next() {
        let counted = |number: usize| format!("{}-{number}", job.name);
        let named = first.name == counted(*number);
        let mut count = 1;
        while named
            && tasks.next_if(|next| next.name == counted(*number + count) && phrase(next) == phrase(first)).is_some()
        {
            count += 1;
        }
        *number += count;
        let count = if count > 1 { format!("{count} x ") } else { String::new() };
        let name = if named { String::new() } else { format!(" name={}", first.name) };
        let _ = writeln!(out, "{indent}{count}{}{name}", phrase(first));
    }
}

fn phrase(task: &Task) -> String {
    let mut line = task.state.to_string();
    line += &task.node.iter().map(|node| format!(" on {node}")).collect::<String>();
    line += &request(&task.request);
    let list = |key: &str, names: &[String]| {
        if names.is_empty() { String::new() } else { format!(" {key}={}", names.join(",")) }
    };
    line += &list("sharing", &task.gpu_classes);
    line += &task.order.map(|order| format!(" order={order}")).unwrap_or_default();
    line += &task.node_names.as_ref().map_or_else(String::new, |names| match names.as_slice() {
        [] => " only=none".to_owned(),
        names => list("only", names),
    });
    line += &labels("select.", &task.node_selector);
    line += &labels("label.", &task.labels);
    if !task.node_affinity.is_empty() {
        line += &format!(" node-affinity={}", terms::show_node_affinity(&task.node_affinity));
    }
    for port in &task.host_ports {
        line += &format!(" host-port={}", terms::show_host_port(port));
    }
    for spread in &task.topology_spread {
        line += &format!(" spread={}", terms::show_spread(spread));
    }
    line += &list("models", &task.gpu_models);
    for toleration in &task.tolerations {
        let key = toleration.key.as_deref().unwrap_or("*");
        let value = toleration.value.as_ref().map(|value| format!("={value}")).unwrap_or_default();
        let effect = toleration.effect.map(|one| format!(":{}", effect(one))).unwrap_or_default();
        line += &format!(" tolerate={key}{value}{effect}");
    }
    for (key, affinity) in [("affinity", &task.pod_affinity), ("anti-affinity", &task.pod_anti_affinity)] {
        if let Some(PodAffinity { topology_key, match_labels }) = affinity {
            let labels: Vec<String> = match_labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            line += &format!(" {key}={topology_key}:{}", labels.join(","));
        }
    }
    if task.never_starts {
        line += " never-starts";
    }
    line
}

fn request(request: &Request) -> String {
    let set = |is: bool, text: String| if is { text } else { String::new() };
    [
        set(request.gpus > 0, format!(" gpu={}", request.gpus)),
        set(request.gpu_milli > 0, format!(" gpu={}m", request.gpu_milli)),
        set(request.gpu_memory_mib > 0, format!(" gpu-memory={}", show_mib(request.gpu_memory_mib))),
        set(request.gpu_devices > 1, format!(" devices={}", request.gpu_devices)),
        set(!request.mig.is_empty(), format!(" mig={}", profiles(&request.mig))),
        differs("cpu", &request.cpu_milli, &jobs::CPU_MILLI, |milli| show_thousandths(*milli)),
        differs("memory", &request.memory_mib, &jobs::MEMORY_MIB, |mib| show_mib(*mib)),
        others(request.others.iter()),
    ]
    .concat()
}

/// Nodes and queues that were known say only what changes.
fn steps(scenario: &Scenario, out: &mut String) {
    let mut world = World::of(scenario);
    for step in &scenario.steps {
        let rounds = if step.rounds == 1 { String::new() } else { format!(" rounds={}", step.rounds) };
        let _ = writeln!(out, "at +{}{rounds}", show_seconds(step.at_seconds));
        for one in &step.events {
            event(one, &world, out);
            // What has left is remembered, as in reading.
            if !matches!(one, Event::RemoveNode(_)) {
                world.apply(one);
            }
        }
    }
}

fn event(event: &Event, world: &World, out: &mut String) {
    let line = match event {
        Event::Finish(name) => format!("finish {name}"),
        Event::Fail(name) => format!("fail {name}"),
        Event::Lose(name) => format!("lose {name}"),
        Event::BindFails(name) => format!("bind-fails {name}"),
        Event::Checkpoint(name) => format!("checkpoint {name}"),
        Event::RemoveNode(name) => format!("remove node {name}"),
        Event::RemoveJob(name) => format!("remove job {name}"),
        Event::SetNode(one) => node(one, world.nodes.get(&one.name).unwrap_or(&plain_node(&one.name))),
        Event::SetQueue(one) => queue(one, world.queue(&one.name).unwrap_or(&plain_queue(&one.name))),
        Event::AddJob(one) => return job(one, "  ", out),
    };
    let _ = writeln!(out, "  {line}");
}

fn results(expect: &Expect, out: &mut String) {
    let mut say = |line: String| out.push_str(&format!("expect {line}\n"));
    let result = |result: &TaskResult| {
        let nodes = result.nodes_any_of.as_ref().map(|names| names.join("|")).or_else(|| result.node.clone());
        let nodes = nodes.map(|nodes| format!(" on {nodes}")).unwrap_or_default();
        format!("{}{nodes}", result.state)
    };
    expect.jobs.iter().for_each(|(name, one)| say(format!("job {name} {}", result(one))));
    expect.tasks.iter().for_each(|(name, one)| say(format!("task {name} {}", result(one))));
    for group in &expect.groups {
        let counts: String = group.counts.iter().map(|(state, count)| format!(" {state}={count}")).collect();
        say(format!("group {}{counts}", group.tasks.join(",")));
    }
    for one in &expect.same_domain {
        say(format!("same-domain tasks={} topology={} level={}", one.tasks.join(","), one.topology, one.level));
    }
    for (name, one) in &expect.nodes {
        say(format!("node {name} idle={} releasing={}", one.idle_gpus, one.releasing_gpus));
    }
    expect.max_evictions_per_round.iter().for_each(|most| say(format!("evictions at-most={most}")));
}
