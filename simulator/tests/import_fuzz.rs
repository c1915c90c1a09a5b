//! Node and pod lists in openb form as properties: what is written is read back, and no bytes bring the reader down.
//! More cases than the default: `PROPTEST_CASES=20000 cargo test -p berth --test import_fuzz`.

use std::io::{self, Read};

use berth::input::InputError;
use berth::openb::{
    CPU_MILLI_MAX, GPUS_MAX, INSTANT_S_MAX, MEMORY_MIB_MAX, RUNTIME_S_MAX, parse_nodes, parse_pods, write_nodes,
    write_pods,
};
use berth::trace::{NodeRow, PodRow, PodTimes};
use proptest::prelude::*;
use proptest::sample::{Index, select};

const NODES: &str = "sn,cpu_milli,memory_mib,gpu,model\n";
const PODS: &str = "name,cpu_milli,memory_mib,num_gpu,gpu_milli\n";
const TIMED: &str = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,creation_time,deletion_time,scheduled_time\n";

fn nodes(text: impl AsRef<[u8]>) -> Result<Vec<NodeRow>, InputError> {
    parse_nodes(text.as_ref(), "nodes.csv")
}

fn pods(text: impl AsRef<[u8]>) -> Result<Vec<PodRow>, InputError> {
    parse_pods(text.as_ref(), "pods.csv")
}

/// Names that try the quoting: commas, quotes, blanks inside, other scripts, what looks like a number.
fn a_name() -> impl Strategy<Value = String> {
    "[-a-z0-9,\"'|=é中][-a-z0-9,\"'|=é中 ]{0,8}[-a-z0-9,\"'|=é中]"
}

fn a_model() -> impl Strategy<Value = String> {
    "[A-Z0-9,\"]{1,6}"
}

fn some_nodes() -> impl Strategy<Value = Vec<NodeRow>> {
    let gpus = prop_oneof![Just((0, String::new())), (1..=GPUS_MAX, a_model())];
    let node = (0..=CPU_MILLI_MAX, 0..=MEMORY_MIB_MAX, gpus);
    prop::collection::btree_map(a_name(), node, 0..12).prop_map(|nodes| {
        let row = |(name, (cpu_milli, memory_mib, (gpus, model)))| NodeRow { name, cpu_milli, memory_mib, gpus, model };
        nodes.into_iter().map(row).collect()
    })
}

fn some_pods() -> impl Strategy<Value = Vec<PodRow>> {
    let gpu = prop_oneof![Just((0, 0)), (Just(1), 1..=1000_u32), (2..=GPUS_MAX, Just(1000))];
    let spec = prop::collection::vec(a_model(), 0..4);
    let qos = select(vec!["", "LS", "BE", "best, effort"]);
    let times = (0..=INSTANT_S_MAX - RUNTIME_S_MAX, 0..=RUNTIME_S_MAX);
    let pod = (0..=CPU_MILLI_MAX, 0..=MEMORY_MIB_MAX, gpu, spec, qos, prop_oneof![Just(0), any::<i32>()], times);
    (prop::collection::btree_map(a_name(), pod, 0..12), any::<bool>()).prop_map(|(pods, timed)| {
        let row = |(name, (cpu_milli, memory_mib, (num_gpu, gpu_milli), gpu_spec, qos, priority, times))| {
            let qos: &str = qos;
            let (arrival_s, runtime_s) = times;
            let times = timed.then_some(PodTimes { arrival_s, runtime_s });
            PodRow { name, cpu_milli, memory_mib, num_gpu, gpu_milli, gpu_spec, priority, qos: qos.to_owned(), times }
        };
        pods.into_iter().map(row).collect()
    })
}

/// Gives its bytes a few at a time, as a pipe may, with interruptions.
struct Trickle<'b>(&'b [u8], usize);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.1 += 1;
        match self.1 % 3 {
            0 => Err(io::ErrorKind::Interrupted.into()),
            count => {
                let count = count.min(buffer.len());
                self.0.read(&mut buffer[..count])
            }
        }
    }
}

/// Whatever the bytes: an answer without a panic, a message that names the file, the same however the bytes arrive,
/// and if there are rows, rows that can be written and read back.
fn check_survives(bytes: &[u8]) -> Result<(), TestCaseError> {
    let (node_rows, pod_rows) = (nodes(bytes), pods(bytes));
    match &node_rows {
        Ok(rows) => {
            let mut text = Vec::new();
            write_nodes(&mut text, rows)?;
            prop_assert_eq!(&nodes(text)?, rows);
        }
        Err(error) => prop_assert!(error.to_string().starts_with("nodes.csv:")),
    }
    match &pod_rows {
        Ok(rows) => {
            let mut text = Vec::new();
            write_pods(&mut text, rows)?;
            prop_assert_eq!(&pods(text)?, rows);
        }
        Err(error) => prop_assert!(error.to_string().starts_with("pods.csv:")),
    }
    let slowly = parse_pods(Trickle(bytes, 0), "pods.csv");
    prop_assert_eq!(format!("{pod_rows:?}"), format!("{slowly:?}"));
    Ok(())
}

/// One way to spoil a file.
#[derive(Debug, Clone)]
enum Spoil {
    Flip(Index, u8),
    Truncate(Index),
    Splice(Index, Index, usize),
    Insert(Index, &'static [u8]),
}

fn a_spoil() -> impl Strategy<Value = Spoil> {
    let pieces: [&[u8]; 10] = [
        b"99999999999999999999999999999999999999999",
        b"18446744073709551615",
        b"-1",
        b"\"",
        b"\n",
        b"\r",
        b",",
        b"\xff\xfe",
        b"\0",
        "\u{feff}".as_bytes(),
    ];
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Spoil::Flip(at, byte)),
        any::<Index>().prop_map(Spoil::Truncate),
        (any::<Index>(), any::<Index>(), 0..80_usize).prop_map(|(from, to, count)| Spoil::Splice(from, to, count)),
        (any::<Index>(), select(pieces.to_vec())).prop_map(|(at, piece)| Spoil::Insert(at, piece)),
    ]
}

fn spoil(bytes: &mut Vec<u8>, how: &Spoil) {
    let length = bytes.len();
    let at = |index: &Index| index.index(length + 1);
    match how {
        Spoil::Flip(index, byte) => bytes.iter_mut().skip(at(index)).take(1).for_each(|it| *it ^= byte),
        Spoil::Truncate(index) => bytes.truncate(at(index)),
        Spoil::Splice(from, to, count) => {
            let piece: Vec<u8> = bytes.iter().copied().skip(at(from)).take(*count).collect();
            bytes.splice(at(to)..at(to), piece);
        }
        Spoil::Insert(index, piece) => {
            bytes.splice(at(index)..at(index), piece.iter().copied());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nodes_written_are_read_back(rows in some_nodes()) {
        let mut text = Vec::new();
        write_nodes(&mut text, &rows)?;
        prop_assert_eq!(nodes(text)?, rows);
    }

    #[test]
    fn pods_written_are_read_back(rows in some_pods()) {
        let mut text = Vec::new();
        write_pods(&mut text, &rows)?;
        prop_assert_eq!(pods(text)?, rows);
    }

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        check_survives(&bytes)?;
    }

    #[test]
    fn any_cells_below_a_right_header_are_answered(cells in "[-0-9a,\"\r\n|é ]{0,120}") {
        for header in [NODES, PODS, TIMED] {
            check_survives(format!("{header}{cells}").as_bytes())?;
        }
    }

    #[test]
    fn spoilt_lists_are_answered(
        node_rows in some_nodes(),
        pod_rows in some_pods(),
        spoils in prop::collection::vec(a_spoil(), 1..5),
    ) {
        let (mut node_text, mut pod_text) = (Vec::new(), Vec::new());
        write_nodes(&mut node_text, &node_rows)?;
        write_pods(&mut pod_text, &pod_rows)?;
        for mut text in [node_text, pod_text] {
            spoils.iter().for_each(|how| spoil(&mut text, how));
            check_survives(&text)?;
        }
    }
}
