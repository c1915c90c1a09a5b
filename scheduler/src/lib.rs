//! Berth's live scheduler. What is here so far: from objects of the API to events of the engine.
//!
//! Pure: no I/O, no Kubernetes client, no clock. Watches hand in what changed ([`World::apply`]), the engine gets what that
//! means ([`World::events`]), and what cannot be understood is told as [`Problem`]s.
//!
//! Not done yet: watching, binding, status, events, metrics, leader election; volumes, host ports, node affinity beyond
//! single values, topology spread, GPU shares, device claims and composite groups (pods that ask for these are refused with a
//! reason).

mod constraints;
mod gang;
mod gpu;
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

pub use objects::{Key, Kind, Object};
pub use problem::Problem;
pub use store::Change;
pub use world::World;
