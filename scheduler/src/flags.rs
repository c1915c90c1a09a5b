//! The command line of `berth-scheduler`. Owns the flags, and that they win over the configuration file. Starts nothing and
//! knows no environment but what clap looks at.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use berth_config::SchedulerConfiguration;
use berth_config::scheduler::LogFormat;
use clap::Parser;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use thiserror::Error;

/// The semantic version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit it was built from; `unknown` where git did not say.
pub const REVISION: &str = env!("BERTH_GIT_SHA");

/// Both.
const LONG_VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (git ", env!("BERTH_GIT_SHA"), ")");

/// Schedule the pods of a Kubernetes cluster that name Berth as their scheduler.
#[derive(Debug, Clone, Default, PartialEq, Eq, Parser)]
#[command(name = "berth-scheduler", version = LONG_VERSION, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Flags {
    /// The configuration, a SchedulerConfiguration of config.berth.dev/v1alpha1; without it, every field has its default
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// How to reach the cluster; without it, the service account of the pod, else what kubectl would use
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Elect one of several replicas to schedule; with =false, only one replica may run
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub leader_elect: Option<bool>,

    /// How much is logged: 0 to 2 what happens to pods, 4 and 5 why, 6 to 10 every step
    #[arg(short = 'v', long = "v", value_name = "N", value_parser = clap::value_parser!(u8).range(0..=10))]
    pub verbosity: Option<u8>,

    /// How log lines are written
    #[arg(long, value_name = "FORMAT", value_parser = log_format())]
    pub logging_format: Option<LogFormat>,

    /// Serve health, metrics and configuration all here: an address and a port, or :PORT; port 0 takes a free one, which is
    /// logged
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = bind_address)]
    pub bind_address: Option<String>,
}

const AFTER_HELP: &str = "\
A flag wins over the field of the file that it stands for. Exit codes: 0 asked to stop and did, 1 failed or lost the lease,
2 wrong usage, 3 invalid configuration.

docs/configuration.md describes the file; `berth config print-defaults` prints one.";

/// Why there is no configuration. Not worth a retry before the file is mended.
#[derive(Debug, Error)]
pub enum Unusable {
    /// The file cannot be read.
    #[error("{file}: cannot be read; check that it exists, is a file, and that you may read it")]
    Unreadable {
        /// As the user named it.
        file: String,
        /// What the system says.
        #[source]
        error: std::io::Error,
    },
    /// What is in it does not hold together: a line for each fault.
    #[error("{0}")]
    Wrong(berth_config::Problems),
}

impl Flags {
    /// What holds: the file's fields, those that flags stand for replaced.
    ///
    /// # Errors
    /// Where the file cannot be read, and everything that is wrong in it.
    pub fn configuration(&self) -> Result<SchedulerConfiguration, Unusable> {
        let mut configuration = match &self.config {
            None => SchedulerConfiguration::default(),
            Some(file) => {
                let name = file.display().to_string();
                let text = match text(file) {
                    Ok(text) => text,
                    Err(error) => return Err(Unusable::Unreadable { file: name, error }),
                };
                berth_config::read(&name, &text).map_err(Unusable::Wrong)?
            }
        };
        self.override_in(&mut configuration);
        Ok(configuration)
    }

    /// Puts what the flags say in the place of what the file says.
    fn override_in(&self, configuration: &mut SchedulerConfiguration) {
        if let Some(kubeconfig) = &self.kubeconfig {
            configuration.client_connection.kubeconfig = Some(kubeconfig.display().to_string());
        }
        if let Some(leader_elect) = self.leader_elect {
            configuration.leader_election.leader_elect = leader_elect;
        }
        if let Some(verbosity) = self.verbosity {
            configuration.logging.verbosity = verbosity;
        }
        if let Some(format) = self.logging_format {
            configuration.logging.format = format;
        }
        if let Some(address) = &self.bind_address {
            configuration.server.health_bind_address.clone_from(address);
            configuration.server.metrics_bind_address.clone_from(address);
        }
    }
}

fn log_format() -> impl TypedValueParser<Value = LogFormat> {
    PossibleValuesParser::new(["text", "json"])
        .map(|name| if name == "json" { LogFormat::Json } else { LogFormat::Text })
}

fn bind_address(text: &str) -> Result<String, String> {
    let wrong = || "expected an address and a port, such as 0.0.0.0:8080, [::]:8080 or :8080".to_owned();
    berth_config::bind_address(text).map(|_| text.to_owned()).ok_or_else(wrong)
}

/// One byte more than may be in the file is enough to refuse it.
fn text(file: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(file)?.take(berth_config::FILE_BYTES_MAX as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    fn parse(arguments: &[&str]) -> Result<Flags, clap::Error> {
        Flags::try_parse_from(std::iter::once("berth-scheduler").chain(arguments.iter().copied()))
    }

    #[test]
    fn flags_are_consistent() {
        Flags::command().debug_assert();
    }

    #[test]
    fn each_form_users_know_is_understood() {
        let flags = |change: fn(&mut Flags)| {
            let mut flags = Flags::default();
            change(&mut flags);
            flags
        };
        for (arguments, expected) in [
            (&[][..], Flags::default()),
            (&["--v", "4"], flags(|flags| flags.verbosity = Some(4))),
            (&["--v=6"], flags(|flags| flags.verbosity = Some(6))),
            (&["-v", "2"], flags(|flags| flags.verbosity = Some(2))),
            (&["--leader-elect"], flags(|flags| flags.leader_elect = Some(true))),
            (&["--leader-elect=false"], flags(|flags| flags.leader_elect = Some(false))),
            (&["--logging-format=json"], flags(|flags| flags.logging_format = Some(LogFormat::Json))),
            (&["--bind-address", ":0"], flags(|flags| flags.bind_address = Some(":0".to_owned()))),
            (&["--config", "a.yaml"], flags(|flags| flags.config = Some("a.yaml".into()))),
        ] {
            assert_eq!(parse(arguments).ok(), Some(expected), "{arguments:?}");
        }
    }

    #[test]
    fn a_wrong_flag_exits_with_2_and_a_message_that_helps() {
        for (arguments, says) in [
            (&["--leader-elekt"][..], "--leader-elect"),
            (&["--leader-elect=perhaps"], "true"),
            (&["--v", "11"], "0..=10"),
            (&["--logging-format=xml"], "json"),
            (&["--bind-address", "here"], "0.0.0.0:8080"),
            (&["pods"], "pods"),
        ] {
            let error = parse(arguments).expect_err("must be refused");
            assert_eq!(error.exit_code(), 2, "{arguments:?}");
            assert!(error.to_string().contains(says), "{arguments:?}: {error}");
        }
    }

    #[test]
    fn version_and_help_are_no_errors() {
        let version = parse(&["--version"]).expect_err("ends here");
        assert_eq!((version.kind(), version.exit_code()), (ErrorKind::DisplayVersion, 0));
        assert_eq!(version.to_string(), format!("berth-scheduler {VERSION} (git {REVISION})\n"));
        let hex = REVISION.len() >= 12 && REVISION.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(hex || REVISION == "unknown", "{REVISION}");
        let help = Flags::command().render_long_help().to_string();
        for flag in ["--config", "--kubeconfig", "--leader-elect", "--v", "--logging-format", "--bind-address"] {
            assert!(help.contains(flag), "{flag} is missing:\n{help}");
        }
    }

    #[test]
    fn a_flag_wins_over_the_file() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        let text = "apiVersion: config.berth.dev/v1alpha1\nkind: SchedulerConfiguration\nschedulerName: mine\n\
                    leaderElection: {leaderElect: true}\nlogging: {verbosity: 1, format: text}\n";
        file.write_all(text.as_bytes()).expect("is written");
        let path = file.path().to_str().expect("a name");
        let plain = parse(&["--config", path]).expect("parses").configuration().expect("is sound");
        assert_eq!((plain.leader_election.leader_elect, plain.logging.verbosity), (true, 1));
        let flags = ["--config", path, "--leader-elect=false", "--v=5", "--logging-format=json", "--bind-address=:9"];
        let over = parse(&flags).expect("parses").configuration().expect("is sound");
        assert_eq!(over.scheduler_name, "mine", "the file holds for the rest");
        assert!(!over.leader_election.leader_elect);
        assert_eq!((over.logging.verbosity, over.logging.format), (5, LogFormat::Json));
        assert_eq!((over.server.health_bind_address, over.server.metrics_bind_address), (":9".into(), ":9".into()));
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named() {
        let absent = parse(&["--config", "not-there.yaml"]).expect("parses").configuration().expect_err("is not there");
        assert!(absent.to_string().starts_with("not-there.yaml: cannot be read"), "{absent}");
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        let text = "apiVersion: config.berth.dev/v1alpha1\nkind: SchedulerConfiguration\nschedulrName: mine\n";
        file.write_all(text.as_bytes()).expect("is written");
        let path = file.path().to_str().expect("a name");
        let wrong = parse(&["--config", path]).expect("parses").configuration().expect_err("has a wrong field");
        assert!(wrong.to_string().contains(":3:1: ") && wrong.to_string().contains("schedulerName"), "{wrong}");
    }
}
