//! Who may do what: service accounts with the rights of a role, and our custom resources' definitions.

use std::fs;
use std::path::PathBuf;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, RoleRef, Subject};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DynamicObject, GroupVersionKind, ObjectMeta, Patch, PatchParams, PostParams};
use kube::config::{AuthInfo, Kubeconfig};
use kube::discovery::{self, Scope};
use kube::runtime::conditions::is_crd_established;
use kube::{Api, Config, ResourceExt};
use serde_json::json;

use crate::{ControlPlane, Error};

/// How long a token holds, which is longer than any test runs.
const TOKEN_SECONDS: i64 = 4 * 3600;

impl ControlPlane {
    /// How a program connects that runs as a service account: its token, no certificate. The account is created, and `role` with
    /// it, which it may use everywhere; without a role it may do what anybody may who has logged in. Ready for `Client::try_from`.
    ///
    /// # Errors
    /// What the API server says; account and role must be new.
    pub async fn service_account(
        &self,
        namespace: &str,
        name: &str,
        role: Option<&ClusterRole>,
    ) -> Result<Config, Error> {
        let client = self.client()?;
        let create = PostParams::default();
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
        accounts.create(&create, &ServiceAccount { metadata: named(name), ..ServiceAccount::default() }).await?;
        if let Some(role) = role {
            Api::all(client.clone()).create(&create, role).await?;
            let binding = bound(namespace, name, &role.name_any());
            Api::all(client).create(&create, &binding).await?;
        }
        let token = self.token(namespace, name).await?;
        let mut config = self.config();
        config.auth_info = AuthInfo { token: Some(token.into()), ..AuthInfo::default() };
        Ok(config)
    }

    /// A token of a service account, which holds for longer than any test runs.
    ///
    /// # Errors
    /// What the API server says; the account must exist.
    pub async fn token(&self, namespace: &str, name: &str) -> Result<String, Error> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client()?, namespace);
        let spec = TokenRequestSpec { expiration_seconds: Some(TOKEN_SECONDS), ..TokenRequestSpec::default() };
        let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
        let answer = accounts.create_token_request(name, &PostParams::default(), &request).await?;
        Ok(answer.status.and_then(|status| status.token).unwrap_or_default())
    }

    /// Creates whatever the YAML documents describe, as `kubectl apply` does, and waits for definitions to be served. Other kinds
    /// of a definition's own group can follow in the same text.
    ///
    /// # Errors
    /// What is no object, and what the API server says.
    pub async fn apply(&self, yaml: &str) -> Result<(), Error> {
        let client = self.client()?;
        for document in yaml.split("\n---\n") {
            let object: DynamicObject = serde_saphyr::from_str(document).map_err(Error::yaml)?;
            let types = object.types.clone().unwrap_or_default();
            let kind = GroupVersionKind::try_from(&types).map_err(Error::yaml)?;
            let (resource, capabilities) = discovery::pinned_kind(&client, &kind).await?;
            let api: Api<DynamicObject> = match (&capabilities.scope, &object.metadata.namespace) {
                (Scope::Namespaced, Some(namespace)) => Api::namespaced_with(client.clone(), namespace, &resource),
                (Scope::Namespaced, None) => Api::default_namespaced_with(client.clone(), &resource),
                (Scope::Cluster, _) => Api::all_with(client.clone(), &resource),
            };
            let name = object.name_any();
            api.patch(&name, &PatchParams::apply("berth-controlplane"), &Patch::Apply(&object)).await?;
            if resource.kind == "CustomResourceDefinition" {
                let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
                self.until(&definitions, &name, "the definition is served", is_crd_established()).await?;
            }
        }
        Ok(())
    }

    /// Writes a kubeconfig with which a program is this service account, which must exist; says where it is.
    ///
    /// # Errors
    /// What the API server says, and what keeps the file from being written.
    pub async fn kubeconfig_of(&self, namespace: &str, name: &str) -> Result<PathBuf, Error> {
        let token = self.token(namespace, name).await?;
        let mut kubeconfig = serde_json::to_value(Kubeconfig::read_from(self.kubeconfig())?).map_err(Error::yaml)?;
        // The types of a kubeconfig keep secrets from being printed, also into a file.
        for user in kubeconfig["users"].as_array_mut().into_iter().flatten() {
            user["user"] = json!({ "token": token });
        }
        let path = self.folder().join(format!("{name}.kubeconfig"));
        fs::write(&path, kubeconfig.to_string()).map_err(Error::io("write", &path))?;
        Ok(path)
    }

    /// Creates definitions of custom resources and waits until the API server serves them.
    ///
    /// # Errors
    /// What the API server says of a definition.
    pub async fn define(&self, definitions: &[CustomResourceDefinition]) -> Result<(), Error> {
        let api: Api<CustomResourceDefinition> = Api::all(self.client()?);
        for definition in definitions {
            api.create(&PostParams::default(), definition).await?;
        }
        for definition in definitions {
            self.until(&api, &definition.name_any(), "the definition is served", is_crd_established()).await?;
        }
        Ok(())
    }
}

fn bound(namespace: &str, account: &str, role: &str) -> ClusterRoleBinding {
    ClusterRoleBinding {
        metadata: named(&format!("{namespace}-{account}")),
        role_ref: RoleRef {
            api_group: Some("rbac.authorization.k8s.io".into()),
            kind: "ClusterRole".into(),
            name: role.into(),
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".into(),
            name: account.into(),
            namespace: Some(namespace.into()),
            ..Subject::default()
        }]),
    }
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }
}
