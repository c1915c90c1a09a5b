//! The parts of a control plane and how each is started: flags, ports, configuration files. Runs nothing.

use std::fmt;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use crate::Error;
use crate::certificates::{CONTROLLER_MANAGER, SCHEDULER, file_stem, kubeconfig};

/// One process of a control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The API server. Ordered first: it is killed before etcd, without which it would wait long before it ends.
    ApiServer,
    /// Jobs, garbage collection, disruption budgets, claims.
    ControllerManager,
    /// The neighbour: the scheduler that everybody has.
    Scheduler,
    /// Plays nodes and what runs on them.
    Kwok,
    /// The store.
    Etcd,
}

impl Part {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Part::ApiServer => "kube-apiserver",
            Part::ControllerManager => "kube-controller-manager",
            Part::Scheduler => "kube-scheduler",
            Part::Kwok => "kwok",
            Part::Etcd => "etcd",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a control plane consists of beside etcd and kube-apiserver.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Run kube-controller-manager.
    pub controller_manager: bool,
    /// It also marks nodes that do not answer, after 16 s, and evicts from them; KWOK answers for its nodes, so they are lost
    /// when it is stopped. Needs `controller_manager`.
    pub node_lifecycle: bool,
    /// Run kube-scheduler, for pods that name no other scheduler.
    pub scheduler: bool,
    /// Run KWOK, which plays every node.
    pub kwok: bool,
    /// The API server holds nobody back and forgets events soon: for measuring a scheduler.
    pub benchmark: bool,
    /// etcd waits for the disk, so that what it said survives a kill of etcd as well.
    pub durable: bool,
    /// How long a part may take to come up, and what a test waits for may take to happen.
    pub within: Duration,
}

impl Options {
    /// etcd and kube-apiserver, nothing else.
    pub const BARE: Options = Options {
        controller_manager: false,
        node_lifecycle: false,
        scheduler: false,
        kwok: false,
        benchmark: false,
        durable: false,
        within: Duration::from_secs(60),
    };
    /// Everything there is.
    pub const FULL: Options = Options { controller_manager: true, scheduler: true, kwok: true, ..Options::BARE };
}

impl Default for Options {
    fn default() -> Self {
        Options::BARE
    }
}

/// Ports on 127.0.0.1. They were free when they were taken; nothing holds them for us until a part listens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    etcd: u16,
    etcd_peer: u16,
    api_server: u16,
}

impl Ports {
    pub(crate) fn free() -> Result<Ports, Error> {
        let listen = || TcpListener::bind("127.0.0.1:0");
        // All at once, so that no two are the same.
        let taken = [listen(), listen(), listen()];
        let mut ports = [0; 3];
        for (port, listener) in ports.iter_mut().zip(taken.iter()) {
            let address = listener.as_ref().map_err(copy).and_then(TcpListener::local_addr);
            *port = address.map_err(Error::io("find a free port on", "127.0.0.1"))?.port();
        }
        let [etcd, etcd_peer, api_server] = ports;
        Ok(Ports { etcd, etcd_peer, api_server })
    }

    pub(crate) fn server(&self) -> String {
        format!("https://127.0.0.1:{}", self.api_server)
    }
}

fn copy(error: &std::io::Error) -> std::io::Error {
    error.kind().into()
}

/// Served by the API server, and known to whoever uses them: PodGroups, also with topology, as trees and made by Jobs.
const GATES: &str =
    "GenericWorkload=true,TopologyAwareWorkloadScheduling=true,CompositePodGroup=true,WorkloadWithJob=true";
/// The scheduler does not know the gate for Jobs.
const SCHEDULER_GATES: &str = "GenericWorkload=true,TopologyAwareWorkloadScheduling=true,CompositePodGroup=true";

/// The controllers that tests have a use for; what is left out costs memory and requests.
const CONTROLLERS: [&str; 12] = [
    "deployment-controller",
    "disruption-controller",
    "garbage-collector-controller",
    "job-controller",
    "namespace-controller",
    "persistentvolume-binder-controller",
    "pod-garbage-collector-controller",
    "podgroup-protection-controller",
    "replicaset-controller",
    "resourceclaim-controller",
    "serviceaccount-controller",
    "statefulset-controller",
];
const NODE_LIFECYCLE: [&str; 2] = ["node-lifecycle-controller", "taint-eviction-controller"];

/// Writes what the parts read: a kubeconfig for each, and configuration files. Their ports are known by now.
pub(crate) fn write_configuration(folder: &Path, ports: &Ports) -> Result<(), Error> {
    for client in [crate::certificates::ADMIN, SCHEDULER, CONTROLLER_MANAGER] {
        save(folder, &format!("{}.kubeconfig", file_stem(client)), &kubeconfig(folder, client, &ports.server()))?;
    }
    save(folder, "kwok.yaml", include_str!("kwok.yaml"))?;
    // The default of 50 requests a second would be all that is seen of it.
    let scheduler = format!(
        "apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
leaderElection: {{leaderElect: false}}
clientConnection: {{kubeconfig: '{}/kube-scheduler.kubeconfig', qps: 5000, burst: 10000}}
",
        folder.display()
    );
    save(folder, "kube-scheduler.yaml", &scheduler)
}

fn save(folder: &Path, name: &str, text: &str) -> Result<(), Error> {
    let path = folder.join(name);
    fs::write(&path, text).map_err(Error::io("write", &path))
}

/// The command line of a part, which runs with `folder` as its working directory.
pub(crate) fn arguments(part: Part, options: &Options, ports: &Ports) -> Vec<String> {
    match part {
        Part::Etcd => etcd(options, ports),
        Part::ApiServer => api_server(options, ports),
        Part::ControllerManager => controller_manager(options),
        Part::Scheduler => {
            vec!["--config=kube-scheduler.yaml".into(), "--secure-port=0".into(), gates(SCHEDULER_GATES)]
        }
        Part::Kwok => kwok(options),
    }
}

fn kwok(options: &Options) -> Vec<String> {
    // A lease is renewed after a quarter of this. Where nobody looks at leases there are none: for 1,000 nodes they would be
    // hundreds of writes a second.
    let lease_seconds = if options.node_lifecycle { 8 } else { 0 };
    vec![
        "--config=kwok.yaml".into(),
        "--kubeconfig=admin.kubeconfig".into(),
        "--manage-all-nodes=true".into(),
        format!("--node-lease-duration-seconds={lease_seconds}"),
    ]
}

fn gates(gates: &str) -> String {
    format!("--feature-gates={gates}")
}

fn etcd(options: &Options, ports: &Ports) -> Vec<String> {
    let client = format!("http://127.0.0.1:{}", ports.etcd);
    let peer = format!("http://127.0.0.1:{}", ports.etcd_peer);
    let mut arguments = vec![
        "--name=n0".into(),
        "--data-dir=etcd".into(),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=n0={peer}"),
    ];
    if !options.durable {
        arguments.push("--unsafe-no-fsync".into());
    }
    arguments
}

fn api_server(options: &Options, ports: &Ports) -> Vec<String> {
    let mut arguments = vec![format!("--etcd-servers=http://127.0.0.1:{}", ports.etcd)];
    arguments.push(format!("--secure-port={}", ports.api_server));
    arguments.push(gates(GATES));
    let fixed = [
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--tls-cert-file=server.crt",
        "--tls-private-key-file=server.key",
        "--client-ca-file=ca.crt",
        "--service-account-key-file=sa.pub",
        "--service-account-signing-key-file=sa.key",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--authorization-mode=Node,RBAC",
        "--endpoint-reconciler-type=none",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--allow-privileged=true",
        // Pods of tests need no token, and so need not wait for their namespace's account.
        "--disable-admission-plugins=ServiceAccount",
        "--runtime-config=scheduling.k8s.io/v1beta1=true,scheduling.k8s.io/v1alpha3=true",
    ];
    let benchmark = [
        "--max-requests-inflight=0",
        "--max-mutating-requests-inflight=0",
        "--enable-priority-and-fairness=false",
        "--event-ttl=10m",
    ];
    arguments.extend(fixed.map(str::to_owned));
    if options.benchmark {
        arguments.extend(benchmark.map(str::to_owned));
    }
    arguments
}

fn controller_manager(options: &Options) -> Vec<String> {
    let lifecycle: &[&str] = if options.node_lifecycle { &NODE_LIFECYCLE } else { &[] };
    let controllers = [&CONTROLLERS[..], lifecycle].concat().join(",");
    vec![
        // Eight renewals missed, not the 25 that a real cluster has patience for.
        "--node-monitor-grace-period=16s".into(),
        "--node-monitor-period=2s".into(),
        "--kubeconfig=kube-controller-manager.kubeconfig".into(),
        // Each controller as its own account: the job controller may make workloads only so.
        "--use-service-account-credentials=true".into(),
        "--root-ca-file=ca.crt".into(),
        "--service-account-private-key-file=sa.key".into(),
        "--leader-elect=false".into(),
        "--secure-port=0".into(),
        "--kube-api-qps=500".into(),
        "--kube-api-burst=1000".into(),
        gates(GATES),
        format!("--controllers={controllers}"),
    ]
}
