//! From objects of the API to what the engine knows. Owns the units: objects have quantities, the engine thousandths and MiB.

use std::collections::BTreeMap;

use berth_engine::{self as engine, QueueId};

use super::{Amount, DecayedUsage, Queue, Quota};
use crate::problem::{Problem, Problems, below, excerpt};
use crate::quantity::Quantity;
use crate::units::Duration;

/// What the engine must know of a queue. `id_of` is the engine's number of a queue by its name.
///
/// # Errors
/// Everything that is wrong with the object, each with its field. The API server refuses most of it, but not what was
/// written before a rule was there, nor a parent that does not exist (any more). Worth a retry when the object changes or,
/// for the parent, when that appears.
pub fn queue_spec(queue: &Queue, id_of: impl Fn(&str) -> Option<QueueId>) -> Result<engine::QueueSpec, Problems> {
    let name = queue.metadata.name.clone().unwrap_or_default();
    let mut reader = Reader::default();
    let spec = &queue.spec;
    let parent = spec.parent.as_deref().and_then(|parent| {
        let id = id_of(parent).filter(|_| parent != name);
        if id.is_none() {
            let text =
                if parent == name { "a queue cannot be its own parent" } else { "there is no such queue; create it" };
            reader.wrong("spec.parent", format!("found {}: {text}, or name another one", excerpt(parent)));
        }
        id
    });
    let resources = &spec.resources;
    let gpu = reader.quota(resources.gpu.as_ref(), Unit::Milli, "spec.resources.gpu");
    let cpu = reader.quota(resources.cpu.as_ref(), Unit::Milli, "spec.resources.cpu");
    let memory = reader.quota(resources.memory.as_ref(), Unit::Mebi, "spec.resources.memory");
    let mut gpu_models = BTreeMap::new();
    for (index, model) in spec.gpu_models.iter().enumerate() {
        let path = format!("spec.gpuModels[{index}]");
        let (deserved, limit) = (model.deserved.clone(), model.limit.clone());
        let quota = Quota { deserved, limit, over_quota_weight: model.over_quota_weight };
        let quota = reader.quota(Some(&quota), Unit::Milli, &path);
        if gpu_models.insert(model.model.clone(), quota).is_some() {
            reader.wrong(&below(&path, "model"), format!("found {} twice; remove one", excerpt(&model.model)));
        }
    }
    let reclaim_min_runtime_ms = reader.runtime(spec.min_runtime.reclaim.as_deref(), "spec.minRuntime.reclaim");
    let preempt_min_runtime_ms = reader.runtime(spec.min_runtime.preempt.as_deref(), "spec.minRuntime.preempt");
    if !reader.problems.is_empty() {
        return Err(Problems::of(&format!("Queue {}", excerpt(&name)), reader.problems));
    }
    Ok(engine::QueueSpec {
        name,
        parent,
        priority: spec.priority.into(),
        gpu,
        cpu,
        memory,
        gpu_models,
        reclaim_min_runtime_ms,
        preempt_min_runtime_ms,
    })
}

/// What the engine counts a resource in.
#[derive(Clone, Copy)]
enum Unit {
    Milli,
    Mebi,
}

/// Collects what is wrong.
#[derive(Default)]
struct Reader {
    problems: Vec<Problem>,
}

impl Reader {
    fn wrong(&mut self, field: &str, text: impl Into<String>) {
        self.problems.push(Problem { at: None, field: field.to_owned(), text: text.into() });
    }

    /// A resource that is not named is without bound; of one that is, nothing is deserved unless it says so.
    fn quota(&mut self, quota: Option<&Quota>, unit: Unit, path: &str) -> engine::Quota {
        let Some(quota) = quota else { return engine::Quota::UNLIMITED };
        let deserved =
            quota.deserved.as_ref().map_or(Some(0), |amount| self.amount(amount, unit, &below(path, "deserved")));
        let limit = quota.limit.as_ref().and_then(|amount| self.amount(amount, unit, &below(path, "limit")));
        if let (Some(deserved), Some(limit)) = (deserved, limit)
            && deserved > limit
        {
            let found = quota.deserved.as_ref().map_or("0", |amount| &amount.0);
            let most = quota.limit.as_ref().map_or("0", |amount| &amount.0);
            let text = format!(
                "found {}, more than the limit {}; lower it, or raise the limit",
                excerpt(found),
                excerpt(most)
            );
            self.wrong(&below(path, "deserved"), text);
        }
        if quota.over_quota_weight < 0 {
            let text = format!("found `{}`, expected 0 or more", quota.over_quota_weight);
            self.wrong(&below(path, "overQuotaWeight"), text);
        }
        engine::Quota { deserved, limit, over_quota_weight: quota.over_quota_weight.into() }
    }

    fn amount(&mut self, amount: &Amount, unit: Unit, path: &str) -> Option<i64> {
        let wrong = |said: &str| format!("found {}, {said}", excerpt(&amount.0));
        let read = amount.0.parse::<Quantity>().map_err(|said| wrong(&said)).and_then(|quantity| match unit {
            _ if quantity.milli() < 0 => Err(wrong("expected 0 or more")),
            Unit::Milli if !quantity.is_milli() => Err(wrong("expected whole thousandths, such as `500m`")),
            Unit::Milli => Ok(quantity.milli()),
            Unit::Mebi => Ok(quantity.whole() >> 20),
        });
        read.map_err(|said| self.wrong(path, said)).ok()
    }

    /// 0 is unset for the engine.
    fn runtime(&mut self, text: Option<&str>, path: &str) -> u64 {
        let Some(text) = text else { return 0 };
        match text.parse::<Duration>() {
            Ok(duration) => duration.ms(),
            Err(said) => {
                self.wrong(path, format!("found {}, {said}", excerpt(text)));
                0
            }
        }
    }
}

/// One GPU-second, in what the engine counts usage in: thousandths of a GPU times ms.
const GPU_SECOND: u128 = 1_000_000;

impl DecayedUsage {
    /// Usage as the engine reads it (thousandths of a GPU times ms), as of a moment (RFC 3339).
    pub fn new(amount_ms: u128, at: String) -> Self {
        let (whole, micro) = (amount_ms / GPU_SECOND, amount_ms % GPU_SECOND);
        DecayedUsage { gpu_seconds: Amount(format!("{whole}.{micro:06}")), at }
    }
}

/// What the engine is told of usage that was written down: thousandths of a GPU times ms.
///
/// # Errors
/// When it is no quantity of 0 or more; the message names the field. Then the queue starts with none.
pub fn usage_ms(usage: &DecayedUsage) -> Result<u128, String> {
    let text = &usage.gpu_seconds.0;
    let wrong =
        || format!("status.decayedUsage.gpuSeconds: found {}, expected GPU-seconds, such as `12.5`", excerpt(text));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 6 {
        return Err(wrong());
    }
    let whole: u128 = whole.parse().map_err(|_| wrong())?;
    let micro: u128 = format!("{fraction:0<6}").parse().map_err(|_| wrong())?;
    whole.checked_mul(GPU_SECOND).and_then(|usage| usage.checked_add(micro)).ok_or_else(wrong)
}
