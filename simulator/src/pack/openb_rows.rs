//! The published cluster and pod lists, read for tests only.

use std::path::PathBuf;

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

fn file(name: &str) -> Option<PathBuf> {
    Some(berth_tests::openb_folder()?.join(name))
}
