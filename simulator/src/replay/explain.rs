//! One pod of a snapshot, or at the end of a journal: where it is, or what it waits for. The engine says it; this finds the pod.

use std::path::PathBuf;

use berth_config::journal::Entry;
use berth_engine::gang::Stage;
use berth_engine::{Decision, Engine, NodeId, PodId, Timestamp};
use serde::Serialize;

use super::{BrokenJournal, Journal, engine_of};

/// What is to be said of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explained {
    /// The pod: namespace and name.
    pub pod: String,
    /// Its gang; its own name where it is alone.
    pub gang: String,
    /// Its queue.
    pub queue: String,
    /// How it is.
    pub status: Status,
    /// The node it is on, leaves, or is promised.
    pub node: Option<String>,
    /// Why it waits, and what would help; or what happens next.
    pub because: Option<String>,
    /// What of objects that have the pod's name could not be understood.
    pub problems: Vec<String>,
}

/// How a pod is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It runs.
    Runs,
    /// It has a place and is about to start.
    Placed,
    /// It has been promised a place that others leave.
    Promised,
    /// It has been told to go.
    Leaves,
    /// It waits, and would get a place now.
    NextToStart,
    /// It waits.
    Waits,
}

/// Why nothing can be said of a pod.
#[derive(Debug, thiserror::Error)]
pub enum Unexplained {
    /// The file cannot be used.
    #[error(transparent)]
    Broken(#[from] BrokenJournal),
    /// The pod is not there.
    #[error(
        "there is no pod `{pod}`: it is over, is of another scheduler and not bound, waits for its scheduling gates, or never was{problems}"
    )]
    NoSuchPod {
        /// As the user wrote it.
        pod: String,
        /// What is known of objects of that name, each on a line of its own.
        problems: String,
    },
    /// There are several of the name.
    #[error("there are several pods `{pod}`: name one of {all}")]
    Several {
        /// As the user wrote it.
        pod: String,
        /// With their namespaces.
        all: String,
    },
}

/// Says how the pod (`namespace/name`, or its name where that is enough) is after the last line of a journal or snapshot.
///
/// # Errors
/// When a file is no journal, or has no such pod.
pub fn explain(files: &[PathBuf], pod: &str) -> Result<Explained, Unexplained> {
    let mut journal = Journal::open(files)?;
    let mut engine = engine_of(journal.header());
    let mut now = journal.header().begun;
    while let Some((at, entry)) = journal.next_entry()? {
        now = at;
        match entry {
            // What was refused then is refused now.
            Entry::Told(events) => events.into_iter().for_each(|event| drop(engine.apply(event, at))),
            Entry::Decided(_) => drop(engine.decide(at)),
        }
    }
    let about = |problem: &&String| problem.split([' ', ':']).any(|word| word == pod || is_named(word, pod));
    let problems: Vec<String> = journal.header().problems.iter().filter(about).cloned().collect();
    let id = find(&engine, pod).map_err(|all| match all.len() {
        0 => Unexplained::NoSuchPod {
            pod: pod.to_owned(),
            problems: problems.iter().map(|problem| format!("\n{problem}")).collect(),
        },
        _ => Unexplained::Several { pod: pod.to_owned(), all: all.join(", ") },
    })?;
    Ok(tell(&mut engine, id, now, problems))
}

/// Is this `namespace/pod`?
fn is_named(path: &str, pod: &str) -> bool {
    path == pod || path.split_once('/').is_some_and(|(_, name)| name == pod)
}

fn find(engine: &Engine, pod: &str) -> Result<PodId, Vec<String>> {
    let alike = engine.state().pods().iter().filter(|(_, known)| !known.gone && is_named(&known.name, pod));
    let all: Vec<(PodId, &str)> = alike.map(|(id, known)| (*id, &*known.name)).collect();
    match all.as_slice() {
        [(id, _)] => Ok(*id),
        all => Err(all.iter().map(|(_, name)| (*name).to_owned()).collect()),
    }
}

fn tell(engine: &mut Engine, id: PodId, now: Timestamp, problems: Vec<String>) -> Explained {
    let state = engine.state();
    let known = state.pods().get(&id);
    let (pod, gang_id) =
        known.map_or_else(|| (id.to_string(), Engine::lone_gang(id)), |pod| (pod.name.to_string(), pod.gang));
    let gang = state.gangs().get(&gang_id);
    let queue = gang.and_then(|gang| state.queues().get(gang.spec.queue)).map(|queue| queue.spec.name.clone());
    let gang =
        gang.map(|gang| gang.spec.name.to_string()).filter(|name| !name.is_empty()).unwrap_or_else(|| pod.clone());
    let there = state.whereabouts(id);
    let status = match there.stage {
        Stage::Running => Status::Runs,
        Stage::Placed => Status::Placed,
        Stage::Nominated { .. } => Status::Promised,
        Stage::Evicted | Stage::Stuck => Status::Leaves,
        Stage::Pending => Status::Waits,
    };
    let node = there.place.and_then(|place| name(engine, place.node));
    let mut told = Explained { pod, gang, queue: queue.unwrap_or_default(), status, node, because: None, problems };
    if status == Status::Waits {
        next(engine, id, now, &mut told);
        if told.status == Status::Waits {
            told.because = engine.explain(gang_id, now).map(|why| why.to_string());
        }
    }
    told
}

/// What a cycle would make of a pod that waits.
fn next(engine: &mut Engine, id: PodId, now: Timestamp, told: &mut Explained) {
    let decisions = engine.decide(now);
    for decision in &decisions {
        match decision {
            Decision::Bind { pods, .. } | Decision::Nominate { pods, .. } => {
                let Some(slot) = pods.iter().map(|one| &one.slot).find(|slot| slot.pod == id) else { continue };
                told.status = Status::NextToStart;
                told.node = name(engine, slot.node);
                let others = matches!(decision, Decision::Nominate { .. });
                let when =
                    if others { "it would be promised this place, which others leave" } else { "it would start now" };
                told.because = Some(when.to_owned());
            }
            _ => {}
        }
    }
}

fn name(engine: &Engine, node: NodeId) -> Option<String> {
    engine.cluster().nodes().get(&node).map(|node| node.name.clone())
}
