//! Berth's live scheduler, as a library: what its binary and its tests are made of.
//!
//! Objects of the API become events of the engine in [`World`], the engine's decisions become calls in [`Driver`]; both are pure: no
//! I/O, no Kubernetes client, no clock. [`live`] moves the bytes around them; [`flags`], [`logs`], [`metrics`], [`http`] and
//! [`lease`] are the process.
//!
//! What the engine cannot keep is refused with a reason, as a [`Problem`]: device claims that are not allocated, and GPU shares, since
//! nothing enforces them yet; of groups composite ones, shared claims, disruption of all at once, minimums by task, HyperNodes.
//! Preferences are told as passed over.

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
mod volumes;
pub mod world;

pub use driver::Driver;
pub use objects::{Key, Kind, Object};
pub use problem::Problem;
pub use store::Change;
pub use volumes::{Progress, VolumeStep};
pub use world::World;
