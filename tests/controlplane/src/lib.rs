//! A real Kubernetes control plane on loopback, for tests: etcd, kube-apiserver and, where wanted, kube-controller-manager,
//! kube-scheduler, and KWOK to play the nodes. Owns the processes, their certificates and their folder. Knows nothing of
//! Berth: what Berth needs (custom resources, roles) is handed in.
//!
//! The binaries are built by `make controlplane` (`build.sh`). A test binary starts one plane and shares it ([`Shared`]);
//! its tests keep apart by namespace, scheduler name and node label.
//!
//! ```no_run
//! # use berth_controlplane::{Options, Shared};
//! static PLANE: Shared = Shared::new(Options { kwok: true, ..Options::BARE });
//!
//! # async fn a_test() {
//! let Some(plane) = PLANE.get().await else { return }; // said aloud; a failure where CI is set
//! let client = plane.client();
//! # }
//! ```

mod access;
mod binaries;
mod certificates;
mod error;
mod nodes;
mod parts;
mod plane;
mod pods;
mod process;
mod shared;
mod wait;

pub use error::Error;
pub use nodes::{GpuModel, Inventory};
pub use parts::{Options, Part};
pub use plane::ControlPlane;
pub use pods::{ENDS_AS, RUN_SECONDS, TestPod};
pub use shared::{Shared, own};
