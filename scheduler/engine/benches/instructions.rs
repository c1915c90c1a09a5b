//! Instructions per decision, counted by valgrind: the same number whatever else the machine is doing.
//! Runs itself under callgrind twice, the second time with more decisions; the difference is what those cost.

mod world;

use std::process::Command;

use world::{Mix, World};

const FEW: u64 = 100;
const MANY: u64 = 1100;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, mode, refuse, nodes, mix, decisions] = &arguments[..]
        && mode == "--inner"
    {
        let mix = if mix == "one-gpu" { Mix::OneGpu } else { Mix::Mixed };
        return work(refuse == "refuse", nodes.parse().expect("nodes"), mix, decisions.parse().expect("decisions"));
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("instructions: skipped, valgrind is not installed (apt-get install valgrind)");
        return;
    }
    println!(
        "instructions per pod of the mix that comes, is decided on and goes (place), and with a refusal after each (refuse), 90 % full:"
    );
    for what in ["place", "refuse"] {
        for mix in ["one-gpu", "mixed"] {
            for nodes in ["1000", "5000"] {
                let count = |decisions| instructions(&arguments[0], &[what, nodes, mix], decisions);
                match count(MANY).zip(count(FEW)) {
                    Some((many, few)) => {
                        println!("  {what:7} {mix:8} {nodes:>5} nodes: {:>9}", (many - few) / (MANY - FEW))
                    }
                    None => println!("  {what:7} {mix:8} {nodes:>5} nodes: valgrind did not say"),
                }
            }
        }
    }
}

fn work(refuse: bool, nodes: u32, mix: Mix, decisions: u64) {
    let mut world = World::new(nodes, 1, 90, mix);
    for _ in 0..decisions {
        world.place_and_remove();
        if refuse {
            let shape = world.impossible();
            let pod = world.add(shape);
            world.decide();
            world.remove(pod);
        }
    }
}

fn instructions(program: &str, which: &[&str], decisions: u64) -> Option<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", program, "--inner"])
        .args(which)
        .arg(decisions.to_string())
        .output()
        .ok()?;
    let report = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = report.lines().find(|line| line.contains("Collected"))?;
    line.split(':').nth(1)?.trim().parse().ok()
}
