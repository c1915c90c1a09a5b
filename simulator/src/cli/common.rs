//! What the commands share: failures and their exit codes, value parsers, thresholds and where output goes.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use berth_engine::{Policy, TieBreak};
use indicatif::{ProgressBar, ProgressStyle};

use crate::{generate, output};

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The run itself went wrong. Exit code 1.
    #[error("{0}")]
    Run(String),
    /// Arguments that do not go together. Exit code 2, as for arguments clap refuses.
    #[error("{0}")]
    Usage(String),
    /// A file or trace that cannot be used. Exit code 3.
    #[error("{0}")]
    Input(String),
    /// The run worked, and a `--fail-if` condition holds. Exit code 4.
    #[error("{0}")]
    Threshold(String),
    /// The run worked, and something did not come out as it was expected. Exit code 4.
    #[error("{0}")]
    Unexpected(String),
}

impl Failure {
    /// The process exit code. 0 is success.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Run(_) => 1,
            Failure::Usage(_) => 2,
            Failure::Input(_) => 3,
            Failure::Threshold(_) | Failure::Unexpected(_) => 4,
        }
    }
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A table for people
    Table,
    /// One JSON object with everything
    Json,
    /// One JSON object per line and result
    Jsonl,
    /// Comma-separated values with a header line
    Csv,
}

/// Flags of every command that runs policies and prints results.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// Among equally good nodes: `rank` (file order; in `pack` the seed's node order), `least-idle` (least GPU and CPU left
    /// idle) or `least-gpu` (least GPU left)
    #[arg(long, value_name = "ORDER", default_value = "rank", value_parser = parse_ties)]
    pub ties: TieBreak,
    /// Threads to use; 0 = one per core. The results do not depend on it
    #[arg(short, long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1024))]
    pub jobs: u16,
    /// How to print the results
    #[arg(long, value_enum, default_value_t = Format::Table, help_heading = "Output")]
    pub format: Format,
    /// Write the results to this file instead of standard output (`-` is standard output)
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub output: Option<PathBuf>,
    /// Exit with 4 if this holds for a policy's mean over the seeds, as in 'allocated_percent<95'; a metric that is not
    /// there is answered with those that are
    #[arg(long, value_name = "CONDITION", help_heading = "Output")]
    pub fail_if: Option<Threshold>,
    /// No progress bar, and no word on files written
    #[arg(short, long, help_heading = "Output")]
    pub quiet: bool,
}

/// Parses a policy name; the error lists the names there are.
pub fn parse_policy(text: &str) -> Result<Policy, String> {
    by_name(text, &Policy::ALL, Policy::name)
}

/// Parses the name of a tie order; the error lists the names there are.
pub fn parse_ties(text: &str) -> Result<TieBreak, String> {
    by_name(text, &TieBreak::ALL, TieBreak::name)
}

fn by_name<T: Copy>(text: &str, all: &[T], name: fn(T) -> &'static str) -> Result<T, String> {
    let found = all.iter().find(|value| name(**value) == text);
    let names = || all.iter().map(|value| name(*value)).collect::<Vec<_>>().join(", ");
    found.copied().ok_or_else(|| format!("choose one of: {}", names()))
}

/// Seeds on a command line: `7`, `42..51` (both ends included) or `1,2,5..9`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seeds(pub Vec<u64>);

/// More seeds than this in one command is surely a slip of the finger, and would fill the memory with traces.
const SEEDS_MAX: u64 = 1_000;

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut seeds = Vec::new();
        for part in text.split(',') {
            let number = |text: &str| {
                let number = text.trim().parse::<u64>();
                number.map_err(|_| {
                    format!("`{text}` is not a seed; write `7`, `42..51` (both ends included) or `1,2,5..9`")
                })
            };
            let (first, last) = match part.split_once("..") {
                Some((first, last)) => (number(first)?, number(last.trim_start_matches('='))?),
                None => (number(part)?, number(part)?),
            };
            if last < first || last - first >= SEEDS_MAX {
                return Err(format!("`{part}`: the first seed must not exceed the last, and {SEEDS_MAX} are enough"));
            }
            seeds.extend(first..=last);
            if seeds.len() as u64 > SEEDS_MAX {
                return Err(format!("more than {SEEDS_MAX} seeds"));
            }
        }
        Ok(Seeds(seeds))
    }
}

/// A condition under which a run counts as failed, such as `allocated_percent<95`.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    metric: String,
    comparison: Comparison,
    limit: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        use Comparison::{Greater, GreaterOrEqual, Less, LessOrEqual};
        // Two-character signs first: `<` is the beginning of `<=`.
        let signs = [("<=", LessOrEqual), (">=", GreaterOrEqual), ("<", Less), (">", Greater)];
        let help = || {
            format!("`{text}` is not a condition; write METRIC<NUMBER, as in `allocated_percent<95` (also <=, >, >=)")
        };
        let split = signs.iter().find_map(|(sign, comparison)| Some((text.split_once(sign)?, *comparison)));
        let ((metric, limit), comparison) = split.ok_or_else(help)?;
        let limit: f64 = limit.trim().parse().map_err(|_| help())?;
        if metric.trim().is_empty() || !limit.is_finite() {
            return Err(help());
        }
        Ok(Threshold { metric: metric.trim().to_owned(), comparison, limit })
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.comparison {
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
        };
        write!(f, "{}{sign}{}", self.metric, self.limit)
    }
}

impl Threshold {
    /// Checks that the metric is one of those the command reports.
    ///
    /// # Errors
    /// When it is not; the message lists those there are.
    pub fn check_metric(&self, known: &[&str]) -> Result<(), Failure> {
        if known.contains(&self.metric.as_str()) {
            return Ok(());
        }
        let known = known.join(", ");
        Err(Failure::Usage(format!(
            "--fail-if names `{}`, which is not reported here; choose one of: {known}",
            self.metric
        )))
    }

    /// Is it about this metric?
    pub fn is_about(&self, metric: &str) -> bool {
        self.metric == metric
    }

    /// Fails where the condition holds for the value of its metric. `value_of` gives a metric by name.
    ///
    /// # Errors
    /// When the condition holds; the message names `what` and the value.
    pub fn check(&self, what: &str, value_of: impl Fn(&str) -> Option<f64>) -> Result<(), Failure> {
        let Some(value) = value_of(&self.metric) else {
            let metric = &self.metric;
            return Err(Failure::Usage(format!("--fail-if names `{metric}`, which was not worked out for {what}")));
        };
        let holds = match self.comparison {
            Comparison::Less => value < self.limit,
            Comparison::LessOrEqual => value <= self.limit,
            Comparison::Greater => value > self.limit,
            Comparison::GreaterOrEqual => value >= self.limit,
        };
        if !holds {
            return Ok(());
        }
        Err(Failure::Threshold(format!("{what}: {} is {value:.3}, and `--fail-if {self}` was given", self.metric)))
    }
}

/// Runs `work` on a pool of `jobs` threads; 0 = one per core.
///
/// # Errors
/// When the threads cannot be started.
pub fn on_threads<T: Send>(jobs: u16, work: impl FnOnce() -> T + Send) -> Result<T, Failure> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(jobs.into()).build();
    let pool = pool.map_err(|error| Failure::Run(format!("cannot start {jobs} threads: {error}; try --jobs 1")))?;
    Ok(pool.install(work))
}

/// Prints to standard output. A reader that has gone away (`| head`) is no failure.
///
/// # Errors
/// When standard output cannot be written.
pub fn print(text: &str) -> Result<(), Failure> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Run(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes results where they belong: to a file, whole or not at all, or to standard output.
///
/// # Errors
/// When they cannot be written there.
pub fn deliver(text: &str, file: Option<&Path>) -> Result<(), Failure> {
    let Some(file) = file.filter(|file| *file != Path::new("-")) else { return print(text) };
    let written = output::write_atomically(file, |out| out.write_all(text.as_bytes()));
    written.map_err(|error| Failure::Run(with_causes(&error)))
}

/// A progress bar on standard error; none when that is not a terminal, or when `quiet`.
pub fn progress(steps: u64, quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(steps);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {percent:>3} %  {elapsed} gone, {eta} to go") {
        bar.set_style(style);
    }
    bar
}

/// What to say of a preset that does not exist.
pub fn no_such_preset(name: &str) -> String {
    let names: Vec<&str> = generate::presets().iter().map(|preset| preset.name).collect();
    format!("there is no preset `{name}`; choose one of: {}", names.join(", "))
}

/// An error with what caused it, outermost first.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Refuses a list that names something twice: results are told apart by name.
///
/// # Errors
/// When it does; the message says what and which.
pub fn no_repeats<T: Ord + fmt::Display>(what: &str, all: impl IntoIterator<Item = T>) -> Result<(), Failure> {
    let mut seen = BTreeSet::new();
    for one in all {
        if seen.contains(&one) {
            return Err(Failure::Usage(format!("{what} `{one}` is given twice; results are told apart by it")));
        }
        seen.insert(one);
    }
    Ok(())
}

/// Refuses to write over what was read.
///
/// # Errors
/// When an output is one of the inputs.
pub fn not_over_input(outputs: &[Option<&Path>], inputs: &[&Path]) -> Result<(), Failure> {
    let same = |a: &Path, b: &Path| a == b || a.canonicalize().is_ok_and(|a| b.canonicalize().is_ok_and(|b| a == b));
    let clash = outputs.iter().flatten().find(|output| inputs.iter().any(|input| same(output, input)));
    clash.map_or(Ok(()), |output| {
        Err(Failure::Usage(format!("{} is an input; give the output a name of its own", output.display())))
    })
}

/// The last part of a path without its extension, as results name it.
pub fn file_stem(path: &Path) -> String {
    path.file_stem().map_or_else(|| path.display().to_string(), |stem| stem.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_numbers_ranges_and_lists() {
        for (text, expected) in [("7", vec![7]), ("42..44", vec![42, 43, 44]), ("1,5..6", vec![1, 5, 6])] {
            assert_eq!(text.parse::<Seeds>().expect(text).0, expected, "{text}");
        }
        for text in ["", "x", "3..1", "1..99999999999", "1,,2", "-1"] {
            assert!(text.parse::<Seeds>().is_err(), "{text}");
        }
    }

    #[test]
    fn thresholds_read_back_as_written() {
        for text in ["allocated_percent<95", "a<=1.5", "wait_s>3", "b>=0"] {
            assert_eq!(text.parse::<Threshold>().expect(text).to_string(), text);
        }
        for text in ["", "a=5", "<5", "a<", "a<b", "a<inf"] {
            assert!(text.parse::<Threshold>().is_err(), "{text}");
        }
    }
}
