//! kube-scheduler as the judge of every filter: pods by seed over small clusters by seed, each put before Berth, then before the real
//! kube-scheduler. Both bind it, or both refuse it for the same reasons on as many nodes.
//!
//! - The node that Berth chose is judged as well: the judge's pod is nominated for it, and kube-scheduler takes a pod's nominated
//!   node if that passes all its filters.
//! - `BERTH_JUDGE_SEED=12/7` hears pod 7 of batch 12 alone, `BERTH_JUDGE_SEED=12` starts with batch 12. `BERTH_JUDGE_PODS` is how many
//!   pods are heard (500), `BERTH_JUDGE_SECONDS` for how long (90), `BERTH_JUDGE_DIFFERENCES` ends it (5).
//! - A pod on which they differ is made as small as it can be while they do, then printed with its cluster.

#[allow(dead_code)] // what the tests of other binaries use
#[path = "../e2e/berth.rs"]
mod berth;
mod cluster;
mod court;
#[allow(dead_code)] // shared with the tests by brute force
#[path = "../../../tests/brute_force/dice.rs"]
mod dice;
mod pods;
mod shrink;
mod terms;
mod volumes;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use berth_controlplane::{Options, Shared};
use serde_json::{Value, json};

use berth::Berth;
use cluster::Cluster;
use court::{BERTH, Court, JUDGE, Unacceptable, Verdict};
use dice::Dice;
use pods::Around;

static PLANE: Shared = Shared::new(Options { scheduler: true, ..Options::BARE });

/// Pods of a batch: so many that setting up its nodes costs less than hearing them.
const PODS_PER_BATCH: usize = 20;

/// After so many differences it ends; the first tell enough.
const SHOWN_MAX: u64 = 5;

/// So many smaller pods are tried.
const TRIES_MAX: usize = 150;

/// Kinds of difference that are as they should be, each with its why. Whatever is not here fails.
const ALLOWED: [Allowed; 1] = [Allowed {
    what: "a node without the label `kubernetes.io/hostname`",
    why: "the kubelet gives every node its own, so that each is a domain; Berth takes each for one without looking",
    is_it: |cluster, pod, _| {
        let bare = cluster.nodes.iter().any(|node| node["metadata"]["labels"]["kubernetes.io/hostname"].is_null());
        let by_node = |pod: &Value| pod.to_string().contains(r#""topologyKey":"kubernetes.io/hostname""#);
        bare && (by_node(pod) || cluster.furniture.iter().any(by_node))
    },
}];

/// What kube-scheduler says of nodes where a filter rules them out. Five hundred pods see all of them: a draw that misses one
/// would judge nothing.
const REASONS: [&str; 22] = [
    "Insufficient cpu",
    "Insufficient ephemeral-storage",
    "Insufficient example.com/foo",
    "Insufficient hugepages-2Mi",
    "Insufficient memory",
    "Insufficient nvidia.com/gpu",
    "Too many pods",
    "node(s) didn't find available persistent volumes to bind",
    "node(s) didn't have free ports for the requested pod ports",
    "node(s) didn't match PersistentVolume's node affinity",
    "node(s) didn't match Pod's node affinity/selector",
    "node(s) didn't match pod affinity rules",
    "node(s) didn't match pod anti-affinity rules",
    "node(s) didn't match pod topology spread constraints",
    "node(s) didn't match pod topology spread constraints (missing required label)",
    "node(s) didn't satisfy existing pods anti-affinity rules",
    "node(s) didn't satisfy plugin(s) [NodeAffinity]",
    "node(s) exceed max volume count",
    "node(s) had no available volume zone",
    "node(s) had untolerated taint(s)",
    "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod",
    "node(s) were unschedulable",
];

/// A difference that is meant.
struct Allowed {
    what: &'static str,
    why: &'static str,
    is_it: fn(&Cluster, &Value, &Hearing) -> bool,
}

fn allowed(cluster: &Cluster, pod: &Value, hearing: &Hearing) -> Option<&'static str> {
    ALLOWED.iter().find(|allowed| (allowed.is_it)(cluster, pod, hearing)).map(|allowed| allowed.what)
}

/// What both say of a pod.
struct Hearing {
    berth: Verdict,
    judge: Verdict,
}

impl Hearing {
    /// Do they say the same?
    fn agrees(&self) -> bool {
        match (&self.berth, &self.judge) {
            (Verdict::Bound(chosen), Verdict::Bound(confirmed)) => chosen == confirmed,
            (Verdict::Refused { .. }, Verdict::Refused { .. }) => reasons(&self.berth) == reasons(&self.judge),
            _ => false,
        }
    }
}

/// Why not, and on how many nodes; what would help by preemption is each scheduler's own. Where kube-scheduler has looked at no
/// node, its preemption misses what it wants to know of them, and says so.
fn reasons(verdict: &Verdict) -> Option<(&str, &str)> {
    let Verdict::Refused { reason, message } = verdict else { return None };
    let text = message.split_once(" preemption:").map_or(message.as_str(), |(reasons, _)| reasons);
    let looked_at_none = text.ends_with(". not found");
    Some((reason, if looked_at_none { text.trim_end_matches(" not found") } else { text }))
}

async fn hear(court: &mut Court<'_>, pod: &Value) -> Result<Hearing, Unacceptable> {
    let berth = court.hear(pod, BERTH, None).await?;
    let chosen = match &berth {
        Verdict::Bound(node) => Some(node.as_str()),
        Verdict::Refused { .. } => None,
    };
    let judge = court.hear(pod, JUDGE, chosen).await?;
    Ok(Hearing { berth, judge })
}

/// Where to start, and whether with a single pod.
fn seed() -> (u64, Option<u64>) {
    let text = std::env::var("BERTH_JUDGE_SEED").unwrap_or_else(|_| "1".to_owned());
    let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("BERTH_JUDGE_SEED is a number, or 12/7: {text}"));
    match text.split_once('/') {
        Some((batch, pod)) => (number(batch), Some(number(pod))),
        None => (number(&text), None),
    }
}

fn limit(name: &str, default: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number: {text}")))
}

/// The pod of a batch with this number. It is drawn until the API server accepts it, so the draw goes on where it was.
fn dice_of(batch: u64, index: u64) -> Dice {
    Dice::new(batch.wrapping_mul(0x1_0000).wrapping_add(index).wrapping_mul(0x9e37_79b9))
}

/// What has been seen so far.
#[derive(Default)]
struct Tally {
    heard: u64,
    bound: u64,
    drawn_again: u64,
    /// How often each reason was given.
    reasons: BTreeMap<String, usize>,
    allowed: BTreeMap<&'static str, usize>,
    differences: Vec<String>,
}

impl Tally {
    async fn hear(&mut self, court: &mut Court<'_>, cluster: &Cluster, index: u64, alone: bool) {
        let mut dice = dice_of(cluster.seed, index);
        let names = cluster.names();
        let (pod, hearing) = loop {
            let pod = pods::judged(&mut dice, &Around { seed: cluster.seed, nodes: &names }, index);
            match hear(court, &pod).await {
                Ok(hearing) => break (pod, hearing),
                Err(Unacceptable) => self.drawn_again += 1,
            }
        };
        self.heard += 1;
        self.note(&hearing.judge);
        if alone {
            println!("berth: {}\njudge: {}\npod: {}", hearing.berth, hearing.judge, pod["spec"]);
        }
        if hearing.agrees() {
            return;
        }
        if let Some(what) = allowed(cluster, &pod, &hearing) {
            *self.allowed.entry(what).or_default() += 1;
            return;
        }
        let (pod, hearing) = shrunk(court, cluster, pod, hearing).await;
        let text = shown(cluster, index, &pod, &hearing);
        println!("{text}");
        self.differences.push(text);
    }

    fn note(&mut self, judge: &Verdict) {
        match reasons(judge) {
            None => self.bound += 1,
            Some((_, text)) => {
                let all = text.split_once(": ").map_or(text, |(_, all)| all).trim_end_matches('.');
                for reason in all.split(", ") {
                    let words = reason.trim_start_matches(|letter: char| letter.is_ascii_digit()).trim_start();
                    *self.reasons.entry(words.to_owned()).or_default() += 1;
                }
            }
        }
    }
}

/// The smallest pod found of which they still say different things that are not meant.
async fn shrunk(court: &mut Court<'_>, cluster: &Cluster, mut pod: Value, mut hearing: Hearing) -> (Value, Hearing) {
    if volumes::owns(&pod) {
        return (pod, hearing);
    }
    let mut tries = 0;
    'again: loop {
        for less in shrink::smaller(&pod) {
            tries += 1;
            if tries > TRIES_MAX {
                return (pod, hearing);
            }
            let Ok(again) = hear(court, &less).await else { continue };
            if !again.agrees() && allowed(cluster, &less, &again).is_none() {
                (pod, hearing) = (less, again);
                continue 'again;
            }
        }
        return (pod, hearing);
    }
}

fn shown(cluster: &Cluster, index: u64, pod: &Value, hearing: &Hearing) -> String {
    let lines = |objects: &[Value], parts: &[&str]| {
        let one = |object: &Value| {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            let parts: Vec<String> = parts.iter().filter_map(|part| Some(object.pointer(part)?.to_string())).collect();
            format!("  {name} {}\n", parts.join(" "))
        };
        objects.iter().map(one).collect::<String>()
    };
    format!(
        "They differ: BERTH_JUDGE_SEED={}/{index}\n berth: {}\n judge: {}\n pod: {}\n nodes:\n{} pods there:\n{}",
        cluster.seed,
        hearing.berth,
        hearing.judge,
        json!({ "namespace": pod["metadata"]["namespace"], "labels": pod["metadata"]["labels"], "spec": pod["spec"] }),
        lines(&cluster.nodes, &["/metadata/labels", "/spec", "/status/allocatable"]),
        lines(&cluster.furniture, &["/metadata/namespace", "/metadata/labels", "/spec"]),
    )
}

#[tokio::test]
async fn they_say_the_same_of_every_pod() {
    let Some(plane) = PLANE.get().await else { return };
    let (first, alone) = seed();
    let (pods, seconds) = (limit("BERTH_JUDGE_PODS", 500), Duration::from_secs(limit("BERTH_JUDGE_SECONDS", 90)));
    let shown_max = limit("BERTH_JUDGE_DIFFERENCES", SHOWN_MAX) as usize;
    let quick = json!({ "cycle": { "settle": "0s" }, "logging": { "verbosity": 2 } });
    let berth = Berth::start(plane, BERTH, quick).await;
    let mut court = Court::open(plane).await;
    let (mut tally, mut batch) = (Tally::default(), first);
    let started = Instant::now();
    let goes_on =
        |tally: &Tally| tally.heard < pods && started.elapsed() < seconds && tally.differences.len() < shown_max;
    while goes_on(&tally) {
        let cluster = Cluster::new(batch);
        court.set_up(&cluster).await;
        match alone {
            Some(index) => tally.hear(&mut court, &cluster, index, true).await,
            None => {
                for index in 0..PODS_PER_BATCH as u64 {
                    if goes_on(&tally) {
                        tally.hear(&mut court, &cluster, index, false).await;
                    }
                }
            }
        }
        court.clear(&cluster).await;
        if alone.is_some() {
            break;
        }
        batch += 1;
    }
    let Tally { heard, bound, drawn_again, reasons, allowed, differences } = &tally;
    println!("{heard} pods in {:?} from batch {first} on: {bound} bound, {drawn_again} drawn again", started.elapsed());
    for (reason, count) in reasons {
        println!("  {count:4} {reason}");
    }
    for Allowed { what, why, .. } in &ALLOWED {
        println!("  {:4} different as they should be: {what}, since {why}", allowed.get(what).unwrap_or(&0));
    }
    berth.assert_sound();
    let unseen: Vec<&&str> = REASONS.iter().filter(|reason| !reasons.contains_key(**reason)).collect();
    assert!(*heard < 500 || unseen.is_empty(), "no pod was refused for {unseen:?}");
    assert!(differences.is_empty(), "{} of {heard} pods differ; they are shown above", differences.len());
}
