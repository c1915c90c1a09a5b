//! Child processes that do not outlive the test process, however that ends. Owns their logs.
//!
//! A `PR_SET_PDEATHSIG` needs unsafe code between fork and exec. Instead a small shell, the watchdog, holds a pipe from the test
//! process and a list of pids: when the pipe ends, for which the kernel sees even after `kill -9`, it kills what is on
//! the list and removes the folder. It stands in a process group of its own and ignores signals, so that a Ctrl-C that ends
//! the test does not end it.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::{Error, Part};

/// `+ PID` puts a process on the list, `- PID` takes it off. $1 is the folder to remove, or nothing.
const WATCHDOG: &str = r#"
trap '' HUP INT TERM
pids=
left() { for one in $pids; do kill -0 "$one" && return; done; return 1; }
while read -r sign pid; do
  rest=
  for one in $pids; do
    [ "$one" = "$pid" ] || rest="$rest $one"
  done
  pids=$rest
  [ "$sign" = - ] || pids="$pids $pid"
done
[ -z "$pids" ] || kill -9 $pids
tries=100 # they hold the folder until they are gone, which the kernel does in its own time
while [ $tries -gt 0 ] && left; do
  tries=$((tries - 1))
  sleep 0.05
done 2>/dev/null
[ -z "$1" ] || rm -rf -- "$1"
"#;

/// How many lines of a log are shown when something is wrong.
const LINES_SHOWN: usize = 20;

/// Kills the listed processes, and removes the folder, when this process is gone.
pub(crate) struct Watchdog {
    shell: Child,
    list: Option<ChildStdin>,
}

impl Watchdog {
    /// `folder` is removed at the end, if one is given.
    pub(crate) fn start(folder: Option<&Path>) -> Result<Watchdog, Error> {
        let mut command = Command::new("sh");
        command.args(["-c", WATCHDOG, "berth-watchdog"]).arg(folder.unwrap_or(Path::new("")));
        command.stdin(Stdio::piped()).stdout(Stdio::null()).process_group(0);
        let mut shell = command.spawn().map_err(Error::io("start", "sh"))?;
        let list = shell.stdin.take();
        Ok(Watchdog { shell, list })
    }

    fn tell(&mut self, sign: char, pid: u32) -> Result<(), Error> {
        match &mut self.list {
            Some(list) => writeln!(list, "{sign} {pid}").map_err(Error::io("write to", "the watchdog")),
            None => Ok(()),
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.list.take());
        let _ = self.shell.wait(); // so that the folder is gone when this returns
    }
}

/// A process that runs a part, and its log.
pub(crate) struct Process {
    part: Part,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `binary`; what it writes is added to `<folder>/<part>.log`.
    pub(crate) fn start(
        part: Part,
        binary: &Path,
        arguments: &[String],
        folder: &Path,
        watchdog: &mut Watchdog,
    ) -> Result<Process, Error> {
        let log = folder.join(format!("{part}.log"));
        let open = || File::options().create(true).append(true).open(&log).map_err(Error::io("open", &log));
        let mut command = Command::new(binary);
        command.args(arguments).current_dir(folder).stdin(Stdio::null()).stdout(open()?).stderr(open()?);
        let child = command.process_group(0).spawn().map_err(Error::io("start", binary))?;
        let mut process = Process { part, child, log };
        if let Err(error) = watchdog.tell('+', process.pid()) {
            process.kill(watchdog);
            return Err(error);
        }
        Ok(process)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// An error, if it does not run any more.
    pub(crate) fn check(&mut self) -> Result<(), Error> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => {
                Err(Error::Died { part: self.part, status: status.to_string(), log: self.end_of_log() })
            }
            Err(source) => Err(Error::io("look at", self.part.name())(source)),
        }
    }

    /// Kills it as a power cut would, and waits until it is gone.
    pub(crate) fn kill(&mut self, watchdog: &mut Watchdog) {
        let _ = self.child.kill(); // fails only if it is gone already
        let _ = self.child.wait();
        let _ = watchdog.tell('-', self.pid()); // without a watchdog nobody has a list
    }

    /// The last lines it wrote.
    pub(crate) fn end_of_log(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
    }
}
