//! Calls on their way: when each has its effect, if any, and when and how it is answered.

use std::collections::BTreeMap;

use berth_engine::Timestamp;
use berth_scheduler::Kind;
use berth_scheduler::driver::{Call, CallId, Outcome};

use crate::api::Effect;
use crate::mix::{Mix, TIMEOUT};
use crate::sim::{START, Sim, What};

/// A call that has been started.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) epoch: u64,
    pub(crate) id: CallId,
    pub(crate) call: Call,
    /// How much of each log the driver knew when it was started.
    pub(crate) known: BTreeMap<Kind, usize>,
    pub(crate) started: u64,
    pub(crate) answer: Option<Outcome>,
}

impl Sim {
    pub(crate) fn start(&mut self, calls: Vec<(CallId, Call)>) {
        for (id, call) in calls {
            if !matches!(call, Call::PostEvent(_)) {
                self.say(|| format!("call {}: {call:?}", id.0));
            }
            self.last_call = self.now;
            self.safety.count(&call, self.api.get(&call.object()));
            let number = self.planned;
            let flight =
                Flight { epoch: self.epoch, id, call, known: self.known.clone(), started: self.now, answer: None };
            self.flights.insert(number, flight);
            self.plan_flight(number);
        }
    }

    /// When the call has its effect, and when and how it is answered.
    pub(crate) fn plan_flight(&mut self, number: u64) {
        let mut fate = self.dice.between(0, 1000);
        let Mix { busy, error, unanswered, torn, call_ms, .. } = self.mix.clone();
        let (soon, later) = (self.now + self.dice.between(1, call_ms), self.now + self.dice.between(1, TIMEOUT));
        let out = self.now < self.outage_until;
        if out && self.dice.permille(400) {
            let message = "connection refused".into();
            return self.answer(number, soon, Outcome::Unreachable { message });
        }
        if out && self.dice.permille(950) {
            fate = self.dice.between(0, busy + error + 2);
        }
        let mut fell = |chance: u64| {
            let here = fate < chance;
            fate = fate.saturating_sub(chance);
            here
        };
        let unknown = || Outcome::Unknown { message: "no answer".into() };
        let end = self.now + TIMEOUT;
        if fell(busy + u64::from(out)) {
            let after_ms = self.dice.between(0, 3) * 1_000;
            return self.answer(number, soon, Outcome::Busy { after_ms, message: "too many requests".into() });
        }
        if fell(error + u64::from(out)) {
            let at = if self.dice.permille(500) { soon } else { end };
            return self.answer(number, at, unknown());
        }
        if fell(unanswered) {
            self.at(later, What::Arrives(number));
            return self.answer(number, end, unknown());
        }
        if fell(torn) {
            self.at(soon.max(later), What::Arrives(number));
            return self.answer(number, soon.min(later), unknown());
        }
        self.at(soon, What::Arrives(number));
    }

    pub(crate) fn answer(&mut self, number: u64, at: u64, outcome: Outcome) {
        if let Some(flight) = self.flights.get_mut(&number) {
            flight.answer = Some(outcome);
            self.at(at, What::Answered(number));
        }
    }

    pub(crate) fn arrives(&mut self, number: u64) {
        let Some(flight) = self.flights.get(&number) else { return };
        let call = flight.call.clone();
        let stamp = self.stamp();
        let refused = || Outcome::Refused { message: "a webhook says no".into() };
        let budget = || Outcome::Busy { after_ms: 0, message: "the disruption budget does not allow it".into() };
        let (outcome, effect) = match &call {
            Call::Bind { pod, .. } if self.refused.get(pod).is_some_and(|until| *until > self.now) => {
                (refused(), Effect::Nothing)
            }
            Call::Evict { .. } if self.budget_until > self.now => (budget(), Effect::Nothing),
            call => self.api.carry_out(call, &stamp),
        };
        if !matches!(call, Call::PostEvent(_)) {
            self.say(|| format!("  arrives: {} {}: {}, {effect:?}", call.name(), call.object().path(), outcome.name()));
        }
        self.judge_effect(number, effect);
        let answered = self.flights.get(&number).is_none_or(|flight| flight.answer.is_some());
        if !answered {
            let (at, end) = (self.now + self.dice.between(1, self.mix.call_ms), self.started(number) + TIMEOUT);
            let outcome = if at <= end { outcome } else { Outcome::Unknown { message: "no answer in time".into() } };
            self.answer(number, at.min(end), outcome);
        } else if !self.plan.values().any(|what| matches!(what, What::Answered(other) if *other == number)) {
            self.flights.remove(&number);
        }
    }

    pub(crate) fn started(&self, number: u64) -> u64 {
        self.flight(number).map_or(0, |flight| flight.started)
    }

    pub(crate) fn flight(&self, number: u64) -> Option<&Flight> {
        self.flights.get(&number)
    }

    pub(crate) fn answered(&mut self, number: u64) {
        let pending = self.plan.values().any(|what| matches!(what, What::Arrives(other) if *other == number));
        let Some(flight) = self.flights.get_mut(&number) else { return };
        let (epoch, id, call, answer) = (flight.epoch, flight.id, flight.call.clone(), flight.answer.clone());
        if !pending {
            self.flights.remove(&number);
        }
        let (Some(driver), Some(outcome)) = (&mut self.driver, answer) else { return };
        if epoch != self.epoch {
            return;
        }
        let quiet = matches!(outcome, Outcome::Done(_));
        if !quiet {
            let name = outcome.name();
            self.history.push_back(format!("{:>9}  answer {}: {name} to {}", self.now - START, id.0, call.name()));
            self.safety.disturbed(&call, self.now);
        }
        driver.finished(id, outcome, Timestamp(self.now));
        let calls = driver.start_calls();
        if !quiet {
            self.news();
        }
        self.start(calls);
        self.look_at_facts();
    }
}
