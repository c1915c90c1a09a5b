//! What users write to configure Berth, checked as a whole: the scheduler's configuration file and, with the feature `crd`,
//! our custom resources. Owns every label and annotation name, and the form of the journal. Reads no file, knows no API server
//! and decides nothing.
//!
//! The types in [`scheduler`] and [`rules`] say it all: names, defaults, ranges and meanings. The JSON Schema, the check of
//! a file, the printed defaults and the documentation are worked out from them.

mod check;
mod contradictions;
#[cfg(feature = "crd")]
pub mod crd;
mod describe;
pub mod journal;
mod load;
pub mod names;
pub mod problem;
pub mod quantity;
mod reload;
pub mod rules;
pub mod scheduler;
mod schema;
pub mod units;
mod yaml;

pub use check::bind_address;
pub use describe::{json_schema, print_defaults, reference};
pub use load::read;
pub use problem::{Problem, Problems};
pub use quantity::Quantity;
pub use reload::needs_restart;
pub use rules::engine_config;
pub use scheduler::SchedulerConfiguration;
pub use yaml::FILE_BYTES_MAX;
