//! The scheduler's binary: flags, configuration, signals.

fn main() {}
