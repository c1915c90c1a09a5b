//! A control plane by hand: starts all parts and as many nodes as are asked for, says how to reach them, and ends with its input.

use std::error::Error;
use std::io::{self, Read, Write};

use berth_controlplane::{ControlPlane, Inventory, Options};

const USAGE: &str = "usage: berth-controlplane [NODES]   (nodes with eight H100 each; 4 unless given)";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let nodes = match std::env::args().nth(1) {
        None => 4,
        Some(text) => text.parse().map_err(|_| format!("found `{text}`, expected a number of nodes\n{USAGE}"))?,
    };
    let plane = ControlPlane::start(Options::FULL).await?;
    plane.create_nodes(&Inventory::h100("gpu", nodes).nodes()).await?;
    let mut out = io::stdout().lock();
    for (part, pid) in plane.pids() {
        writeln!(out, "# {part} is process {pid}, its log {}", plane.folder().join(format!("{part}.log")).display())?;
    }
    writeln!(out, "# All of it ends with Enter, Ctrl-C or the end of input.")?;
    writeln!(out, "export KUBECONFIG={}", plane.kubeconfig().display())?;
    out.flush()?;
    let _ = io::stdin().read(&mut [0])?;
    Ok(())
}
