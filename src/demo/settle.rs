//! Waits until everything that was written is applied.

use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use weft_actors::status::ChannelState;

use super::Stage;
use super::error::DemoError;
use super::servers::Server;
use super::sites::{DIRECTIONS, SITES, channel_of, source_of};

/// An apply may answer with changes of its own (evictions), which the other side must then apply;
/// they answer nothing but what they were answered. So the last of these rounds finds nothing new.
const ROUNDS: usize = 3;
const PAUSE: Duration = Duration::from_millis(25);

/// A place in a binlog: file name and position, which sort as the history does (the numbers of the
/// files are padded).
type Place = (String, u64);

/// Waits until both directions have applied what the servers' binlogs hold, at most so long.
///
/// `Ok(Err(…))` says what was still missing at the end.
pub async fn settle(stage: &mut Stage, patience: Duration) -> Result<Result<(), String>, DemoError> {
    let began = Instant::now();
    for _ in 0..ROUNDS {
        let mut places = Vec::new();
        for (site, server) in stage.servers.iter().enumerate() {
            places.push(place(site, server).await?);
        }
        for direction in DIRECTIONS {
            loop {
                let Err(missing) = is_applied(stage, direction, &places[direction.0]).await else { break };
                stage.check_alive()?;
                if began.elapsed() > patience {
                    return Ok(Err(missing));
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    Ok(Ok(()))
}

/// Where the server's binlog is now.
async fn place(site: usize, server: &Server) -> Result<Place, DemoError> {
    let failed = |cause| DemoError::Query { site: SITES[site], doing: "asking for its binlog", cause };
    let mut conn = server.conn().await?;
    let row: Option<(String, u64, String, String)> =
        conn.query_first("SHOW MASTER STATUS").await.map_err(failed)?;
    conn.disconnect().await.map_err(failed)?;
    let (file, position, _, _) = row.expect("the demo starts its servers with a binlog");
    Ok((file, position))
}

/// Whether the direction has applied everything before `place`; if not, what is missing.
async fn is_applied(stage: &Stage, direction: (usize, usize), place: &Place) -> Result<(), String> {
    let (from, to) = direction;
    let unreachable = |error: reqwest::Error| format!("a node does not answer: {error}");
    let report = stage.nodes[from].admin().status().await.map_err(unreachable)?;
    let source = source_of(&report, from).ok_or("the source is not in the status")?;
    let captured = source.file.as_deref().and_then(parse_place);
    if captured.as_ref().is_none_or(|captured| captured < place) {
        let at = source.file.as_deref().unwrap_or("nothing");
        return Err(format!("{} has written {}:{}, captured is {at}", SITES[from], place.0, place.1));
    }
    // Read only now: the newest change of a report may be older than its place.
    let report = stage.nodes[from].admin().status().await.map_err(unreachable)?;
    let newest = source_of(&report, from).and_then(|source| source.scn.clone());
    let report = stage.nodes[to].admin().status().await.map_err(unreachable)?;
    let channel = channel_of(&report, direction).ok_or("the channel is not in the status")?;
    if channel.state == ChannelState::Running && channel.watermark >= newest {
        return Ok(());
    }
    Err(format!(
        "{} to {} is {}{}, applied up to {} of {}",
        SITES[from],
        SITES[to],
        channel.state.as_str(),
        channel.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default(),
        channel.watermark.as_deref().unwrap_or("nothing"),
        newest.as_deref().unwrap_or("nothing")
    ))
}

fn parse_place(text: &str) -> Option<Place> {
    let (file, position) = text.rsplit_once(':')?;
    Some((file.to_owned(), position.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_sort_as_the_history_does() {
        let place = |text: &str| parse_place(text).expect("a place");
        assert!(place("binlog.000001:99999") < place("binlog.000002:4"));
        assert!(place("binlog.000002:999") < place("binlog.000002:1000"));
        assert_eq!(parse_place("binlog.000002"), None);
    }
}
