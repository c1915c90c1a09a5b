//! What several tests need.

use std::env;
use std::path::{Path, PathBuf};

/// The openb folder: in `BERTH_SHARED`, or in `shared` beside the workspace. `None`, said aloud, where it is absent;
/// in CI its absence is a failure, so that the test cannot fall away unseen.
pub(crate) fn openb_folder() -> Option<PathBuf> {
    let beside = || {
        let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let workspace = crate_folder.ancestors().find(|folder| folder.join("Cargo.lock").is_file());
        workspace.unwrap_or(crate_folder).join("../shared")
    };
    let folder = env::var_os("BERTH_SHARED").map_or_else(beside, PathBuf::from).join("traces/openb");
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(env::var_os("CI").is_none(), "no openb trace at {}; set BERTH_SHARED", folder.display());
    println!("skipped: no openb trace at {}; set BERTH_SHARED to the folder that holds traces/openb", folder.display());
    None
}
