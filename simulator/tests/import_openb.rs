//! The real openb lists are read whole, and written lists are the same to the reader.

use std::env;
use std::path::{Path, PathBuf};

use berth::openb::{parse_nodes, parse_pods, read_nodes, read_pods, write_nodes, write_pods};

/// The openb folder: in `BERTH_SHARED`, or in `shared` beside the workspace. `None`, said aloud, where it is absent;
/// in CI its absence is a failure, so that the test cannot fall away unseen.
fn openb_folder() -> Option<PathBuf> {
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

/// Counts as in the trace's SOURCE.md.
#[test]
fn the_real_trace_is_read_whole() -> Result<(), Box<dyn std::error::Error>> {
    let Some(folder) = openb_folder() else { return Ok(()) };
    for (list, count) in [("all_node", 1523), ("gpu_node", 1213)] {
        let rows = read_nodes(&folder.join(format!("openb_node_list_{list}.csv")))?;
        assert_eq!((rows.len(), rows.iter().map(|node| node.gpus).sum::<u32>()), (count, 6212), "{list}");
        let mut text = Vec::new();
        write_nodes(&mut text, &rows)?;
        assert_eq!(parse_nodes(text.as_slice(), list)?, rows, "{list}");
    }
    for (list, timed) in [("default", true), ("gpushare40", true), ("gpuspec10", true), ("multigpu20", false)] {
        let rows = read_pods(&folder.join(format!("openb_pod_list_{list}.csv")))?;
        assert!(rows.iter().all(|pod| pod.times.is_some() == timed), "{list}");
        assert_eq!(rows.iter().any(|pod| !pod.gpu_spec.is_empty()), list == "gpuspec10", "{list}");
        assert!(list != "default" || rows.len() == 8152);
        let mut text = Vec::new();
        write_pods(&mut text, &rows)?;
        assert_eq!(parse_pods(text.as_slice(), list)?, rows, "{list}");
    }
    Ok(())
}
