//! `weft verify`: which tables of which instances are compared.

use crate::config::Deployment;
use crate::error::Failure;
use crate::verify::{self, PairToCompare};

use super::args::VerifyArgs;

/// Compares what each channel keeps equal, every pair of instances once. `Ok` holds the exit status.
pub async fn run(args: &VerifyArgs) -> Result<u8, Failure> {
    let deployment = Deployment::load(&args.config)?;
    if let Some(name) = args.channel.as_ref().filter(|name| !deployment.channels.contains_key(*name)) {
        let known: Vec<&str> = deployment.channels.keys().map(String::as_str).collect();
        return Err(Failure::Usage(format!(
            "{}: there is no channel {name} in it; known: {}",
            deployment.file.display(),
            known.join(", ")
        )));
    }
    let wanted = |name: &String| args.channel.as_ref().is_none_or(|channel| channel == name);
    let mut pairs: Vec<PairToCompare> = Vec::new();
    for (channel, direction) in deployment.directions().filter(|(channel, _)| wanted(&channel.name)) {
        let named = async |name: &String| {
            Ok::<_, Failure>((name.clone(), super::primary_of(&deployment.instances[name]).await?))
        };
        let there_and_back = |pair: &&PairToCompare| {
            pair.channel == channel.name && pair.left.0 == direction.to && pair.right.0 == direction.from
        };
        if pairs.iter().find(there_and_back).is_none() {
            pairs.push(PairToCompare {
                channel: channel.name.clone(),
                left: named(&direction.from).await?,
                right: named(&direction.to).await?,
                left_tables: channel.tables_at(&direction.from),
                right_tables: channel.tables_at(&direction.to),
                transforms: channel.transforms(direction),
            });
        }
    }
    Ok(verify::run(pairs, args.json).await.exit_status())
}
