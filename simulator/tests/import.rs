//! Node and pod lists in openb form: what rows mean, and each fault with its whole message.

use std::io::{self, Read};

use berth::input::{Excerpt, InputError};
use berth::openb::{
    CPU_MILLI_MAX, GPUS_MAX, INSTANT_S_MAX, MEMORY_MIB_MAX, RUNTIME_S_MAX, parse_nodes, parse_pods, read_pods,
    write_pods,
};
use berth::table::{Limits, Table};
use berth::trace::{NodeRow, PodRow, PodTimes};

const NODES: &str = "sn,cpu_milli,memory_mib,gpu,model\n";
const PODS: &str = "name,cpu_milli,memory_mib,num_gpu,gpu_milli\n";
const TIMED: &str = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,creation_time,deletion_time,scheduled_time\n";

fn nodes(text: impl AsRef<[u8]>) -> Result<Vec<NodeRow>, InputError> {
    parse_nodes(text.as_ref(), "nodes.csv")
}

fn pods(text: impl AsRef<[u8]>) -> Result<Vec<PodRow>, InputError> {
    parse_pods(text.as_ref(), "pods.csv")
}

fn message<T>(result: Result<T, InputError>) -> String {
    result.err().map(|error| error.to_string()).unwrap_or_default()
}

/// Checks the messages of node lists with the usual header.
fn check_nodes(cases: &[(&str, &str)]) {
    for (rows, expected) in cases {
        assert_eq!(message(nodes(format!("{NODES}{rows}"))), format!("nodes.csv:{expected}"), "{rows}");
    }
}

/// Checks the messages of pod lists with the given header.
fn check_pods(header: &str, cases: &[(&str, &str)]) {
    for (rows, expected) in cases {
        assert_eq!(message(pods(format!("{header}{rows}"))), format!("pods.csv:{expected}"), "{rows}");
    }
}

fn pod(name: &str) -> PodRow {
    PodRow {
        name: name.to_owned(),
        cpu_milli: 1000,
        memory_mib: 64,
        num_gpu: 1,
        gpu_milli: 500,
        gpu_spec: Vec::new(),
        priority: 0,
        qos: String::new(),
        times: None,
    }
}

#[test]
fn numbers_out_of_form_or_range_name_what_stands_there() {
    check_pods(
        PODS,
        &[
            ("a,1,1,1,abc\n", "2: column `gpu_milli`: found `abc`, expected a whole number from 0 to 1000"),
            ("a,1,1,1,1001\n", "2: column `gpu_milli`: found `1001`, expected a whole number from 0 to 1000"),
            ("a,1,1,17,1000\n", "2: column `num_gpu`: found `17`, expected a whole number from 0 to 16"),
            ("a,,1,0,0\n", "2: column `cpu_milli`: found nothing, expected a whole number from 0 to 1000000000"),
            ("a,+1,1,0,0\n", "2: column `cpu_milli`: found `+1`, expected a whole number from 0 to 1000000000"),
            ("a, 1,1,0,0\n", "2: column `cpu_milli`: found ` 1`, expected a whole number from 0 to 1000000000"),
            ("a,1.5,1,0,0\n", "2: column `cpu_milli`: found `1.5`, expected a whole number from 0 to 1000000000"),
            ("a,1,-1,0,0\n", "2: column `memory_mib`: found `-1`, expected a whole number from 0 to 16777216"),
            (
                "a,1,99999999999999999999999,0,0\n",
                "2: column `memory_mib`: found `99999999999999999999999`, expected a whole number from 0 to 16777216",
            ),
        ],
    );
    check_nodes(&[("n,1,1,17,T4\n", "2: column `gpu`: found `17`, expected a whole number from 0 to 16")]);
}

#[test]
fn priority_is_a_signed_number() -> Result<(), InputError> {
    let header = PODS.replace('\n', ",priority\n");
    let rows = pods(format!("{header}a,1,1,0,0,\nb,1,1,0,0,-7\nc,1,1,0,0,2147483647\n"))?;
    assert_eq!(rows.iter().map(|pod| pod.priority).collect::<Vec<_>>(), [0, -7, i32::MAX]);
    let expected = "expected a whole number from -2147483648 to 2147483647, or nothing";
    check_pods(
        &header,
        &[
            ("a,1,1,0,0,+1\n", &format!("2: column `priority`: found `+1`, {expected}")),
            ("a,1,1,0,0,-\n", &format!("2: column `priority`: found `-`, {expected}")),
            ("a,1,1,0,0,2147483648\n", &format!("2: column `priority`: found `2147483648`, {expected}")),
        ],
    );
    Ok(())
}

#[test]
fn gpu_columns_must_agree() {
    check_pods(
        PODS,
        &[
            (
                "a,1,1,0,5\n",
                "2: column `gpu_milli`: found `5` beside `num_gpu` `0`, expected 0, since the pod asks for no GPU",
            ),
            ("a,1,1,1,0\n", "2: column `gpu_milli`: found `0` beside `num_gpu` `1`, expected 1 to 1000"),
            (
                "a,1,1,2,500\n",
                "2: column `gpu_milli`: found `500` beside `num_gpu` `2`, \
             expected 1000, since only a pod with one GPU can take a share of it",
            ),
        ],
    );
    check_nodes(&[
        ("n,1,1,2,\n", "2: column `model`: found nothing beside `gpu` `2`, expected the model of its GPUs"),
        ("n,1,1,0,T4\n", "2: column `model`: found `T4` beside `gpu` `0`, expected nothing, since the node has no GPU"),
        ("n,1,1,1,T4|A10\n", "2: column `model`: found `T4|A10`, expected a GPU model without `|`"),
    ]);
}

#[test]
fn names_are_plain_and_unique() {
    let plain = "expected text without control characters or blanks at its ends";
    let long = "x".repeat(318);
    check_pods(
        PODS,
        &[
            (",1,1,0,0\n", "2: column `name`: found nothing, expected a name"),
            (" a,1,1,0,0\n", &format!("2: column `name`: found ` a`, {plain}")),
            ("a\u{1b}[2J,1,1,0,0\n", &format!("2: column `name`: found `a\\u{{1b}}[2J`, {plain}")),
            (
                "a,1,1,0,0\nb,1,1,0,0\na,1,1,0,0\n",
                "4: column `name`: found `a`, which already stands in line 2; give every row a name of its own",
            ),
            (
                &format!("{long},1,1,0,0\n"),
                &format!("2: column `name`: found `{}…`, expected at most 317 bytes, not 318", &long[..40]),
            ),
        ],
    );
    let broken = [PODS.as_bytes(), b"a\xff,1,1,0,0\n"].concat();
    assert_eq!(message(pods(broken)), "pods.csv:2: column `name`: found `a\\xff`, expected UTF-8 text");
}

#[test]
fn model_lists_stay_as_written_and_have_no_gaps() -> Result<(), InputError> {
    let header = PODS.replace('\n', ",gpu_spec\n");
    let rows = pods(format!("{header}a,1,1,1,1000,T4|A10|T4\nb,1,1,1,1000,\n"))?;
    assert_eq!(rows[0].gpu_spec, ["T4", "A10", "T4"]);
    assert!(rows[1].gpu_spec.is_empty());
    let expected = "expected GPU models joined by `|` without blanks, or nothing for any model";
    check_pods(
        &header,
        &[
            ("a,1,1,1,1000,T4||A10\n", &format!("2: column `gpu_spec`: found `T4||A10`, {expected}")),
            ("a,1,1,1,1000,T4 | A10\n", &format!("2: column `gpu_spec`: found `T4 | A10`, {expected}")),
            ("a,1,1,1,1000,|\n", &format!("2: column `gpu_spec`: found `|`, {expected}")),
        ],
    );
    Ok(())
}

#[test]
fn a_pod_runs_from_its_scheduling_or_else_from_its_creation() -> Result<(), InputError> {
    let rows = pods(format!("{TIMED}a,1,1,0,0,10,100,40\nb,1,1,0,0,10,100,\nc,1,1,0,0,7,7,7\n"))?;
    let times: Vec<_> = rows.iter().filter_map(|pod| pod.times).map(|it| (it.arrival_s, it.runtime_s)).collect();
    assert_eq!(times, [(10, 60), (10, 90), (7, 0)]);
    Ok(())
}

#[test]
fn times_must_be_in_order_and_in_every_row_or_none() -> Result<(), InputError> {
    check_pods(
        TIMED,
        &[
            (
                "a,1,1,0,0,9,5,\n",
                "2: column `deletion_time`: found `5` beside `creation_time` `9`, expected the same or later",
            ),
            (
                "a,1,1,0,0,9,20,5\n",
                "2: column `scheduled_time`: found `5` beside `creation_time` `9`, expected the same or later",
            ),
            (
                "a,1,1,0,0,1,5,9\n",
                "2: column `deletion_time`: found `5` beside `scheduled_time` `9`, expected the same or later",
            ),
            (
                "a,1,1,0,0,,5,\n",
                "2: column `creation_time`: found nothing, expected a whole number from 0 to 4294967295",
            ),
            (
                "a,1,1,0,0,0.5,5,\n",
                "2: column `creation_time`: found `0.5`, expected a whole number from 0 to 4294967295",
            ),
            (
                "a,1,1,0,0,0,315360001,\n",
                "2: column `deletion_time`: found `315360001` beside `creation_time` `0`, \
             expected at most 315360000 seconds (ten years) more",
            ),
            (
                "a,1,1,0,0,0,5,\nb,1,1,0,0,0,,\n",
                "3: column `deletion_time`: found nothing, expected a whole number from 0 to 4294967295 as in line 2; \
             fill it in for every pod, or for none to use the list without times",
            ),
            (
                "a,1,1,0,0,0,,\nb,1,1,0,0,0,5,\n",
                "2: column `deletion_time`: found nothing, expected a whole number from 0 to 4294967295 as in line 3; \
             fill it in for every pod, or for none to use the list without times",
            ),
        ],
    );
    let untimed = pods(format!("{TIMED}a,1,1,0,0,3,,\nb,1,1,0,0,4,,5\n"))?;
    assert!(untimed.iter().all(|pod| pod.times.is_none()));
    Ok(())
}

#[test]
fn columns_are_found_by_name_and_others_are_ignored() -> Result<(), InputError> {
    let text = "note,model,gpu,memory_mib, sn ,cpu_milli\nx\u{7},T4,2,64,n,1000\n";
    let node = NodeRow { name: "n".to_owned(), cpu_milli: 1000, memory_mib: 64, gpus: 2, model: "T4".to_owned() };
    assert_eq!(nodes(text)?, [node]);
    let latin1 = [b"note,".as_slice(), PODS.as_bytes(), b"caf\xe9,a,1000,64,1,500\n"].concat();
    assert_eq!(pods(latin1)?, [pod("a")]);
    Ok(())
}

#[test]
fn headers_that_lack_or_repeat_a_column_are_refused() {
    for (text, expected) in [
        (
            "",
            "pods.csv: the file is empty, expected a header with the columns \
              `name`, `cpu_milli`, `memory_mib`, `num_gpu`, `gpu_milli`",
        ),
        (
            "\n\r\n",
            "pods.csv: the file is empty, expected a header with the columns \
                    `name`, `cpu_milli`, `memory_mib`, `num_gpu`, `gpu_milli`",
        ),
        (
            "name;cpu_milli\n",
            "pods.csv:1: no column `name` among `name;cpu_milli`; add it, or rename the one that holds it",
        ),
        (
            "\nname,cpu_milli,memory_mib,num_gpu\n",
            "pods.csv:2: no column `gpu_milli` among \
          `name`, `cpu_milli`, `memory_mib`, `num_gpu`; add it, or rename the one that holds it",
        ),
        (
            "a,b,c,d,e,f,g,h,i,j,k,l,m,n\n",
            "pods.csv:1: no column `name` among `a`, `b`, `c`, `d`, `e`, `f`, `g`, \
          `h`, `i`, `j`, `k`, `l`, 2 more; add it, or rename the one that holds it",
        ),
        (
            "name,cpu_milli,name\n",
            "pods.csv:1: column `name`: stands twice in the header; remove or rename one of them",
        ),
        (
            "name,cpu_milli,memory_mib,num_gpu,gpu_milli,creation_time\n",
            "pods.csv:1: no column `deletion_time` among \
          `name`, `cpu_milli`, `memory_mib`, `num_gpu`, `gpu_milli`, `creation_time`; a list with times has both \
          `creation_time` and `deletion_time`; add it, or remove the other columns of times",
        ),
    ] {
        assert_eq!(message(pods(text)), expected, "{text:?}");
    }
}

#[test]
fn rows_cut_short_are_refused_with_their_line() {
    let advice = "as in the header; the line may be cut short, or a field with a comma may lack its quotes";
    check_pods(
        PODS,
        &[
            ("a,1,1,0,0\nb,1,1", &format!("3: found 3 fields, expected 5 {advice}")),
            ("a,1,1,0,0,\n", &format!("2: found 6 fields, expected 5 {advice}")),
            (
                "a,1,1,0,0\n\"b,1,1,0,0\nc,1,1,0,0\n",
                "3: a quote in this row is never closed; close it, or double it where it belongs to the text",
            ),
        ],
    );
}

#[test]
fn lines_are_counted_as_an_editor_shows_them() {
    let header = format!("note,{}", PODS.trim_end());
    let fault = "column `gpu_milli`: found `x`, expected a whole number from 0 to 1000";
    for (case, body, line) in [
        ("unix", "\n,a,1,1,0,0\n,b,1,1,0,x\n", 3),
        ("windows", "\r\n,a,1,1,0,0\r\n,b,1,1,0,x\r\n", 3),
        ("old mac", "\r,a,1,1,0,0\r,b,1,1,0,x\r", 3),
        ("blank lines", "\n\n\n,a,1,1,0,0\n\n,b,1,1,0,x\n", 6),
        ("line breaks in quotes", "\n\"1\n\"\"2\"\"\r\n3\",a,1,1,0,0\n,b,1,1,0,x\n", 5),
        ("the row with the breaks itself", "\n\"1\n2\",a,1,1,0,x\n", 2),
        ("quote inside bare text", "\n5\" disk,a,1,1,0,0\n,b,1,1,0,x\n", 3),
        ("text after a quoted part", "\n\"q\"r\",a,1,1,0,0\n,b,1,1,0,x\n", 3),
        ("no line end at the end", "\n,b,1,1,0,x", 2),
    ] {
        let text = format!("{header}{body}");
        assert_eq!(message(pods(&text)), format!("pods.csv:{line}: {fault}"), "{case}");
        assert_eq!(message(pods(format!("\u{feff}{text}"))), format!("pods.csv:{line}: {fault}"), "{case}, marked");
    }
}

#[test]
fn limits_stop_the_reading() {
    let limits = Limits { file_bytes: 40, row_bytes: 10, rows: 3 };
    for (case, text, expected) in [
        ("rows", "a\n1\n2\n3\n4\n", "t:5: more than 3 rows; split the list"),
        (
            "row",
            "a\n1\n23456789012\n3\n",
            "t:3: this row is longer than 10 bytes; look for a quote that is never closed",
        ),
        ("file", &"\n".repeat(41), "t: larger than 40 bytes; check that it is the right file, or split it"),
        ("at the limits", "a\n123456789\n2\n3\n\n\n", ""),
    ] {
        assert_eq!(message(read_table(text.as_bytes(), limits)), expected, "{case}");
    }
    let endless_quote = io::Read::chain(&b"a\n\""[..], io::repeat(b'\n'));
    let expected = "t:2: this row is longer than 65536 bytes; look for a quote that is never closed";
    assert_eq!(message(read_table(endless_quote, Limits::STANDARD)), expected);
}

fn read_table(input: impl Read, limits: Limits) -> Result<u64, InputError> {
    let mut table = Table::open(input, "t", limits, &["a"])?;
    let mut rows = 0;
    while table.row()?.is_some() {
        rows += 1;
    }
    Ok(rows)
}

#[test]
fn sums_over_the_longest_list_fit_64_bits() {
    let rows = Limits::STANDARD.rows;
    let all_gpus_milli = u64::from(GPUS_MAX) * 1000;
    assert!(rows.checked_mul(CPU_MILLI_MAX * 1000).is_some());
    assert!(rows.checked_mul(MEMORY_MIB_MAX << 20).is_some());
    assert!(rows.checked_mul(RUNTIME_S_MAX * all_gpus_milli).is_some());
}

#[test]
fn unreadable_files_name_their_path_and_keep_the_cause() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    for path in [folder.path().join("missing\n.csv"), folder.path().to_owned()] {
        let error = read_pods(&path).err().ok_or_else(|| io::Error::other("it was read"))?;
        let shown = path.display().to_string().replace('\n', "\\n");
        let expected = format!("{shown}: cannot be read; check that it exists and that you may read it");
        assert_eq!(error.to_string(), expected);
        assert!(std::error::Error::source(&error).is_some());
    }
    Ok(())
}

#[test]
fn excerpts_are_short_and_cannot_steer_a_terminal() {
    for (text, expected) in [
        ("", "nothing"),
        ("V100M32", "`V100M32`"),
        ("it's \"5\" \\ é", "`it's \"5\" \\ é`"),
        ("a\0\r\t\u{202e}b", "`a\\0\\r\\t\\u{202e}b`"),
        ("1234567890123456789012345678901234567890+", "`1234567890123456789012345678901234567890…`"),
    ] {
        assert_eq!(Excerpt::of(text).to_string(), expected);
    }
}

#[test]
fn lists_that_could_not_be_read_back_are_not_written() {
    let with = |arrival_s, runtime_s| PodRow { times: Some(PodTimes { arrival_s, runtime_s }), ..pod("a") };
    for (list, expected) in [
        (vec![with(0, 1), pod("b")], "either all pods of a list have times, or none"),
        (vec![with(INSTANT_S_MAX, 1)], "pod `a` would end after second 4294967295"),
        (vec![with(u64::MAX, u64::MAX)], "pod `a` would end after second 4294967295"),
    ] {
        let mut out = Vec::new();
        let error = write_pods(&mut out, &list).err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some(expected));
        assert!(out.is_empty());
    }
}

#[test]
fn written_lists_look_like_openb() -> io::Result<()> {
    let (mut plain, mut timed) = (Vec::new(), Vec::new());
    write_pods(&mut plain, &[pod("a")])?;
    let times = Some(PodTimes { arrival_s: 3, runtime_s: 4 });
    write_pods(&mut timed as &mut dyn io::Write, &[PodRow { times, priority: -1, ..pod("a,b") }])?;
    let header = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,\
                  scheduled_time";
    assert_eq!(String::from_utf8_lossy(&plain), format!("{header}\na,1000,64,1,500,,,,,,\n"));
    assert_eq!(String::from_utf8_lossy(&timed), format!("{header},priority\n\"a,b\",1000,64,1,500,,,,3,7,,-1\n"));
    Ok(())
}
