//! What the steps of a scenario make happen, told to the engine. An event that finds nothing to happen to is an error: the
//! scenario would not show what its author thinks.

use berth_engine::{Event as Happens, EventError};

use super::super::convert;
use super::super::format::{Event, Job, Node, Task, TaskState};
use super::super::played::State;
use super::super::world::World;
use super::{PlayError, Player};

impl Player {
    /// Makes one event happen, `at` that time.
    pub(super) fn happens(&mut self, event: &Event, at: &str) -> Result<(), PlayError> {
        let idle = |event, name: &str| PlayError::Idle { at: at.to_owned(), event, name: name.to_owned() };
        let before = self.world.clone();
        self.world.apply(event);
        match event {
            Event::Finish(name) if self.end(name, TaskState::Succeeded)? == 0 => return Err(idle("finish", name)),
            Event::Fail(name) if self.end(name, TaskState::Failed)? == 0 => return Err(idle("fail", name)),
            Event::Lose(name) if self.lose_all(name)? == 0 => return Err(idle("lose", name)),
            Event::BindFails(name) if self.bind_fails(name)? == 0 => return Err(idle("bind", name)),
            Event::Finish(_) | Event::Fail(_) | Event::Lose(_) | Event::BindFails(_) => {}
            Event::Checkpoint(name) => self.checkpoint(name)?,
            Event::SetNode(node) => self.set_node(node)?,
            Event::RemoveNode(name) => self.remove_node(name)?,
            Event::SetQueue(_) => self.set_queues()?,
            Event::AddJob(job) => {
                self.add_gang(job)?;
                self.add_tasks(job, &State::new(), false)?;
            }
            Event::RemoveJob(name) => self.remove_job(name, &before)?,
        }
        self.set_budgets()?;
        Ok(())
    }

    /// The tasks that a name means and that are in one of some states, with their jobs.
    fn meant(&self, name: &str, is: impl Fn(TaskState) -> bool) -> Vec<(Job, Task)> {
        let tasks = self.world.meant(name).into_iter().filter(|task| is(self.task_now(&task.name).state));
        let with_job = |task: &Task| self.world.task(&task.name).map(|(job, task)| (job.clone(), task.clone()));
        tasks.filter_map(with_job).collect()
    }

    /// Tasks that run are over; says how many.
    fn end(&mut self, name: &str, state: TaskState) -> Result<usize, EventError> {
        let ending = self.meant(name, |state| matches!(state, TaskState::Placed | TaskState::Running));
        for (_, task) in &ending {
            let Some(pod) = self.pods.remove(&task.name) else { continue };
            self.over.insert(task.name.clone(), state);
            self.tell(match state {
                TaskState::Succeeded => Happens::PodSucceeded { pod },
                _ => Happens::PodGone { pod },
            })?;
        }
        Ok(ending.len())
    }

    /// Tasks that have a place lose it, those that go slowly included; says how many.
    fn lose_all(&mut self, name: &str) -> Result<usize, EventError> {
        let lost = self.meant(name, TaskState::has_node);
        for (job, task) in &lost {
            self.lose(job, task)?;
        }
        Ok(lost.len())
    }

    /// Says how many were not bound.
    fn bind_fails(&mut self, name: &str) -> Result<usize, EventError> {
        let failed = self.meant(name, |state| state == TaskState::Placed);
        for (_, task) in &failed {
            if let Some(&pod) = self.pods.get(&task.name) {
                self.tell(Happens::BindFailed { pod })?;
            }
        }
        Ok(failed.len())
    }

    fn checkpoint(&mut self, job: &str) -> Result<(), EventError> {
        let Some(&gang) = self.gangs.get(job) else { return Ok(()) };
        let known = self.engine.state().gangs().get(&gang).map(|gang| gang.spec.clone());
        let (Some(mut spec), Some(job)) = (known, self.world.jobs.get(job)) else { return Ok(()) };
        spec.tree = convert::gang(job, spec.queue, 0, self.now).tree;
        spec.last_checkpoint = Some(self.now);
        self.tell(Happens::GangChanged { gang, spec })
    }

    /// A node joins, or is told anew with everything on it.
    fn set_node(&mut self, node: &Node) -> Result<(), EventError> {
        let Some(&id) = self.nodes.get(&node.name) else { return self.add_node(node) };
        let there: Vec<_> = self.on(&node.name);
        self.tell(Happens::NodeRemoved { node: id })?;
        self.add_node(node)?;
        // Whoever was only promised a place there waits again by itself.
        for (job, task, now) in there.into_iter().filter(|(_, _, now)| now.state != TaskState::Nominated) {
            if let Some(pod) = self.pods.remove(&task.name)
                && self.engine.state().pods().contains_key(&pod)
            {
                self.tell(Happens::PodGone { pod })?;
            }
            self.add_task(&job.name, &task, &now)?;
        }
        Ok(())
    }

    fn remove_node(&mut self, name: &str) -> Result<(), EventError> {
        let there = self.on(name);
        let Some(node) = self.nodes.remove(name) else { return Ok(()) };
        self.tell(Happens::NodeRemoved { node })?;
        for (job, task, _) in there {
            // Whoever was only promised a place there waits again by itself.
            if self.pods.get(&task.name).is_some_and(|pod| !self.engine.state().pods().contains_key(pod)) {
                self.lose(&job, &task)?;
            }
        }
        Ok(())
    }

    /// The tasks that are on a node, holders before those that are only promised it.
    fn on(&self, node: &str) -> Vec<(Job, Task, super::TaskNow)> {
        let with_now = |(job, task): (&Job, &Task)| (job.clone(), task.clone(), self.task_now(&task.name));
        let mut there: Vec<_> =
            self.world.tasks().map(with_now).filter(|(_, _, now)| now.node.as_deref() == Some(node)).collect();
        there.sort_by_key(|(_, _, now)| now.state == TaskState::Nominated);
        there
    }

    fn remove_job(&mut self, name: &str, before: &World) -> Result<(), EventError> {
        for task in before.meant(name) {
            self.over.remove(&task.name);
            if let Some(pod) = self.pods.remove(&task.name) {
                self.tell(Happens::PodGone { pod })?;
            }
        }
        match self.gangs.remove(name) {
            Some(gang) => self.tell(Happens::GangRemoved { gang }),
            None => Ok(()),
        }
    }
}
