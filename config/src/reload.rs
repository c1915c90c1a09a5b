//! Which changes of the configuration need a restart.

use serde_json::Value;

use crate::describe;
use crate::scheduler::SchedulerConfiguration;
use crate::schema::What;

/// The fields that differ and cannot take effect in a running scheduler, in the order of the file; empty if all that differs
/// can. Which can is said where each field is defined, and in the reference.
pub fn needs_restart(old: &SchedulerConfiguration, new: &SchedulerConfiguration) -> Vec<String> {
    let (Ok(old), Ok(new)) = (serde_json::to_value(old), serde_json::to_value(new)) else { return Vec::new() };
    let at = |value: &Value, path: &str| value.pointer(&format!("/{}", path.replace('.', "/"))).cloned();
    let shape = describe::shape();
    let fields = describe::fields(&shape).into_iter();
    let whole = fields.filter(|field| !matches!(field.shape.what, What::Map { .. }) && !field.path.contains("[]"));
    whole
        .filter(|field| !field.shape.reload && at(&old, &field.path) != at(&new, &field.path))
        .map(|field| field.path)
        .collect()
}
