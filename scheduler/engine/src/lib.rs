//! Berth's scheduling engine: events and `now` go in, decisions come out.
//!
//! Pure and deterministic: no clock, no I/O, no random source, no hash-order iteration. The live scheduler and the
//! simulator drive this same crate, and nothing in here knows which of them does.
//!
//! Read it the way the data flows: [`cluster`] (what there is), `queue` (who goes next), `filter` (where it may run),
//! [`placement`] (where it fits best), `cycle` (the one page that ties them), [`decision`] (what comes out), with
//! `trial` (undo log) under the search and [`check`] (an independent judge of every plan) beside it.

mod allocate;
pub mod check;
pub mod cluster;
mod cycle;
pub mod decision;
mod engine;
pub mod event;
pub mod filter;
pub mod gang;
mod miss;
mod never;
pub mod placement;
pub mod queue;
mod remedy;
mod report;
pub mod reservation;
pub mod rules;
mod search;
mod stale;
pub mod state;
pub mod topology;
pub mod trial;
pub mod units;
pub mod victims;
mod why;

pub use cluster::{
    Cluster, GpuRequest, Member, MigShape, NodeShape, NodeSpec, PodShape, PodSpec, Seat, Share, ShareSize, Taint,
    TaintEffect, Toleration,
};
pub use cycle::Pass;
pub use decision::{Decision, Slot, Unplaceable};
pub use engine::{Config, Engine};
pub use event::{Event, EventError};
pub use gang::GangSpec;
pub use placement::{Demand, Policy, TieBreak};
pub use queue::{QueueSpec, Quota};
pub use rules::Rules;
pub use state::State;
pub use units::{GPU, GangId, MilliGpu, NodeId, PodId, QueueId, Timestamp};
