//! What must hold afterwards speaks of things that are there.

use std::collections::BTreeSet;

use super::super::format::{Event, Expect, Job, Node, Scenario, TaskResult};
use super::super::world::World;
use super::Check;

impl Check {
    pub(super) fn expect(&mut self, scenario: &Scenario, world: &World) {
        let Some(expect) = &scenario.expect else { return };
        let names = Names::of(scenario);
        for (field, results, kind, known) in
            [("jobs", &expect.jobs, "job", &names.jobs), ("tasks", &expect.tasks, "task", &names.tasks)]
        {
            for (name, result) in results {
                self.known("expect", field, name, known, kind);
                self.result(name, result, &names);
            }
        }
        self.groups(expect, &names, world);
        for name in expect.nodes.keys() {
            self.known("expect", "nodes", name, &names.nodes, "node");
        }
    }

    fn result(&mut self, name: &str, result: &TaskResult, names: &Names) {
        if result.node.is_some() && result.nodes_any_of.is_some() {
            self.complain("expect", format!("result of `{name}`: give either `node` or `nodesAnyOf`"));
        }
        for node in result.node.iter().chain(result.nodes_any_of.iter().flatten()) {
            self.known("expect", &format!("result of {name}"), node, &names.nodes, "node");
        }
    }

    fn groups(&mut self, expect: &Expect, names: &Names, world: &World) {
        let lists = expect.groups.iter().map(|group| ("groups", &group.tasks));
        let lists = lists.chain(expect.same_domain.iter().map(|together| ("sameDomain", &together.tasks)));
        for (field, tasks) in lists {
            for task in tasks {
                self.known("expect", field, task, &names.tasks, "task");
            }
        }
        for group in &expect.groups {
            let counted = group.counts.values().fold(0u32, |sum, count| sum.saturating_add(*count));
            if counted as usize > group.tasks.len() {
                self.complain("expect", format!("groups: {counted} counted, but {} tasks listed", group.tasks.len()));
            }
        }
        for together in &expect.same_domain {
            self.known("expect", "sameDomain.topology", &together.topology, world.topologies.keys(), "topology");
            if let Some(topology) = world.topologies.get(&together.topology) {
                let levels = &topology.levels;
                self.known("expect", "sameDomain.level", &together.level, levels, "level of the topology");
            }
        }
    }
}

/// Everything that is there at some time.
struct Names {
    jobs: BTreeSet<String>,
    tasks: BTreeSet<String>,
    nodes: BTreeSet<String>,
}

impl Names {
    fn of(scenario: &Scenario) -> Names {
        let events = || scenario.steps.iter().flat_map(|step| &step.events);
        let added = events().filter_map(|event| match event {
            Event::AddJob(job) => Some(job),
            _ => None,
        });
        let jobs: Vec<&Job> = scenario.jobs.iter().chain(added).collect();
        let joined = events().filter_map(|event| match event {
            Event::SetNode(node) => Some(node),
            _ => None,
        });
        let nodes: Vec<&Node> = scenario.nodes.iter().chain(joined).collect();
        Names {
            jobs: jobs.iter().map(|job| job.name.clone()).collect(),
            tasks: jobs.iter().flat_map(|job| &job.tasks).map(|task| task.name.clone()).collect(),
            nodes: nodes.iter().map(|node| node.name.clone()).collect(),
        }
    }
}
