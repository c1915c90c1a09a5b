//! The offline half of Berth: replay, pack and generate clusters with the engine that runs in production.

pub mod cli;
pub mod convert;
pub mod generate;
pub mod input;
pub mod openb;
pub mod output;
pub mod pack;
pub mod replay;
pub mod report;
pub mod scenario;
pub mod simulate;
pub mod table;
pub mod trace;
