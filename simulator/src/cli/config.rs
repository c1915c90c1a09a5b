//! `berth config`: the configuration file of the scheduler, checked before anything runs on it.

use std::io::Read;
use std::path::{Path, PathBuf};

use berth_config::SchedulerConfiguration;
use clap::{Args, Subcommand};

use super::common::{self, Failure};
use crate::input;

/// Check the scheduler's configuration file, or print one with every default.
///
/// Every field is described in docs/configuration.md.
#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(CheckArgs),
    PrintDefaults(PrintDefaultsArgs),
    Schema(SchemaArgs),
}

/// Say everything that is wrong with configuration files, with line, field and remedy.
///
/// Exits with 3 if anything is. A file that is sound is named with the rules it chooses.
///
/// Example: berth config check berth.yaml
#[derive(Debug, Args)]
struct CheckArgs {
    /// Configuration files (YAML or JSON); `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Say nothing of files that are sound
    #[arg(short, long)]
    quiet: bool,
}

/// Print the whole file with every default, each field with its meaning, unit and range.
///
/// Example: berth config print-defaults > berth.yaml
#[derive(Debug, Args)]
struct PrintDefaultsArgs {
    /// Write to this file instead of standard output (`-` is standard output)
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Print the JSON Schema of the file, for editors that check while you type.
///
/// Example: berth config schema > berth.schema.json
#[derive(Debug, Args)]
struct SchemaArgs {
    /// Write to this file instead of standard output (`-` is standard output)
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(args: ConfigArgs) -> Result<(), Failure> {
    match args.command {
        Command::Check(args) => check(&args),
        Command::PrintDefaults(args) => common::deliver(&berth_config::print_defaults(), args.output.as_deref()),
        Command::Schema(args) => {
            let failed = |error: serde_json::Error| Failure::Run(format!("cannot render the schema: {error}"));
            let schema = serde_json::to_string_pretty(&berth_config::json_schema()).map_err(failed)?;
            common::deliver(&(schema + "\n"), args.output.as_deref())
        }
    }
}

/// All files, whatever is wrong with one of them.
fn check(args: &CheckArgs) -> Result<(), Failure> {
    let (mut sound, mut wrong) = (String::new(), Vec::new());
    let mut faults = 0;
    for file in &args.files {
        let name = if file == Path::new("-") { "standard input".into() } else { input::shown_path(file) };
        let checked = text(file, &name).and_then(|text| {
            berth_config::read(&name, &text).map_err(|problems| (problems.all.len(), problems.to_string()))
        });
        match checked {
            Ok(configuration) => {
                let (set, scheduler) = (configuration.policy_set.name(), &configuration.scheduler_name);
                sound += &format!("{name}: sound; scheduler `{scheduler}`, policy set `{set}`\n");
            }
            Err((count, said)) => {
                faults += count;
                wrong.push(said);
            }
        }
    }
    if !args.quiet {
        common::print(&sound)?;
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let faults = if faults == 1 { "1 mistake".to_owned() } else { format!("{faults} mistakes") };
    let advice = "docs/configuration.md and `berth config print-defaults` say what each field may be";
    Err(Failure::Input(format!("{faults}; {advice}\n{}", wrong.join("\n"))))
}

/// The configuration in a file, for commands that run on one.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn read(file: &Path) -> Result<SchedulerConfiguration, Failure> {
    let name = input::shown_path(file);
    let text = text(file, &name).map_err(|(_, said)| Failure::Input(said))?;
    berth_config::read(&name, &text).map_err(|problems| Failure::Input(problems.to_string()))
}

/// What is in a file; if it cannot be read, how many mistakes that is, and what to say.
fn text(file: &Path, name: &str) -> Result<String, (usize, String)> {
    let mut bytes = Vec::new();
    let most = berth_config::FILE_BYTES_MAX as u64 + 1;
    let read = if file == Path::new("-") {
        std::io::stdin().take(most).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(most).read_to_end(&mut bytes))
    };
    let advice = "check that it exists, is a file, and that you may read it";
    read.map_err(|error| (1, format!("{name}: cannot be read: {error}; {advice}")))?;
    String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].split(|byte| *byte == b'\n').count();
        (1, format!("{name}:{line}: the text is not UTF-8 here; save the file as UTF-8"))
    })
}
