//! Lines below `----` that begin with `expect`: results as in the JSON form, instead of or beside the run's whole text.

use super::super::format::{Expect, ExpectedState, GroupResult, NodeResult, SameDomain, TaskResult};
use super::words::Words;

const STATE: &str = "a task's state, or `kept`";

/// Reads one line into what is expected so far.
pub(super) fn line(words: &mut Words<'_>, expect: &mut Expect) {
    match words.next() {
        Some("job") => {
            let name = words.name("job");
            expect.jobs.extend(result(words).map(|result| (name, result)));
        }
        Some("task") => {
            let name = words.name("task");
            expect.tasks.extend(result(words).map(|result| (name, result)));
        }
        Some("group") => group(words, expect),
        Some("same-domain") => {
            let tasks = words.names("tasks").unwrap_or_default();
            let topology = words.text("topology").unwrap_or_default().to_owned();
            let level = words.text("level").unwrap_or_default().to_owned();
            expect.same_domain.push(SameDomain { tasks, topology, level });
        }
        Some("node") => {
            let name = words.name("node");
            let (idle_gpus, releasing_gpus) =
                (words.number("idle").unwrap_or(0), words.number("releasing").unwrap_or(0));
            expect.nodes.insert(name, NodeResult { idle_gpus, releasing_gpus });
        }
        Some("evictions") => expect.max_evictions_per_round = words.number("at-most"),
        _ => words.complain("expected job, task, group, same-domain, node or evictions after `expect`"),
    }
}

/// `STATE [on NODE|NODE]`
fn result(words: &mut Words<'_>) -> Option<TaskResult> {
    let state = words.next().and_then(|word| ExpectedState::try_from(word.to_owned()).ok());
    let nodes = words.next_if(|word| word == "on").map(|_| words.name("node"));
    if state.is_none() {
        words.complain(format!("expected {STATE}, and perhaps `on` a node or on `one|of|several`"));
    }
    let several: Vec<String> = nodes.iter().flat_map(|nodes| nodes.split('|')).map(str::to_owned).collect();
    let (node, nodes_any_of) = match several.as_slice() {
        [] => (None, None),
        [one] => (Some(one.clone()), None),
        _ => (None, Some(several)),
    };
    Some(TaskResult { state: state?, node, nodes_any_of })
}

/// `group NAME,NAME STATE=COUNT …`
fn group(words: &mut Words<'_>, expect: &mut Expect) {
    let tasks = super::words::split(&words.name("tasks"));
    let states = super::super::format::TaskState::ALL.map(ExpectedState::Exactly);
    let states = states.into_iter().chain([ExpectedState::Kept]);
    let counts = states.filter_map(|state| Some((state, words.number(&state.to_string())?))).collect();
    expect.groups.push(GroupResult { tasks, counts });
}
