//! What a cycle did and why the rest waits, collected while it runs. Owns who has been told what: a gang is told once, and the
//! first of a line again when something else holds it up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::cluster::Placement;
use crate::decision::{Assigned, Choice, Decision, EvictCause, PlanId, Slot, Why};
use crate::gang::Stage;
use crate::miss::Miss;
use crate::queue::waiting::{LineId, Waiting};
use crate::state::State;
use crate::units::{GangId, PodId, Timestamp};
use crate::victims::{Action, Outcome};

/// Collects decisions and misses.
#[derive(Debug, Default)]
pub(crate) struct Report {
    plans: u64,
    decisions: Vec<Decision>,
    /// Lines that got nothing this time, with the gang that was tried.
    misses: BTreeMap<LineId, (GangId, Miss)>,
    /// Gangs that have not been told yet that they wait.
    untold: BTreeSet<GangId>,
    /// What a line was told last.
    told: BTreeMap<LineId, Arc<Why>>,
    /// Every step, if anybody wants to read it.
    trace: Option<Vec<String>>,
}

impl Report {
    /// A gang came, or came back to waiting: it is owed an answer.
    pub(crate) fn owe(&mut self, gang: GangId) {
        self.untold.insert(gang);
    }

    /// A gang is gone or has what it wanted.
    pub(crate) fn forget(&mut self, gang: GangId) {
        self.untold.remove(&gang);
    }

    pub(crate) fn set_tracing(&mut self, on: bool) {
        self.trace = on.then(Vec::new);
    }

    pub(crate) fn take_trace(&mut self) -> Vec<String> {
        self.trace.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Writes a step down, if steps are written down.
    pub(crate) fn note(&mut self, step: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(step());
        }
    }

    fn plan(&mut self) -> PlanId {
        self.plans += 1;
        PlanId(self.plans)
    }

    /// A chunk was placed, now or on a promise.
    pub(crate) fn placed(&mut self, state: &State, gang: GangId, chosen: &[(PodId, Choice)]) {
        let plan = self.plan();
        let (now, later): (Vec<Assigned>, Vec<Assigned>) = assigned(state, chosen.iter().copied())
            .partition(|one| state.pods.get(&one.slot.pod).is_some_and(|pod| pod.stage == Stage::Placed));
        if !now.is_empty() {
            self.decisions.push(Decision::Bind { plan, gang, pods: now });
        }
        if !later.is_empty() {
            self.decisions.push(Decision::Nominate { plan, gang, pods: later });
        }
    }

    /// Room was made.
    pub(crate) fn made_room(&mut self, state: &State, outcome: &Outcome) {
        let plan = self.plan();
        let mut pods = outcome.evicted.clone();
        pods.extend(outcome.moved.iter().map(|(pod, _)| *pod));
        pods.sort_unstable();
        let cause = outcome.action.into();
        self.decisions.push(Decision::Evict { plan, pods, claimant: Some(outcome.claimant), cause });
        let claimed: Vec<Assigned> = assigned(state, outcome.promised.iter().copied()).collect();
        self.decisions.push(Decision::Nominate { plan, gang: outcome.claimant, pods: claimed });
        let mut moved: BTreeMap<GangId, Vec<Assigned>> = BTreeMap::new();
        for one in assigned(state, outcome.moved.iter().chain(&outcome.joined).copied()) {
            if let Some(pod) = state.pods.get(&one.slot.pod) {
                moved.entry(pod.gang).or_default().push(one);
            }
        }
        for (gang, pods) in moved {
            self.decisions.push(Decision::Nominate { plan, gang, pods });
        }
    }

    /// A place is kept for a gang from now on.
    pub(crate) fn reserved(&mut self, gang: GangId, from: Option<Timestamp>) {
        self.decisions.push(Decision::Reserve { gang, from });
    }

    /// A broken gang was given up.
    pub(crate) fn gave_up(&mut self, pods: Vec<PodId>, cause: EvictCause) {
        let plan = self.plan();
        self.decisions.push(Decision::Evict { plan, pods, claimant: None, cause });
    }

    /// A chunk found no place.
    pub(crate) fn missed(&mut self, line: LineId, gang: GangId, miss: Miss) {
        self.misses.insert(line, (gang, miss));
    }

    /// The lines that got nothing and still wait, with the gang that was tried, why, and whether anybody is waiting to be
    /// told.
    pub(crate) fn questions(&mut self, waiting: &Waiting) -> Vec<Question> {
        let lines = self.untold.iter().filter_map(|gang| waiting.line_of(*gang));
        let untold: BTreeSet<LineId> = lines.collect();
        let missed = std::mem::take(&mut self.misses).into_iter();
        let still = missed.filter(|(line, (gang, _))| waiting.line_of(*gang) == Some(*line));
        still.map(|(line, (gang, miss))| Question { line, gang, miss, untold: untold.contains(&line) }).collect()
    }

    /// Would a gang learn something new from this?
    pub(crate) fn is_new(&self, line: LineId, answer: &Why) -> bool {
        self.told.get(&line).is_none_or(|told| !told.is_like(answer))
    }

    /// Everything that was decided, and who waits for what. `incomplete` answers for gangs that are not in line.
    pub(crate) fn take(
        &mut self,
        state: &State,
        waiting: &Waiting,
        answers: Vec<Answer>,
        incomplete: impl Fn(GangId) -> Why,
    ) -> Vec<Decision> {
        let mut decisions = std::mem::take(&mut self.decisions);
        let mut tell = |gang: GangId, why: &Arc<Why>| {
            if let Some(pod) = first_pending(state, gang) {
                decisions.push(Decision::Wait { gang, pod, why: Arc::clone(why) });
            }
        };
        let mut full_answers: BTreeMap<LineId, Arc<Why>> = BTreeMap::new();
        for Answer { line, brief, full } in answers {
            let Some(head) = waiting.head(line).map(|turn| turn.gang) else { continue };
            if let Some(full) = full.map(Arc::new) {
                if self.is_new(line, &brief) && !self.untold.contains(&head) {
                    tell(head, &full);
                }
                full_answers.insert(line, full);
            }
            self.told.insert(line, Arc::new(brief));
        }
        self.told.retain(|line, _| waiting.head(*line).is_some());
        for gang in std::mem::take(&mut self.untold) {
            match (waiting.line_of(gang), first_pending(state, gang)) {
                (_, None) => {}
                (Some(line), _) => match full_answers.get(&line).or_else(|| self.told.get(&line)) {
                    Some(answer) => tell(gang, answer),
                    None => {
                        self.untold.insert(gang);
                    }
                },
                (None, _) => tell(gang, &Arc::new(incomplete(gang))),
            }
        }
        decisions
    }
}

/// What a line is told.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) line: LineId,
    /// To see whether it has changed.
    pub(crate) brief: Why,
    /// With everything that is worth knowing, if anybody is told.
    pub(crate) full: Option<Why>,
}

/// A line that got nothing.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) line: LineId,
    pub(crate) gang: GangId,
    pub(crate) miss: Miss,
    pub(crate) untold: bool,
}

impl From<Action> for EvictCause {
    fn from(action: Action) -> Self {
        match action {
            Action::Consolidate => EvictCause::Consolidate,
            Action::Reclaim => EvictCause::Reclaim,
            Action::Preempt => EvictCause::Preempt,
        }
    }
}

fn first_pending(state: &State, gang: GangId) -> Option<PodId> {
    let mut pods = state.gangs.get(&gang)?.pods();
    pods.find(|pod| state.pods.get(pod).is_some_and(|pod| pod.stage == Stage::Pending))
}

fn assigned<'a>(
    state: &'a State,
    chosen: impl Iterator<Item = (PodId, Choice)> + 'a,
) -> impl Iterator<Item = Assigned> + 'a {
    chosen.filter_map(|(pod, because)| {
        let Placement { node, gpus, .. } = state.cluster.placed().get(&pod)?.clone();
        Some(Assigned { slot: Slot { pod, node, gpus }, because })
    })
}
