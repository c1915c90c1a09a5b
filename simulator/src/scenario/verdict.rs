//! Is a run what its scenario expects? Puts together what `compare`, `invariants` and the text say.
//! Owns at which moments of a run they are asked.

use std::collections::BTreeMap;

use super::format::{Mode, Scenario};
use super::played::{Played, State};
use super::print::{self, WHY};
use super::world::World;
use super::{compare, diff, invariants};

/// Everything that is not as it should be, a sentence or a line of text each; empty if all is well.
pub fn differences(scenario: &Scenario, played: &Played) -> Vec<String> {
    let mut found = results(scenario, played);
    found.extend(text(scenario, played));
    found.extend(impossible(scenario, played));
    found
}

/// What may not be, whatever a scenario expects: invariants that were broken, and things done without saying so.
pub fn impossible(scenario: &Scenario, played: &Played) -> Vec<String> {
    let mut found = invariants::violations_of_run(scenario, played);
    for (number, round) in (1..).zip(&played.rounds) {
        found.extend(round.untold.iter().map(|text| format!("round {number}, {text}")));
    }
    found
}

/// Expected results, after the rounds and again after the actions of each stable round. What differs at several of these
/// moments is told once, with all of them.
fn results(scenario: &Scenario, played: &Played) -> Vec<String> {
    let Some(expect) = &scenario.expect else { return Vec::new() };
    let mut world = World::of(scenario);
    scenario.steps.iter().flat_map(|step| &step.events).for_each(|event| world.apply(event));
    let mut found: Vec<String> = Vec::new();
    let mut moments: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (moment, state) in compared(scenario, played) {
        for text in compare::differences(expect, &world, state) {
            if !found.contains(&text) {
                found.push(text.clone());
            }
            moments.entry(text).or_default().push(moment.clone());
        }
    }
    let named = scenario.run.stable_rounds > 0;
    let whole = |text: String| match moments.get(&text) {
        Some(moments) if named => format!("{text} ({})", moments.join(", ")),
        _ => text,
    };
    let mut found: Vec<String> = found.into_iter().map(whole).collect();
    for (heading, round) in print::headings(scenario, played).iter().zip(&played.rounds) {
        let many = compare::too_many_evictions(expect, &round.evictions());
        found.extend(many.map(|text| format!("{heading}: {text}")));
    }
    found
}

/// The states to compare: that after the rounds, settled where rounds settle, and the end of each stable round.
fn compared<'a>(scenario: &Scenario, played: &'a Played) -> Vec<(String, &'a State)> {
    let stable = scenario.run.stable_rounds as usize;
    let (before, after) = played.rounds.split_at(played.rounds.len().saturating_sub(stable));
    let first = before.last().map(|round| match scenario.run.mode {
        Mode::Cycle => &round.settled,
        _ => round.end(),
    });
    let first = first.map(|state| ("after the rounds".to_owned(), state));
    let stable = (1..).zip(after).map(|(number, round)| (format!("stable round {number}"), round.end()));
    first.into_iter().chain(stable).collect()
}

/// The expected text against that of the run, as a difference of lines. Indentation, blank lines and comments do not count,
/// and reasons only where some are expected.
fn text(scenario: &Scenario, played: &Played) -> Vec<String> {
    let Some(expected) = &scenario.expect_text else { return Vec::new() };
    let counts = |line: &&str| !line.is_empty() && !line.starts_with('#');
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(counts).collect();
    let printed = print::lines(scenario, played);
    let reasons = expected.iter().any(|line| line.starts_with(WHY));
    let found: Vec<&str> =
        printed.iter().map(|line| line.trim()).filter(|line| reasons || !line.starts_with(WHY)).collect();
    diff::lines(&expected, &found)
}
