//! How Berth schedules: one cycle, from waiting gangs to decisions. A cycle is a list of passes, each on what the one before
//! left: allocate, consolidate, reclaim, preempt, stale.

use crate::decision::Decision;
use crate::placement::Placer;
use crate::queue::waiting::Waiting;
use crate::report::Report;
use crate::reservation::Reservations;
use crate::rules::Rules;
use crate::search::Steps;
use crate::state::State;
use crate::units::{GangId, Timestamp};
use crate::victims::{self, Action};
use crate::{allocate, stale, why};

/// One pass of a cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pass {
    /// Places what fits.
    Allocate,
    /// Makes room by moving others.
    Consolidate,
    /// Makes room by taking from queues above their share.
    Reclaim,
    /// Makes room by taking from lower priorities of the same queue.
    Preempt,
    /// Gives up gangs that have been below their minimum for too long.
    Stale,
}

impl Pass {
    /// A whole cycle.
    pub const ALL: [Pass; 5] = [Pass::Allocate, Pass::Consolidate, Pass::Reclaim, Pass::Preempt, Pass::Stale];

    /// The name used in reports.
    pub fn name(self) -> &'static str {
        match self {
            Pass::Allocate => "allocate",
            Pass::Consolidate => "consolidate",
            Pass::Reclaim => "reclaim",
            Pass::Preempt => "preempt",
            Pass::Stale => "stale",
        }
    }
}

/// What the passes work on.
pub(crate) struct Context<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) waiting: &'a mut Waiting,
    pub(crate) placer: &'a mut Placer,
    pub(crate) rules: &'a Rules,
    pub(crate) now: Timestamp,
    pub(crate) steps: &'a mut Steps,
    pub(crate) reservations: &'a mut Reservations,
    pub(crate) report: &'a mut Report,
}

/// Runs some passes, books what they decide, and says why everybody else waits. Reasons are those that hold at the end.
pub(crate) fn run(context: &mut Context<'_>, passes: &[Pass]) -> Vec<Decision> {
    context.catch_up();
    for pass in passes {
        context.report.note(|| format!("{}:", pass.name()));
        match pass {
            Pass::Allocate => allocate::allocate(context),
            Pass::Consolidate => victims::make_room(context, Action::Consolidate),
            Pass::Reclaim => victims::make_room(context, Action::Reclaim),
            Pass::Preempt => victims::make_room(context, Action::Preempt),
            Pass::Stale => stale::give_up(context),
        }
        context.catch_up();
    }
    let answers = why::answers(context);
    let Context { state, waiting, report, .. } = context;
    report.take(state, waiting, answers, |gang| why::incomplete(state, gang))
}

impl Context<'_> {
    /// Puts gangs that changed where they belong.
    fn catch_up(&mut self) {
        self.waiting.catch_up(self.state, self.rules, self.now);
    }

    /// A gang that came just now leaves others in peace for as long as it says.
    pub(crate) fn may_make_room(&self, gang: GangId) -> bool {
        let spec = self.state.gangs.get(&gang).map(|gang| &gang.spec);
        spec.is_some_and(|spec| self.now.0.saturating_sub(spec.created.0) >= spec.preemption_delay_ms)
    }
}
