//! The engine's purity, kept by reading its sources and its dependency list.

use std::fs;
use std::path::{Path, PathBuf};

/// Everything the engine may depend on. Each is small, deterministic and does no I/O: `libm` gives every machine the same
/// bits for exp and friends, `priority-queue` keeps queues and gangs in the order of service while single ones change (it
/// hashes to find entries and never orders by hash; we give it a hasher without random keys), `smallvec` keeps per-GPU arrays
/// off the heap, `thiserror` only derives. `serde` too, and only for those who keep a journal of events and decisions:
/// nobody else builds it.
const DEPENDENCIES: [&str; 5] = ["libm", "priority-queue", "serde", "smallvec", "thiserror"];

/// Those that a build without features does without.
const OPTIONAL: [&str; 1] = ["serde"];

/// What engine sources may not contain, and why.
const BANNED: [(&str, &str); 17] = [
    ("Instant", "take `now` as an argument"),
    ("SystemTime", "take `now` as an argument"),
    ("HashMap", "iterates in random order; use BTreeMap"),
    ("HashSet", "iterates in random order; use BTreeSet"),
    ("RandomState", "differs from run to run"),
    ("rand::", "random choices are a hash of (seed, pod, node)"),
    ("std::env", "configuration is an argument"),
    ("std::fs", "the engine does no I/O"),
    ("std::net", "the engine does no I/O"),
    ("std::thread", "the engine has no threads"),
    ("println!", "the engine does no I/O"),
    ("async ", "the engine never waits"),
    (".exp()", "differs between machines; use libm"),
    (".ln()", "differs between machines; use libm"),
    (".powf(", "differs between machines; use libm"),
    (".sin()", "differs between machines; use libm"),
    (".tanh()", "differs between machines; use libm"),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("source folder") {
        let path = entry.expect("folder entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn the_dependency_list_is_the_one_named_here() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml");
    let section = manifest.split("[dependencies]").nth(1).expect("a [dependencies] section");
    let lines = section.lines().map(str::trim).take_while(|line| !line.starts_with('['));
    let names: Vec<&str> =
        lines.filter_map(|line| line.split(['=', '.']).next()).map(str::trim).filter(|name| !name.is_empty()).collect();
    let others = manifest.lines().filter(|line| line.starts_with('[') && line.contains("dependencies"));
    assert_eq!(others.collect::<Vec<_>>(), ["[dependencies]", "[dev-dependencies]"], "no other kind of dependency");
    assert_eq!(names, DEPENDENCIES, "a new dependency of the engine needs a reason beside its name in this test");
    let optional =
        section.lines().take_while(|line| !line.starts_with('[')).filter(|line| line.contains("optional = true"));
    let optional: Vec<&str> = optional.filter_map(|line| line.split(['=', '.', ' ']).next()).collect();
    assert_eq!(optional, OPTIONAL, "what only some need, all others build without");
    assert!(!manifest.lines().any(|line| line.starts_with("default =")), "no feature is on by itself");
}

#[test]
fn sources_use_no_clock_no_chance_and_no_hash_order() {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    assert!(files.len() > 20, "found only {} source files", files.len());
    for file in files {
        let text = fs::read_to_string(&file).expect("source file");
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            for (word, advice) in BANNED {
                assert!(!line.contains(word), "{}:{}: `{word}`: {advice}", file.display(), number + 1);
            }
        }
    }
}
