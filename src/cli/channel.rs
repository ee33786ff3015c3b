//! `weft channel pause|resume|skip`.

use super::args::ChannelArgs;
use super::client::AdminClient;
use super::out;
use crate::admin::{CommandBody, Problem};
use crate::error::Failure;

pub async fn run(args: &ChannelArgs) -> Result<u8, Failure> {
    let (verb, direction, scn) = args.verb.parts();
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if direction.name.is_empty() || !direction.name.chars().all(fits) {
        return Err(Failure::Usage(format!(
            "{:?} is not a channel's name; names have letters, digits, - and _",
            direction.name
        )));
    }
    let client = AdminClient::new(&direction.admin.admin)?;
    let body = CommandBody { to: direction.to.clone(), scn: scn.map(str::to_owned) };
    let request = client.post(&format!("/v1/channels/{}/{}", direction.name, verb.as_str())).json(&body);
    let answer = client.send(request).await?;
    let status = answer.status();
    if status.is_success() {
        let to = direction.to.as_ref().map(|to| format!(" to {to}")).unwrap_or_default();
        out::print(&format!("{} {}{to}: done\n", verb.as_str(), direction.name))?;
        return Ok(0);
    }
    let reason = match answer.json::<Problem>().await {
        Ok(problem) => problem.detail,
        Err(_) => format!("{} answered {status}; is it the admin address of a node?", client.base()),
    };
    Err(Failure::Failed(reason))
}
