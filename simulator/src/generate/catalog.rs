//! The presets by name.
//! The mixes for placement policies differ from `base` in one way each. They were fixed before any policy was measured
//! on them and stay as they are: a mix changed after a look at results tells nothing about other mixes.

use super::mixes::{
    CPU_ONLY_OPENB, GROUPS_EXAMPLE, LIMITS_EXAMPLE, LIMITS_OPENB, NODES_EXAMPLE, NODES_OPENB, NODES_SMALL, eights,
    fours, ones, shares, shares_mixed, twos,
};
use super::preset::{Arrivals, Demand, Group, PodMix, Preset};

/// Every preset: `example` first, then `base`, then its ten variations.
pub(super) const PRESETS: &[Preset] = &[
    EXAMPLE,
    BASE,
    Preset {
        name: "cpu2x",
        about: "base, but pods with GPUs ask for twice the CPU",
        pods: PodMix { cpu_permille: 2000, ..BASE.pods },
        ..BASE
    },
    Preset {
        name: "cpu3x",
        about: "base, but pods with GPUs ask for three times the CPU, at most what a common node has",
        pods: PodMix { cpu_permille: 3000, ..BASE.pods },
        ..BASE
    },
    groups("all-shared", "base, but every pod with a GPU asks for a share of one", &[CPU_ONLY_OPENB, shares(1000)]),
    groups(
        "no-sharing",
        "base, but pods ask for whole GPUs only",
        &[CPU_ONLY_OPENB, ones(927), twos(5), fours(10), eights(58)],
    ),
    limited("models33", "base, but 33 % of the pods with GPUs are limited to some GPU models", 330),
    limited("models60", "base, but 60 % of the pods with GPUs are limited to some GPU models", 600),
    groups(
        "multigpu50",
        "base, but half of the GPU demand comes from pods with two, four or eight GPUs",
        &[CPU_ONLY_OPENB, shares(153), ones(347), twos(50), fours(90), eights(360)],
    ),
    Preset {
        name: "small-nodes",
        about: "base on nodes of one to four GPUs, with pods of two and four GPUs in place of eight",
        nodes: NODES_SMALL,
        pods: PodMix { groups: &[CPU_ONLY_OPENB, shares(285), ones(642), twos(25), fours(48)], ..BASE.pods },
        ..BASE
    },
    Preset {
        name: "memory-tight",
        about: "base, but pods ask for a third more memory, so that memory is as scarce as CPU",
        pods: PodMix { memory_permille: 1333, ..BASE.pods },
        ..BASE
    },
    groups(
        "mixed-sizes",
        "base, but shares come in 30 sizes from 0.06 to 0.93 GPU, none more popular than another",
        &[CPU_ONLY_OPENB, shares_mixed(285), ones(642), twos(5), fours(10), eights(58)],
    ),
];

/// Four days of a mid-size cluster. Its load was chosen so that the busiest hours ask for about all GPUs: a queue forms
/// by day and drains by night.
const EXAMPLE: Preset = Preset {
    name: "example",
    about: "four days of a 296-GPU cluster whose queue fills by day and drains by night, for replay",
    nodes: NODES_EXAMPLE,
    pods: PodMix {
        groups: GROUPS_EXAMPLE,
        cpu_permille: 1000,
        memory_permille: 1000,
        limited_permille: 150,
        limits: LIMITS_EXAMPLE,
    },
    demand: Demand::Load { permille: 780 },
    arrivals: Arrivals { days: 4, by_hour: &WORKING_DAY, sweep_permille: 40, sweep_pods_max: 16 },
};

/// openb: nodes, requests and parts of the GPU demand as in `default` (shares 28.5 %, one GPU 64.3 %, two 0.5 %, four
/// 1.0 %, eight 5.8 %), which asks for 98.0 % of the GPUs in 34 days. No model limits, no priorities.
const BASE: Preset = Preset {
    name: "base",
    about: "a static packing test with the aggregate statistics of openb's default list",
    nodes: NODES_OPENB,
    pods: PodMix {
        groups: &[CPU_ONLY_OPENB, shares(285), ones(642), twos(5), fours(10), eights(58)],
        cpu_permille: 1000,
        memory_permille: 1000,
        limited_permille: 0,
        limits: LIMITS_OPENB,
    },
    demand: Demand::Capacity { permille: 980 },
    arrivals: Arrivals { days: 34, by_hour: &WORKING_DAY, sweep_permille: 0, sweep_pods_max: 0 },
};

const fn groups(name: &'static str, about: &'static str, groups: &'static [Group]) -> Preset {
    Preset { name, about, pods: PodMix { groups, ..BASE.pods }, ..BASE }
}

const fn limited(name: &'static str, about: &'static str, limited_permille: u32) -> Preset {
    Preset { name, about, pods: PodMix { limited_permille, ..BASE.pods }, ..BASE }
}

/// Relative rates of a working day: the busiest hour four times the quietest, as in openb (550 and 137 pods); itp's and
/// philly's differ by six to fourteen, sweeps included. When the day of those traces begins is not published, so the
/// shape is that of office hours and some evening work.
const WORKING_DAY: [u32; 24] =
    [30, 25, 20, 20, 20, 20, 25, 30, 45, 60, 75, 80, 75, 75, 80, 80, 80, 75, 65, 55, 50, 45, 40, 35];
