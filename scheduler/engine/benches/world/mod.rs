//! Clusters to measure decisions on: nodes of 8 GPUs of four models, filled by the engine itself from a seeded stream.

use berth_engine::*;

/// Which pods a cluster is filled with and asked to place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mix {
    /// One whole GPU each, all alike.
    OneGpu,
    /// Shares and 1, 2, 4 or 8 GPUs, with several CPU requests: many distinct node states.
    Mixed,
}

/// An engine with a filled cluster, and the stream that filled it.
pub(crate) struct World {
    pub(crate) engine: Engine,
    mix: Mix,
    seed: u64,
    next: u64,
}

const MODELS: [&str; 4] = ["A10", "A100", "H100", "L4"];

fn node(number: u32, distinct_shapes: u32) -> Event {
    // Differing CPU makes shapes, and so states, distinct where a benchmark wants that.
    let cpu_milli = 128_000 + u64::from(number % distinct_shapes);
    let shape = NodeShape {
        cpu_milli,
        memory_bytes: 1 << 40,
        pods: 110,
        gpus: 8,
        gpu_model: MODELS[number as usize % MODELS.len()].to_owned(),
        ..NodeShape::default()
    };
    Event::NodeAdded { node: NodeId(number), spec: NodeSpec { name: format!("node-{number}"), shape } }
}

impl World {
    /// `distinct_shapes` = 1: all nodes alike but for the GPU model.
    pub(crate) fn new(nodes: u32, distinct_shapes: u32, fill_percent: u64, mix: Mix) -> Self {
        let mut engine = Engine::new(Config::default());
        for number in 0..nodes {
            engine.apply(node(number, distinct_shapes), Timestamp(0)).expect("nodes are distinct");
        }
        let mut world = World { engine, mix, seed: 42, next: 0 };
        let target = world.engine.cluster().gpu_capacity_milli() * fill_percent / 100;
        let mut refused = 0;
        while world.engine.cluster().gpu_used_milli() < target && refused < 1000 {
            let shape = world.next_shape();
            let pod = world.add(shape);
            if !world.decide() {
                world.remove(pod);
                refused += 1;
            }
        }
        world
    }

    /// The next pod of the stream.
    pub(crate) fn next_shape(&mut self) -> PodShape {
        let random = self.random();
        let (gpu, cpu_milli) = match (self.mix, random % 100) {
            (Mix::OneGpu, _) => (GpuRequest::Whole(1), 8_000),
            (_, 0..5) => (GpuRequest::share(MilliGpu(50)), 100),
            (_, 5..10) => (GpuRequest::share(MilliGpu(250)), 2_000),
            (_, 10..25) => (GpuRequest::share(MilliGpu(500)), 4_000),
            (_, 25..35) => (GpuRequest::share(MilliGpu(810)), 3_000),
            (_, 35..85) => (GpuRequest::Whole(1), 6_000 + 1_000 * (random >> 32 & 7)),
            (_, 85..92) => (GpuRequest::Whole(2), 16_000),
            (_, 92..97) => (GpuRequest::Whole(4), 32_000),
            _ => (GpuRequest::Whole(8), 96_000),
        };
        PodShape { cpu_milli, memory_bytes: 1 << 33, gpu, ..PodShape::default() }
    }

    /// A pod that fits nowhere: more CPU than any node has.
    pub(crate) fn impossible(&self) -> PodShape {
        PodShape { cpu_milli: 1_000_000, memory_bytes: 1 << 33, gpu: GpuRequest::Whole(8), ..PodShape::default() }
    }

    /// Changes the cluster and changes it back: a pod comes, is placed where there is room, and goes.
    pub(crate) fn place_and_remove(&mut self) {
        let shape = self.next_shape();
        let pod = self.add(shape);
        self.decide();
        self.remove(pod);
    }

    pub(crate) fn add(&mut self, shape: PodShape) -> PodId {
        self.next += 1;
        let pod = PodId(self.next);
        let event = Event::PodAdded { pod, spec: PodSpec { shape, ..PodSpec::default() } };
        self.engine.apply(event, Timestamp(self.next)).expect("pods are distinct");
        pod
    }

    pub(crate) fn remove(&mut self, pod: PodId) {
        self.engine.apply(Event::PodGone { pod }, Timestamp(self.next)).expect("the pod is there");
    }

    /// Decides; was the last pod placed?
    pub(crate) fn decide(&mut self) -> bool {
        matches!(self.engine.decide(Timestamp(self.next)).last(), Some(Decision::Bind { .. }))
    }

    fn random(&mut self) -> u64 {
        // xorshift64: good enough to mix pod kinds, and the same everywhere.
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed
    }
}
