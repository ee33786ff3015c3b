//! `weft check`.

use super::args::CheckArgs;
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
    if args.json {
        let json = serde_json::to_string_pretty(&findings);
        println!("{}", json.map_err(|error| Failure::Failed(format!("no JSON: {error}")))?);
    } else {
        print_lines(&findings);
    }
    let errors = findings.iter().any(|finding| finding.level == Level::Error);
    Ok(u8::from(errors))
}

fn print_lines(findings: &[Finding]) {
    for finding in findings {
        println!("{finding}");
    }
    let errors = findings.iter().filter(|finding| finding.level == Level::Error).count();
    match (errors, findings.len()) {
        (0, 0) => println!("ready"),
        (0, warnings) => println!("ready, with {}", counted(warnings, "warning")),
        (errors, all) => {
            println!("not ready: {}, {}", counted(errors, "error"), counted(all - errors, "warning"));
        }
    }
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
