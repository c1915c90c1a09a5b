//! Everybody else: users and their controllers, kubelets, whoever runs the nodes, and a neighbour with a scheduler of its own.
//! They change objects as they do in a cluster; none of them knows of Berth.

use berth_config::rules::{FirstServed, VictimOrder, WaitingMode};
use berth_config::scheduler::GroupConvention;
use berth_scheduler::{Key, Kind};
use serde_json::{Value, json};

use crate::api::{self, LAB, pod_key};
use crate::sim::{Sim, What};

pub(crate) const GROUPS: Kind = Kind::PodGroup(GroupConvention::Native);
pub(crate) const QUEUES: [&str; 3] = ["default", "red", "blue"];

/// Pods that a user wants to have.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) gang: Gang,
    asks: [u64; 3],
    priority: u64,
    queue: &'static str,
    naming: Naming,
    /// A pod that stops is replaced at once, not when it is gone.
    early: bool,
    wanted: bool,
    made: u64,
    runs_ms: Option<u64>,
    gated: bool,
    pool: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gang {
    None,
    /// By an object.
    Group,
    /// By annotations of the pods: all of them, or none.
    Annotated,
}

/// What becomes of pods that are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Naming {
    /// Nobody makes them anew.
    Bare,
    New,
    Same,
}

pub(crate) fn group_key(name: &str) -> Key {
    Key { kind: GROUPS, namespace: LAB.into(), name: name.into() }
}

impl Sim {
    pub(crate) fn settle_in(&mut self) {
        for at in 0..self.dice.between(2, 6) {
            self.new_node(&format!("n{at}"));
        }
        for name in &QUEUES[1..] {
            self.set_queue(name);
        }
    }

    fn new_node(&mut self, name: &str) {
        let [gpus, cpu, pods] = [(0, 9), (4, 33), (3, 12)].map(|(from, to)| self.dice.between(from, to).to_string());
        let pool = self.dice.pick(&["a", "b"]);
        let json = json!({
            "metadata": { "labels": { "kubernetes.io/hostname": name, "pool": pool } },
            "spec": {},
            "status": {
                "allocatable": { "cpu": cpu, "memory": "64Gi", "pods": pods, "nvidia.com/gpu": gpus },
                "conditions": [{ "type": "Ready", "status": "True" }],
            },
        });
        self.say(|| format!("node {name}: {gpus} GPUs, {cpu} cores, {pods} pods"));
        let at = self.stamp();
        self.api.create(&Key::cluster(Kind::Node, name), json, &at);
    }

    fn set_queue(&mut self, name: &str) {
        let key = Key::cluster(Kind::Queue, name);
        let deserved = self.dice.between(0, 9);
        let limit = if self.dice.permille(500) { deserved + self.dice.between(0, 9) } else { 1_000 };
        let gpu = json!({ "deserved": deserved.to_string(), "limit": limit.to_string() });
        self.say(|| format!("queue {name}: deserves {deserved}, limit {limit}"));
        let at = self.stamp();
        let spec = json!({ "resources": { "gpu": gpu } });
        let json = json!({ "apiVersion": "berth.dev/v1alpha1", "kind": "Queue", "spec": spec });
        self.api.create(&key, json, &at);
        self.api.update(&key, |json| json["spec"]["resources"]["gpu"] = gpu);
    }

    /// Something happens, by the weights of the run.
    pub(crate) fn act(&mut self) {
        let mix = self.mix.clone();
        let weights = [
            mix.jobs,
            mix.deletions,
            mix.groups,
            mix.queues,
            mix.nodes,
            mix.neighbour,
            mix.cut,
            mix.crash,
            mix.outage,
            mix.refusal,
            mix.budget,
            mix.rules,
        ];
        let mut at = self.dice.between(0, weights.iter().sum());
        let what = weights.iter().position(|weight| {
            let here = at < *weight;
            at = at.saturating_sub(*weight);
            here
        });
        let for_a_while = self.now + self.dice.between(1_000, 60_000);
        match what.unwrap_or(0) {
            0 => self.new_job(),
            1 => self.delete_something(),
            2 => self.change_group(),
            3 => self.change_queue(),
            4 => self.change_node(),
            5 => self.neighbour(),
            6 => self.cut_a_watch(),
            7 => self.crash(),
            8 => {
                self.outage_until = for_a_while;
                self.say(|| "nothing can be written for a while".into());
            }
            9 => {
                if let Some(key) = self.some_pod(|pod| api::node_of(pod).is_empty()) {
                    self.say(|| format!("{} cannot be bound for a while", key.name));
                    self.refused.insert(key, for_a_while);
                }
            }
            10 => {
                self.budget_until = self.now + self.dice.between(1_000, 300_000);
                self.say(|| "a budget lets nobody be evicted for a while".into());
            }
            _ => self.change_rules(),
        }
    }

    /// The file of the configuration changes.
    fn change_rules(&mut self) {
        let rules = &mut self.configuration.rules;
        rules.waiting.mode = self.dice.pick(&[WaitingMode::Skip, WaitingMode::Reserve]);
        rules.first_served = self.dice.pick(&[FirstServed::Damaged, FirstServed::BelowMinimum]);
        rules.victims = self.dice.pick(&[VictimOrder::Youngest, VictimOrder::LeastLoss]);
        let what = format!("rules: {:?}, {:?}, {:?}", rules.waiting.mode, rules.first_served, rules.victims);
        self.say(|| what);
        if let Some(driver) = &mut self.driver {
            driver.reconfigure(&self.configuration);
            self.news();
        }
    }

    fn new_job(&mut self) {
        if self.jobs.iter().filter(|job| job.wanted).count() >= 8 {
            return self.end_job();
        }
        let name = format!("j{}", self.jobs.len());
        let gang = self.dice.pick(&[Gang::None, Gang::Group, Gang::Group, Gang::Annotated]).unwrap_or(Gang::None);
        let size = self.dice.between(1, 7);
        let ends = self.dice.permille(400);
        let job = Job {
            name: name.clone(),
            size,
            gang,
            asks: [self.dice.between(0, 5), self.dice.between(1, 5), self.dice.between(1, 17)],
            priority: self.dice.between(0, 3) * 50,
            queue: self.dice.pick(&QUEUES).unwrap_or("default"),
            naming: self.dice.pick(&[Naming::Bare, Naming::New, Naming::Same]).unwrap_or(Naming::Bare),
            early: self.dice.permille(500),
            wanted: true,
            made: 0,
            runs_ms: ends.then(|| self.dice.between(5_000, 200_000)),
            gated: self.dice.permille(150),
            pool: self.dice.pick(&[None, None, Some("a"), Some("b")]).flatten(),
        };
        self.say(|| format!("{job:?}"));
        self.jobs.push(job);
        let reconciled = self.now + self.dice.between(0, 500);
        self.at(reconciled, What::Reconcile(self.jobs.len() - 1));
        if gang == Gang::Group {
            let min = self.dice.between(1, size + 1);
            let json = json!({ "spec": { "schedulingPolicy": { "gang": { "minCount": min } } } });
            let at = self.stamp();
            self.api.create(&group_key(&name), json, &at);
        }
    }

    fn end_job(&mut self) {
        let wanted: Vec<usize> = (0..self.jobs.len()).filter(|at| self.jobs[*at].wanted).collect();
        let Some(at) = self.dice.pick(&wanted) else { return };
        self.jobs[at].wanted = false;
        let name = self.jobs[at].name.clone();
        self.say(|| format!("job {name} is deleted"));
        let pods: Vec<Key> = self.pods_of(&name).map(|(key, _)| key.clone()).collect();
        let stamp = self.stamp();
        self.api.delete(&group_key(&name));
        for key in &pods {
            self.api.stop(key, &stamp);
        }
    }

    pub(crate) fn pods_of<'s>(&'s self, job: &'s str) -> impl Iterator<Item = (&'s Key, &'s api::Stored)> {
        self.api.all(Kind::Pod).filter(move |(_, pod)| api::label(pod, "job") == job)
    }

    fn some_pod(&mut self, which: impl Fn(&api::Stored) -> bool) -> Option<Key> {
        let pods = self.api.all(Kind::Pod).filter(|(_, pod)| api::is_ours(pod) && which(pod));
        let pods: Vec<Key> = pods.map(|(key, _)| key.clone()).collect();
        self.dice.pick(&pods)
    }

    /// A controller makes the pods that a job lacks.
    pub(crate) fn reconcile(&mut self, at: usize) {
        let job = self.jobs[at].clone();
        if !job.wanted || job.naming == Naming::Bare && job.made > 0 {
            return;
        }
        let failed = self.pods_of(&job.name).filter(|(_, pod)| api::phase_of(pod) == "Failed");
        let failed: Vec<Key> = failed.map(|(key, _)| key.clone()).collect();
        if job.naming == Naming::Same {
            failed.iter().for_each(|key| self.api.delete(key));
        }
        let counts = |pod: &api::Stored| {
            api::phase_of(pod) != "Failed" && !(job.early && job.naming == Naming::New && api::is_going(pod))
        };
        let there = self.pods_of(&job.name).filter(|(_, pod)| counts(pod)).count() as u64;
        for index in 0..job.size {
            let name = match job.naming {
                Naming::Same => format!("{}-{index}", job.name),
                _ if index < there => continue,
                _ => {
                    self.jobs[at].made += 1;
                    format!("{}-{}", job.name, self.jobs[at].made)
                }
            };
            let stamp = self.stamp();
            self.api.create(&pod_key(&name), pod_json(&job), &stamp);
        }
        self.jobs[at].made = self.jobs[at].made.max(1);
        if job.gated {
            let opened = self.now + self.dice.between(1_000, 40_000);
            self.at(opened, What::Ungate(at));
        }
    }

    pub(crate) fn ungate(&mut self, at: usize) {
        let name = self.jobs[at].name.clone();
        let pods: Vec<Key> = self.pods_of(&name).map(|(key, _)| key.clone()).collect();
        for key in pods {
            self.api.update(&key, |json| json["spec"]["schedulingGates"] = json!([]));
        }
    }

    fn delete_something(&mut self) {
        let key = match self.dice.between(0, 3) {
            0 => self.some_pod(|_| true),
            1 => self.some_pod(|pod| api::node_of(pod).is_empty()),
            _ => self.calls_under_way().last().cloned(),
        };
        let Some(key) = key else { return };
        self.say(|| format!("{} is deleted by hand", key.name));
        let stamp = self.stamp();
        self.api.stop(&key, &stamp);
    }

    fn change_group(&mut self) {
        let names: Vec<(String, u64)> = self
            .jobs
            .iter()
            .filter(|job| job.wanted && job.gang == Gang::Group)
            .map(|job| (job.name.clone(), job.size))
            .collect();
        let Some((name, size)) = self.dice.pick(&names) else { return };
        let min = self.dice.between(1, size + 2);
        self.say(|| format!("group {name} now needs {min}"));
        self.api.update(&group_key(&name), |json| json["spec"]["schedulingPolicy"]["gang"]["minCount"] = json!(min));
        self.gangs_touched.insert(name, self.now);
    }

    fn change_queue(&mut self) {
        let Some(name) = self.dice.pick(&QUEUES[1..]) else { return };
        if self.dice.permille(200) {
            self.say(|| format!("queue {name} is deleted"));
            self.api.delete(&Key::cluster(Kind::Queue, name));
            let back = self.now + self.dice.between(1_000, 60_000);
            self.at(back, What::QueueBack(name));
        } else {
            self.set_queue(name);
        }
    }

    pub(crate) fn queue_back(&mut self, name: &str) {
        self.set_queue(name);
    }

    fn change_node(&mut self) {
        let nodes: Vec<Key> = self.api.all(Kind::Node).map(|(key, _)| key.clone()).collect();
        let Some(key) = self.dice.pick(&nodes) else { return };
        match self.dice.between(0, 5) {
            0 | 1 => {
                let closed = self.dice.permille(500);
                self.say(|| format!("node {} closed: {closed}", key.name));
                self.api.update(&key, |json| json["spec"]["unschedulable"] = json!(closed));
            }
            2 => {
                let pool = self.dice.pick(&["a", "b"]);
                self.say(|| format!("node {} is in pool {pool:?}", key.name));
                self.api.update(&key, |json| json["metadata"]["labels"]["pool"] = json!(pool));
            }
            3 => {
                let gpus = self.dice.between(0, 9);
                self.say(|| format!("node {} has {gpus} GPUs", key.name));
                self.api.update(&key, |json| json["status"]["allocatable"]["nvidia.com/gpu"] = json!(gpus.to_string()));
            }
            _ => {
                self.say(|| format!("node {} is gone", key.name));
                self.api.delete(&key);
                let (collected, back) =
                    (self.now + self.dice.between(1, 40_000), self.now + self.dice.between(100, 60_000));
                self.at(collected, What::Collect(key.name.clone()));
                self.at(back, What::NodeBack(key.name));
            }
        }
    }

    /// Pods of a node that is not there are deleted.
    pub(crate) fn collect(&mut self, node: &str) {
        if self.api.get(&Key::cluster(Kind::Node, node)).is_some() {
            return;
        }
        let pods = self.api.all(Kind::Pod).filter(|(_, pod)| api::node_of(pod) == node);
        let pods: Vec<Key> = pods.map(|(key, _)| key.clone()).collect();
        pods.iter().for_each(|key| self.api.delete(key));
    }

    pub(crate) fn node_back(&mut self, name: &str) {
        self.new_node(name);
    }

    /// A pod that another scheduler has put where there is room.
    fn neighbour(&mut self) {
        let theirs: Vec<Key> =
            self.api.all(Kind::Pod).filter(|(_, pod)| !api::is_ours(pod)).map(|(key, _)| key.clone()).collect();
        if theirs.len() > 3 {
            let key = theirs[0].clone();
            return self.api.delete(&key);
        }
        let nodes: Vec<Key> = self.api.all(Kind::Node).map(|(key, _)| key.clone()).collect();
        let Some(key) = self.dice.pick(&nodes) else { return };
        let free = self.free_on(&key.name);
        let gpus = self.dice.between(0, 3);
        if free[0] < gpus as i64 || free[1] < 1 || free[2] < 1 || free[3] < 1 {
            return;
        }
        self.made += 1;
        let name = format!("other-{}", self.made);
        self.say(|| format!("{name} of another scheduler has {gpus} GPUs on {}", key.name));
        let json = json!({
            "metadata": {},
            "spec": { "schedulerName": "default-scheduler", "nodeName": key.name, "containers": [container(&[gpus, 1, 1])] },
            "status": { "phase": "Running" },
        });
        let at = self.stamp();
        self.api.create(&pod_key(&name), json, &at);
    }
}

fn container(asks: &[u64; 3]) -> Value {
    let [gpus, cpu, memory] = asks;
    let mut requests = json!({ "cpu": cpu.to_string(), "memory": format!("{memory}Gi") });
    if *gpus > 0 {
        requests["nvidia.com/gpu"] = json!(gpus.to_string());
    }
    json!({ "name": "c", "resources": { "requests": requests } })
}

fn pod_json(job: &Job) -> Value {
    let mut json = json!({
        "metadata": { "labels": { "berth.dev/queue": job.queue, "job": job.name }, "annotations": {} },
        "spec": { "schedulerName": "berth", "priority": job.priority, "containers": [container(&job.asks)] },
        "status": { "phase": "Pending" },
    });
    if let Some(runs) = job.runs_ms {
        json["metadata"]["labels"]["runs"] = json!(runs.to_string());
    }
    if job.naming != Naming::Bare {
        json["metadata"]["ownerReferences"] = json!([{ "controller": true }]);
    }
    match job.gang {
        Gang::None => {}
        Gang::Group => json["spec"]["schedulingGroup"] = json!({ "podGroupName": job.name }),
        Gang::Annotated => {
            json["metadata"]["annotations"] =
                json!({ "berth.dev/gang": job.name, "berth.dev/gang-size": job.size.to_string() });
        }
    }
    if job.gated {
        json["spec"]["schedulingGates"] = json!([{ "name": "lab/wait" }]);
    }
    if let Some(pool) = job.pool {
        json["spec"]["nodeSelector"] = json!({ "pool": pool });
    }
    json
}
