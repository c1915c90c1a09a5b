//! The command as users run it: exit codes, messages, formats, and the same bytes on any number of threads.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// Two nodes of two GPUs, and pods that fill them exactly.
const NODES: &str = "sn,cpu_milli,memory_mib,gpu,model\nn0,8000,1024,2,T4\nn1,8000,1024,2,T4\n";
const PODS: &str = "name,cpu_milli,memory_mib,num_gpu,gpu_milli\na,1000,1,2,1000\nb,1000,1,1,500\nc,1000,1,1,500\n\
                    d,1000,1,1,1000\n";
const TIMED: &str = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,creation_time,deletion_time\n\
                     a,1000,1,2,1000,0,100\nb,1000,1,1,500,10,50\nc,1000,1,2,1000,20,60\n";

fn berth(folder: &Path, arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_berth"));
    command.current_dir(folder).args(arguments.split_whitespace()).output().expect("berth starts")
}

fn folder() -> TempDir {
    let folder = TempDir::new().expect("a folder for temporary files");
    for (name, text) in [("nodes.csv", NODES), ("pods.csv", PODS), ("timed.csv", TIMED)] {
        fs::write(folder.path().join(name), text).expect("a small file");
    }
    folder
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn each_kind_of_failure_has_its_exit_code_and_says_what_to_do() {
    let folder = folder();
    fs::write(folder.path().join("broken.csv"), PODS.replace("500", "5000")).expect("a small file");
    fs::write(folder.path().join("no-gpus.csv"), "sn,cpu_milli,memory_mib,gpu,model\na,1,1,0,\n")
        .expect("a small file");
    let cases = [
        ("", 2, "Usage: berth"),
        ("pack --wrong", 2, "--wrong"),
        ("pack", 2, "give --nodes and --pods"),
        ("pack --nodes nodes.csv --pods pods.csv --policy best", 2, "best-fit"),
        ("pack --nodes nodes.csv --pods pods.csv --seeds 5..1", 2, "first seed"),
        ("pack --nodes nodes.csv --pods pods.csv --fail-if pods<1", 2, "allocated_percent"),
        ("pack --nodes nodes.csv --pods missing.csv", 3, "missing.csv"),
        ("pack --nodes nodes.csv --pods broken.csv", 3, "broken.csv:3: column `gpu_milli`: found `5000`"),
        ("pack --preset nothing", 2, "cpu2x"),
        (
            "pack --nodes nodes.csv --pods pods.csv --fail-if allocated_percent<101",
            4,
            "--fail-if allocated_percent<101",
        ),
        ("pack --nodes nodes.csv --pods pods.csv --quiet --fail-if allocated_percent<1", 0, ""),
        ("pack --nodes nodes.csv --pods pods.csv -o no/such/folder.csv", 1, "no/such/folder.csv"),
        ("pack --nodes nodes.csv --pods pods.csv --seeds 1,1", 2, "seed `1` is given twice"),
        ("pack --nodes nodes.csv --pods pods.csv,pods.csv", 2, "pod list `pods` is given twice"),
        ("pack --nodes nodes.csv --pods pods.csv --policy berth --fail-if lead<9", 2, "lead"),
        ("pack --nodes nodes.csv --pods pods.csv --fail-if bound_percent<1", 2, "bound_percent"),
        ("pack --nodes nodes.csv --pods pods.csv -o pods.csv", 2, "pods.csv is an input"),
        ("pack --nodes no-gpus.csv --pods pods.csv", 3, "no node of the cluster has a GPU"),
        ("pack --nodes nodes.csv --pods pods.csv --jobs 100000", 2, "0..=1024"),
        ("pack --nodes nodes.csv --pods pods.csv -o /dev/null", 0, ""),
        ("simulate --nodes nodes.csv --pods timed.csv --report -", 2, "page for a browser"),
        ("simulate --nodes nodes.csv --pods pods.csv", 3, "berth pack"),
        ("simulate --nodes nodes.csv --pods timed.csv --report r.html --fail-if wait_mean_s>=0", 4, "--fail-if"),
    ];
    for (arguments, code, message) in cases {
        let output = berth(folder.path(), arguments);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "berth {arguments}: {stderr}");
        assert!(stderr.contains(message), "berth {arguments}: {stderr}");
    }
}

#[test]
fn a_failed_run_leaves_the_old_output_as_it_was() {
    let folder = folder();
    let old = folder.path().join("old.csv");
    fs::write(&old, "old").expect("a small file");
    fs::write(folder.path().join("broken.csv"), "name\n").expect("a small file");
    let output = berth(folder.path(), "pack --nodes nodes.csv --pods broken.csv --format csv -o old.csv");
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(fs::read_to_string(&old).expect("still there"), "old");
}

#[test]
fn pack_prints_an_object_per_run_and_column() {
    let folder = folder();
    let arguments = "pack --nodes nodes.csv --pods pods.csv --policy berth --seeds 7 --columns 100 --format jsonl";
    let output = berth(folder.path(), arguments);
    let expected = "{\"trace\":\"pods\",\"policy\":\"berth\",\"seed\":7,\"arrived_percent\":100,\
                    \"allocated_percent\":100.0,\"rejected_pods\":0,\"bound_percent\":null}\n";
    assert_eq!(stdout(&output), expected);
    let bounded = stdout(&berth(folder.path(), &format!("{arguments} --bound")));
    assert!(bounded.contains("\"bound_percent\":100.0"), "{bounded}");
}

#[test]
fn results_do_not_depend_on_threads() {
    let folder = folder();
    for command in [
        "pack --preset mixed-sizes --seeds 1..2 --policy berth,random --columns 100 --format json --quiet",
        "simulate --nodes nodes.csv --pods timed.csv --seeds 1..4 --policy berth,random --format json --report r.html",
    ] {
        let one = berth(folder.path(), &format!("{command} --jobs 1"));
        let report = fs::read(folder.path().join("r.html")).ok();
        let four = berth(folder.path(), &format!("{command} --jobs 4"));
        assert!(!one.stdout.is_empty(), "{}", String::from_utf8_lossy(&one.stderr));
        assert_eq!(one.stdout, four.stdout, "{command}");
        assert_eq!(report, fs::read(folder.path().join("r.html")).ok(), "{command}");
    }
}

#[test]
fn what_generate_writes_packs_as_the_preset_itself() {
    let folder = folder();
    let generated = berth(folder.path(), "generate --preset small-nodes --seed 3 -o made");
    assert!(generated.status.success(), "{}", String::from_utf8_lossy(&generated.stderr));
    let rest = "--seeds 3 --policy best-fit --columns 100 --format csv";
    let files = stdout(&berth(folder.path(), &format!("pack --nodes made/nodes.csv --pods made/pods.csv {rest}")));
    let preset = stdout(&berth(folder.path(), &format!("pack --preset small-nodes {rest}")));
    assert!(preset.contains("small-nodes,best-fit,3,100,"), "{preset}");
    assert_eq!(files.replace("pods,best-fit", "small-nodes,best-fit"), preset);
}

#[test]
fn completions_and_the_manual_page_name_every_command() {
    let folder = folder();
    for arguments in ["completions bash", "completions zsh", "man", "--help"] {
        let text = stdout(&berth(folder.path(), arguments)).to_lowercase();
        for command in ["simulate", "pack", "generate", "scenario"] {
            assert!(text.contains(command), "berth {arguments} does not name {command}");
        }
    }
}
