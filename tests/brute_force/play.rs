//! One world played for some rounds, with everything checked that the rules say of each decision.

use std::collections::{BTreeMap, BTreeSet};

use berth_engine::decision::PlanId;
use berth_engine::gang::Stage;
use berth_engine::state::Whereabouts;
use berth_engine::trial::Trial;
use berth_engine::*;

use crate::dice::Dice;
use crate::model::{Model, Spot, Stand};
use crate::show;
use crate::world::{NOW, World};

/// How often an unchanged world is asked.
const ROUNDS: usize = 6;

/// An engine, and the model that follows what it says.
pub(crate) struct Play {
    pub engine: Engine,
    pub model: Model,
    rules: Rules,
    next_pod: u64,
    /// Says aloud what happens.
    loud: bool,
    /// Who gave way to whom, and in which round.
    gave_way: Vec<(usize, usize, usize)>,
    /// The first round after something else had changed: the world was new, or a broken gang was given up.
    fresh: usize,
}

/// Plays the world of a seed; says what is wrong, if anything.
pub(crate) fn play(seed: u64, loud: bool) -> Result<(), String> {
    let world = World::of(seed);
    let mut play = Play::of(&world, loud);
    for round in 0..ROUNDS {
        play.round(round, seed).map_err(|what| format!("round {round}: {what}"))?;
        play.settle();
    }
    play.at_rest()?;
    renumbered(&world, seed)
}

impl Play {
    pub(crate) fn of(world: &World, loud: bool) -> Self {
        let ids: Vec<usize> = (0..world.nodes.len()).collect();
        let next_pod = world.pods.len() as u64;
        let (engine, model) = (world.engine(&ids), Model::of(world));
        Play { engine, model, rules: world.rules.clone(), next_pod, loud, gave_way: Vec::new(), fresh: 0 }
    }

    /// One cycle, pass by pass.
    fn round(&mut self, round: usize, seed: u64) -> Result<(), String> {
        let before = self.engine.state().rebuild();
        let mut all = Vec::new();
        self.engine.set_tracing(true);
        for pass in Pass::ALL {
            let decisions = match pass {
                Pass::Allocate => self.engine.run(&[pass], NOW),
                _ => self.engine.run_further(&[pass], NOW),
            };
            let trace = self.engine.take_trace();
            if self.loud {
                print!("{}\n{}", trace.join("\n"), show::decisions(&decisions));
            }
            if trace.iter().any(|line| line.contains("cut off")) {
                return Err("the search was cut off".to_owned());
            }
            self.follow(pass, &decisions).map_err(|what| format!("{}: {what}", pass.name()))?;
            all.extend(decisions);
        }
        for decision in &all {
            let Decision::Evict { plan, pods, claimant, .. } = decision else { continue };
            match claimant {
                Some(claimant) => {
                    let of_plan = all.iter().filter_map(|other| match other {
                        Decision::Nominate { plan: its, pods, .. } if its == plan => Some(pods),
                        _ => None,
                    });
                    let moved: BTreeSet<PodId> = of_plan.flatten().map(|one| one.slot.pod).collect();
                    let lost = pods.iter().filter(|pod| !moved.contains(pod));
                    self.note_claim(round, claimant.0 as usize, lost);
                }
                None => self.fresh = round + 1,
            }
        }
        none(check::violations(&before, &all, &self.rules, NOW))?;
        none(check::booking(self.engine.cluster()))?;
        self.compare()?;
        if self.engine.state().digest() != self.engine.state().rebuild().digest() {
            return Err("the state is not the state built anew".to_owned());
        }
        undo(&self.engine, seed)
    }

    /// Carries out in the model what one pass decided, judging each plan in its turn.
    fn follow(&mut self, pass: Pass, decisions: &[Decision]) -> Result<(), String> {
        let mut plans: BTreeMap<PlanId, Vec<&Decision>> = BTreeMap::new();
        for decision in decisions {
            let (Decision::Bind { plan, .. } | Decision::Nominate { plan, .. } | Decision::Evict { plan, .. }) =
                decision
            else {
                continue;
            };
            plans.entry(*plan).or_default().push(decision);
        }
        // Every state the pass went through, with the gang that was placed since the one before.
        let mut states = vec![(self.model.clone(), None)];
        for plan in plans.values() {
            if pass != Pass::Allocate {
                self.needs(plan)?;
            }
            let gang = self.carry_out(plan)?;
            states.push((self.model.clone(), gang));
        }
        if pass == Pass::Allocate { self.refused(&states) } else { Ok(()) }
    }

    /// Nobody gives way for a gang that has a place without that.
    fn needs(&self, plan: &[&Decision]) -> Result<(), String> {
        for decision in plan {
            let Decision::Evict { claimant: Some(claimant), .. } = decision else { continue };
            let gang = claimant.0 as usize;
            if self.model.has_a_way(&self.model.chunk(gang)) {
                return Err(format!("{decision:?}, though g{gang} has a place without that"));
            }
        }
        Ok(())
    }

    /// Puts the pods of a plan where it says; they must be right there. Returns the gang, where nobody is evicted.
    fn carry_out(&mut self, plan: &[&Decision]) -> Result<Option<usize>, String> {
        let mut placed = None;
        for decision in plan {
            let Decision::Evict { pods, .. } = decision else { continue };
            for pod in pods {
                let pod = self.model.pods.get_mut(&pod.0).ok_or("an unknown pod is evicted")?;
                let old = pod.stand.clone();
                let leaves = old.former.or(old.place.filter(|_| !matches!(old.stage, Stage::Nominated { .. })));
                pod.stand = leaves.map_or(Stand::PENDING, |spot| Stand::at(Stage::Evicted, spot));
            }
        }
        for decision in plan {
            let (gang, pods, stage) = match decision {
                Decision::Bind { gang, pods, .. } => (gang, pods, Stage::Placed),
                Decision::Nominate { gang, pods, .. } => (gang, pods, Stage::Nominated { counted: true }),
                _ => continue,
            };
            placed = Some(gang.0 as usize);
            for one in pods {
                let spot = Spot { node: one.slot.node.0 as usize, gpus: one.slot.gpus.to_vec() };
                let pod = self.model.pods.get_mut(&one.slot.pod.0).ok_or("an unknown pod is placed")?;
                let old = std::mem::replace(&mut pod.stand, Stand::PENDING);
                let kept = matches!(old.stage, Stage::Nominated { .. });
                if kept && old.place != Some(spot.clone()) {
                    return Err(format!("{decision:?} is not what was promised, {:?}", old.place));
                }
                let former = old.place.filter(|_| !kept);
                pod.stand = Stand { former, ..Stand::at(stage, spot.clone()) };
                if !self.model.is_possible(spot.node) {
                    return Err(format!("{decision:?}: node {} gives out more than it has", spot.node));
                }
            }
        }
        let evicts = plan.iter().any(|decision| matches!(decision, Decision::Evict { .. }));
        Ok(placed.filter(|_| !evicts))
    }

    /// Whoever was not placed had no place: at the end, or, where somebody's company is wanted, at some time since its
    /// last success. Without that, room only shrinks in this pass, so that the end is the strictest moment.
    fn refused(&self, states: &[(Model, Option<usize>)]) -> Result<(), String> {
        for gang in 0..self.model.gangs.len() {
            let chunk = self.model.chunk(gang);
            if chunk.is_empty() || !self.model.has_a_way(&chunk) {
                continue;
            }
            let since = states.iter().rposition(|(_, placed)| *placed == Some(gang)).unwrap_or(0);
            if states[since..].iter().all(|(state, _)| state.has_a_way(&chunk)) {
                return Err(format!("g{gang} waits though there is a place for pods {chunk:?}"));
            }
        }
        Ok(())
    }

    /// The decisions have told everything.
    fn compare(&self) -> Result<(), String> {
        for (id, pod) in &self.model.pods {
            let there = self.engine.state().whereabouts(PodId(*id));
            let spot = |place: cluster::Placement| Spot { node: place.node.0 as usize, gpus: place.gpus.to_vec() };
            let believed = Stand { stage: there.stage, place: there.place.map(spot), former: there.former.map(spot) };
            if believed != pod.stand {
                return Err(format!(
                    "{} is {:?} by the decisions and {believed:?} for the engine",
                    pod.spec.name, pod.stand
                ));
            }
        }
        Ok(())
    }

    /// What was placed runs; what was evicted or moved is gone, and another pod comes in its stead. Promises stand, but for
    /// those that the engine only heard of.
    fn settle(&mut self) {
        for id in self.model.pods.keys().copied().collect::<Vec<_>>() {
            let stand = self.model.pods[&id].stand.clone();
            match stand.stage {
                Stage::Placed => {
                    self.tell(Event::Confirmed { pod: PodId(id) });
                    self.model.put(id, Stand { stage: Stage::Running, ..stand });
                }
                Stage::Nominated { counted: false } => {
                    self.tell(Event::NominationExpired { pod: PodId(id) });
                    self.fall(id);
                }
                Stage::Evicted => {
                    self.model.put(id, Stand::PENDING);
                    self.come_again(id);
                }
                Stage::Nominated { .. } if stand.former.is_some() => {
                    self.model.put(id, Stand { former: None, ..stand });
                    self.come_again(id);
                }
                Stage::Nominated { .. } | Stage::Pending | Stage::Running | Stage::Stuck => {}
            }
            self.fall_together();
        }
    }

    fn tell(&mut self, event: Event) {
        self.engine.apply(event, NOW).expect("this is what was decided");
    }

    /// A pod is gone, and its like takes its place in every respect.
    fn come_again(&mut self, id: u64) {
        self.tell(Event::PodGone { pod: PodId(id) });
        self.fall_together();
        let pod = self.model.pods.remove(&id).expect("it is there");
        self.tell(Event::PodAdded { pod: PodId(self.next_pod), spec: pod.spec.clone() });
        self.model.pods.insert(self.next_pod, pod);
        self.next_pod += 1;
    }

    fn fall(&mut self, id: u64) {
        let former = self.model.pods[&id].stand.former.clone();
        self.model.put(id, former.map_or(Stand::PENDING, |spot| Stand::at(Stage::Evicted, spot)));
    }

    /// A gang that has lost something it needs may lose all it was promised; so the engine says.
    fn fall_together(&mut self) {
        for id in self.model.pods.keys().copied().collect::<Vec<_>>() {
            let believed = self.engine.state().whereabouts(PodId(id)).stage;
            let pod = &self.model.pods[&id];
            if matches!(pod.stand.stage, Stage::Nominated { .. }) && !matches!(believed, Stage::Nominated { .. }) {
                assert!(self.model.is_short(pod.gang), "{} has what it needs and loses a promise", pod.spec.name);
                self.fall(id);
            }
        }
    }

    /// Some pods have lost their place by one plan; who got another one by it has only moved, whatever becomes of that later.
    fn note_claim<'p>(&mut self, round: usize, claimant: usize, lost: impl Iterator<Item = &'p PodId>) {
        let victims: BTreeSet<usize> = lost.map(|pod| self.engine.state().pods()[pod].gang.0 as usize).collect();
        self.gave_way.extend(victims.into_iter().map(|victim| (victim, claimant, round)));
    }

    /// In a world where nothing else happens it comes to rest, and nobody who gave way takes from those it gave way to.
    fn at_rest(&self) -> Result<(), String> {
        let fresh = || self.gave_way.iter().filter(|(.., round)| *round >= self.fresh);
        if fresh().any(|(.., round)| *round > self.fresh + 3) {
            return Err(format!(
                "there is no rest: {:?} (gang, for gang, round), new in {}",
                self.gave_way, self.fresh
            ));
        }
        let back = |(victim, claimant, round): &&(usize, usize, usize)| {
            fresh().any(|(other, its, later)| (other, its) == (claimant, victim) && later > round)
        };
        match fresh().find(back) {
            Some(first) => Err(format!("two gangs take from each other: {first:?} in {:?}", self.gave_way)),
            None => Ok(()),
        }
    }
}

fn none(wrong: Vec<String>) -> Result<(), String> {
    if wrong.is_empty() { Ok(()) } else { Err(format!("the judge: {}", wrong.join("; "))) }
}

/// A trial that is dropped leaves no trace.
fn undo(engine: &Engine, seed: u64) -> Result<(), String> {
    let mut state = engine.state().rebuild();
    let digest = state.digest();
    let dice = &mut Dice::new(seed);
    let pods: Vec<PodId> = state.pods().keys().copied().collect();
    let mut trial = Trial::on(&mut state);
    for _ in 0..5 {
        let pod = dice.pick(&pods);
        let there = trial.state().whereabouts(pod);
        trial.set(
            pod,
            if dice.chance(50) { Whereabouts::PENDING } else { Whereabouts { stage: Stage::Evicted, ..there } },
        );
    }
    drop(trial);
    if state.digest() == digest { Ok(()) } else { Err("an undone trial leaves traces".to_owned()) }
}

/// The names and numbers of nodes decide between equals, not whether the first gang is served: what is free to choose for
/// it may differ from there on.
fn renumbered(world: &World, seed: u64) -> Result<(), String> {
    let count = world.nodes.len();
    let first = |ids: &[usize]| {
        let mut engine = world.engine(ids);
        engine.set_tracing(true);
        engine.run(&[Pass::Allocate], NOW);
        engine.take_trace().into_iter().find(|line| line.starts_with("  "))
    };
    let (plain, other) = (first(&(0..count).collect::<Vec<_>>()), first(&Dice::new(seed).order(count)));
    if plain == other { Ok(()) } else { Err(format!("with other node numbers `{plain:?}` is `{other:?}`")) }
}
