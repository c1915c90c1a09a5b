//! One run of the packing experiment: pods arrive one by one, nothing ever ends, and a pod that does not fit is deleted.
//! Source of the experiment: Weng et al., ATC 2023; the engine decides, this only drives it.

use berth_engine::{Config, Decision, Engine, Event, EventError, NodeId, PodId, Timestamp};

use super::stream::Stream;
use crate::convert;
use crate::trace::Trace;

/// The cluster after one arrival, placed or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// GPU asked for by all pods so far, thousandths.
    pub arrived_milli: u64,
    /// GPU held by placed pods, thousandths.
    pub allocated_milli: u64,
    /// Pods deleted so far because they fitted nowhere.
    pub rejected_pods: u32,
}

/// Plays a stream of arrivals; one sample per arrival.
///
/// # Errors
/// When the engine refuses an event, which a checked trace never causes.
pub fn run(trace: &Trace, stream: &Stream, config: Config) -> Result<Vec<Sample>, EventError> {
    let mut engine = Engine::new(config);
    for (row, rank) in trace.nodes.iter().zip(&stream.rank) {
        engine.apply(Event::NodeAdded { node: NodeId(*rank), spec: convert::node(row) }, Timestamp(0))?;
    }
    let specs: Vec<_> = trace.pods.iter().map(convert::pod).collect();
    let mut sample = Sample { arrived_milli: 0, allocated_milli: 0, rejected_pods: 0 };
    let mut samples = Vec::with_capacity(stream.arrivals.len());
    for (number, &index) in (0u64..).zip(&stream.arrivals) {
        let (pod, now) = (PodId(number), Timestamp(number));
        engine.apply(Event::PodAdded { pod, spec: specs[index].clone() }, now)?;
        for decision in engine.decide(now) {
            if let Decision::Wait { pod, .. } = decision {
                engine.apply(Event::PodGone { pod }, now)?;
                sample.rejected_pods += 1;
            }
        }
        sample.arrived_milli += trace.pods[index].gpu_total_milli();
        sample.allocated_milli = engine.cluster().gpu_used_milli();
        samples.push(sample);
    }
    Ok(samples)
}
