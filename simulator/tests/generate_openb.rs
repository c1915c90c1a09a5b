//! The base mix against the openb trace it was calibrated on: alike in the aggregate, in loose bounds.

use std::collections::BTreeSet;

use berth::generate::{find, generate};
use berth::openb::{read_nodes, read_pods};
use berth::trace::{PodRow, Trace};
use berth_tests::openb_folder;

type Measure = fn(&Trace) -> f64;

/// What is compared, and the largest difference from openb's value: relative, or absolute in points for a share.
enum Within {
    Relative(f64),
    Points(f64),
}

const MEASURES: [(&str, Within, Measure); 19] = [
    ("pods", Within::Relative(0.05), |trace| trace.pods.len() as f64),
    ("GPU nodes", Within::Relative(0.01), |trace| trace.nodes.len() as f64),
    ("GPUs", Within::Relative(0.01), |trace| trace.nodes.iter().map(|node| f64::from(node.gpus)).sum()),
    ("GPU demand, % of GPUs", Within::Points(1.0), |trace| 100.0 * gpu_milli(trace, |_| true) / capacity_milli(trace)),
    ("CPU demand, % of cores", Within::Points(4.0), |trace| 100.0 * cpu_milli(trace, |_| true) / cores_milli(trace)),
    ("memory demand, %", Within::Points(5.0), |trace| {
        let asked: u64 = trace.pods.iter().map(|pod| pod.memory_mib).sum();
        100.0 * asked as f64 / trace.nodes.iter().map(|node| node.memory_mib as f64).sum::<f64>()
    }),
    ("pods without GPU, %", Within::Points(1.5), |trace| {
        100.0 * trace.pods.iter().filter(|pod| pod.num_gpu == 0).count() as f64 / trace.pods.len() as f64
    }),
    ("GPU demand by shares, %", Within::Points(2.0), |trace| part(trace, |pod| pod.gpu_milli < 1000)),
    ("by one GPU, %", Within::Points(2.0), |trace| part(trace, |pod| pod.num_gpu == 1 && pod.gpu_milli == 1000)),
    ("by two GPUs, %", Within::Points(0.5), |trace| part(trace, |pod| pod.num_gpu == 2)),
    ("by four GPUs, %", Within::Points(1.0), |trace| part(trace, |pod| pod.num_gpu == 4)),
    ("by eight GPUs, %", Within::Points(3.0), |trace| part(trace, |pod| pod.num_gpu == 8)),
    ("cores per GPU, shares", Within::Relative(0.08), |trace| cores_per_gpu(trace, |pod| pod.gpu_milli < 1000)),
    ("cores per GPU, one GPU", Within::Relative(0.04), |trace| {
        cores_per_gpu(trace, |pod| pod.num_gpu == 1 && pod.gpu_milli == 1000)
    }),
    ("requests by CPU and GPU", Within::Relative(0.35), |trace| classes(trace, false) as f64),
    ("requests with memory", Within::Relative(0.35), |trace| classes(trace, true) as f64),
    ("run time, first quartile, s", Within::Relative(0.15), |trace| runtime(trace, 0.25)),
    ("run time, median, s", Within::Relative(0.15), |trace| runtime(trace, 0.5)),
    ("run time, 90 %, s", Within::Relative(0.25), |trace| runtime(trace, 0.9)),
];

#[test]
fn the_base_mix_is_like_openb() -> Result<(), Box<dyn std::error::Error>> {
    let Some(folder) = openb_folder() else { return Ok(()) };
    let openb = Trace {
        nodes: read_nodes(&folder.join("openb_node_list_gpu_node.csv"))?,
        pods: read_pods(&folder.join("openb_pod_list_default.csv"))?,
    };
    let base = find("base").ok_or("no preset `base`")?;
    let mut apart = Vec::new();
    for seed in [1, 2, 3] {
        let made = generate(base, seed);
        for (name, within, measure) in &MEASURES {
            let (real, made) = (measure(&openb), measure(&made));
            println!("seed {seed}: {name}: openb {real:.1}, base {made:.1}");
            let most = match within {
                Within::Relative(part) => part * real,
                Within::Points(points) => *points,
            };
            if (real - made).abs() > most {
                apart.push(format!("seed {seed}: {name}: openb {real:.1}, base {made:.1}, at most {most:.1} apart"));
            }
        }
    }
    assert!(apart.is_empty(), "{}", apart.join("\n"));
    Ok(())
}

fn gpu_milli(trace: &Trace, of: impl Fn(&PodRow) -> bool) -> f64 {
    trace.pods.iter().filter(|pod| of(pod)).map(|pod| pod.gpu_total_milli() as f64).sum()
}

fn cpu_milli(trace: &Trace, of: impl Fn(&PodRow) -> bool) -> f64 {
    trace.pods.iter().filter(|pod| of(pod)).map(|pod| pod.cpu_milli as f64).sum()
}

fn capacity_milli(trace: &Trace) -> f64 {
    trace.nodes.iter().map(|node| node.gpu_total_milli() as f64).sum()
}

fn cores_milli(trace: &Trace) -> f64 {
    trace.nodes.iter().map(|node| node.cpu_milli as f64).sum()
}

/// Percent of the GPU demand that these pods ask for.
fn part(trace: &Trace, of: impl Fn(&PodRow) -> bool) -> f64 {
    100.0 * gpu_milli(trace, of) / gpu_milli(trace, |_| true)
}

fn cores_per_gpu(trace: &Trace, of: impl Fn(&PodRow) -> bool) -> f64 {
    let of = |pod: &PodRow| pod.num_gpu > 0 && of(pod);
    cpu_milli(trace, of) / gpu_milli(trace, of)
}

/// How many different requests there are.
fn classes(trace: &Trace, with_memory: bool) -> usize {
    let memory = |pod: &PodRow| if with_memory { pod.memory_mib } else { 0 };
    let class = |pod: &PodRow| (pod.cpu_milli, memory(pod), pod.num_gpu, pod.gpu_milli);
    trace.pods.iter().map(class).collect::<BTreeSet<_>>().len()
}

/// The run time that this part of the pods does not exceed.
fn runtime(trace: &Trace, level: f64) -> f64 {
    let mut seconds: Vec<u64> = trace.pods.iter().filter_map(|pod| Some(pod.times?.runtime_s)).collect();
    seconds.sort_unstable();
    seconds.get((seconds.len() as f64 * level) as usize).map_or(0.0, |value| *value as f64)
}
