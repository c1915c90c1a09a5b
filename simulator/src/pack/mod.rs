//! Packing a fixed cluster with a stream of pods that never leave: the experiment by which placement policies are
//! compared (Weng et al., "Beware of Fragmentation", USENIX ATC 2023).
//! Owns the experiment: who arrives in which order, and how much any policy could place at best.
//! May not hold a policy: those live in the engine.

pub mod bound;
pub mod columns;
pub mod experiment;
pub mod go_rand;
pub mod run;
pub mod stream;
pub mod summary;
pub mod table;

#[cfg(test)]
mod openb_rows;
