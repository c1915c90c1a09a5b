//! A snapshot of a live cluster: everything is listed once, read as the scheduler reads it, and written as a journal without
//! decisions. Writes nothing to the cluster.

use anyhow::Context;
use berth_config::SchedulerConfiguration;
use berth_config::journal::EVENTS_PER_LINE_MAX;
use berth_config::scheduler::GroupConvention;
use berth_engine::Timestamp;
use kube::Client;

use crate::journal;
use crate::live::{self, watch};
use crate::objects::Kind;
use crate::store::Change;
use crate::world::World;

/// The snapshot of the cluster that the configuration's connection leads to, as the text of a file.
///
/// # Errors
/// Where the cluster cannot be reached, or refuses a list.
pub fn capture(configuration: &SchedulerConfiguration) -> anyhow::Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let connection = live::connection(configuration).await.context("no cluster to look at")?;
        snapshot(&Client::try_from(connection)?, configuration).await
    })
}

/// The same over a client that is there.
///
/// # Errors
/// Where the API server refuses a list.
pub async fn snapshot(client: &Client, configuration: &SchedulerConfiguration) -> anyhow::Result<String> {
    let mut lists = Vec::new();
    let mut configuration = configuration.clone();
    for kind in watch::KINDS {
        if watch::is_served(client, kind).await.with_context(|| format!("asking whether {kind} is served"))? {
            let objects = watch::list(client, kind).await.with_context(|| format!("listing {kind}"))?;
            lists.push(Change::Replaced { kind, objects });
        } else if let Kind::PodGroup(group) = kind {
            configuration.groups.accept.retain(|one| *one == GroupConvention::Berth || *one != group);
        }
    }
    let mut world = World::new(&configuration);
    lists.into_iter().for_each(|list| world.apply(list));
    let now = Timestamp(u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0));
    write(&mut world, &configuration, now)
}

/// What an engine has to be told to know all of a world, as the text of a file.
///
/// # Errors
/// Where something cannot be written as JSON, which is a mistake of ours.
pub fn write(world: &mut World, configuration: &SchedulerConfiguration, now: Timestamp) -> anyhow::Result<String> {
    let events = world.events();
    let mut header = journal::header(configuration, now);
    header.problems = world.problems().map(ToString::to_string).collect();
    let mut text = serde_json::to_string(&header)? + "\n";
    for events in events.chunks(EVENTS_PER_LINE_MAX) {
        text += &format!("{{\"at\":{},\"events\":{}}}\n", now.0, serde_json::to_string(events)?);
    }
    Ok(text)
}
