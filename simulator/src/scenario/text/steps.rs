//! What happens later: `at +600s [rounds=2]` with a line for each event below it.

use std::collections::BTreeMap;

use super::super::format::{Event, Node, Queue, Step, Topology};
use super::super::problem::Finding;
use super::units::{TIME, seconds};
use super::words::{Line, Words};
use super::{jobs, objects};

/// What is known of nodes and queues so far: a line in a step says only what changes.
pub(super) struct Known<'a> {
    pub(super) topologies: &'a [Topology],
    pub(super) nodes: BTreeMap<String, Node>,
    pub(super) queues: BTreeMap<String, Queue>,
    /// The queue of jobs that name none, if there is no doubt.
    pub(super) queue: Option<String>,
}

/// Reads a step with everything below its line.
pub(super) fn step(line: &Line, known: &mut Known<'_>, findings: &mut Vec<Finding>) -> Step {
    let mut words = Words::of(line, 1, findings);
    let at = words.name("time");
    let at_seconds = at.strip_prefix('+').and_then(seconds);
    if at_seconds.is_none() {
        words.complain(format!("expected `at +TIME` since the start, {TIME}, as in `at +10m`"));
    }
    let rounds = words.number("rounds").unwrap_or(1);
    words.done();
    let events = line.below.iter().flat_map(|below| events(below, known, findings)).collect();
    Step { at_seconds: at_seconds.unwrap_or(0), rounds, events }
}

fn events(line: &Line, known: &mut Known<'_>, findings: &mut Vec<Finding>) -> Vec<Event> {
    let word = line.words.first().map_or("", String::as_str);
    if word == "job" {
        let mut job = jobs::job(line, known.topologies, findings);
        if job.queue.is_empty() {
            job.queue = known.queue.clone().unwrap_or_default();
        }
        return vec![Event::AddJob(job)];
    }
    let mut words = Words::of(line, 1, findings);
    let events = match word {
        "finish" => named(&mut words, Event::Finish),
        "fail" => named(&mut words, Event::Fail),
        "lose" => named(&mut words, Event::Lose),
        "bind-fails" => named(&mut words, Event::BindFails),
        "checkpoint" => named(&mut words, Event::Checkpoint),
        "remove" => match words.next() {
            Some("node") => named(&mut words, Event::RemoveNode),
            Some("job") => named(&mut words, Event::RemoveJob),
            _ => {
                words.complain("expected `remove node NAME` or `remove job NAME`");
                Vec::new()
            }
        },
        "node" => {
            let name = words.name("node");
            let node = known.nodes.entry(name.clone()).or_insert_with(|| objects::plain_node(&name));
            objects::node(&mut words, known.topologies, node);
            vec![Event::SetNode(node.clone())]
        }
        "queue" => {
            let name = words.name("queue");
            let queue = known.queues.entry(name.clone()).or_insert_with(|| objects::plain_queue(&name));
            objects::queue(&mut words, queue);
            vec![Event::SetQueue(queue.clone())]
        }
        _ => {
            words.rest();
            words.complain(
                "expected finish, fail, lose, bind-fails or checkpoint with names, `remove node` or `remove job`, or \
                 a node, queue or job line",
            );
            return Vec::new();
        }
    };
    words.done();
    events
}

/// An event for each name.
fn named(words: &mut Words<'_>, event: impl Fn(String) -> Event) -> Vec<Event> {
    let names = words.rest();
    if names.is_empty() {
        words.complain("expected a name here");
    }
    names.into_iter().map(|name| event(name.to_owned())).collect()
}
