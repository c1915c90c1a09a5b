//! `berth config` as users run it: what it says of sound and broken files, and that what it prints is sound.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

fn berth(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_berth"));
    command.current_dir(folder).arg("config").args(arguments).stdin(Stdio::null()).output().expect("berth starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Where the broken file of `berth-config` lies, with what is to be said of it.
fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/tests/cases")
}

#[test]
fn a_broken_file_is_answered_with_all_its_mistakes() {
    let output = berth(&cases(), &["check", "broken.yaml"]);
    let golden = std::fs::read_to_string(cases().join("broken.txt")).expect("what is to be said");
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    let (head, problems) = stderr.split_once('\n').expect("several lines");
    assert_eq!(head.split(';').next(), Some(format!("berth: {} mistakes", golden.lines().count()).as_str()));
    assert_eq!(problems, golden);
    assert!(output.stdout.is_empty());
}

#[test]
fn every_file_is_checked_whatever_is_wrong_with_another() {
    let folder = TempDir::new().expect("a folder");
    let file = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).expect("a small file");
    let head = "apiVersion: config.berth.dev/v1alpha1\nkind: SchedulerConfiguration\n";
    file("good.yaml", format!("{head}policySet: kai\n").as_bytes());
    file("latin.yaml", b"apiVersion: x\nkind: \xe9\n");
    file("typo.yaml", format!("{head}polcySet: kai\n").as_bytes());
    let output = berth(folder.path(), &["check", "latin.yaml", "good.yaml", "missing.yaml", "typo.yaml", "."]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert_eq!(text(&output.stdout), "good.yaml: sound; scheduler `berth`, policy set `kai`\n");
    let said = [
        "berth: 4 mistakes",
        "latin.yaml:2: the text is not UTF-8",
        "missing.yaml: cannot be read",
        "typo.yaml:3:1: polcySet: is not a field; did you mean `policySet`?",
        ".: cannot be read",
    ];
    assert!(stderr.lines().zip(said).all(|(line, said)| line.starts_with(said)), "{stderr}");
    assert_eq!(stderr.lines().count(), said.len(), "{stderr}");
    let quiet = berth(folder.path(), &["check", "--quiet", "good.yaml"]);
    assert!(quiet.status.success() && quiet.stdout.is_empty() && quiet.stderr.is_empty());
}

#[test]
fn what_is_printed_is_sound_also_from_standard_input() {
    let folder = TempDir::new().expect("a folder");
    let printed = berth(folder.path(), &["print-defaults"]);
    assert!(printed.status.success());
    let mut command = Command::new(env!("CARGO_BIN_EXE_berth"));
    command.args(["config", "check", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut check = command.spawn().expect("berth starts");
    check.stdin.take().expect("a pipe").write_all(&printed.stdout).expect("it reads");
    let output = check.wait_with_output().expect("it ends");
    assert_eq!(text(&output.stdout), "standard input: sound; scheduler `berth`, policy set `default`\n");
    assert!(berth(folder.path(), &["print-defaults", "-o", "berth.yaml"]).status.success());
    assert_eq!(std::fs::read(folder.path().join("berth.yaml")).expect("the file"), printed.stdout);
}

#[test]
fn the_schema_is_json() {
    let folder = TempDir::new().expect("a folder");
    let output = berth(folder.path(), &["schema"]);
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(schema["properties"]["policySet"]["default"], "default");
    assert_eq!(schema["title"], "SchedulerConfiguration");
}

#[test]
fn wrong_usage_is_another_exit_code() {
    let folder = TempDir::new().expect("a folder");
    for arguments in [&[] as &[&str], &["check"], &["chekc", "x"]] {
        assert_eq!(berth(folder.path(), arguments).status.code(), Some(2), "{arguments:?}");
    }
}
