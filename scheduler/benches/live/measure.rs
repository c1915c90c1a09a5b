//! One run: a fresh control plane, everything created first, then the scheduler is started and watched from outside.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use berth_controlplane::{ControlPlane, Inventory, Options as Plane, Part};
use http::Request;
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::Options;
use super::load::{self, NAMESPACE, Work};

/// No scheduler may take longer.
const PATIENCE: Duration = Duration::from_secs(300);

/// Nothing more comes when nothing has come for so long.
const QUIET: Duration = Duration::from_secs(2);

/// Clock ticks in a second, as /proc counts them; Linux has had no other number for decades.
const TICKS: f64 = 100.0;

/// Who schedules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// Nobody who thinks.
    Null,
    /// Berth.
    Berth,
    /// kube-scheduler.
    Kube,
}

/// What was measured.
pub(crate) struct Run {
    pub(crate) who: Who,
    pub(crate) work: Work,
    pods: u32,
    first: Duration,
    all: Duration,
    written: Duration,
    cpu: f64,
    api_cpu: f64,
    memory_mib: u64,
    writes: f64,
}

impl Run {
    pub(crate) const HEAD: &'static str =
        "   who    work   pods/s  first s  all s  written s  CPU s/1000  API server CPU s/1000  MiB  writes/pod";

    pub(crate) fn per_second(&self) -> f64 {
        f64::from(self.pods) / self.all.as_secs_f64()
    }
}

impl fmt::Display for Run {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (who, work) = (format!("{:?}", self.who), self.work);
        let per_thousand = 1000.0 / f64::from(self.pods);
        write!(out, "{who:<6} {work:<5} {:>7.0} ", self.per_second())?;
        write!(out, "{:>8.1} {:>6.1} ", self.first.as_secs_f64(), self.all.as_secs_f64())?;
        write!(out, "{:>10.1} ", self.written.as_secs_f64())?;
        write!(out, "{:>11.2} {:>22.2} ", self.cpu * per_thousand, self.api_cpu * per_thousand)?;
        write!(out, "{:>4} {:>11.2}", self.memory_mib, self.writes / f64::from(self.pods))
    }
}

/// Starts a plane, fills it, starts the scheduler, and measures until every pod is bound and everything about it is written.
pub(crate) async fn run(who: Who, work: Work, options: &Options) -> anyhow::Result<Run> {
    let plane = ControlPlane::start(Plane { benchmark: true, ..Plane::BARE }).await?;
    plane.create_nodes(&Inventory::h100("node", options.nodes).nodes()).await?;
    let scheduler = (who == Who::Berth).then_some("berth");
    let pods = load::create(&plane, work, options, scheduler).await?;
    let client = plane.client()?;
    let version = version(&client).await?;
    let before = writes(&client).await?;
    let api_server = plane.pids()[&Part::ApiServer];
    let api_before = cpu(api_server)?;
    let begun = Instant::now();
    let process = start(who, &plane).await?;
    let pid = process.as_ref().map_or_else(|| plane.pids()[&Part::Scheduler], |process| process.0.id());
    let (first, all) =
        timeout(PATIENCE, bound(&client, version, pods, begun)).await.context("not all pods were bound")??;
    // Events and conditions may still be on their way.
    let (writes_after, at) = quiet(&client).await?;
    let written = at - begun;
    let (cpu, api_cpu) = (cpu(pid)?, cpu(api_server)? - api_before);
    let memory_mib = memory_mib(pid)?;
    drop(process);
    Ok(Run { who, work, pods, first, all, written, cpu, api_cpu, memory_mib, writes: writes_after - before })
}

/// A scheduler, which ends with whoever measures it.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

async fn start(who: Who, plane: &ControlPlane) -> anyhow::Result<Option<Process>> {
    let mut command = match who {
        Who::Kube => {
            plane.restart(Part::Scheduler).await?;
            return Ok(None);
        }
        Who::Null => {
            let mut command = Command::new(std::env::current_exe()?);
            command.arg("--null").arg(plane.kubeconfig());
            command
        }
        Who::Berth => {
            let file = plane.folder().join("berth.yaml");
            let configuration = json!({
                "apiVersion": "config.berth.dev/v1alpha1", "kind": "SchedulerConfiguration",
                "leaderElection": { "leaderElect": false },
            });
            fs::write(&file, configuration.to_string())?;
            let mut command = Command::new(env!("CARGO_BIN_EXE_berth-scheduler"));
            command.arg("--config").arg(&file).arg("--kubeconfig").arg(plane.kubeconfig());
            command.args(["--bind-address", "127.0.0.1:0"]);
            command
        }
    };
    let log = fs::File::create(plane.folder().join("scheduler.log"))?;
    Ok(Some(Process(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?)))
}

/// The version of the pods as they are now.
async fn version(client: &Client) -> anyhow::Result<String> {
    let list = Request::get(format!("/api/v1/namespaces/{NAMESPACE}/pods?limit=1")).body(Vec::new())?;
    let list: serde_json::Value = client.request(list).await?;
    Ok(list["metadata"]["resourceVersion"].as_str().context("a list has a version")?.to_owned())
}

/// A watch of the pods from a version on.
async fn watch(client: &Client, version: &str) -> anyhow::Result<Body> {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods?watch=1&resourceVersion={version}");
    let request = Request::get(path).header("accept-encoding", "identity").body(Body::empty())?;
    let answer = client.send(request).await?;
    anyhow::ensure!(answer.status().is_success(), "watching pods from {version}: {}", answer.status());
    Ok(answer.into_body())
}

/// When the first and the last pod was seen bound. Lines are searched and not parsed: watching must cost next to nothing. A pod's
/// name is counted once.
async fn bound(
    client: &Client,
    mut version: String,
    pods: u32,
    begun: Instant,
) -> anyhow::Result<(Duration, Duration)> {
    let (mut rest, mut names, mut first) = (Vec::new(), std::collections::BTreeSet::new(), None);
    let mut seen = watch(client, &version).await?;
    while names.len() < pods as usize {
        let Some(frame) = seen.frame().await else {
            // The API server ends watches that fall behind; this one goes on where it was.
            rest.clear();
            seen = watch(client, &version).await?;
            continue;
        };
        rest.extend_from_slice(frame?.data_ref().map_or(&[][..], |data| data));
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let field = |name: &str| Some(line.split(name).nth(1)?.split('"').next()?.to_owned());
            version = field("\"resourceVersion\":\"").unwrap_or(version);
            if line.contains("\"nodeName\":\"") {
                names.insert(field("\"name\":\"").unwrap_or_default());
                first.get_or_insert_with(|| begun.elapsed());
            }
        }
    }
    Ok((first.unwrap_or_default(), begun.elapsed()))
}

/// Waits until no more is written, and says how much has been, and since when.
async fn quiet(client: &Client) -> anyhow::Result<(f64, Instant)> {
    let mut last = (writes(client).await?, Instant::now());
    while last.1.elapsed() < QUIET {
        // There is no event for "nothing more".
        tokio::time::sleep(QUIET / 10).await;
        let now = writes(client).await?;
        // The API server's own few writes do not count.
        if now - last.0 >= 3.0 {
            last = (now, Instant::now());
        }
    }
    Ok(last)
}

/// Requests that change something, as the API server counts them; its own leases left out.
async fn writes(client: &Client) -> anyhow::Result<f64> {
    let text = client.request_text(Request::get("/metrics").body(Vec::new())?).await?;
    let lines = text.lines().filter(|line| line.starts_with("apiserver_request_total{"));
    let writes = lines.filter(|line| {
        ["POST", "PUT", "PATCH", "DELETE"].iter().any(|verb| line.contains(&format!("verb=\"{verb}\"")))
    });
    let scheduler = writes.filter(|line| !line.contains("resource=\"leases\""));
    Ok(scheduler.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
}

/// Seconds of CPU a process has used.
fn cpu(pid: u32) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"))?;
    // Behind the name, which is in parentheses and may contain anything.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    Ok((ticks(11) + ticks(12)) / TICKS)
}

/// The most memory a process has had.
fn memory_mib(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? / 1024)
}
