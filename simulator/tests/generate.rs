//! What holds for every generated trace, and what the presets promise.

use std::collections::BTreeSet;

use berth::generate::preset::{Demand, Preset};
use berth::generate::{find, generate, presets};
use berth::openb::{write_nodes, write_pods};
use berth::trace::{NodeRow, PodRow, PodTimes, Trace};
use proptest::prelude::*;

fn any_preset() -> impl Strategy<Value = &'static Preset> {
    (0..presets().len()).prop_map(|place| &presets()[place])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_seed_gives_one_trace(preset in any_preset(), seed: u64) {
        let trace = generate(preset, seed);
        prop_assert_eq!(&trace, &generate(preset, seed));
        prop_assert_ne!(&trace, &generate(preset, seed.wrapping_add(1)));
    }

    #[test]
    fn rows_keep_the_rules(preset in any_preset(), seed: u64) {
        let trace = generate(preset, seed);
        let faults = faults(&trace);
        prop_assert!(faults.is_empty(), "{}: {}", preset.name, faults.join("\n"));
    }

    #[test]
    fn the_demand_is_met(preset in any_preset(), seed: u64) {
        let trace = generate(preset, seed);
        let (asked, wanted) = match preset.demand {
            Demand::Capacity { permille } => (asked_milli(&trace, |_| 1), permille),
            Demand::Load { permille } => (asked_milli(&trace, |times| times.runtime_s), permille),
        };
        let seconds = if matches!(preset.demand, Demand::Load { .. }) { preset.arrivals.span_s() } else { 1 };
        let permille = asked / (capacity(&trace.nodes) * u128::from(seconds));
        prop_assert!((u128::from(wanted) - 40..=u128::from(wanted)).contains(&permille), "{}: {permille}", preset.name);
    }
}

/// What is wrong with a trace, as a reader would put it.
fn faults(trace: &Trace) -> Vec<String> {
    let mut faults = Vec::new();
    let mut note = |fine: bool, what: &str, name: &str| {
        if !fine {
            faults.push(format!("{name}: {what}"));
        }
    };
    let names: BTreeSet<&str> = trace.nodes.iter().map(|node| node.name.as_str()).collect();
    note(names.len() == trace.nodes.len() && !names.is_empty(), "names repeat", "nodes");
    note(trace.pods.is_sorted_by(|one, next| one.name < next.name), "names repeat or do not sort", "pods");
    let arrivals: Option<Vec<u64>> = trace.pods.iter().map(|pod| Some(pod.times?.arrival_s)).collect();
    note(arrivals.is_some_and(|arrivals| arrivals.is_sorted()), "not in order of arrival", "pods");
    for node in &trace.nodes {
        note(node.gpus <= 16, "more than 16 GPUs", &node.name);
        note((node.gpus == 0) == node.model.is_empty() && !node.model.contains('|'), "wrong model", &node.name);
    }
    let mut types: Vec<&NodeRow> = trace.nodes.iter().collect();
    types.sort_by_key(|node| (&node.model, node.gpus, node.cpu_milli, node.memory_mib));
    types.dedup_by_key(|node| (&node.model, node.gpus, node.cpu_milli, node.memory_mib));
    for pod in &trace.pods {
        note(matches!((pod.num_gpu, pod.gpu_milli), (0, 0) | (1, 1..=1000) | (2.., 1000)), "wrong GPUs", &pod.name);
        note(pod.cpu_milli > 0 && pod.memory_mib > 0, "no CPU or memory", &pod.name);
        note(pod.times.is_some_and(|times| times.runtime_s > 0), "no run time", &pod.name);
        note(types.iter().any(|node| fits(pod, node)), "fits no empty node", &pod.name);
    }
    faults
}

fn fits(pod: &PodRow, node: &NodeRow) -> bool {
    pod.cpu_milli <= node.cpu_milli
        && pod.memory_mib <= node.memory_mib
        && pod.num_gpu <= node.gpus
        && (pod.gpu_spec.is_empty() || pod.gpu_spec.contains(&node.model))
}

fn capacity(nodes: &[NodeRow]) -> u128 {
    nodes.iter().map(|node| u128::from(node.gpus)).sum()
}

/// Thousandths of GPUs that all pods ask for, each weighted.
fn asked_milli(trace: &Trace, weight: impl Fn(PodTimes) -> u64) -> u128 {
    trace.pods.iter().map(|pod| u128::from(pod.gpu_total_milli()) * u128::from(pod.times.map_or(0, &weight))).sum()
}

#[test]
fn presets_are_found_by_name() {
    let wanted = [
        "example",
        "base",
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
    assert_eq!(presets().iter().map(|preset| preset.name).collect::<Vec<_>>(), wanted);
    assert!(wanted.iter().all(|name| find(name).is_some_and(|preset| preset.name == *name)));
    assert!(find("no such preset").is_none());
}

#[test]
fn a_preset_that_cannot_be_met_has_no_pods() {
    let Some(example) = find("example") else { panic!("no preset `example`") };
    for preset in [Preset { nodes: &[], ..*example }, Preset { nodes: &example.nodes[5..], ..*example }] {
        assert!(generate(&preset, 1).pods.is_empty());
    }
}

/// The mixes are fixed, down to the last byte on every machine. A change here makes all results on them new.
#[test]
fn presets_stay_as_they_are() -> std::io::Result<()> {
    let fixed = [
        ("example", 0x35a3_d3af_3c9a_cdf7),
        ("base", 0x1717_2621_e66f_92b1),
        ("cpu2x", 0x57c6_4af6_8d5f_8f93),
        ("cpu3x", 0xb6ec_5dfd_2ec3_dbb2),
        ("all-shared", 0x3728_14b6_bdae_8981),
        ("no-sharing", 0x146a_c091_25b3_1f7b),
        ("models33", 0xf40b_722b_0403_6b67),
        ("models60", 0x3f6f_fe95_ada2_27ca),
        ("multigpu50", 0xbc8b_79ce_66c1_3248),
        ("small-nodes", 0x1fe9_1c1d_41c8_5fac),
        ("memory-tight", 0x72d3_c3c9_556a_48d7),
        ("mixed-sizes", 0x77a7_edac_1f11_8d6a),
    ];
    let mut made = Vec::new();
    for preset in presets() {
        made.push((preset.name, fingerprint(&generate(preset, 1))?));
    }
    assert!(made == fixed, "made {made:#018x?}");
    Ok(())
}

/// FNV-1a, 64 bits, over the lists as they are written.
fn fingerprint(trace: &Trace) -> std::io::Result<u64> {
    let mut lists = Vec::new();
    write_nodes(&mut lists, &trace.nodes)?;
    write_pods(&mut lists, &trace.pods)?;
    let byte = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    Ok(lists.iter().fold(0xcbf2_9ce4_8422_2325, byte))
}

/// No set of models is asked for more GPUs than it has by the pods that may run on no other.
#[test]
fn limits_leave_room() {
    for (name, seed) in [("models33", 1), ("models60", 1), ("models60", 2), ("models60", 3)] {
        let Some(preset) = find(name) else { panic!("no preset `{name}`") };
        let trace = generate(preset, seed);
        let models: Vec<&str> =
            trace.nodes.iter().map(|node| node.model.as_str()).collect::<BTreeSet<_>>().into_iter().collect();
        for set in 1_u32..1 << models.len() {
            let chosen = |model: &str| models.iter().position(|name| *name == model).is_some_and(|i| set >> i & 1 == 1);
            let confined = |pod: &&PodRow| !pod.gpu_spec.is_empty() && pod.gpu_spec.iter().all(|model| chosen(model));
            let asked: u64 = trace.pods.iter().filter(confined).map(PodRow::gpu_total_milli).sum();
            let has: u64 = trace.nodes.iter().filter(|node| chosen(&node.model)).map(NodeRow::gpu_total_milli).sum();
            assert!(asked <= has, "{name}: {asked} of {has} in set {set:b} of {models:?}");
        }
    }
}
