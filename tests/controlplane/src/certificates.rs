//! The certificates of one control plane: a CA of its own, and what it signs. Owns the files under the plane's folder.

use std::fs;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use crate::Error;

/// Who a client certificate is made for. RBAC at bootstrap knows all of them.
pub(crate) const ADMIN: &str = "admin";
pub(crate) const SCHEDULER: &str = "system:kube-scheduler";
pub(crate) const CONTROLLER_MANAGER: &str = "system:kube-controller-manager";

/// The group that may do anything.
const MASTERS: &str = "system:masters";

/// Writes `ca.crt`, `server.{crt,key}`, `sa.{key,pub}` and, for each client, `<name without system:>.{crt,key}`.
pub(crate) fn write(folder: &Path) -> Result<(), Error> {
    let key = KeyPair::generate()?;
    let mut params = named("berth-test-ca", None)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    save(folder, "ca.crt", &params.self_signed(&key)?.pem())?;
    let ca = Issuer::new(params, key);

    let mut server = CertificateParams::new(["127.0.0.1", "localhost", "kubernetes.default.svc"].map(str::to_owned))?;
    server.distinguished_name.push(DnType::CommonName, "kube-apiserver");
    sign(folder, "server", server, ExtendedKeyUsagePurpose::ServerAuth, &ca)?;
    for (client, group) in [(ADMIN, Some(MASTERS)), (SCHEDULER, None), (CONTROLLER_MANAGER, None)] {
        sign(folder, file_stem(client), named(client, group)?, ExtendedKeyUsagePurpose::ClientAuth, &ca)?;
    }

    let tokens = KeyPair::generate()?;
    save(folder, "sa.key", &tokens.serialize_pem())?;
    save(folder, "sa.pub", &tokens.public_key_pem())
}

/// A kubeconfig for one of the clients, with paths into `folder`.
pub(crate) fn kubeconfig(folder: &Path, client: &str, server: &str) -> String {
    let stem = file_stem(client);
    let folder = folder.display();
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: test
  cluster: {{server: '{server}', certificate-authority: '{folder}/ca.crt'}}
users:
- name: test
  user: {{client-certificate: '{folder}/{stem}.crt', client-key: '{folder}/{stem}.key'}}
contexts:
- name: test
  context: {{cluster: test, user: test}}
current-context: test
"
    )
}

/// The client's name without what colons do to file names.
pub(crate) fn file_stem(client: &str) -> &str {
    client.strip_prefix("system:").unwrap_or(client)
}

fn named(common_name: &str, organisation: Option<&str>) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    if let Some(organisation) = organisation {
        params.distinguished_name.push(DnType::OrganizationName, organisation);
    }
    Ok(params)
}

fn sign(
    folder: &Path,
    stem: &str,
    mut params: CertificateParams,
    purpose: ExtendedKeyUsagePurpose,
    ca: &Issuer<'_, KeyPair>,
) -> Result<(), Error> {
    let key = KeyPair::generate()?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![purpose];
    save(folder, &format!("{stem}.crt"), &params.signed_by(&key, ca)?.pem())?;
    save(folder, &format!("{stem}.key"), &key.serialize_pem())
}

fn save(folder: &Path, name: &str, text: &str) -> Result<(), Error> {
    let path = folder.join(name);
    fs::write(&path, text).map_err(Error::io("write", &path))
}
