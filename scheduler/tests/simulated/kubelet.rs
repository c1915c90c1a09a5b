//! What becomes of pods once they are bound, or told to stop: kubelets, without a scheduler's eyes.

use berth_scheduler::{Key, Kind};
use serde_json::json;

use crate::api;
use crate::sim::{Sim, What};

fn phase_is_wrong(pod: &api::Stored) -> bool {
    api::phase_of(pod) == "Running" && pod.json["status"]["conditions"][0]["status"] == "False"
}

impl Sim {
    /// A pod is another one than before.
    pub(crate) fn pod_changed(&mut self, key: &Key, uid: &str, gone: bool) {
        let soon = self.now + self.dice.between(10, 3_000);
        let pod = self.api.get(key).filter(|pod| pod.uid == uid && !gone);
        let job = match (pod, key.name.rsplit_once('-')) {
            (Some(pod), _) => self.jobs.iter().position(|job| job.name == api::label(pod, "job")),
            (None, Some((name, _))) => self.jobs.iter().position(|job| job.name == name),
            _ => None,
        };
        let Some(pod) = pod else {
            return job.into_iter().for_each(|job| self.at(soon, What::Reconcile(job)));
        };
        if phase_is_wrong(pod) {
            // Kubelets say of their pods that they have a place, whatever anybody else writes.
            return self.api.update(key, |json| {
                json["status"]["conditions"] = json!([{ "type": "PodScheduled", "status": "True" }])
            });
        }
        let (bound, going, failed) =
            (!api::node_of(pod).is_empty(), api::is_going(pod), api::phase_of(pod) == "Failed");
        let waits = api::phase_of(pod) == "Pending";
        if bound && waits && self.seen.insert((uid.to_owned(), "bound")) && !self.dice.permille(self.mix.sick) {
            let at = self.now + self.dice.between(10, self.mix.start_ms);
            self.at(at, What::Runs(key.clone(), uid.to_owned()));
        }
        if going && self.seen.insert((uid.to_owned(), "going")) {
            let at = self.now + self.dice.between(10, self.mix.grace_ms);
            self.at(at, What::Vanishes(key.clone(), uid.to_owned()));
        }
        if let Some(job) = job.filter(|_| going || failed) {
            self.at(soon, What::Reconcile(job));
        }
    }

    pub(crate) fn runs(&mut self, key: &Key, uid: &str) {
        let Some(pod) = self.api.get(key).filter(|pod| pod.uid == uid) else { return };
        if api::has_ended(pod) || api::is_going(pod) {
            return;
        }
        if self.api.get(&Key::cluster(Kind::Node, api::node_of(pod))).is_none() {
            let later = self.now + 5_000;
            return self.at(later, What::Runs(key.clone(), uid.to_owned()));
        }
        let lasts: Option<u64> = api::label(pod, "runs").parse().ok();
        let stamp = self.stamp();
        self.api.update(key, |json| {
            json["status"]["phase"] = json!("Running");
            json["status"]["startTime"] = json!(stamp);
            json["status"]["conditions"] = json!([{ "type": "PodScheduled", "status": "True" }]);
        });
        if let Some(lasts) = lasts.filter(|_| !self.is_calm) {
            let at = self.now + lasts;
            self.at(at, What::Ends(key.clone(), uid.to_owned()));
        }
    }

    pub(crate) fn ends(&mut self, key: &Key, uid: &str) {
        let phase = if self.dice.permille(self.mix.failing) { "Failed" } else { "Succeeded" };
        if let Some(pod) = self.api.get(key).filter(|pod| pod.uid == uid) {
            self.ended_well.insert(api::label(pod, "job").to_owned());
            self.api.update(key, |json| json["status"]["phase"] = json!(phase));
            // Somebody clears away what is over.
            let at = self.now + self.dice.between(1_000, 100_000);
            self.at(at, What::Vanishes(key.clone(), uid.to_owned()));
        }
    }

    /// Pods that would never have started do.
    pub(crate) fn all_start(&mut self) {
        let waits = |pod: &api::Stored| !api::node_of(pod).is_empty() && api::phase_of(pod) == "Pending";
        let pods = self.api.all(Kind::Pod).filter(|(_, pod)| waits(pod));
        let pods: Vec<(Key, String)> = pods.map(|(key, pod)| (key.clone(), pod.uid.clone())).collect();
        for (key, uid) in pods {
            let at = self.now + self.dice.between(10, self.mix.start_ms);
            self.at(at, What::Runs(key, uid));
        }
    }

    /// What of a node nobody has; below zero where it is over-committed.
    pub(crate) fn free_on(&self, node: &str) -> [i64; 4] {
        let key = Key::cluster(Kind::Node, node);
        let mut free = self.api.get(&key).map_or([0; 4], |node| api::offers(node).map(|all| all as i64));
        let there = |pod: &&api::Stored| api::node_of(pod) == node && !api::has_ended(pod);
        for pod in self.api.all(Kind::Pod).map(|(_, pod)| pod).filter(there) {
            let asks = api::asks(pod);
            (0..4).for_each(|at| free[at] -= asks[at] as i64);
        }
        free
    }
}
