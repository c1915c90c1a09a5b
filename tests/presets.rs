//! The `berth` policy on made-up clusters that differ from the published ones, fixed before it was measured on them.
//! docs/benchmarks.md has ten seeds of each; three are enough to notice a loss.

use berth::generate;
use berth::pack::experiment::{self, Case, Classes, Experiment, Source};
use berth::pack::summary::summarise;
use berth_engine::{Policy, TieBreak};

const PRESETS: [&str; 10] = [
    "cpu2x",
    "cpu3x",
    "all-shared",
    "no-sharing",
    "models33",
    "models60",
    "multigpu50",
    "small-nodes",
    "memory-tight",
    "mixed-sizes",
];

#[test]
fn berth_is_ahead_of_fgd_on_every_preset() {
    let mut cases = Vec::new();
    for name in PRESETS {
        let preset = generate::find(name).expect("the presets are fixed");
        let case = |seed| Case { name: name.to_owned(), source: Source::Preset(preset), seed };
        cases.extend((1..=3).map(case));
    }
    let policies = vec![Policy::Berth, Policy::Fgd];
    let experiment =
        Experiment { policies, ties: TieBreak::Rank, classes: Classes::Trace, columns: vec![100], bound: false };
    let outcomes = experiment::run(&experiment, &cases, || ()).expect("generated traces are sound");
    let leads: Vec<_> = summarise(&outcomes, "fgd").into_iter().filter_map(|s| Some((s.trace, s.lead?.mean))).collect();
    assert_eq!(leads.len(), PRESETS.len());
    for (trace, lead) in leads {
        assert!(lead > 0.0, "{trace}: {lead} points ahead of fgd");
    }
}
