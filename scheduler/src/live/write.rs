//! Calls as requests to the API server. Owns their form, and which answers mean what; nothing is tried again here.

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::watch as api;
use crate::driver::{ApiEvent, Call, Condition, Outcome, PodStatus};
use crate::lease::Leadership;
use crate::objects::{self, Key, Kind};
use crate::volumes::VolumeStep;

/// Sends calls.
#[derive(Clone)]
pub(super) struct Writer {
    pub(super) client: Client,
    /// Nothing is written after this replica's time as the leader.
    pub(super) leadership: watch::Receiver<Leadership>,
    /// For so long an answer may take.
    pub(super) timeout: Duration,
    /// Who speaks: the scheduler's name, and this replica of it.
    pub(super) scheduler: String,
    pub(super) identity: String,
}

impl Writer {
    /// Sends one call and says what became of it.
    pub(super) async fn send(&self, call: &Call) -> Outcome {
        let request = match self.request(call) {
            Ok(request) => request,
            Err(error) => return Outcome::Refused { message: error.to_string() },
        };
        let reads = matches!(call, Call::ReadPod { .. });
        if !reads && !self.leadership.borrow().may_act(Instant::now()) {
            return Outcome::Busy { after_ms: 0, message: "this replica does not lead".to_owned() };
        }
        match tokio::time::timeout(self.timeout, self.answer(call, request)).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Unknown { message: format!("no answer within {} s", self.timeout.as_secs()) },
        }
    }

    async fn answer(&self, call: &Call, request: Request<Body>) -> Outcome {
        let answer = match self.client.send(request).await {
            Ok(answer) => answer,
            Err(error) if was_not_sent(&error) => return Outcome::Unreachable { message: in_full(&error) },
            Err(error) => return Outcome::Unknown { message: in_full(&error) },
        };
        let (head, body) = answer.into_parts();
        // Read to its end even where nobody looks at it, or the connection could not be used again.
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => return Outcome::Unknown { message: error.to_string() },
        };
        let text = || String::from_utf8_lossy(&body);
        if head.status.is_success() {
            let object = matches!(call, Call::ReadPod { .. }).then(|| Box::new(objects::read_text(Kind::Pod, &text())));
            return Outcome::Done(object);
        }
        let message = message(&text());
        match head.status {
            StatusCode::NOT_FOUND => Outcome::Missing,
            StatusCode::CONFLICT => Outcome::Conflict,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::UNAUTHORIZED => {
                let after =
                    head.headers.get(http::header::RETRY_AFTER).and_then(|text| text.to_str().ok()?.parse().ok());
                let seconds: u64 = after.unwrap_or(0);
                Outcome::Busy { after_ms: seconds.saturating_mul(1000), message }
            }
            status if status.is_client_error() => Outcome::Refused { message },
            _ => Outcome::Unknown { message },
        }
    }

    fn request(&self, call: &Call) -> Result<Request<Body>, http::Error> {
        match call {
            Call::Bind { pod, uid, node } => {
                let metadata = json!({ "name": pod.name, "namespace": pod.namespace, "uid": uid });
                let target = json!({ "apiVersion": "v1", "kind": "Node", "name": node });
                let body = json!({ "apiVersion": "v1", "kind": "Binding", "metadata": metadata, "target": target });
                post(format!("{}/binding", api::path(pod)), &body)
            }
            Call::Evict { pod, uid } => {
                let metadata = json!({ "name": pod.name, "namespace": pod.namespace });
                let options = json!({ "preconditions": { "uid": uid } });
                let (version, kind) = ("policy/v1", "Eviction");
                let body =
                    json!({ "apiVersion": version, "kind": kind, "metadata": metadata, "deleteOptions": options });
                post(format!("{}/eviction", api::path(pod)), &body)
            }
            Call::ReadPod { pod, .. } => Request::get(api::path(pod)).body(Body::empty()),
            Call::PodStatus { pod, uid, status } => {
                let PodStatus { condition, nominated } = status;
                let mut fields = serde_json::Map::new();
                if let Some(condition) = condition {
                    fields.insert("conditions".into(), json!([written("PodScheduled", condition)]));
                }
                if let Some(node) = nominated {
                    // An empty one is written as none, so that the field goes.
                    let node = if node.is_empty() { Value::Null } else { json!(node) };
                    fields.insert("nominatedNodeName".into(), node);
                }
                patch(pod, uid, fields.into())
            }
            Call::Volume { step, .. } => volume(step),
            Call::GroupStatus { group, uid, condition } => {
                let conditions = json!([written("PodGroupInitiallyScheduled", condition)]);
                patch(group, uid, json!({ "conditions": conditions }))
            }
            Call::QueueStatus { queue, uid, status } => {
                let mut fields = json!(status);
                // What is not there any longer has to be said so in a merge.
                for field in ["used", "fairShare", "pending", "head", "decayedUsage"] {
                    fields.as_object_mut().map(|all| all.entry(field).or_insert(Value::Null));
                }
                patch(queue, uid, fields)
            }
            Call::PostEvent(event) => {
                let namespace = namespace_of(&event.regarding);
                post(format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events"), &self.event(event))
            }
        }
    }

    fn event(&self, event: &ApiEvent) -> Value {
        /// Tells events of one object apart that are posted at the same time.
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let now = jiff::Timestamp::now();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let object = &event.regarding;
        let stem: String = object.name.chars().take(200).collect();
        let name = format!("{stem}.{:x}.{count:x}", now.as_microsecond());
        let (version, kind) = api::type_of(object.kind);
        let mut regarding = json!({ "apiVersion": version, "kind": kind, "name": object.name, "uid": event.uid });
        if !object.namespace.is_empty() {
            regarding["namespace"] = json!(object.namespace);
        }
        json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": { "name": name, "namespace": namespace_of(object) },
            "eventTime": micros(now),
            "type": if event.warning { "Warning" } else { "Normal" },
            "reason": event.reason,
            "action": event.action,
            "note": event.note,
            "regarding": regarding,
            "reportingController": self.scheduler,
            "reportingInstance": self.identity,
        })
    }
}

/// Was there no connection that the request could have gone by?
fn was_not_sent(error: &kube::Error) -> bool {
    let causes = std::iter::successors(Some(error as &(dyn Error + 'static)), |cause| (*cause).source());
    causes.filter_map(|cause| cause.downcast_ref::<hyper_util::client::legacy::Error>()).any(|error| error.is_connect())
}

/// An error and what led to it; its own words tell the first cause already.
fn in_full(error: &kube::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source()).skip(1);
    causes.fold(error.to_string(), |all, cause| format!("{all}: {cause}"))
}

/// Events about objects without a namespace are kept in `default`.
fn namespace_of(object: &Key) -> &str {
    if object.namespace.is_empty() { "default" } else { &object.namespace }
}

/// A time with six digits behind the point, as a MicroTime must have.
fn micros(time: jiff::Timestamp) -> String {
    format!("{time:.6}")
}

fn post(path: String, body: &Value) -> Result<Request<Body>, http::Error> {
    let request = Request::post(path).header(http::header::CONTENT_TYPE, "application/json");
    request.body(Body::from(body.to_string().into_bytes()))
}

/// Only the object with this uid: another one of its name is a conflict.
fn patch(object: &Key, uid: &str, status: Value) -> Result<Request<Body>, http::Error> {
    let body = json!({ "metadata": { "uid": uid }, "status": status });
    // Custom resources have no other form; of the others only a strategic one merges lists of conditions.
    let form = if object.kind == Kind::Queue { "merge-patch" } else { "strategic-merge-patch" };
    let request = Request::patch(format!("{}/status", api::path(object)));
    let request = request.header(http::header::CONTENT_TYPE, format!("application/{form}+json"));
    request.body(Body::from(body.to_string().into_bytes()))
}

/// Over the version that was decided on, and no other.
fn volume(step: &VolumeStep) -> Result<Request<Body>, http::Error> {
    let (object, mut body, version) = match step {
        VolumeStep::GiveVolume { volume, version, claim, claim_uid, by_controller } => {
            let (api_version, kind) = api::type_of(Kind::Claim);
            let claim = json!({ "apiVersion": api_version, "kind": kind, "namespace": claim.namespace,
                "name": claim.name, "uid": claim_uid });
            let mut body = json!({ "spec": { "claimRef": claim } });
            if *by_controller {
                body["metadata"]["annotations"] = json!({ "pv.kubernetes.io/bound-by-controller": "yes" });
            }
            (Key::cluster(Kind::Volume, volume), body, version)
        }
        VolumeStep::SelectNode { claim, version, node } => {
            let body = json!({ "metadata": { "annotations": { "volume.kubernetes.io/selected-node": node } } });
            (claim.clone(), body, version)
        }
    };
    if let Some(version) = version {
        body["metadata"]["resourceVersion"] = json!(version.to_string());
    }
    let request = Request::patch(api::path(&object)).header(http::header::CONTENT_TYPE, "application/merge-patch+json");
    request.body(Body::from(body.to_string().into_bytes()))
}

fn written(kind: &str, condition: &Condition) -> Value {
    let status = if condition.holds { "True" } else { "False" };
    let mut json = json!({ "type": kind, "status": status, "reason": condition.reason, "message": condition.message });
    if !condition.known {
        json["lastTransitionTime"] = json!(format!("{:.0}", jiff::Timestamp::now()));
    }
    json
}

/// What the API server says of a failure.
fn message(body: &str) -> String {
    let said = serde_json::from_str::<Value>(body).ok();
    let said = said.and_then(|json| json.get("message").and_then(Value::as_str).map(str::to_owned));
    said.unwrap_or_else(|| body.chars().take(200).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answer_from(port: u16) -> Outcome {
        let mut config = kube::Config::new(format!("http://127.0.0.1:{port}").parse().expect("an address"));
        config.proxy_url = None;
        let (_, leadership) = watch::channel(Leadership::Leads { until: Instant::now() + Duration::from_secs(60) });
        let writer = Writer {
            client: Client::try_from(config).expect("a client"),
            leadership,
            timeout: Duration::from_secs(10),
            scheduler: "berth".to_owned(),
            identity: "test".to_owned(),
        };
        let pod = Key { kind: Kind::Pod, namespace: "lab".into(), name: "a".into() };
        writer.send(&Call::Bind { pod, uid: "1".into(), node: "n".into() }).await
    }

    #[tokio::test]
    async fn a_request_that_could_not_be_sent_had_no_effect_and_any_other_may_have() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let hang_up = async {
            let (mut taken, _) = listener.accept().await.expect("a connection");
            tokio::io::AsyncReadExt::read(&mut taken, &mut [0; 64]).await.expect("a request");
        };
        let (hung_up, ()) = tokio::join!(answer_from(port), hang_up);
        assert!(matches!(hung_up, Outcome::Unknown { .. }), "{hung_up:?}");
        drop(listener);
        match answer_from(port).await {
            Outcome::Unreachable { message } => assert!(message.contains("refused"), "{message}"),
            other => panic!("{other:?}"),
        }
    }
}
