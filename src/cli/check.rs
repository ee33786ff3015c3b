//! `weft check`.

use super::args::CheckArgs;
use super::out;
use crate::check::{self, Finding, Level};
use crate::config::Deployment;
use crate::error::Failure;

pub async fn run(args: &CheckArgs) -> Result<u8, Failure> {
    let deployment = Deployment::load(&args.config)?;
    if let Some(site) = &args.site
        && !deployment.sites.contains(site)
    {
        let known = deployment.sites.join(", ");
        let file = deployment.file.display();
        return Err(Failure::Usage(format!("{file}: there is no site {site} in it; known: {known}")));
    }
    let findings = check::run(&deployment, args.site.as_deref()).await?;
    let text = match args.json {
        true => serde_json::to_string_pretty(&findings).expect("findings are plain data") + "\n",
        false => lines(&findings),
    };
    out::print(&text)?;
    let errors = findings.iter().any(|finding| finding.level == Level::Error);
    Ok(u8::from(errors))
}

/// A line for each finding, and the sum.
fn lines(findings: &[Finding]) -> String {
    let mut text: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
    let errors = findings.iter().filter(|finding| finding.level == Level::Error).count();
    text.push_str(&match (errors, findings.len()) {
        (0, 0) => "ready\n".to_owned(),
        (0, warnings) => format!("ready, with {}\n", counted(warnings, "warning")),
        (errors, all) => {
            format!("not ready: {}, {}\n", counted(errors, "error"), counted(all - errors, "warning"))
        }
    });
    text
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
