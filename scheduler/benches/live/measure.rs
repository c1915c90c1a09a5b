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
    cpu: f64,
    api_cpu: f64,
    memory_mib: u64,
    writes: f64,
}

impl Run {
    pub(crate) const HEAD: &'static str =
        "   who    work   pods/s  first s  all s  CPU s/1000  API server CPU s/1000  MiB  writes/pod";

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
    let watch = watch(&client).await?;
    let before = writes(&client).await?;
    let api_server = plane.pids()[&Part::ApiServer];
    let api_before = cpu(api_server)?;
    let begun = Instant::now();
    let mut process = start(who, &plane).await?;
    let pid = process.as_ref().map_or_else(|| plane.pids()[&Part::Scheduler], Child::id);
    let (first, all) = timeout(PATIENCE, bound(watch, pods, begun)).await.context("not all pods were bound")??;
    // Events and conditions may still be on their way.
    let written = quiet(&client).await?;
    let (cpu, api_cpu) = (cpu(pid)?, cpu(api_server)? - api_before);
    let memory_mib = memory_mib(pid)?;
    if let Some(process) = &mut process {
        process.kill()?;
        process.wait()?;
    }
    Ok(Run { who, work, pods, first, all, cpu, api_cpu, memory_mib, writes: written - before })
}

async fn start(who: Who, plane: &ControlPlane) -> anyhow::Result<Option<Child>> {
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
    Ok(Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?))
}

/// A watch of the pods from now on.
async fn watch(client: &Client) -> anyhow::Result<Body> {
    let list = Request::get(format!("/api/v1/namespaces/{NAMESPACE}/pods?limit=1")).body(Vec::new())?;
    let list: serde_json::Value = client.request(list).await?;
    let version = list["metadata"]["resourceVersion"].as_str().context("a list has a version")?;
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods?watch=1&resourceVersion={version}");
    let request = Request::get(path).header("accept-encoding", "identity").body(Body::empty())?;
    Ok(client.send(request).await?.into_body())
}

/// When the first and the last pod was seen bound. Lines are searched and not parsed: watching must cost next to nothing. A pod's
/// name is counted once.
async fn bound(mut watch: Body, pods: u32, begun: Instant) -> anyhow::Result<(Duration, Duration)> {
    let (mut rest, mut names, mut first) = (Vec::new(), std::collections::BTreeSet::new(), None);
    while names.len() < pods as usize {
        let frame = watch.frame().await.context("the watch has ended")??;
        rest.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            if line.contains("\"nodeName\":\"") {
                let name = line.split("\"name\":\"").nth(1).and_then(|rest| rest.split('"').next());
                names.insert(name.unwrap_or_default().to_owned());
                first.get_or_insert_with(|| begun.elapsed());
            }
        }
    }
    Ok((first.unwrap_or_default(), begun.elapsed()))
}

/// Waits until no more is written, and says how much has been.
async fn quiet(client: &Client) -> anyhow::Result<f64> {
    let mut last = writes(client).await?;
    loop {
        // There is no event for "nothing more".
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = writes(client).await?;
        if now - last < 3.0 {
            return Ok(now);
        }
        last = now;
    }
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
