//! Scenarios: a small cluster with queues and jobs, what to run, and what must hold afterwards (FORMAT.md).
//! The way of the data: `load` (JSON or `text`) -> `format` -> `validate` -> `play`, which asks the engine -> `played` ->
//! `compare` and `invariants` say what is wrong with it.

pub mod compare;
mod convert;
mod diff;
pub mod format;
pub mod invariants;
pub mod load;
pub mod play;
pub mod played;
pub mod print;
mod problem;
pub mod text;
mod validate;
pub mod verdict;
pub mod world;

pub use problem::{Finding, Problems};
