//! berth-scheduler on a real control plane. Each test has its own nodes, namespace and scheduler name.

mod basics;
mod berth;
mod failures;
mod filters;
mod gangs;
mod journal;
mod making_room;
mod neighbours;
mod volumes;

use berth_controlplane::{Options, Shared};

static PLANE: Shared = Shared::new(Options { controller_manager: true, kwok: true, ..Options::BARE });
