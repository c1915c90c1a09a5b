//! Waiting for what happens on the API server: by watching, never by looking again and again, and never without an end.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use kube::runtime::wait::Condition;
use kube::runtime::watcher::watch_object;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout};

use crate::{ControlPlane, Error};

/// How much of an object is shown when it is not what was waited for.
const SHOWN_CHARS: usize = 2_000;

/// How often it is looked whether all parts still run while something is waited for: the end of a process is no event here.
const LOOK_AT_PARTS: Duration = Duration::from_millis(250);

impl ControlPlane {
    /// Waits until `condition` holds for one object, `None` being its absence, and returns it. `what` names the wish in errors.
    /// Outlives a restart of the API server.
    ///
    /// # Errors
    /// [`Error::Died`] as soon as a part did; [`Error::Never`] after [`crate::Options::within`].
    pub async fn until<K>(
        &self,
        api: &Api<K>,
        name: &str,
        what: &str,
        condition: impl Condition<K>,
    ) -> Result<Option<K>, Error>
    where
        K: Resource + Clone + Debug + DeserializeOwned + Serialize + Send + 'static,
    {
        self.until_within(self.options().within, api, name, what, condition).await
    }

    /// The same, with a time of its own.
    ///
    /// # Errors
    /// As [`ControlPlane::until`].
    pub async fn until_within<K>(
        &self,
        within: Duration,
        api: &Api<K>,
        name: &str,
        what: &str,
        condition: impl Condition<K>,
    ) -> Result<Option<K>, Error>
    where
        K: Resource + Clone + Debug + DeserializeOwned + Serialize + Send + 'static,
    {
        let mut last = "nothing was seen".to_owned();
        let watching = async {
            let mut stream = pin!(watch_object(api.clone(), name).default_backoff());
            loop {
                match stream.next().await {
                    Some(Ok(object)) if condition.matches_object(object.as_ref()) => return object,
                    Some(Ok(object)) => last = object.as_ref().map_or("it does not exist".to_owned(), shown),
                    Some(Err(error)) => last = error.to_string(),
                    None => std::future::pending().await,
                }
            }
        };
        let found = self.while_parts_run(within, watching).await?;
        found.ok_or_else(|| Error::Never { what: what.to_owned(), within, last })
    }

    /// Waits until `holds` has been seen of every object named.
    ///
    /// # Errors
    /// As [`ControlPlane::until`].
    pub async fn until_all<K>(
        &self,
        api: &Api<K>,
        names: impl IntoIterator<Item = String>,
        what: &str,
        holds: impl Fn(&K) -> bool,
    ) -> Result<(), Error>
    where
        K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let mut missing: BTreeSet<String> = names.into_iter().collect();
        let seen = |object: &K| {
            if holds(object) {
                missing.remove(&object.name_any());
            }
            missing.is_empty()
        };
        let within = self.options().within;
        let mut last = None;
        if self.while_parts_run(within, applied(api, seen, &mut last)).await?.is_some() {
            return Ok(());
        }
        let first = missing.first().map(String::as_str).unwrap_or_default();
        let error = last.map(|error| format!("; last error: {error}")).unwrap_or_default();
        let last = format!("not of {} objects, the first of them {first}{error}", missing.len());
        Err(Error::Never { what: what.to_owned(), within, last })
    }

    /// Waits until `holds` is seen of any object, and returns that.
    ///
    /// # Errors
    /// As [`ControlPlane::until`].
    pub async fn first<K>(&self, api: &Api<K>, what: &str, holds: impl Fn(&K) -> bool) -> Result<K, Error>
    where
        K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let within = self.options().within;
        let mut last = None;
        let found = self.while_parts_run(within, applied(api, holds, &mut last)).await?;
        let last = last.unwrap_or_else(|| "it is so of no object".to_owned());
        found.ok_or_else(|| Error::Never { what: what.to_owned(), within, last })
    }

    /// The outcome of `work`, or nothing where it takes longer than `within`.
    async fn while_parts_run<T>(&self, within: Duration, work: impl Future<Output = T>) -> Result<Option<T>, Error> {
        let mut work = pin!(work);
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if let Ok(done) = timeout(left.min(LOOK_AT_PARTS), &mut work).await {
                return Ok(Some(done));
            }
            self.check()?;
            if left.is_zero() {
                return Ok(None);
            }
        }
    }
}

/// The first object, as it is or becomes, of which `enough` holds. What goes wrong with the watch is written to `last`.
async fn applied<K>(api: &Api<K>, mut enough: impl FnMut(&K) -> bool, last: &mut Option<String>) -> K
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut stream = pin!(watcher(api.clone(), watcher::Config::default()).default_backoff().applied_objects());
    loop {
        match stream.next().await {
            Some(Ok(object)) if enough(&object) => return object,
            Some(Ok(_)) => {}
            Some(Err(error)) => *last = Some(error.to_string()),
            None => std::future::pending().await,
        }
    }
}

fn shown<K: Serialize>(object: &K) -> String {
    let text = serde_json::to_string(object).unwrap_or_else(|error| error.to_string());
    format!("last seen: {}", text.chars().take(SHOWN_CHARS).collect::<String>())
}
