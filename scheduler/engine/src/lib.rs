//! Berth's scheduling engine: events and `now` go in, decisions come out.
//!
//! Pure and deterministic: no clock, no I/O, no random source, no hash-order iteration. The live scheduler and the
//! simulator drive this same crate, and nothing in here knows which of them does.
//!
//! Read it the way the data flows: [`cluster`] (what there is), `queue` (who goes next), `filter` (where it may run),
//! [`placement`] (where it fits best), `cycle` (the one page that ties them), [`decision`] (what comes out), with
//! `trial` (undo log) under the search and [`check`] (an independent judge of every plan) beside it.

pub mod check;
pub mod cluster;
mod cycle;
pub mod decision;
mod engine;
pub mod event;
#[cfg_attr(not(test), expect(dead_code, reason = "for the queues to come"))]
mod fair_share;
pub mod filter;
pub mod placement;
mod queue;
pub mod trial;
pub mod units;
#[cfg_attr(not(test), expect(dead_code, reason = "for the queues to come"))]
mod usage;

pub use cluster::{Cluster, GpuRequest, NodeShape, NodeSpec, PodShape, PodSpec, Taint, TaintEffect, Toleration};
pub use decision::{Decision, Slot, Unplaceable};
pub use engine::{Config, Engine};
pub use event::{Event, EventError};
pub use placement::{Demand, Policy, TieBreak};
pub use units::{GPU, MilliGpu, NodeId, PodId, Timestamp};
