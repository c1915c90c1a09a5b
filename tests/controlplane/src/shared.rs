//! One control plane for all tests of a test binary.

use tokio::sync::OnceCell;

use crate::{ControlPlane, Error, Options};

/// A control plane that the first test to ask for it starts, and that ends with the test binary: a static is never dropped, but
/// the watchdog sees that the process is gone.
pub struct Shared {
    options: Options,
    plane: OnceCell<Option<ControlPlane>>,
}

impl Shared {
    /// Starts nothing yet.
    pub const fn new(options: Options) -> Shared {
        Shared { options, plane: OnceCell::const_new() }
    }

    /// The plane, or `None`, said aloud, where its binaries are not built.
    ///
    /// # Panics
    /// Where a part does not come up, and where `CI` is set and the binaries are not built, so that tests cannot fall away unseen.
    pub async fn get(&self) -> Option<&ControlPlane> {
        let start = async || present(ControlPlane::start(self.options).await);
        self.plane.get_or_init(start).await.as_ref()
    }
}

/// A plane of a test's own, which ends when it is dropped; else as [`Shared::get`].
///
/// # Panics
/// As [`Shared::get`].
pub async fn own(options: Options) -> Option<ControlPlane> {
    present(ControlPlane::start(options).await)
}

fn present(started: Result<ControlPlane, Error>) -> Option<ControlPlane> {
    match started {
        Ok(plane) => Some(plane),
        Err(Error::Absent(line)) => {
            assert!(std::env::var_os("CI").is_none(), "{line}");
            println!("skipped: {line}");
            None
        }
        Err(error) => panic!("no control plane: {error}"),
    }
}
