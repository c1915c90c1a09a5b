//! One running control plane: starting it, stopping and restarting its parts, ending it. Owns the folder and the processes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Node, ServiceAccount};
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use tokio::time::{Instant, sleep};

use crate::nodes::is_ready;
use crate::parts::{self, Ports};
use crate::process::{Process, Watchdog};
use crate::{Error, Options, Part, binaries, certificates};

/// Set to keep the folder with logs and the store; it is named on standard error.
const KEEP: &str = "BERTH_CONTROLPLANE_KEEP";

/// How often other ports are tried where somebody else took one between our look and the start.
const ATTEMPTS: u32 = 3;

/// The first and the longest pause between two looks whether the API server is ready: it needs seconds, and a look is cheap.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// A control plane of our own. Ends, with all its processes and files, when dropped, and when the test process ends in any way.
pub struct ControlPlane {
    folder: PathBuf,
    options: Options,
    ports: Ports,
    binaries: BTreeMap<String, PathBuf>,
    admin: Config,
    running: Mutex<Running>,
}

/// What must be ended: processes first, then the folder with the watchdog.
struct Running {
    processes: BTreeMap<Part, Process>,
    watchdog: Watchdog,
}

impl Drop for Running {
    fn drop(&mut self) {
        for process in self.processes.values_mut() {
            process.kill(&mut self.watchdog);
        }
    }
}

impl ControlPlane {
    /// Starts all parts and waits until they do their work.
    ///
    /// # Errors
    /// [`Error::Absent`] where the binaries are not built; any other where a part does not come up.
    pub async fn start(options: Options) -> Result<ControlPlane, Error> {
        let binaries = binaries::find()?;
        let mut attempt = 1;
        loop {
            match Self::start_on(Ports::free()?, options, binaries.clone()).await {
                Err(Error::Died { log, .. }) if attempt < ATTEMPTS && log.contains("address already in use") => {
                    attempt += 1;
                }
                other => return other,
            }
        }
    }

    async fn start_on(ports: Ports, options: Options, binaries: BTreeMap<String, PathBuf>) -> Result<Self, Error> {
        let folder = tempfile::Builder::new().prefix("berth-controlplane-").tempdir();
        let folder = folder.map_err(Error::io("make a folder in", std::env::temp_dir()))?.keep();
        let keep = std::env::var_os(KEEP).is_some();
        let watchdog = Watchdog::start((!keep).then_some(&*folder))?;
        if keep {
            eprintln!("berth: this control plane's folder is {}", folder.display());
        }
        certificates::write(&folder)?;
        parts::write_configuration(&folder, &ports)?;
        let admin = admin_config(&folder).await?;
        let running = Mutex::new(Running { processes: BTreeMap::new(), watchdog });
        let plane = ControlPlane { folder, options, ports, binaries, admin, running };
        plane.run(Part::Etcd)?;
        plane.run(Part::ApiServer)?;
        plane.await_ready().await?;
        for part in plane.optional_parts() {
            plane.run(part)?;
        }
        plane.await_optional_parts().await?;
        Ok(plane)
    }

    fn optional_parts(&self) -> Vec<Part> {
        let wanted = [
            (self.options.kwok, Part::Kwok),
            (self.options.controller_manager, Part::ControllerManager),
            (self.options.scheduler, Part::Scheduler),
        ];
        wanted.into_iter().filter_map(|(wanted, part)| wanted.then_some(part)).collect()
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        // A test that panicked while it held the lock leaves nothing half done that another could not kill.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, part: Part) -> Result<(), Error> {
        let binary = binaries::of(&self.binaries, part)?;
        let arguments = parts::arguments(part, &self.options, &self.ports);
        let Running { processes, watchdog } = &mut *self.running();
        let process = Process::start(part, &binary, &arguments, &self.folder, watchdog)?;
        processes.insert(part, process);
        Ok(())
    }

    /// Polls, since the readiness of a process is no event.
    async fn await_ready(&self) -> Result<(), Error> {
        let mut config = self.config();
        config.default_retry = false;
        config.connect_timeout = Some(Duration::from_secs(1));
        config.read_timeout = Some(Duration::from_secs(2));
        let client = Client::try_from(config)?;
        let deadline = Instant::now() + self.options.within;
        let mut pause = PAUSE_MIN;
        loop {
            self.check()?;
            let request = http::Request::get("/readyz").body(Vec::new()).map_err(kube::Error::HttpError)?;
            let Err(error) = client.request_text(request).await else { return Ok(()) };
            if Instant::now() >= deadline {
                return Err(self.late(Part::ApiServer, error.to_string()));
            }
            sleep(pause).await;
            pause = (pause * 3 / 2).min(PAUSE_MAX);
        }
    }

    /// The optional parts have no port to ask; what they do is the sign that they are there. The scheduler gives no sign before
    /// there is a pod: whoever creates one waits for it anyway.
    async fn await_optional_parts(&self) -> Result<(), Error> {
        let client = self.client()?;
        if self.options.kwok {
            let nodes: Api<Node> = Api::all(client.clone());
            let metadata = ObjectMeta { name: Some("kwok-probe".into()), ..ObjectMeta::default() };
            let probe = Node { metadata, ..Node::default() };
            nodes.create(&PostParams::default(), &probe).await?;
            let ready = self.until(&nodes, "kwok-probe", "KWOK plays nodes", is_ready).await;
            ready.map_err(|error| self.late_if_never(Part::Kwok, error))?;
            nodes.delete("kwok-probe", &DeleteParams::default()).await?;
        }
        if self.options.controller_manager {
            let accounts: Api<ServiceAccount> = Api::namespaced(client, "default");
            let there = kube::runtime::conditions::is_created();
            let seen = self.until(&accounts, "default", "the controllers work", there).await;
            seen.map_err(|error| self.late_if_never(Part::ControllerManager, error))?;
        }
        Ok(())
    }

    fn late_if_never(&self, part: Part, error: Error) -> Error {
        match error {
            Error::Never { last, .. } => self.late(part, last),
            other => other,
        }
    }

    fn late(&self, part: Part, last: String) -> Error {
        let log = self.running().processes.get(&part).map(Process::end_of_log).unwrap_or_default();
        Error::Late { part, within: self.options.within, last, log }
    }

    /// Do all parts that were started, and not stopped, still run?
    ///
    /// # Errors
    /// [`Error::Died`] for the first that does not.
    pub fn check(&self) -> Result<(), Error> {
        self.running().processes.values_mut().try_for_each(Process::check)
    }

    /// A client of the group `system:masters`. A new one each time, since it belongs to the runtime it is made in.
    ///
    /// # Errors
    /// None that this plane's certificates would cause.
    pub fn client(&self) -> Result<Client, Error> {
        Ok(Client::try_from(self.admin.clone())?)
    }

    /// What [`ControlPlane::client`] is made of, for clients with other timeouts or other names.
    pub fn config(&self) -> Config {
        self.admin.clone()
    }

    /// The administrator's kubeconfig, for programs that are started beside this one.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join(format!("{}.kubeconfig", certificates::ADMIN))
    }

    /// The folder with logs (`<part>.log`), certificates and the store. Gone when the plane is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What was asked for.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Does this part run?
    pub fn runs(&self, part: Part) -> bool {
        self.running().processes.contains_key(&part)
    }

    /// The process of each part that runs.
    pub fn pids(&self) -> BTreeMap<Part, u32> {
        self.running().processes.iter().map(|(part, process)| (*part, process.pid())).collect()
    }

    /// Kills one part, as a power cut would, and waits until it is gone. Nothing happens if it does not run.
    pub fn stop(&self, part: Part) {
        let Running { processes, watchdog } = &mut *self.running();
        if let Some(mut process) = processes.remove(&part) {
            process.kill(watchdog);
        }
    }

    /// Kills one part, if it runs, and starts it again on the same ports. Returns when the API server is ready; the others are
    /// not waited for.
    ///
    /// # Errors
    /// As [`ControlPlane::start`].
    pub async fn restart(&self, part: Part) -> Result<(), Error> {
        self.stop(part);
        self.run(part)?;
        self.await_ready().await
    }

    /// Creates a namespace.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn namespace(&self, name: &str) -> Result<(), Error> {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let namespace = Namespace { metadata, ..Namespace::default() };
        Api::all(self.client()?).create(&PostParams::default(), &namespace).await?;
        Ok(())
    }
}

async fn admin_config(folder: &Path) -> Result<Config, Error> {
    let path = folder.join(format!("{}.kubeconfig", certificates::ADMIN));
    let kubeconfig = Kubeconfig::read_from(&path)?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    config.proxy_url = None; // it is on loopback, whatever the environment says
    Ok(config)
}
