//! Node and pod lists in the form of the openb trace: one CSV file each, columns found by name.
//! Owns what the columns mean and which values go together; the CSV form itself is `table`'s.
//!
//! Nodes: `sn`, `cpu_milli`, `memory_mib`, `gpu`, `model`. Pods: `name`, `cpu_milli`, `memory_mib`, `num_gpu`,
//! `gpu_milli`, and where wanted `gpu_spec` (models joined by `|`), `qos`, `creation_time` with `deletion_time`,
//! `scheduled_time`, and `priority` (ours). Other columns, such as `pod_phase`, are not read.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use crate::input::{Excerpt, InputError, Place, shown_path};
use crate::table::{Column, Limits, Names, Row, Table, is_plain};
use crate::trace::{NodeRow, PodRow, PodTimes};

/// Most CPU of one node or pod, thousandths of a core: a million cores, a thousand times the largest machine.
/// A million such rows sum to 10^15, so sums over a list, also weighted by a thousand, stay in 64 bits.
pub const CPU_MILLI_MAX: u64 = 1_000_000_000;

/// Most memory of one node or pod, MiB: 16 TiB (2^44 bytes), 16 times the largest openb node. A million such rows stay
/// below 2^64 bytes.
pub const MEMORY_MIB_MAX: u64 = 16 << 20;

/// Most GPUs of one node or pod: the engine's limit of GPUs in one node.
pub const GPUS_MAX: u32 = berth_engine::cluster::GPUS_PER_NODE_MAX as u32;

/// Latest instant, seconds: leaves room for clocks that count from 1970, until the year 2106.
pub const INSTANT_S_MAX: u64 = u32::MAX as u64;

/// Longest run time, seconds: ten years. The GPU time of a million such pods of 16 GPUs (5 * 10^18 in thousandths of a
/// GPU times seconds) stays in 64 bits.
pub const RUNTIME_S_MAX: u64 = 10 * 365 * 24 * 3600;

/// Columns that every node list has, in the order in which they are written.
const NODE_COLUMNS: [&str; 5] = ["sn", "cpu_milli", "memory_mib", "gpu", "model"];

/// Columns that every pod list has, in the order in which they are written.
const POD_COLUMNS: [&str; 5] = ["name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli"];

/// Columns that openb's own full lists have besides, in the order in which they are written.
const POD_COLUMNS_OPTIONAL: [&str; 6] =
    ["gpu_spec", "qos", "pod_phase", "creation_time", "deletion_time", "scheduled_time"];

/// What to do about a column that every list of its kind has.
const NEEDED: &str = "add it, or rename the one that holds it";

/// What to do about one of the columns of times without the others.
const NEEDED_FOR_TIMES: &str = "a list with times has both `creation_time` and `deletion_time`; \
                                add it, or remove the other columns of times";

/// What a model's name may be: several of them are joined by `|` in `gpu_spec`.
const MODEL_EXPECTED: &str = "a GPU model without `|`";

/// Reads the node list at `path`.
pub fn read_nodes(path: &Path) -> Result<Vec<NodeRow>, InputError> {
    parse_nodes(open(path)?, &shown_path(path))
}

/// Reads the pod list at `path`.
pub fn read_pods(path: &Path) -> Result<Vec<PodRow>, InputError> {
    parse_pods(open(path)?, &shown_path(path))
}

fn open(path: &Path) -> Result<File, InputError> {
    File::open(path).map_err(|source| InputError::Unreadable { file: shown_path(path), source })
}

/// Reads a node list from `input`, in small pieces, so it needs no buffer; messages name it `file`.
pub fn parse_nodes(input: impl Read, file: &str) -> Result<Vec<NodeRow>, InputError> {
    let mut table = Table::open(input, file, Limits::STANDARD, &NODE_COLUMNS)?;
    let columns = NodeColumns::find(&table)?;
    let (mut nodes, mut names) = (Vec::new(), Names::default());
    while let Some(row) = table.row()? {
        nodes.push(node(&row, &columns, &mut names)?);
    }
    Ok(nodes)
}

/// Reads a pod list from `input`, in small pieces, so it needs no buffer; messages name it `file`.
///
/// A pod arrives at its creation. It runs from its scheduling to its deletion, or from its creation where it never was
/// scheduled (openb's `Pending` pods). A list whose `deletion_time` is empty throughout has no times, and then its
/// other times are not read.
pub fn parse_pods(input: impl Read, file: &str) -> Result<Vec<PodRow>, InputError> {
    let mut table = Table::open(input, file, Limits::STANDARD, &POD_COLUMNS)?;
    let columns = PodColumns::find(&table)?;
    let (mut pods, mut names, mut timed) = (Vec::new(), Names::default(), Timed::default());
    while let Some(row) = table.row()? {
        if let Some(times) = columns.times {
            timed.note(&row, times.deletion)?;
        }
        pods.push(pod(&row, &columns, &mut names)?);
    }
    Ok(pods)
}

struct NodeColumns {
    name: Column,
    cpu: Column,
    memory: Column,
    gpus: Column,
    model: Column,
}

impl NodeColumns {
    fn find<R: Read>(table: &Table<R>) -> Result<Self, InputError> {
        let [name, cpu, memory, gpus, model] = NODE_COLUMNS;
        Ok(Self {
            name: table.require(name, NEEDED)?,
            cpu: table.require(cpu, NEEDED)?,
            memory: table.require(memory, NEEDED)?,
            gpus: table.require(gpus, NEEDED)?,
            model: table.require(model, NEEDED)?,
        })
    }
}

struct PodColumns {
    name: Column,
    cpu: Column,
    memory: Column,
    num_gpu: Column,
    gpu_milli: Column,
    gpu_spec: Option<Column>,
    qos: Option<Column>,
    priority: Option<Column>,
    times: Option<TimeColumns>,
}

#[derive(Clone, Copy)]
struct TimeColumns {
    creation: Column,
    deletion: Column,
    scheduled: Option<Column>,
}

impl PodColumns {
    fn find<R: Read>(table: &Table<R>) -> Result<Self, InputError> {
        let [name, cpu, memory, num_gpu, gpu_milli] = POD_COLUMNS;
        Ok(Self {
            name: table.require(name, NEEDED)?,
            cpu: table.require(cpu, NEEDED)?,
            memory: table.require(memory, NEEDED)?,
            num_gpu: table.require(num_gpu, NEEDED)?,
            gpu_milli: table.require(gpu_milli, NEEDED)?,
            gpu_spec: table.find("gpu_spec")?,
            qos: table.find("qos")?,
            priority: table.find("priority")?,
            times: TimeColumns::find(table)?,
        })
    }
}

impl TimeColumns {
    fn find<R: Read>(table: &Table<R>) -> Result<Option<Self>, InputError> {
        let scheduled = table.find("scheduled_time")?;
        if table.find("creation_time")?.or(table.find("deletion_time")?).or(scheduled).is_none() {
            return Ok(None);
        }
        let creation = table.require("creation_time", NEEDED_FOR_TIMES)?;
        let deletion = table.require("deletion_time", NEEDED_FOR_TIMES)?;
        Ok(Some(Self { creation, deletion, scheduled }))
    }
}

fn node(row: &Row<'_>, columns: &NodeColumns, names: &mut Names) -> Result<NodeRow, InputError> {
    let name = names.add(row, columns.name)?;
    let gpus = row.small(columns.gpus, GPUS_MAX)?;
    let model = row.text(columns.model)?;
    match (gpus, model) {
        (1.., "") => return Err(row.contradiction(columns.model, columns.gpus, "the model of its GPUs")),
        (0, "") => {}
        (0, _) => return Err(row.contradiction(columns.model, columns.gpus, "nothing, since the node has no GPU")),
        _ if model.contains('|') => return Err(row.fault(columns.model, MODEL_EXPECTED)),
        _ => {}
    }
    Ok(NodeRow {
        name,
        cpu_milli: row.number(columns.cpu, CPU_MILLI_MAX)?,
        memory_mib: row.number(columns.memory, MEMORY_MIB_MAX)?,
        gpus,
        model: model.to_owned(),
    })
}

fn pod(row: &Row<'_>, columns: &PodColumns, names: &mut Names) -> Result<PodRow, InputError> {
    Ok(PodRow {
        name: names.add(row, columns.name)?,
        cpu_milli: row.number(columns.cpu, CPU_MILLI_MAX)?,
        memory_mib: row.number(columns.memory, MEMORY_MIB_MAX)?,
        num_gpu: row.small(columns.num_gpu, GPUS_MAX)?,
        gpu_milli: gpu_milli(row, columns)?,
        gpu_spec: columns.gpu_spec.map(|column| gpu_spec(row, column)).transpose()?.unwrap_or_default(),
        priority: columns.priority.map(|column| row.signed(column)).transpose()?.unwrap_or_default(),
        qos: columns.qos.map(|column| row.text(column)).transpose()?.unwrap_or_default().to_owned(),
        times: columns.times.map(|columns| times(row, columns)).transpose()?.flatten(),
    })
}

/// Thousandths of each GPU, which must go with the number of GPUs.
fn gpu_milli(row: &Row<'_>, columns: &PodColumns) -> Result<u32, InputError> {
    let gpu_milli = row.small(columns.gpu_milli, 1000)?;
    let expected = match (row.small(columns.num_gpu, GPUS_MAX)?, gpu_milli) {
        (0, 0) | (1, 1..) | (2.., 1000) => return Ok(gpu_milli),
        (0, _) => "0, since the pod asks for no GPU",
        (1, _) => "1 to 1000",
        (2.., _) => "1000, since only a pod with one GPU can take a share of it",
    };
    Err(row.contradiction(columns.gpu_milli, columns.num_gpu, expected))
}

/// The models a pod may run on, as written: published runs count a list with a repeat (openb has such rows) as a class
/// of its own.
fn gpu_spec(row: &Row<'_>, column: Column) -> Result<Vec<String>, InputError> {
    let text = row.text(column)?;
    if text.is_empty() {
        return Ok(Vec::new());
    }
    if text.split('|').any(|model| model.is_empty() || !is_plain(model)) {
        return Err(row.fault(column, "GPU models joined by `|` without blanks, or nothing for any model"));
    }
    Ok(text.split('|').map(str::to_owned).collect())
}

/// The times of a row, or nothing where its deletion is empty.
fn times(row: &Row<'_>, columns: TimeColumns) -> Result<Option<PodTimes>, InputError> {
    if row.is_empty(columns.deletion) {
        return Ok(None);
    }
    let arrival_s = row.number(columns.creation, INSTANT_S_MAX)?;
    let deletion_s = row.number(columns.deletion, INSTANT_S_MAX)?;
    let (started, start_s) = match columns.scheduled.filter(|scheduled| !row.is_empty(*scheduled)) {
        Some(scheduled) => (scheduled, row.number(scheduled, INSTANT_S_MAX)?),
        None => (columns.creation, arrival_s),
    };
    if start_s < arrival_s {
        return Err(row.contradiction(started, columns.creation, "the same or later"));
    }
    match deletion_s.checked_sub(start_s) {
        Some(runtime_s @ ..=RUNTIME_S_MAX) => Ok(Some(PodTimes { arrival_s, runtime_s })),
        Some(_) => {
            let expected = format!("at most {RUNTIME_S_MAX} seconds (ten years) more");
            Err(row.contradiction(columns.deletion, started, expected))
        }
        None => Err(row.contradiction(columns.deletion, started, "the same or later")),
    }
}

/// Which rows so far have a deletion, to catch a list where only some have one.
#[derive(Default)]
struct Timed {
    first_with: Option<u64>,
    first_without: Option<Place>,
}

impl Timed {
    fn note(&mut self, row: &Row<'_>, deletion: Column) -> Result<(), InputError> {
        if row.is_empty(deletion) {
            self.first_without.get_or_insert_with(|| row.place(deletion));
        } else {
            self.first_with.get_or_insert(row.line());
        }
        let (Some(line), Some(place)) = (self.first_with, &self.first_without) else { return Ok(()) };
        let expected = format!(
            "a whole number from 0 to {INSTANT_S_MAX} as in line {line}; \
             fill it in for every pod, or for none to use the list without times"
        );
        Err(InputError::Value { place: place.clone(), found: Excerpt::of(""), expected: expected.into() })
    }
}

/// Writes a node list that [`parse_nodes`] reads back as the same rows, if they keep its rules.
pub fn write_nodes(out: &mut (impl Write + ?Sized), nodes: &[NodeRow]) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(NODE_COLUMNS)?;
    for node in nodes {
        let numbers = [node.cpu_milli, node.memory_mib, u64::from(node.gpus)].map(|number| number.to_string());
        let [cpu, memory, gpus] = &numbers;
        csv.write_record([&node.name, cpu, memory, gpus, &node.model])?;
    }
    csv.flush()
}

/// Writes a pod list that [`parse_pods`] reads back as the same rows, if they keep its rules.
///
/// The columns are those of openb's full lists, `pod_phase` and `scheduled_time` left empty (a pod is taken to start
/// when it arrives), and `priority` only where a pod has one. Fails without writing if some pods have times and others
/// not, or if a pod would end after [`INSTANT_S_MAX`]: such a list could not be read back.
pub fn write_pods(out: &mut (impl Write + ?Sized), pods: &[PodRow]) -> io::Result<()> {
    let times = pods.iter().map(times_text).collect::<io::Result<Vec<_>>>()?;
    if pods.windows(2).any(|pair| pair[0].times.is_some() != pair[1].times.is_some()) {
        return Err(invalid("either all pods of a list have times, or none".to_owned()));
    }
    let with_priority = pods.iter().any(|pod| pod.priority != 0);
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(POD_COLUMNS.into_iter().chain(POD_COLUMNS_OPTIONAL).chain(with_priority.then_some("priority")))?;
    for (pod, [creation, deletion]) in pods.iter().zip(times) {
        csv.write_field(&pod.name)?;
        for number in [pod.cpu_milli, pod.memory_mib, u64::from(pod.num_gpu), u64::from(pod.gpu_milli)] {
            csv.write_field(number.to_string())?;
        }
        for text in [&pod.gpu_spec.join("|"), &pod.qos, "", &creation, &deletion, ""] {
            csv.write_field(text)?;
        }
        if with_priority {
            csv.write_field(pod.priority.to_string())?;
        }
        csv.write_record(None::<&[u8]>)?;
    }
    csv.flush()
}

/// Creation and deletion as they are written; both empty for a pod without times.
fn times_text(pod: &PodRow) -> io::Result<[String; 2]> {
    let Some(times) = pod.times else { return Ok([String::new(), String::new()]) };
    let deletion_s = times.arrival_s.checked_add(times.runtime_s).filter(|instant| *instant <= INSTANT_S_MAX);
    match deletion_s {
        Some(deletion_s) => Ok([times.arrival_s.to_string(), deletion_s.to_string()]),
        None => Err(invalid(format!("pod `{}` would end after second {INSTANT_S_MAX}", pod.name))),
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
