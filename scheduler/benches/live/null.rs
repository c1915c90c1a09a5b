//! The least a scheduler can do: every pod gets the next node in turn, and the one event that says so. It thinks nothing, so no
//! scheduler that writes as much is faster on the same machine.

use std::path::Path;

use futures_util::{StreamExt, stream};
use http::Request;
use http_body_util::BodyExt;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde::Deserialize;

use super::load::NAMESPACE;

/// Requests under way at the same time.
const IN_FLIGHT: usize = 64;

#[derive(Deserialize)]
struct List {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    uid: String,
}

pub(crate) async fn run(kubeconfig: &Path) -> anyhow::Result<()> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    config.default_retry = false;
    config.proxy_url = None;
    let client = Client::try_from(config)?;
    let nodes = list(&client, "/api/v1/nodes").await?;
    let pods = list(&client, &format!("/api/v1/namespaces/{NAMESPACE}/pods")).await?;
    // A watch, as every scheduler has one: what it delivers is read, and nothing is done with it.
    let watch =
        Request::get(format!("/api/v1/namespaces/{NAMESPACE}/pods?watch=1&resourceVersion=0")).body(Body::empty())?;
    let mut seen = client.send(watch).await?.into_body();
    tokio::spawn(async move { while let Some(Ok(_)) = seen.frame().await {} });
    let (client, nodes) = (&client, &nodes);
    let place = async |(index, pod): (usize, Item)| {
        let Metadata { name, uid } = pod.metadata;
        let node = &nodes[index % nodes.len()].metadata.name;
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{name}/binding");
        let body = format!(
            r#"{{"apiVersion":"v1","kind":"Binding","metadata":{{"name":"{name}","namespace":"{NAMESPACE}","uid":"{uid}"}},"target":{{"apiVersion":"v1","kind":"Node","name":"{node}"}}}}"#
        );
        post(client, path, body).await?;
        let path = format!("/apis/events.k8s.io/v1/namespaces/{NAMESPACE}/events");
        let now = jiff::Timestamp::now();
        let body = format!(
            r#"{{"apiVersion":"events.k8s.io/v1","kind":"Event","metadata":{{"name":"{name}.{index:x}","namespace":"{NAMESPACE}"}},"eventTime":"{now:.6}","type":"Normal","reason":"Scheduled","action":"Binding","note":"Successfully assigned {NAMESPACE}/{name} to {node}","regarding":{{"apiVersion":"v1","kind":"Pod","namespace":"{NAMESPACE}","name":"{name}","uid":"{uid}"}},"reportingController":"null","reportingInstance":"null"}}"#
        );
        post(client, path, body).await
    };
    let mut placed = std::pin::pin!(stream::iter(pods.into_iter().enumerate()).map(place).buffer_unordered(IN_FLIGHT));
    while let Some(result) = placed.next().await {
        result?;
    }
    std::future::pending().await // its CPU time is read while it is there
}

async fn list(client: &Client, path: &str) -> anyhow::Result<Vec<Item>> {
    let list: List = client.request(Request::get(path).body(Vec::new())?).await?;
    Ok(list.items)
}

async fn post(client: &Client, path: String, body: String) -> anyhow::Result<()> {
    let request = Request::post(path).header("content-type", "application/json").body(Body::from(body.into_bytes()))?;
    let answer = client.send(request).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    anyhow::ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
    Ok(())
}
