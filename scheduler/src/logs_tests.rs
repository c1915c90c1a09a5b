//! Log lines, as captured.

use std::io;

use thiserror::Error;
use tracing::{debug, error, info, trace, warn};

use super::*;

/// What was written, shared with the one who writes.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    fn lines(&self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.0.lock().expect("nobody panicked"));
        String::from_utf8(bytes).expect("lines are UTF-8").lines().map(str::to_owned).collect()
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panicked").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn captured(format: LogFormat, v: u8, says: impl FnOnce(&Verbosity)) -> Vec<String> {
    let out = Captured::default();
    let (subscriber, verbosity) = subscriber(format, v, out.clone());
    tracing::subscriber::with_default(subscriber, || says(&verbosity));
    out.lines()
}

fn one(format: LogFormat, says: impl FnOnce()) -> String {
    let mut lines = captured(format, 10, |_| says());
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.remove(0)
}

#[derive(Debug, Error)]
#[error("cannot bind")]
struct Outer(#[source] io::Error);

#[test]
fn json_has_the_keys_of_kubernetes() {
    let before = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_millis() as f64;
    let (line, at) =
        (one(LogFormat::Json, || info!(pod = "lab/train-0", node = "n1", gpus = 8, v = 2, "Bound pod")), line!());
    let value: Value = serde_json::from_str(&line).expect("is JSON");
    let ts = value["ts"].as_f64().expect("a number");
    assert!(ts >= before && ts < before + 60_000.0, "{line}");
    let expected = json!({ "ts": value["ts"], "caller": format!("src/logs_tests.rs:{at}"), "msg": "Bound pod", "v": 2,
        "pod": { "name": "train-0", "namespace": "lab" }, "node": "n1", "gpus": 8 });
    assert_eq!(value, expected);
}

#[test]
fn errors_are_told_with_their_causes_and_without_v() {
    let error = Outer(io::Error::other("connection refused"));
    let line = one(LogFormat::Json, || error!(err = &error as &dyn Error, pod = %"lab/a", "Binding failed"));
    let value: Value = serde_json::from_str(&line).expect("is JSON");
    assert_eq!(value["err"], "cannot bind: connection refused");
    assert_eq!(value.get("v"), None);
    assert_eq!(value["pod"]["name"], "a");
}

#[test]
fn levels_are_verbosities() {
    for (says, v) in
        [(&(|| warn!("w")) as &dyn Fn(), 0), (&|| info!("i"), 0), (&|| debug!("d"), 4), (&|| trace!("t"), 6)]
    {
        let value: Value = serde_json::from_str(&one(LogFormat::Json, says)).expect("is JSON");
        assert_eq!(value["v"], v);
    }
}

#[test]
fn no_value_can_break_a_line_or_forge_a_key() {
    let forged = "x\"\n{\"msg\":\"forged\"}";
    let json_line = one(LogFormat::Json, || info!(msg = forged, ts = 1, pod = "no-slash", "{forged}"));
    let value: Value = serde_json::from_str(&json_line).expect("is JSON");
    assert_eq!((&value["msg"], &value["msg_"], &value["ts_"]), (&json!(forged), &json!(forged), &json!(1)));
    assert_eq!(value["pod"], "no-slash", "what is no object stays as it is");
    let text_line = one(LogFormat::Text, || info!(pod = forged, "{forged}"));
    assert!(text_line.ends_with(&format!("] {quoted} pod={quoted}", quoted = json!(forged))), "{text_line}");
}

#[test]
fn text_is_as_klog_writes_it() {
    for (letter, says) in [
        ('E', &(|| error!(pod = "a/b", took = 1.5, "Said so")) as &dyn Fn()),
        ('W', &|| warn!(pod = "a/b", took = 1.5, "Said so")),
    ] {
        let line = one(LogFormat::Text, says);
        let (head, rest) = line.split_once("] ").expect("a head");
        assert_eq!(rest, "\"Said so\" pod=\"a/b\" took=1.5");
        let words: Vec<&str> = head.split_whitespace().collect();
        let [date, time, pid, caller] = words[..] else { panic!("{head}") };
        assert!(date.starts_with(letter) && date.len() == 5, "{head}");
        assert!(time.len() == "19:40:01.123456".len(), "{head}");
        assert_eq!(pid, std::process::id().to_string());
        assert!(caller.starts_with("src/logs_tests.rs:"), "{head}");
    }
    let metadata_time = Duration::from_micros(1_795_290_001_123_456);
    let shown = Timestamp::UNIX_EPOCH.checked_add(metadata_time).expect("is in range").strftime("%m%d %H:%M:%S%.6f");
    assert_eq!(shown.to_string(), "1121 19:40:01.123456");
}

#[test]
fn verbosity_decides_what_is_written_and_can_change() {
    let say = || {
        info!("info");
        debug!("debug");
        trace!("trace");
        warn!(target: "hyper", "library warns");
        info!(target: "hyper", "library informs");
        trace!(target: "hyper", "library traces");
    };
    for (v, expected) in [(0, 2), (2, 2), (3, 2), (4, 3), (5, 3), (6, 5), (9, 5), (10, 6)] {
        assert_eq!(captured(LogFormat::Text, v, |_| say()).len(), expected, "at verbosity {v}");
    }
    let changed = captured(LogFormat::Text, 0, |verbosity| {
        say();
        verbosity.set(4);
        say();
        verbosity.set(2);
        say();
    });
    assert_eq!(changed.len(), 2 + 3 + 2);
}
