//! What tests of several crates need.

use std::env;
use std::path::{Path, PathBuf};

/// The folder of the openb trace, which is not part of the project: `../shared/traces/openb` beside the workspace, or
/// under `BERTH_SHARED`. `None`, said aloud, where it is absent; in CI its absence is a failure, so that a test cannot
/// fall away unseen.
pub fn openb_folder() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let folder = env::var_os("BERTH_SHARED").map_or_else(beside, PathBuf::from).join("traces/openb");
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(env::var_os("CI").is_none(), "no openb trace at {}, and CI must have it", folder.display());
    println!("skipped: no openb trace at {}; set BERTH_SHARED to the folder that holds traces/openb", folder.display());
    None
}
