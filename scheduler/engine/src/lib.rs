//! Berth's scheduling engine.
