//! The things of a scenario at one moment of it: what `steps` have changed is changed here.
//! Owns which nodes, queues and jobs there are, by name. Knows nothing of how far tasks are; that is `played::State`.

use std::collections::BTreeMap;

use super::format::{DisruptionBudget, Event, Gang, Job, Labels, Node, Queue, Scenario, Task, Topology};

/// Nodes, queues and jobs, by name.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// The hierarchies of node labels.
    pub topologies: BTreeMap<String, Topology>,
    /// The nodes.
    pub nodes: BTreeMap<String, Node>,
    /// The queues, older siblings first.
    pub queues: Vec<Queue>,
    /// The PodDisruptionBudgets.
    pub budgets: Vec<DisruptionBudget>,
    /// The jobs.
    pub jobs: BTreeMap<String, Job>,
}

impl World {
    /// What there is at the start.
    pub fn of(scenario: &Scenario) -> World {
        World {
            topologies: scenario.topologies.iter().map(|one| (one.name.clone(), one.clone())).collect(),
            nodes: scenario.nodes.iter().map(|one| (one.name.clone(), one.clone())).collect(),
            queues: scenario.queues.clone(),
            budgets: scenario.disruption_budgets.clone(),
            jobs: scenario.jobs.iter().map(|one| (one.name.clone(), one.clone())).collect(),
        }
    }

    /// Something happens. What happens to tasks alone changes nothing here.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::SetNode(node) => drop(self.nodes.insert(node.name.clone(), node.clone())),
            Event::RemoveNode(name) => drop(self.nodes.remove(name)),
            Event::SetQueue(queue) => match self.queues.iter_mut().find(|old| old.name == queue.name) {
                Some(old) => *old = queue.clone(),
                None => self.queues.push(queue.clone()),
            },
            Event::AddJob(job) => drop(self.jobs.insert(job.name.clone(), job.clone())),
            Event::RemoveJob(name) => drop(self.jobs.remove(name)),
            Event::Finish(_) | Event::Fail(_) | Event::Lose(_) | Event::BindFails(_) | Event::Checkpoint(_) => {}
        }
    }

    /// The queue of that name.
    pub fn queue(&self, name: &str) -> Option<&Queue> {
        self.queues.iter().find(|queue| queue.name == name)
    }

    /// A queue and all above it, lowest first. Ends also where parents form a ring.
    pub fn lineage<'a>(&'a self, name: &str) -> Vec<&'a Queue> {
        let start = self.queue(name);
        let above = std::iter::successors(start, |queue| queue.parent.as_deref().and_then(|name| self.queue(name)));
        above.take(self.queues.len()).collect()
    }

    /// Every task with its job, by job name, then in the file's order.
    pub fn tasks(&self) -> impl Iterator<Item = (&Job, &Task)> {
        self.jobs.values().flat_map(|job| job.tasks.iter().map(move |task| (job, task)))
    }

    /// The task of that name, with its job.
    pub fn task(&self, name: &str) -> Option<(&Job, &Task)> {
        self.tasks().find(|(_, task)| task.name == name)
    }

    /// The tasks that a disruption budget speaks of.
    pub fn protected_by<'a>(&'a self, budget: &'a DisruptionBudget) -> impl Iterator<Item = &'a Task> {
        self.tasks().map(|(_, task)| task).filter(|task| carries(&task.labels, &budget.match_labels))
    }

    /// The domain of a node at a level: its label values from the widest level down to that one. None if the node lacks
    /// a label of the topology, or there is no such topology or level.
    pub fn domain(&self, topology: &str, level: &str, node: &str) -> Option<Vec<&str>> {
        let (levels, node) = (&self.topologies.get(topology)?.levels, self.nodes.get(node)?);
        let path: Option<Vec<&str>> = levels.iter().map(|key| node.labels.get(key).map(String::as_str)).collect();
        let depth = levels.iter().position(|key| key == level)?;
        path.map(|path| path[..=depth].to_vec())
    }

    /// The tasks that an event means by a name: those of the job, or the one task.
    pub fn meant<'a>(&'a self, name: &str) -> Vec<&'a Task> {
        match self.jobs.get(name) {
            Some(job) => job.tasks.iter().collect(),
            None => self.task(name).map(|(_, task)| task).into_iter().collect(),
        }
    }
}

/// Has `labels` all of `wanted`?
pub fn carries(labels: &Labels, wanted: &Labels) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// The gangs from a job's own down to the one that holds tasks of this sub-group; empty if there is none.
pub fn gangs_above<'a>(gang: &'a Gang, sub_group: &str) -> Vec<&'a Gang> {
    if gang.sub_groups.is_empty() {
        return if gang.name == sub_group { vec![gang] } else { Vec::new() };
    }
    let below = gang.sub_groups.iter().map(|below| gangs_above(below, sub_group)).find(|path| !path.is_empty());
    below.map(|path| [gang].into_iter().chain(path).collect()).unwrap_or_default()
}
