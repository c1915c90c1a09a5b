//! The report of a simulation: one HTML file that needs nothing else, to be mailed, printed or kept.
//! Owns how results look. May not compute a result: every number comes from `simulate`.

mod axis;
mod figures;
mod page;
mod plots;
mod svg;

use minijinja::{Environment, value::Serde};

use crate::simulate::RunResult;
use crate::trace::Trace;

/// What a reader needs in order to know, and to repeat, what was done.
#[derive(Debug, Clone)]
pub struct About<'a> {
    /// Where cluster and pods come from, in words: the generator's preset or the files' names.
    pub source: String,
    /// The command line, quoted for a shell.
    pub command: String,
    /// The first seed's trace: what the tables about cluster and pods describe.
    pub trace: &'a Trace,
}

/// The page could not be written; a bug in its template.
#[derive(Debug, thiserror::Error)]
#[error("the report's template does not fit its contents, which is a bug in Berth")]
pub struct ReportError(#[from] minijinja::Error);

/// The report as one HTML file. Results are in the order of the runs; plots over time show the first seed.
///
/// # Errors
/// Never in practice: only a broken template could fail.
pub fn render(about: &About<'_>, runs: &[RunResult]) -> Result<String, ReportError> {
    let mut environment = Environment::new();
    environment.add_template("report.html", include_str!("template.html"))?;
    let page = page::Page::of(about, runs);
    Ok(environment.get_template("report.html")?.render(Serde(&page))?)
}
