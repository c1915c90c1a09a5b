//! A run as text: what was decided in each round, where every task stands at the end, and why those wait that wait. The
//! expected part of a text scenario is this text.
//! Owns its form. Judges nothing.

use super::format::{Scenario, Task, TaskState};
use super::played::{Decision, Played, Round, TaskNow};
use super::text::show_seconds;
use super::world::World;

/// How lines begin that say why a job waits.
pub const WHY: &str = "why ";

/// The whole run, line by line, without ends of lines.
pub fn lines(scenario: &Scenario, played: &Played) -> Vec<String> {
    let mut world = World::of(scenario);
    let mut lines = Vec::new();
    for (heading, round) in headings(scenario, played).into_iter().zip(&played.rounds) {
        let step = round.step.and_then(|step| scenario.steps.get(step));
        step.into_iter().flat_map(|step| &step.events).for_each(|event| world.apply(event));
        let decided = decided(round);
        if !decided.is_empty() {
            lines.push(heading);
            lines.extend(decided);
        }
    }
    if let Some(last) = played.rounds.last() {
        lines.push("end".to_owned());
        lines.extend(ends(&world, last));
        lines.extend(last.waits.iter().map(|(job, why)| format!("  {WHY}{job}: {why}")));
    }
    lines
}

/// What each round is called.
pub fn headings(scenario: &Scenario, played: &Played) -> Vec<String> {
    let stable_from = played.rounds.len().saturating_sub(scenario.run.stable_rounds as usize);
    let (mut at, mut number) = (None, 0);
    let heading = |(index, round): (usize, &Round)| {
        if let Some(step) = round.step.and_then(|step| scenario.steps.get(step)) {
            (at, number) = (Some(step.at_seconds), 0);
        }
        number += 1;
        match at {
            _ if index >= stable_from && stable_from > 0 => format!("stable round {}", index - stable_from + 1),
            Some(at) if number == 1 => format!("at +{}", show_seconds(at)),
            Some(at) => format!("at +{}, round {number}", show_seconds(at)),
            None => format!("round {number}"),
        }
    };
    played.rounds.iter().enumerate().map(heading).collect()
}

/// Decisions of a round, with those that differ only in the task on one line.
fn decided(round: &Round) -> Vec<String> {
    let mut lines = Vec::new();
    for action in &round.actions {
        let worded: Vec<(&str, [String; 2])> = action.decisions.iter().map(words).collect();
        for alike in worded.chunk_by(|(_, one), (_, other)| one == other) {
            let [before, after] = &alike[0].1;
            let tasks = names(alike.iter().map(|(task, _)| *task));
            lines.push(format!("  {}: {before} {tasks}{after}", action.kind.word()));
        }
    }
    lines
}

/// The task of a decision (the job of a reservation), and what stands before and after it.
fn words(decision: &Decision) -> (&str, [String; 2]) {
    match decision {
        Decision::Place { task, node, devices } => (task, ["place".into(), on(node, devices)]),
        Decision::Nominate { task, node, devices, from: None } => (task, ["nominate".into(), on(node, devices)]),
        Decision::Nominate { task, node, devices, from: Some(from) } => {
            (task, ["move".into(), format!(" from {from}{}", on(node, devices).replacen(" on ", " to ", 1))])
        }
        Decision::Evict { task, claimant, cause } => {
            let claimant = claimant.iter().map(|job| format!(" for {job}")).collect::<String>();
            let cause = cause.iter().map(|cause| format!(", {cause}")).collect::<String>();
            (task, ["evict".into(), claimant + &cause])
        }
        Decision::Reserve { job, from_seconds } => {
            let from = from_seconds.map(|seconds| format!(" from +{}", show_seconds(seconds)));
            (job, ["reserve for".into(), from.unwrap_or_default()])
        }
    }
}

fn on(node: &str, devices: &[u32]) -> String {
    let devices: Vec<String> = devices.iter().map(u32::to_string).collect();
    let gpu = if devices.is_empty() { String::new() } else { format!(" gpu {}", devices.join(",")) };
    format!(" on {node}{gpu}")
}

/// Where every task stands, job by job, tasks that stand alike on one line.
fn ends(world: &World, last: &Round) -> Vec<String> {
    let gone = TaskNow::default();
    let mut lines = Vec::new();
    for job in world.jobs.values() {
        let place = |task: &Task| {
            let now = last.end().get(&task.name).unwrap_or(&gone);
            let shared = if task.request.is_share() { now.devices.as_slice() } else { &[] };
            now.state.to_string() + &now.node.iter().map(|node| on(node, shared)).collect::<String>()
        };
        let placed: Vec<(&str, String)> = job.tasks.iter().map(|task| (task.name.as_str(), place(task))).collect();
        for alike in placed.chunk_by(|(_, one), (_, other)| one == other) {
            lines.push(format!("  {} {}", names(alike.iter().map(|(task, _)| *task)), alike[0].1));
        }
    }
    lines
}

/// Names with those counted up in one: `a-0..2 b`.
fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let split = |name: &'a str| {
        let (stem, number) = name.rsplit_once('-')?;
        // Only what is written as a number is: `a-007` stands for itself.
        let number: u64 = number.parse().ok().filter(|value: &u64| value.to_string() == number)?;
        Some((stem, number))
    };
    let mut shown: Vec<(&'a str, Option<u64>)> = Vec::new();
    for name in names {
        match (shown.last_mut(), split(name)) {
            (Some((first, last)), Some((stem, number)))
                if split(first).is_some_and(|(other, start)| other == stem && last.unwrap_or(start) + 1 == number) =>
            {
                *last = Some(number);
            }
            _ => shown.push((name, None)),
        }
    }
    let text = |(first, last): (&str, Option<u64>)| last.map_or(first.to_owned(), |last| format!("{first}..{last}"));
    shown.into_iter().map(text).collect::<Vec<_>>().join(" ")
}

/// A line for each task of the end: where it stands, and why its job waits. For those who look into a failure.
pub fn outcome(scenario: &Scenario, played: &Played) -> Vec<String> {
    let mut world = World::of(scenario);
    scenario.steps.iter().flat_map(|step| &step.events).for_each(|event| world.apply(event));
    let Some(last) = played.rounds.last() else { return Vec::new() };
    let line = |job: &str, task: &Task| {
        let now = last.end().get(&task.name).cloned().unwrap_or_default();
        let node = now.node.as_ref().map(|node| on(node, &now.devices)).unwrap_or_default();
        let why = last.waits.get(job).filter(|_| now.state == TaskState::Pending);
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        format!("{} {}{node}{why}", task.name, now.state)
    };
    world.tasks().map(|(job, task)| line(&job.name, task)).collect()
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn names_that_count_up_are_drawn_together() {
        let cases = [
            (vec!["a-0", "a-1", "a-2", "b-0"], "a-0..2 b-0"),
            (vec!["a-0", "a-2", "a-3"], "a-0 a-2..3"),
            (vec!["a-1", "a-0", "x", "x-y"], "a-1 a-0 x x-y"),
            (vec!["a-00", "a-1", "a-9", "a-10"], "a-00 a-1 a-9..10"),
            (vec![], ""),
        ];
        for (given, expected) in cases {
            assert_eq!(names(given.iter().copied()), expected);
        }
    }
}
