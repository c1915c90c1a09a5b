//! A control plane by hand: starts all parts and as many nodes as are asked for, applies what is handed in, runs a program beside
//! it, says how to reach all of it, and ends with its input.

use std::error::Error;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use berth_controlplane::{ControlPlane, Inventory, Options};

const USAGE: &str = "\
usage: berth-controlplane [NODES] [--apply PATH]... [--as NAMESPACE/ACCOUNT] [--say FILE] [--run PROGRAM [ARGUMENT]...]

  NODES   nodes with eight H100 each; 4 unless given
  --apply a YAML file, or a folder of them, applied in this order
  --as    the service account that the program is; the administrator unless given
  --say   a text that is shown when all of it runs
  --run   a program that runs beside the cluster, with KUBECONFIG set; the rest of the line is its own";

/// What the command line asks for.
#[derive(Default)]
struct Asked {
    nodes: Option<u32>,
    apply: Vec<PathBuf>,
    account: Option<(String, String)>,
    say: Option<PathBuf>,
    run: Vec<OsString>,
}

fn asked() -> Result<Asked, String> {
    let wrong = |what: &str| format!("{what}\n{USAGE}");
    let mut asked = Asked::default();
    let mut words = std::env::args_os().skip(1);
    while let Some(word) = words.next() {
        let text = word.to_string_lossy().into_owned();
        let mut value = || words.next().ok_or_else(|| wrong(&format!("{text} needs a value")));
        match text.as_str() {
            "--apply" => asked.apply.push(value()?.into()),
            "--say" => asked.say = Some(value()?.into()),
            "--as" => {
                let account = value()?.to_string_lossy().into_owned();
                let (namespace, name) = account.split_once('/').ok_or_else(|| wrong("--as needs NAMESPACE/ACCOUNT"))?;
                asked.account = Some((namespace.to_owned(), name.to_owned()));
            }
            "--run" => {
                asked.run = words.by_ref().collect();
                if asked.run.is_empty() {
                    return Err(wrong("--run needs a program"));
                }
            }
            "--help" | "-h" => return Err(USAGE.to_owned()),
            number => {
                let nodes =
                    number.parse().map_err(|_| wrong(&format!("found `{number}`, expected a number of nodes")))?;
                asked.nodes = Some(nodes);
            }
        }
    }
    Ok(asked)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let asked = asked().unwrap_or_else(|said| {
        eprintln!("{said}");
        std::process::exit(2);
    });
    let plane = ControlPlane::start(Options::FULL).await?;
    plane.create_nodes(&Inventory::h100("gpu", asked.nodes.unwrap_or(4)).nodes()).await?;
    for path in &asked.apply {
        apply(&plane, path).await.map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let mut beside = run(&plane, &asked).await?;
    show(&plane, &asked)?;
    let _ = io::stdin().read(&mut [0])?;
    if let Some(program) = &mut beside {
        program.kill()?;
        program.wait()?;
    }
    Ok(())
}

async fn apply(plane: &ControlPlane, path: &Path) -> Result<(), Box<dyn Error>> {
    let mut files = vec![path.to_owned()];
    if path.is_dir() {
        files = fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
        files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
        files.sort();
    }
    for file in files {
        plane.apply(&fs::read_to_string(&file)?).await?;
    }
    Ok(())
}

/// Starts the program, if there is to be one; its output goes to a file beside those of the cluster's own parts.
async fn run(plane: &ControlPlane, asked: &Asked) -> Result<Option<Child>, Box<dyn Error>> {
    let Some((program, arguments)) = asked.run.split_first() else { return Ok(None) };
    let kubeconfig = match &asked.account {
        Some((namespace, name)) => plane.kubeconfig_of(namespace, name).await?,
        None => plane.kubeconfig(),
    };
    let log = File::create(plane.folder().join("program.log"))?;
    let mut command = Command::new(program);
    command.args(arguments).env("KUBECONFIG", kubeconfig).stdin(Stdio::null());
    let child = command.stdout(log.try_clone()?).stderr(log).spawn();
    Ok(Some(child.map_err(|error| format!("{}: {error}", program.display()))?))
}

fn show(plane: &ControlPlane, asked: &Asked) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for (part, pid) in plane.pids() {
        writeln!(out, "# {part} is process {pid}, its log {}", plane.folder().join(format!("{part}.log")).display())?;
    }
    if let Some(program) = asked.run.first() {
        writeln!(out, "# {} logs to {}", program.display(), plane.folder().join("program.log").display())?;
    }
    writeln!(out, "# All of it ends with Enter, Ctrl-C or the end of input.")?;
    writeln!(out, "export KUBECONFIG={}", plane.kubeconfig().display())?;
    if let Some(file) = &asked.say {
        write!(out, "{}", fs::read_to_string(file)?)?;
    }
    out.flush()
}
