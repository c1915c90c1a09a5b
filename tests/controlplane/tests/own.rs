//! What becomes of a control plane when a part of it, or whoever started it, is gone. Each test breaks a plane of its own.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use berth_controlplane::{ControlPlane, Error, Inventory, Options, Part, TestPod, own};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use kube::runtime::wait::conditions::{is_created, is_pod_running};
use kube::{Api, ResourceExt};

/// Does a process with this id run? One that is dead, but not yet asked after by its parent, does not.
fn alive(pid: u32) -> bool {
    let script = format!("kill -0 {pid} && ! grep -q '^State:.Z' /proc/{pid}/status");
    let signal = Command::new("sh").args(["-c", &script]).stderr(Stdio::null()).status();
    signal.expect("sh").success()
}

#[tokio::test]
async fn a_restarted_api_server_knows_what_it_knew() {
    let Some(plane) = own(Options { kwok: true, ..Options::BARE }).await else { return };
    plane.namespace("kept").await.expect("a namespace");
    let client = plane.client().expect("a client");
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let uid = namespaces.get("kept").await.expect("a namespace").uid();
    let before = plane.pids();

    plane.restart(Part::ApiServer).await.unwrap_or_else(|error| panic!("{error}"));

    let after = plane.pids();
    assert_ne!(before[&Part::ApiServer], after[&Part::ApiServer], "another process");
    assert!(!alive(before[&Part::ApiServer]), "the old one is gone");
    assert_eq!(before[&Part::Etcd], after[&Part::Etcd], "the store ran through");
    assert_eq!(namespaces.get("kept").await.expect("a namespace").uid(), uid, "the same client, the same object");

    // KWOK finds the server again: it plays nodes that came after the restart.
    plane.create_nodes(&Inventory::h100("late", 1).nodes()).await.unwrap_or_else(|error| panic!("{error}"));
    plane.create_pods("kept", &[TestPod::new("pod", 1)]).await.expect("a pod");
    plane.bind("kept", "pod", "late-0").await.expect("a binding");
    let pods: Api<Pod> = Api::namespaced(client, "kept");
    plane.until(&pods, "pod", "it runs", is_pod_running()).await.unwrap_or_else(|error| panic!("{error}"));

    plane.stop(Part::Kwok);
    assert!(!alive(after[&Part::Kwok]) && !plane.runs(Part::Kwok));
    assert!(plane.check().is_ok(), "a part that was stopped is not missed");
}

#[tokio::test]
async fn nodes_are_lost_when_nobody_answers_for_them() {
    let options = Options { controller_manager: true, node_lifecycle: true, kwok: true, ..Options::BARE };
    let Some(plane) = own(Options { benchmark: true, durable: true, ..options }).await else { return };
    plane.create_nodes(&Inventory::h100("lost", 1).nodes()).await.unwrap_or_else(|error| panic!("{error}"));
    plane.stop(Part::Kwok);
    let nodes: Api<Node> = Api::all(plane.client().expect("a client"));
    let lost = |node: Option<&Node>| {
        let taints = node.and_then(|node| node.spec.as_ref()).and_then(|spec| spec.taints.as_ref());
        taints.is_some_and(|all| all.iter().any(|taint| taint.key == "node.kubernetes.io/unreachable"))
    };
    plane.until(&nodes, "lost-0", "it is marked", lost).await.unwrap_or_else(|error| panic!("{error}"));
}

#[tokio::test]
async fn nothing_is_left_when_a_test_panics() {
    let Some(plane) = own(Options::BARE).await else { return };
    let (pids, folder) = (plane.pids(), plane.folder().to_owned());
    assert!(pids.len() == 2 && pids.values().all(|pid| alive(*pid)) && folder.join("kube-apiserver.log").exists());
    let ended = tokio::spawn(async move {
        let _held: ControlPlane = plane;
        panic!("as a failing test does");
    });
    assert!(ended.await.expect_err("a panic").is_panic());
    assert!(pids.values().all(|pid| !alive(*pid)), "{pids:?} are gone");
    assert!(!folder.exists(), "{} is gone", folder.display());
}

#[tokio::test]
async fn a_part_that_died_is_named_with_its_last_words() {
    let Some(plane) = own(Options::BARE).await else { return };
    let pid = plane.pids()[&Part::Etcd];
    let killed = Command::new("sh").args(["-c", &format!("kill -9 {pid}")]).status().expect("sh");
    assert!(killed.success());
    let namespaces: Api<Namespace> = Api::all(plane.client().expect("a client"));
    let error = plane.until(&namespaces, "never", "it exists", is_created()).await.expect_err("nobody creates it");
    let said = error.to_string();
    assert!(matches!(error, Error::Died { part: Part::Etcd, .. }) && said.contains("etcd ended (signal: 9"), "{said}");
    assert!(said.contains("ready to serve client requests"), "the end of its log: {said}");
}

#[test]
fn nothing_is_left_when_the_test_process_is_killed() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_berth-controlplane"));
    command.arg("1").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().expect("the program");
    let mut pids: Vec<u32> = Vec::new();
    let mut kubeconfig = PathBuf::new();
    for line in BufReader::new(process.stdout.take().expect("its output")).lines() {
        let line = line.expect("text");
        let after = |mark: &str| line.split_once(mark).map(|(_, rest)| rest.to_owned());
        pids.extend(after(" is process ").and_then(|rest| rest.split(',').next()?.parse::<u32>().ok()));
        if let Some(path) = after("export KUBECONFIG=") {
            kubeconfig = PathBuf::from(path);
            break;
        }
    }
    let absent = pids.is_empty();
    if !absent {
        assert!(pids.len() == 5 && pids.iter().all(|pid| alive(*pid)) && kubeconfig.exists(), "{pids:?}");
        process.kill().expect("it ran");
    }
    // The watchdog has the same stream for its errors: it ends when the watchdog does.
    let said = process.wait_with_output().expect("it is gone").stderr;
    let said = String::from_utf8_lossy(&said);
    if absent {
        assert!(said.contains("no control plane for tests") && std::env::var_os("CI").is_none(), "{said}");
        return println!("skipped: {said}");
    }
    assert!(pids.iter().all(|pid| !alive(*pid)), "{pids:?} are gone: {said}");
    assert!(!kubeconfig.exists(), "its folder is gone: {said}");
}
