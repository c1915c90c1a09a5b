//! Where the binaries are. `build.sh` alone knows; this asks it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Error, Part};

/// Every binary by the name of its part. Builds nothing.
pub(crate) fn find() -> Result<BTreeMap<String, PathBuf>, Error> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("build.sh");
    let output = Command::new(&script).arg("--find").output().map_err(Error::io("run", &script))?;
    if !output.status.success() {
        return Err(Error::Absent(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let found = text.lines().filter_map(|line| line.split_once('='));
    Ok(found.map(|(name, path)| (name.to_owned(), PathBuf::from(path))).collect())
}

/// The binary of one part.
pub(crate) fn of(binaries: &BTreeMap<String, PathBuf>, part: Part) -> Result<PathBuf, Error> {
    binaries.get(part.name()).cloned().ok_or_else(|| Error::Absent(format!("build.sh does not know {part}")))
}
