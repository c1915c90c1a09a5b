//! Berth's live scheduler. What is here so far: from objects of the API to events of the engine, and what surrounds a driver:
//! [`flags`], [`logs`], [`metrics`], [`http`], [`lease`].
//!
//! The way from objects to events is pure: no I/O, no Kubernetes client, no clock. Watches hand in what changed
//! ([`World::apply`]), the engine gets what that means ([`World::events`]), and what cannot be understood is told as
//! [`Problem`]s.
//!
//! Not done yet: watching, binding, status, events. Refused with a reason, since the engine cannot keep it: node affinity
//! beyond single values, selectors of pods beyond single values, host ports, topology spread, volumes that have a place,
//! device claims that are not allocated, GPU shares, resources other than CPU, memory, GPUs and MIG; of
//! groups composite ones, shared claims, disruption of all at once, minimums by task, HyperNodes. Preferences are told as
//! passed over. Not checked: that all pods of a native group name the same scheduler.

pub mod capture;
mod constraints;
pub mod driver;
pub mod flags;
mod gang;
mod gpu;
pub mod http;
pub mod journal;
pub mod lease;
pub mod live;
pub mod logs;
pub mod metrics;
mod node;
pub mod objects;
mod pod;
pub mod problem;
mod queues;
mod resources;
mod store;
mod time;
mod told;
pub mod world;

pub use driver::Driver;
pub use objects::{Key, Kind, Object};
pub use problem::Problem;
pub use store::Change;
pub use world::World;
