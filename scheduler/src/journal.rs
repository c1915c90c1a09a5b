//! The journal: what the engine is told and what it decides, line by line. Owns the way from the driver to the disk; the form of
//! a line is [`berth_config::journal`]'s. Scheduling neither waits for it nor fails with it: what cannot be written ends the
//! journal, with a warning and a metric, and nothing else.
//!
//! A line that is missing would make all that follow worthless, so a journal has no gaps: it is whole up to its end.

mod files;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use berth_config::SchedulerConfiguration;
use berth_config::journal::{EVENTS_PER_LINE_MAX, FORMAT, Header};
use berth_engine::{Decision, Event, Timestamp};
use tracing::{info, warn};

use crate::metrics::Metrics;
use files::Files;

/// So many bytes may wait for the disk; with more the disk is too slow for a journal.
const WAITING_MAX: usize = 256 << 20;

/// When the process ends it waits for the disk so long.
const FINISH: Duration = Duration::from_secs(5);

/// Takes lines, each with its end, or why there are no more. Says whether it wants further ones.
type Sink = Box<dyn FnMut(Result<String, String>) -> bool + Send>;

/// Makes lines of what a driver tells its engine and hears from it.
pub struct Recorder {
    sink: Option<Sink>,
    /// Events of one time, in the line that is not ended yet.
    line: String,
    at: Timestamp,
    events: usize,
}

impl Recorder {
    /// A recorder that hands its lines to `sink`, and is silent from when that says `false`.
    pub fn new(sink: impl FnMut(Result<String, String>) -> bool + Send + 'static) -> Self {
        Recorder { sink: Some(Box::new(sink)), line: String::new(), at: Timestamp::default(), events: 0 }
    }

    /// The engine is told this.
    pub(crate) fn told(&mut self, event: &Event, now: Timestamp) {
        if self.sink.is_none() {
            return;
        }
        if self.at != now || self.events == EVENTS_PER_LINE_MAX {
            self.end_line();
        }
        match serde_json::to_string(event) {
            Ok(event) if self.events == 0 => self.line = format!(r#"{{"at":{},"events":[{event}"#, now.0),
            Ok(event) => {
                self.line.push(',');
                self.line.push_str(&event);
            }
            Err(error) => return self.send(Err(format!("an event cannot be written: {error}"))),
        }
        (self.at, self.events) = (now, self.events + 1);
    }

    /// The engine was asked, and decided this.
    pub(crate) fn decided(&mut self, decisions: &[Decision], now: Timestamp) {
        self.end_line();
        if self.sink.is_none() {
            return;
        }
        let line =
            serde_json::to_string(decisions).map(|decisions| format!("{{\"at\":{},\"decided\":{decisions}}}\n", now.0));
        self.send(line.map_err(|error| format!("a decision cannot be written: {error}")));
    }

    /// What was told so far need not wait for more.
    pub(crate) fn end_line(&mut self) {
        if self.events > 0 {
            self.events = 0;
            let line = std::mem::take(&mut self.line) + "]}\n";
            self.send(Ok(line));
        }
    }

    fn send(&mut self, line: Result<String, String>) {
        let goes_on = line.is_ok();
        if !self.sink.as_mut().is_some_and(|sink| sink(line) && goes_on) {
            self.sink = None;
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.end_line();
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Recorder").field("records", &self.sink.is_some()).field("events", &self.events).finish()
    }
}

/// The first line of a journal that begins now.
pub fn header(configuration: &SchedulerConfiguration, now: Timestamp) -> Header {
    let version = format!("berth-scheduler {}", crate::flags::VERSION);
    Header { journal: FORMAT, version, begun: now, part: 1, configuration: configuration.clone(), problems: Vec::new() }
}

/// The thread that writes a journal's files.
pub struct Journal {
    ended: mpsc::Receiver<()>,
}

impl Journal {
    /// Begins a journal where the configuration wants one: the recorder is for the driver, the journal to be finished at the end.
    pub fn start(
        configuration: &SchedulerConfiguration,
        now: Timestamp,
        metrics: &Arc<Metrics>,
    ) -> Option<(Recorder, Journal)> {
        let folder = configuration.journal.path.clone()?;
        let (header, settings) = (header(configuration, now), configuration.journal.clone());
        let (lines, received) = mpsc::channel();
        let (end, ended) = mpsc::channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let (written, counts) = (waiting.clone(), metrics.clone());
        let write = move || {
            let files = Files::begin(&folder, &settings, header);
            match files.and_then(|files| drain(files, &received, &written)) {
                Ok(()) => info!(folder, "The journal is complete"),
                Err(why) => {
                    counts.journal_ended();
                    warn!(folder, err = why, "There is no journal from here on; scheduling goes on");
                }
            }
            drop(received); // whoever records hears that nobody listens
            let _ = end.send(()); // nobody waits for it unless the process ends
        };
        if let Err(error) = std::thread::Builder::new().name("journal".to_owned()).spawn(write) {
            metrics.journal_ended();
            warn!(err = %error, "There is no journal: its thread does not start");
            return None;
        }
        let mut too_slow = false;
        let sink = move |line: Result<String, String>| {
            let bytes = line.as_ref().map_or(0, String::len);
            too_slow |= waiting.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) > WAITING_MAX;
            if too_slow {
                let why = format!("the disk is too slow: more than {WAITING_MAX} bytes wait for it");
                let _ = lines.send(Err(why)); // an error is the end of the journal as well
                return false;
            }
            lines.send(line).is_ok()
        };
        Some((Recorder::new(sink), Journal { ended }))
    }

    /// Waits until all is written, but not for a disk that does not answer. The recorder must be gone before.
    pub fn finish(self) {
        if self.ended.recv_timeout(FINISH) == Err(mpsc::RecvTimeoutError::Timeout) {
            warn!("The journal's end is lost: the disk does not take it");
        }
    }
}

/// Writes what comes, until no more can come.
fn drain(
    mut files: Files,
    lines: &mpsc::Receiver<Result<String, String>>,
    waiting: &AtomicUsize,
) -> Result<(), String> {
    loop {
        let line = match lines.try_recv() {
            Ok(line) => line,
            Err(mpsc::TryRecvError::Disconnected) => return files.flush(),
            Err(mpsc::TryRecvError::Empty) => {
                files.flush()?;
                let Ok(line) = lines.recv() else { return Ok(()) };
                line
            }
        };
        let line = match line {
            Ok(line) => line,
            Err(why) => return files.flush().and(Err(why)),
        };
        files.write(&line)?;
        waiting.fetch_sub(line.len(), Ordering::Relaxed);
    }
}
