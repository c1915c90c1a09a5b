//! The real openb lists are read whole, and written lists are the same to the reader.

use berth::openb::{parse_nodes, parse_pods, read_nodes, read_pods, write_nodes, write_pods};
use berth_tests::openb_folder;

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
