//! `berth scenario` as users run it, the scenarios of this project, and those of the shared folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A pod that fits, with what a run of it prints.
const FITS: &str =
    "# It fits\nnode n gpus=1\njob a gpu=1\n----\nround 1\n  allocate: place a-0 on n\nend\n  a-0 placed on n\n";

fn berth(folder: &Path, arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_berth"));
    command.current_dir(folder).args(arguments.split_whitespace()).output().expect("berth starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().expect("a folder for temporary files");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("a small file");
    }
    folder
}

#[test]
fn each_outcome_has_its_exit_code_and_says_what_to_do() {
    let differs = FITS.replace("a-0 placed", "a-0 pending");
    let taste = differs.replace("node n", "tier taste depends on it\nnode n");
    let silent = "# Nothing is expected\nnode n\njob a\n";
    let idle = FITS.replace("----", "at +1m\n  finish b\n----").replace("job a gpu=1", "job a gpu=1\njob b gpu=9");
    let folder = folder(&[
        ("fits.txt", FITS),
        ("differs.txt", &differs),
        ("taste.txt", &taste),
        ("silent.txt", silent),
        ("broken.txt", "# t\nnod n\n----\n"),
        ("idle.txt", &idle),
        ("seventeen.txt", &FITS.replace("gpus=1", "gpus=17")),
    ]);
    let cases = [
        ("run fits.txt", 0, ""),
        ("run fits.txt differs.txt", 4, "berth: 1 scenario did not end as expected"),
        ("run taste.txt", 0, ""),
        ("run silent.txt", 3, "silent.txt: there is nothing below a line of `----`, so nothing could fail"),
        ("run broken.txt fits.txt", 3, "broken.txt:2: `nod` begins no line here"),
        ("run missing.txt", 3, "missing.txt: cannot be read"),
        ("run idle.txt", 3, "idle.txt: step at 1m: nothing to finish under the name `b` then"),
        ("run seventeen.txt", 3, "at most 16"),
        ("run", 2, "FILE|DIR"),
        ("run fits.txt --policy-set best", 2, "kai"),
        ("run fits.txt -o fits.txt", 2, "fits.txt is an input"),
        ("explain silent.txt", 0, ""),
        ("explain broken.txt", 3, "broken.txt:2:"),
        ("show fits.txt", 0, ""),
        ("show missing.txt", 3, "missing.txt"),
        ("", 2, "Usage: berth scenario"),
    ];
    for (arguments, code, message) in cases {
        let output = berth(folder.path(), &format!("scenario {arguments}"));
        assert_eq!(output.status.code(), Some(code), "{arguments}: {}", stderr(&output));
        assert!(stderr(&output).contains(message), "{arguments}: {}", stderr(&output));
    }
}

#[test]
fn a_table_tells_what_differs_and_where_everything_ended() {
    let folder = folder(&[("fits.txt", FITS), ("differs.txt", &FITS.replace("a-0 placed", "a-0 pending"))]);
    let output = stdout(&berth(folder.path(), "scenario run fits.txt differs.txt"));
    let expected = "FAILED  differs.txt (binding, default): It fits\n    - a-0 pending on n\n    + a-0 placed on n\n  in the end\n    \
                    a-0 placed on n gpu 0\n2 scenarios: 1 passed, 1 failed\n";
    assert_eq!(output, expected);
    let all = stdout(&berth(folder.path(), "scenario run fits.txt --all"));
    assert_eq!(all, "passed  fits.txt (binding, default): It fits\n1 scenario: 1 passed, 0 failed\n");
}

#[test]
fn json_is_one_object() {
    let folder = folder(&[("fits.txt", FITS), ("differs.txt", &FITS.replace("round 1", "round 2"))]);
    let output = berth(folder.path(), "scenario run fits.txt differs.txt --format json");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert_eq!((&json["passed"], &json["failed"]), (&1.into(), &1.into()));
    let [fits, differs] = json["cases"].as_array().expect("a list").as_slice() else { panic!("two cases") };
    assert_eq!(fits["differences"], serde_json::json!([]));
    assert_eq!(differs["file"], "differs.txt");
    assert_eq!(differs["tier"], "binding");
    assert_eq!(differs["passed"], false);
    assert_eq!(differs["differences"], serde_json::json!(["- round 2", "+ round 1"]));
}

#[test]
fn update_writes_what_a_run_prints_and_nothing_else() {
    let old = "# Title\n# failure-modes 1.1\nnode n gpus=1\njob a gpu=1\njob b gpu=1\n----\nexpect job a running\n# said why\nwhy x: y\n";
    let folder = folder(&[("old.txt", old), ("fits.txt", FITS)]);
    let output = berth(folder.path(), "scenario run old.txt fits.txt --update");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let new = fs::read_to_string(folder.path().join("old.txt")).expect("it is there");
    let kept = "----\nexpect job a running\n# said why\nround 1\n  allocate: place a-0 on n\nend\n  a-0 placed on n\n  b-0 pending\n  why b: ";
    assert!(new.starts_with(&old[..old.find("----").expect("a rule")]) && new.contains(kept), "{new}");
    assert_eq!(fs::read_to_string(folder.path().join("fits.txt")).expect("it is there"), FITS);
}

#[test]
fn explain_tells_shares_tries_decisions_and_reasons() {
    let folder = folder(&[("two.txt", "# Two for one\nnode n gpus=1\nqueue q limit=4\njob a gpu=1\njob b gpu=2\n")]);
    let text = stdout(&berth(folder.path(), "scenario explain two.txt"));
    let pieces = [
        "policy set default",
        "queue q: gpu 0 of fair share",
        "limit 4",
        "allocate: place a-0 on n",
        "b-0 pending",
        "waits b: ",
    ];
    for piece in pieces {
        assert!(text.contains(piece), "{text}\nhas no {piece}");
    }
}

/// Those in `open` show what is not done yet, or not rightly.
#[test]
fn the_scenarios_of_this_project_end_as_expected() {
    let folder = Path::new("../tests/scenarios");
    let entries = fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<String> =
        entries.filter(|path| !path.ends_with("open")).map(|path| path.display().to_string()).collect();
    paths.sort();
    let output = berth(Path::new("."), &format!("scenario run {}", paths.join(" ")));
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
}

#[test]
fn the_kai_scenarios_end_as_expected() {
    let shared = std::env::var_os("BERTH_SHARED").map_or_else(|| PathBuf::from("../../shared"), PathBuf::from);
    let kai = shared.join("scenarios/kai");
    if !kai.is_dir() {
        eprintln!("skipped: no {}", kai.display());
        return;
    }
    let output = berth(Path::new("."), &format!("scenario run {}", kai.display()));
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).starts_with("143 scenarios: "), "{}", stdout(&output));
}
