//! Everything that can go wrong with a control plane.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::Part;

/// Why there is no control plane, or why it did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The binaries are not there. A test says so and is skipped, or fails where `CI` is set ([`crate::Shared`] does this).
    #[error("{0}")]
    Absent(String),
    /// A process ended that should run.
    #[error("{part} ended ({status}); the end of its log:\n{log}")]
    Died {
        /// Whose process.
        part: Part,
        /// How it ended.
        status: String,
        /// The last lines it wrote.
        log: String,
    },
    /// A part runs, but does not do its work.
    #[error("{part} was not ready within {within:?} ({last}); the end of its log:\n{log}")]
    Late {
        /// Which part.
        part: Part,
        /// How long it was waited for.
        within: Duration,
        /// What the last look at it gave.
        last: String,
        /// The last lines it wrote.
        log: String,
    },
    /// What a test waited for did not happen.
    #[error("`{what}` did not happen within {within:?}; {last}")]
    Never {
        /// What was waited for.
        what: String,
        /// How long.
        within: Duration,
        /// What was seen last.
        last: String,
    },
    /// A file or a process could not be made.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A certificate could not be made.
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// The API server refused, or did not answer.
    #[error("the API server refused: {0}")]
    Kube(#[from] kube::Error),
    /// A text that is to describe objects does not.
    #[error("not a Kubernetes object: {0}")]
    NoObject(Box<dyn std::error::Error + Send + Sync>),
    /// The kubeconfig that was written could not be read.
    #[error("cannot read the kubeconfig that was written")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
}

impl Error {
    pub(crate) fn yaml(error: impl std::error::Error + Send + Sync + 'static) -> Error {
        Error::NoObject(Box::new(error))
    }

    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Io { action, path: path.into(), source }
    }
}
