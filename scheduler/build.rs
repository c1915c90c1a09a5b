//! Tells the crate of which commit it is built, where that is known: `BERTH_GIT_SHA` if the builder says it (an image is
//! built without the repository), else what git says of this very tree, else nothing.

use std::path::Path;
use std::process::Command;

/// Digits of a commit's name that are shown.
const DIGITS: &str = "12";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=BERTH_GIT_SHA");
    let said = std::env::var("BERTH_GIT_SHA").ok().filter(|sha| !sha.is_empty());
    println!("cargo::rustc-env=BERTH_GIT_SHA={}", said.or_else(commit).as_deref().unwrap_or("unknown"));
}

/// The commit that is checked out here.
fn commit() -> Option<String> {
    let here = std::env::var_os("CARGO_MANIFEST_DIR")?;
    // An unpacked archive may lie in somebody else's repository.
    let top = std::fs::canonicalize(git(&["rev-parse", "--show-toplevel"])?).ok()?;
    if Some(top.as_path()) != std::fs::canonicalize(here).ok()?.parent() {
        return None;
    }
    // Every move of HEAD is written down in its log; a file that is not there would mean a build each time.
    for file in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", file]).filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    git(&["rev-parse", &format!("--short={DIGITS}"), "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (!text.is_empty()).then_some(text)
}
