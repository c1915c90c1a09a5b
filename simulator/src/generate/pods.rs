//! Draws pods from a mix until they ask for as much as the preset wants.
//! Owns how a pod comes to differ from its kind, and that every pod fits some empty nodes. Knows nothing of arrival.

use super::preset::{Demand, Group, Limit, NodeKind, Part, PodKind, Preset, Size};
use super::random::{Purpose, Stream};
use crate::trace::PodRow;

/// Most pods of one trace: names of five digits sort in arrival order up to here. Several times the largest preset;
/// it also ends a preset whose pods ask for no GPU at all.
const PODS_MAX: usize = 99_999;

/// Empty nodes that a pod must fit, where its kind does: a request for which fewer machines were bought than this
/// would measure luck.
const NODES_MIN: u32 = 4;

/// How many pods ask for a quarter less or more CPU than their kind, thousandths. With [`MEMORY_VARIED_PERMILLE`]
/// chosen so that the base mix has about as many distinct requests as openb's default list (91; 151 with memory).
const CPU_VARIED_PERMILLE: u32 = 40;

/// How many pods, whatever their CPU, ask for a quarter less or more memory than their kind, thousandths.
const MEMORY_VARIED_PERMILLE: u32 = 10;

/// Step of CPU requests, thousandths of a core.
const CPU_STEP_MILLI: u64 = 500;

/// Step of memory requests, MiB.
const MEMORY_STEP_MIB: u64 = 1024;

/// One pod, or several near-identical ones, submitted in the same second. Names and arrival are not set yet.
pub(super) struct Submission {
    /// What each pod asks for.
    pub(super) row: PodRow,
    /// Run time of each pod, seconds; as many as there are pods.
    pub(super) runtimes_s: Vec<u64>,
}

/// The submissions of a preset, in the order of their arrival. At most [`PODS_MAX`] pods.
pub(super) fn submissions(preset: &Preset, seed: u64) -> Vec<Submission> {
    let target = target(preset);
    let (mut drawn, mut pods, mut asked) = (Vec::new(), 0, 0);
    let Some(mut source) = Source::new(preset, seed).filter(|_| target > 0) else { return drawn };
    while let Some(submission) = source.submission() {
        pods += submission.runtimes_s.len();
        asked += asks(preset.demand, &submission);
        if asked > target || pods > PODS_MAX {
            break;
        }
        drawn.push(submission);
    }
    drawn
}

/// What all pods together ask for: thousandths of a GPU, times seconds where the demand is a load.
fn target(preset: &Preset) -> u64 {
    let capacity: u64 = preset.nodes.iter().map(|kind| u64::from(kind.count) * u64::from(kind.gpus)).sum();
    match preset.demand {
        Demand::Capacity { permille } => capacity * u64::from(permille),
        Demand::Load { permille } => capacity * u64::from(permille) * preset.arrivals.span_s(),
    }
}

/// What one submission adds, in the unit of [`target`].
fn asks(demand: Demand, submission: &Submission) -> u64 {
    let times: u64 = match demand {
        Demand::Capacity { .. } => submission.runtimes_s.len() as u64,
        Demand::Load { .. } => submission.runtimes_s.iter().sum(),
    };
    submission.row.gpu_total_milli() * times
}

/// The random source of a preset's pods.
struct Source<'a> {
    preset: &'a Preset,
    groups: Vec<Choice<'a>>,
    group_weights: Vec<u64>,
    kinds: Stream,
    variations: Stream,
    limits: Stream,
    qos: Stream,
    run_times: Stream,
    sweeps: Stream,
}

/// A group with those of its kinds that fit the cluster.
struct Choice<'a> {
    group: &'a Group,
    kinds: Vec<&'a PodKind>,
    weights: Vec<u64>,
}

impl<'a> Source<'a> {
    /// `None` where no kind fits the cluster.
    fn new(preset: &'a Preset, seed: u64) -> Option<Self> {
        let groups: Vec<_> = preset.pods.groups.iter().map(|group| Choice::new(group, preset.nodes)).collect();
        let group_weights: Vec<u64> = groups.iter().map(Choice::weight).collect();
        let stream = |purpose| Stream::new(seed, purpose);
        (group_weights.iter().sum::<u64>() > 0).then(|| Self {
            preset,
            groups,
            group_weights,
            kinds: stream(Purpose::Kinds),
            variations: stream(Purpose::Variations),
            limits: stream(Purpose::Limits),
            qos: stream(Purpose::Qos),
            run_times: stream(Purpose::RunTimes),
            sweeps: stream(Purpose::Sweeps),
        })
    }

    fn submission(&mut self) -> Option<Submission> {
        let choice = self.groups.get(self.kinds.weighted(&self.group_weights)?)?;
        let kind = choice.kinds.get(self.kinds.weighted(&choice.weights)?)?;
        let group = choice.group;
        let mut row = plain_row(kind, &mut self.kinds);
        self.vary(&mut row);
        self.limit(&mut row);
        let qos_weights: Vec<u64> = group.qos.iter().map(|qos| u64::from(qos.weight)).collect();
        if let Some(qos) = self.qos.weighted(&qos_weights).and_then(|place| group.qos.get(place)) {
            row.qos = qos.name.to_owned();
            row.priority = qos.priority;
        }
        let runtimes_s = self.runtimes(group, row.num_gpu);
        Some(Submission { row, runtimes_s })
    }

    /// Moves CPU and memory a little away from the kind, then by the factors of the mix. Neither is moved past what the
    /// commonest node with enough GPUs has, and not at all if then too few nodes would do.
    fn vary(&mut self, row: &mut PodRow) {
        let quarters = [CPU_VARIED_PERMILLE, MEMORY_VARIED_PERMILLE].map(|permille| self.quarters(permille));
        let mix = &self.preset.pods;
        let cpu_permille = if row.num_gpu > 0 { mix.cpu_permille } else { 1000 };
        let enough = self.preset.nodes.iter().filter(|node| node.gpus >= row.num_gpu);
        let Some(common) = enough.max_by_key(|node| node.count) else { return };
        let (cpu_milli, memory_mib) = (row.cpu_milli, row.memory_mib);
        let move_to = |from: u64, quarters: u64, permille: u32, step: u64, most: u64| {
            let wanted = from * quarters * u64::from(permille) / 4000;
            (wanted.next_multiple_of(step)).min(from.max(most))
        };
        row.cpu_milli = move_to(cpu_milli, quarters[0], cpu_permille, CPU_STEP_MILLI, common.cpu_milli());
        row.memory_mib = move_to(memory_mib, quarters[1], mix.memory_permille, MEMORY_STEP_MIB, common.memory_mib());
        if nodes_for(self.preset.nodes, row, &[]) < NODES_MIN {
            (row.cpu_milli, row.memory_mib) = (cpu_milli, memory_mib);
        }
    }

    /// Quarters of the usual request: 3 or 5 for so many thousandths of the pods, 4 for the others.
    fn quarters(&mut self, permille: u32) -> u64 {
        match (self.variations.chance(permille), self.variations.below(2)) {
            (false, _) => 4,
            (true, 0) => 3,
            (true, _) => 5,
        }
    }

    /// Limits some pods that want GPUs to one of the mix's sets of models that has nodes for them.
    fn limit(&mut self, row: &mut PodRow) {
        let mix = &self.preset.pods;
        if row.num_gpu == 0 || !self.limits.chance(mix.limited_permille) {
            return;
        }
        let weight = |limit: &Limit| match nodes_for(self.preset.nodes, row, limit.models) {
            nodes if nodes >= NODES_MIN => u64::from(limit.weight),
            _ => 0,
        };
        let weights: Vec<u64> = mix.limits.iter().map(weight).collect();
        if let Some(limit) = self.limits.weighted(&weights).and_then(|place| mix.limits.get(place)) {
            row.gpu_spec = limit.models.iter().map(|&model| model.to_owned()).collect();
        }
    }

    /// The run times of one submission, seconds, at least 1; those of a sweep lie within a tenth of the first. Only
    /// pods of at most one GPU come in sweeps, as most of philly's do.
    fn runtimes(&mut self, group: &Group, gpus: u32) -> Vec<u64> {
        let arrivals = &self.preset.arrivals;
        let first = self.run_times.quantile(group.runtimes).max(1);
        let mut runtimes_s = vec![first];
        if gpus <= 1 && self.sweeps.chance(arrivals.sweep_permille) {
            let more = 1 + self.sweeps.below(u64::from(arrivals.sweep_pods_max).saturating_sub(1));
            runtimes_s.extend((0..more).map(|_| (first * (900 + self.sweeps.below(201)) / 1000).max(1)));
        }
        runtimes_s
    }
}

impl<'a> Choice<'a> {
    fn new(group: &'a Group, nodes: &[NodeKind]) -> Self {
        let fits = |kind: &&PodKind| nodes_for(nodes, &largest_row(kind), &[]) >= NODES_MIN;
        let kinds: Vec<_> = group.kinds.iter().filter(fits).collect();
        let weights = kinds.iter().map(|kind| u64::from(kind.weight)).collect();
        Self { group, kinds, weights }
    }

    /// How many pods of this group come, relative to other groups: its part of the demand over what a pod asks for in
    /// the mean. Scaled so that the division loses nothing that matters.
    fn weight(&self) -> u64 {
        const SCALE: u64 = 1_000_000;
        let (part, ask): (u32, fn(&PodKind) -> u64) = match self.group.part {
            Part::GpuPermille(permille) => (permille, PodKind::gpu_milli_mean),
            Part::CpuMilliPerGpu(milli) => (milli, |kind| u64::from(kind.cpu_milli)),
        };
        let weights: u64 = self.weights.iter().sum();
        let asks: u64 = self.kinds.iter().map(|kind| u64::from(kind.weight) * ask(kind)).sum();
        (u64::from(part) * SCALE * weights).checked_div(asks).unwrap_or(0)
    }
}

/// A pod that asks for just what its kind says; of a spread of sizes, one at random.
fn plain_row(kind: &PodKind, stream: &mut Stream) -> PodRow {
    let size_milli = match kind.size {
        Size::Fixed(milli) => milli,
        Size::Spread { low, high, step } => {
            let steps = high.saturating_sub(low) / step.max(1);
            low + step * stream.below(u64::from(steps) + 1) as u32
        }
    };
    row(kind, size_milli)
}

/// A pod of this kind with the largest of its sizes.
fn largest_row(kind: &PodKind) -> PodRow {
    match kind.size {
        Size::Fixed(milli) | Size::Spread { high: milli, .. } => row(kind, milli),
    }
}

fn row(kind: &PodKind, gpu_milli: u32) -> PodRow {
    PodRow {
        name: String::new(),
        cpu_milli: u64::from(kind.cpu_milli),
        memory_mib: u64::from(kind.memory_gib) * 1024,
        num_gpu: kind.gpus,
        gpu_milli,
        gpu_spec: Vec::new(),
        priority: 0,
        qos: String::new(),
        times: None,
    }
}

/// How many empty nodes of these models (any, where none is named) can hold `row`.
fn nodes_for(nodes: &[NodeKind], row: &PodRow, models: &[&str]) -> u32 {
    let fits = |node: &&NodeKind| {
        row.cpu_milli <= node.cpu_milli()
            && row.memory_mib <= node.memory_mib()
            && row.num_gpu <= node.gpus
            && (models.is_empty() || models.contains(&node.model))
    };
    nodes.iter().filter(fits).map(|node| node.count).sum()
}

impl NodeKind {
    /// Allocatable CPU, thousandths of a core.
    pub(super) fn cpu_milli(&self) -> u64 {
        u64::from(self.cores) * 1000
    }

    /// Allocatable memory, MiB.
    pub(super) fn memory_mib(&self) -> u64 {
        u64::from(self.memory_gib) * 1024
    }
}

impl PodKind {
    /// Requested GPU over all its GPUs in the mean, thousandths.
    fn gpu_milli_mean(&self) -> u64 {
        let each = match self.size {
            Size::Fixed(milli) => milli,
            Size::Spread { low, high, .. } => low.midpoint(high),
        };
        u64::from(self.gpus) * u64::from(each)
    }
}
