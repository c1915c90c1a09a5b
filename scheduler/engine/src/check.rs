//! An independent judge: is a cluster's booking possible at all? Shares no code with the search.

use std::collections::BTreeMap;

use crate::cluster::{Cluster, GpuRequest};

/// Everything that is wrong with what is booked, one sentence each; empty when all is well.
pub fn violations(cluster: &Cluster) -> Vec<String> {
    let mut wrong = Vec::new();
    for (id, node) in cluster.nodes() {
        let Some(state) = cluster.state(*id) else { continue };
        let shape = &state.shape;
        let (mut cpu, mut memory, mut pods) = (0u128, 0u128, 0u32);
        let mut per_gpu: BTreeMap<u8, u64> = BTreeMap::new();
        for (pod, placement) in cluster.placed().iter().filter(|(_, placement)| placement.node == *id) {
            let asked = &placement.shape;
            cpu += u128::from(asked.cpu_milli);
            memory += u128::from(asked.memory_bytes);
            pods += 1;
            let (count, each) = match asked.gpu {
                GpuRequest::None => (0, 0),
                GpuRequest::Share(share) => (1, u64::from(share.0)),
                GpuRequest::Whole(count) => (count, 1000),
            };
            if placement.gpus.len() != count {
                wrong.push(format!("{pod} asked for {count} GPUs and holds {}", placement.gpus.len()));
            }
            for gpu in &placement.gpus {
                *per_gpu.entry(*gpu).or_default() += each;
            }
            if count > 0 && !asked.gpu_models.is_empty() && !asked.gpu_models.contains(&shape.gpu_model) {
                wrong.push(format!("{pod} runs on GPU model `{}`, which it does not accept", shape.gpu_model));
            }
        }
        if cpu > u128::from(shape.cpu_milli) {
            wrong.push(format!("`{}`: {cpu} of {} thousandths of a core given away", node.name, shape.cpu_milli));
        }
        if memory > u128::from(shape.memory_bytes) {
            wrong.push(format!("`{}`: {memory} of {} bytes given away", node.name, shape.memory_bytes));
        }
        if pods > shape.pods {
            wrong.push(format!("`{}`: runs {pods} pods, room for {}", node.name, shape.pods));
        }
        for (gpu, milli) in per_gpu {
            if usize::from(gpu) >= shape.gpus || milli > 1000 {
                wrong.push(format!("`{}`: {milli} thousandths of GPU {gpu} of {} given away", node.name, shape.gpus));
            }
        }
    }
    wrong
}
