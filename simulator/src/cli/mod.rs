//! The command line: what each command takes, and what it prints.

#[cfg(feature = "cluster")]
mod capture;
pub mod common;
mod config;
mod explain;
mod generate;
mod pack;
mod replay;
mod scenario;
mod simulate;

use clap::{CommandFactory, Parser, Subcommand};

use common::Failure;

/// Plan GPU clusters offline with the scheduling engine that runs in production.
#[derive(Debug, Parser)]
#[command(name = "berth", version, about, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 ok, 1 the run failed, 2 wrong usage, 3 invalid input, 4 a --fail-if threshold was not met, a
scenario did not end as expected, or a journal did not come out the same.

Try it: `berth simulate` needs no arguments.";

/// The commands; what each does is said where its arguments are.
#[derive(Debug, Subcommand)]
enum Command {
    Simulate(Box<simulate::SimulateArgs>),
    Pack(Box<pack::PackArgs>),
    Generate(generate::GenerateArgs),
    Scenario(scenario::ScenarioArgs),
    Replay(replay::ReplayArgs),
    Explain(explain::ExplainArgs),
    #[cfg(feature = "cluster")]
    Capture(capture::CaptureArgs),
    Config(config::ConfigArgs),
    /// Print a completion script for your shell
    Completions {
        /// The shell to complete for
        shell: clap_complete::Shell,
    },
    /// Print the manual page (view it with `berth man | man -l -`)
    Man,
}

/// Does what the command line says.
///
/// # Errors
/// Says what went wrong; [`Failure::exit_code`] is the process exit code.
pub fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Simulate(args) => simulate::run(*args),
        Command::Pack(args) => pack::run(*args),
        Command::Generate(args) => generate::run(args),
        Command::Scenario(args) => scenario::run(args),
        Command::Replay(args) => replay::run(&args),
        Command::Explain(args) => explain::run(&args),
        #[cfg(feature = "cluster")]
        Command::Capture(args) => capture::run(&args),
        Command::Config(args) => config::run(args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "berth", &mut script);
            common::print(&String::from_utf8_lossy(&script))
        }
        Command::Man => common::print(&man_page()?),
    }
}

/// One page: the program, then each command.
fn man_page() -> Result<String, Failure> {
    let mut page = Vec::new();
    let mut command = Cli::command();
    command.build();
    let failed = |error: std::io::Error| Failure::Run(format!("cannot render the manual page: {error}"));
    clap_mangen::Man::new(command.clone()).render(&mut page).map_err(failed)?;
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        man_section(sub, "BERTH", &mut page).map_err(failed)?;
    }
    Ok(String::from_utf8_lossy(&page).into_owned())
}

/// A command with those below it.
fn man_section(command: &clap::Command, above: &str, page: &mut Vec<u8>) -> std::io::Result<()> {
    let name = format!("{above} {}", command.get_name().to_uppercase());
    let man = clap_mangen::Man::new(command.clone());
    page.extend(format!(".SH \"{name}\"\n").into_bytes());
    man.render_description_section(page)?;
    man.render_options_section(page)?;
    let below = command.get_subcommands().filter(|sub| sub.get_name() != "help");
    below.into_iter().try_for_each(|sub| man_section(sub, &name, page))
}
