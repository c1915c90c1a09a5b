//! What a pod asks for of GPUs: by resources, and by annotations that ask for a share of one. Owns reading both.

use std::collections::BTreeMap;

use berth_config::{Quantity, names};
use berth_engine::{GpuRequest, MilliGpu, Share, ShareSize};

use crate::problem::{Fault, found};
use crate::resources::Sum;

/// Whole GPUs and MIG instances that a sum of resources asks for.
pub(crate) fn of_resources(sum: &Sum) -> Result<(GpuRequest, Vec<(String, u32)>), Fault> {
    let count = |name: &str| {
        let amount = sum.whole(name);
        u32::try_from(amount).map_err(|_| {
            let what = format!("asks for {amount} of {name}");
            Fault::refused("spec.containers[].resources.requests", what, "ask for as many as a node can have")
        })
    };
    let whole = count(names::GPU_RESOURCE)?;
    let mut mig = Vec::new();
    for name in sum.names() {
        if let Some(profile) = name.strip_prefix(names::MIG_RESOURCE) {
            mig.push((profile.to_owned(), count(name)?));
        }
    }
    if whole > 0 && !mig.is_empty() {
        let what = "asks for whole GPUs and MIG instances together";
        return Err(Fault::refused("spec.containers[].resources.requests", what, "split it into two pods"));
    }
    let gpu = if whole > 0 { GpuRequest::Whole(whole as usize) } else { GpuRequest::None };
    Ok((gpu, mig))
}

/// The share of a GPU that annotations ask for, ours first, then KAI's.
///
/// # Errors
/// The annotation that makes no sense, or two that contradict each other.
pub(crate) fn share(annotations: &BTreeMap<String, String>) -> Result<Option<Share>, Fault> {
    let asked = [
        (names::GPU_MILLI, milli as fn(&str) -> Option<ShareSize>),
        (names::GPU_MEMORY_MIB, memory),
        (names::KAI_GPU_FRACTION, fraction),
        (names::KAI_GPU_MEMORY, memory),
    ];
    let mut found_size: Option<(&str, ShareSize)> = None;
    for (name, read) in asked {
        let Some(text) = annotations.get(name) else { continue };
        let size = read(text.trim()).ok_or_else(|| {
            let remedy = "write thousandths from 1 to 999, a fraction between 0 and 1, or whole MiB of memory";
            Fault::refused(field(name), found(text), remedy)
        })?;
        if let Some((other, known)) = found_size
            && known != size
        {
            let what = format!("contradicts `{other}`");
            return Err(Fault::refused(field(name), what, "keep one of them"));
        }
        found_size.get_or_insert((name, size));
    }
    let Some((_, size)) = found_size else { return Ok(None) };
    let devices =
        match annotations.get(names::KAI_GPU_DEVICES) {
            None => 1,
            Some(text) => text.trim().parse().ok().filter(|devices| (1..=16).contains(devices)).ok_or_else(|| {
                Fault::refused(field(names::KAI_GPU_DEVICES), found(text), "write a number from 1 to 16")
            })?,
        };
    Ok(Some(Share { size, devices }))
}

/// Where an annotation stands.
pub(crate) fn field(annotation: &str) -> String {
    format!("metadata.annotations[{annotation}]")
}

fn milli(text: &str) -> Option<ShareSize> {
    let milli = text.parse().ok().filter(|milli| (1..1000).contains(milli))?;
    Some(ShareSize::Milli(MilliGpu(milli)))
}

fn memory(text: &str) -> Option<ShareSize> {
    text.parse().ok().filter(|mib| *mib > 0).map(ShareSize::Memory)
}

/// A fraction in thousandths, rounded up: nobody gets less than asked for. Plain decimals only, so neither `nan` nor `1e-9`.
fn fraction(text: &str) -> Option<ShareSize> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let milli = text.parse::<Quantity>().ok().filter(|_| plain)?.milli_up();
    let milli = u16::try_from(milli).ok().filter(|milli| (1..1000).contains(milli))?;
    Some(ShareSize::Milli(MilliGpu(milli)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_from_our_annotations_and_those_of_kai() {
        let share = |size, devices| Some(Share { size, devices });
        let milli = |milli, devices| share(ShareSize::Milli(MilliGpu(milli)), devices);
        type Annotations<'a> = &'a [(&'a str, &'a str)];
        let cases: [(Annotations<'_>, Option<Share>); 7] = [
            (&[], None),
            (&[("berth.dev/gpu-milli", "250")], milli(250, 1)),
            (&[("berth.dev/gpu-memory-mib", "4096")], share(ShareSize::Memory(4096), 1)),
            (&[("gpu-fraction", "0.5")], milli(500, 1)),
            (&[("gpu-fraction", "0.3333")], milli(334, 1)),
            (&[("gpu-memory", "2000"), ("gpu-fraction-num-devices", "2")], share(ShareSize::Memory(2000), 2)),
            (&[("gpu-fraction", "0.25"), ("berth.dev/gpu-milli", "250")], milli(250, 1)),
        ];
        for (annotations, expected) in cases {
            assert_eq!(super::share(&owned(annotations)), Ok(expected), "{annotations:?}");
        }
    }

    #[test]
    fn shares_that_make_no_sense_are_refused() {
        let cases: [&[(&str, &str)]; 11] = [
            &[("berth.dev/gpu-milli", "0")],
            &[("berth.dev/gpu-milli", "1000")],
            &[("berth.dev/gpu-milli", "-5")],
            &[("berth.dev/gpu-memory-mib", "4Gi")],
            &[("gpu-fraction", "NaN")],
            &[("gpu-fraction", "1")],
            &[("gpu-fraction", "0")],
            &[("gpu-fraction", "1e-1")],
            &[("gpu-fraction", "0.5"), ("gpu-fraction-num-devices", "17")],
            &[("gpu-fraction", "0.5"), ("gpu-memory", "100")],
            &[("gpu-memory", "é")],
        ];
        for annotations in cases {
            assert!(super::share(&owned(annotations)).is_err(), "{annotations:?}");
        }
    }

    fn owned(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }
}
