//! The published cluster and pod lists, read for tests only.

use std::path::{Path, PathBuf};

use crate::openb;
use crate::trace::{NodeRow, PodRow};

/// The 1213 GPU nodes; `None` where the data is absent.
pub(crate) fn nodes() -> Option<Vec<NodeRow>> {
    Some(openb::read_nodes(&file("openb_node_list_gpu_node.csv")?).unwrap())
}

/// The pods of one list (`default`, `gpushare40`, …); `None` where the data is absent.
pub(crate) fn pods(list: &str) -> Option<Vec<PodRow>> {
    Some(openb::read_pods(&file(&format!("openb_pod_list_{list}.csv"))?).unwrap())
}

/// The data lies in the folder `BERTH_SHARED`, or in `shared/` beside the workspace, and is no part of it: tests skip
/// without it, except under CI.
fn file(name: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).map(|folder| folder.join("shared"));
    let shared = std::env::var_os("BERTH_SHARED").map(PathBuf::from).or_else(beside)?;
    let path = shared.join("traces/openb").join(name);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "no {} under CI", path.display());
    println!("skipped: no {}", path.display());
    None
}
