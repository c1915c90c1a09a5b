//! A berth-scheduler beside a control plane: the real binary, as a process of its own, with the rights that are shipped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use berth_controlplane::{ControlPlane, Inventory, TestPod};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// Where what a cluster needs for Berth lies.
fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

/// Installs what `deploy/` has: definitions, account and rights. Once for a plane.
pub(crate) async fn install(plane: &ControlPlane) -> PathBuf {
    static ACCOUNT: OnceCell<PathBuf> = OnceCell::const_new();
    ACCOUNT.get_or_init(|| install_now(plane)).await.clone()
}

/// The same, on a plane that is not shared. Returns a kubeconfig with the account's token.
pub(crate) async fn install_now(plane: &ControlPlane) -> PathBuf {
    let crds = fs::read_dir(deploy().join("crds")).expect("deploy/crds");
    let files = crds.map(|entry| entry.expect("an entry").path()).chain([deploy().join("rbac.yaml")]);
    for file in files {
        let text = fs::read_to_string(&file).expect("text");
        plane.apply(&text).await.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
    plane.kubeconfig_of("berth-system", "berth-scheduler").await.expect("a kubeconfig")
}

/// A running scheduler. Killed when dropped.
pub(crate) struct Berth {
    process: Child,
    pub(crate) name: String,
    file: PathBuf,
    configuration: Value,
    log: PathBuf,
}

impl Berth {
    /// Starts one for pods of this scheduler name. `settings` are laid over a configuration without election.
    pub(crate) async fn start(plane: &ControlPlane, scheduler: &str, settings: Value) -> Berth {
        let kubeconfig = install(plane).await;
        Berth::start_with(plane, &kubeconfig, scheduler, scheduler, settings)
    }

    /// The same, with a kubeconfig and a name of its own, by which its files are told apart.
    pub(crate) fn start_with(
        plane: &ControlPlane,
        kubeconfig: &Path,
        scheduler: &str,
        name: &str,
        settings: Value,
    ) -> Berth {
        let mut configuration = json!({
            "apiVersion": "config.berth.dev/v1alpha1", "kind": "SchedulerConfiguration",
            "schedulerName": scheduler,
            "leaderElection": { "leaderElect": false },
            "logging": { "verbosity": 5 },
        });
        merge(&mut configuration, settings);
        let file = plane.folder().join(format!("{name}.yaml"));
        fs::write(&file, configuration.to_string()).expect("is written");
        let log = plane.folder().join(format!("{name}.log"));
        let out = File::options().create(true).append(true).open(&log).expect("a log");
        let process = Command::new(env!("CARGO_BIN_EXE_berth-scheduler"))
            .args(["--bind-address", "127.0.0.1:0"])
            .arg("--config")
            .arg(&file)
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .env("POD_NAME", name)
            .env("POD_NAMESPACE", "berth-system")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(out)
            .spawn()
            .expect("berth-scheduler starts");
        Berth { process, name: name.to_owned(), file, configuration, log }
    }

    /// Changes its configuration file while it runs.
    pub(crate) fn reconfigure(&mut self, settings: Value) {
        merge(&mut self.configuration, settings);
        fs::write(&self.file, self.configuration.to_string()).expect("is written");
    }

    /// As a power cut would.
    pub(crate) fn kill(&mut self) {
        // An error means that it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// It stands still, as on a machine that has no time for it.
    pub(crate) fn pause(&self) {
        self.signal("-STOP");
    }

    /// It goes on.
    pub(crate) fn go_on(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.process.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "{signal}");
    }

    /// Asks it to end, and says with which code it did.
    pub(crate) async fn stop(&mut self) -> Option<i32> {
        self.signal("-TERM");
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = self.process.try_wait().expect("a child of ours") {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it did not end: {}", self.tail());
            tokio::time::sleep(Duration::from_millis(20)).await; // the end of a process is no event here
        }
    }

    /// All it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The end of its log.
    pub(crate) fn tail(&self) -> String {
        let text = self.log();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// Fails if it has complained of itself.
    pub(crate) fn assert_sound(&self) {
        let text = self.log();
        let bad = text.lines().find(|line| line.contains("please report") || line.contains("panicked"));
        assert!(bad.is_none(), "{}: {bad:?}", self.log.display());
    }
}

impl Drop for Berth {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("the end of {}:\n{}", self.log.display(), self.tail());
        }
    }
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// A test's own part of the plane: a namespace, nodes, and a scheduler, all of one name.
pub(crate) struct Stage<'p> {
    pub(crate) plane: &'p ControlPlane,
    pub(crate) name: &'static str,
    pub(crate) pods: Api<Pod>,
}

impl<'p> Stage<'p> {
    /// A namespace and so many nodes with eight GPUs each.
    pub(crate) async fn new(plane: &'p ControlPlane, name: &'static str, nodes: u32) -> Stage<'p> {
        plane.namespace(name).await.expect("a namespace");
        let mut inventory = Inventory::h100(name, nodes);
        inventory.labels.insert("test".to_owned(), name.to_owned());
        plane.create_nodes(&inventory.nodes()).await.expect("nodes");
        let pods = Api::namespaced(plane.client().expect("a client"), name);
        Stage { plane, name, pods }
    }

    /// A pod for this test's scheduler, on this test's nodes only.
    pub(crate) fn pod(&self, name: impl Into<String>, gpus: u32) -> TestPod {
        let mut pod = TestPod::new(name, gpus);
        pod.scheduler = Some(self.name.to_owned());
        pod.node_selector.insert("test".to_owned(), self.name.to_owned());
        pod
    }

    pub(crate) async fn create(&self, pods: &[TestPod]) {
        self.plane.create_pods(self.name, pods).await.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Waits until all these pods are bound, and says where.
    pub(crate) async fn until_bound(&self, names: impl IntoIterator<Item = String> + Clone) -> Vec<String> {
        let is_bound = |pod: &Pod| !node_of(pod).is_empty();
        let seen = self.plane.until_all(&self.pods, names.clone(), "the pods are bound", is_bound).await;
        seen.unwrap_or_else(|error| panic!("{error}"));
        let mut nodes = Vec::new();
        for name in names {
            nodes.push(node_of(&self.pods.get(&name).await.expect("a pod")).to_owned());
        }
        nodes
    }

    /// Waits until a pod says why it waits, in words that contain these.
    pub(crate) async fn until_says(&self, pod: &str, words: &str) -> Pod {
        let says = |pod: Option<&Pod>| pod.is_some_and(|pod| message(pod).contains(words));
        let what = format!("it says `{words}`");
        let seen = self.plane.until(&self.pods, pod, &what, says).await;
        seen.unwrap_or_else(|error| panic!("{error}")).expect("a pod")
    }
}

pub(crate) fn node_of(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default()
}

/// What the condition `PodScheduled` says.
pub(crate) fn message(pod: &Pod) -> &str {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    let mut scheduled = conditions.filter(|condition| condition.type_ == "PodScheduled");
    scheduled.next().and_then(|condition| condition.message.as_deref()).unwrap_or_default()
}

/// GPUs that pods hold, by node.
pub(crate) fn held(pods: &[Pod]) -> std::collections::BTreeMap<String, u64> {
    let mut held = std::collections::BTreeMap::new();
    for pod in pods.iter().filter(|pod| !node_of(pod).is_empty()) {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
        if matches!(phase, "Succeeded" | "Failed") {
            continue;
        }
        let gpus: u64 = pod.spec.iter().flat_map(|spec| &spec.containers).map(gpus_of).sum();
        *held.entry(node_of(pod).to_owned()).or_default() += gpus;
    }
    held
}

fn gpus_of(container: &k8s_openapi::api::core::v1::Container) -> u64 {
    let requests = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    requests.and_then(|requests| requests.get("nvidia.com/gpu")?.0.parse().ok()).unwrap_or(0)
}
