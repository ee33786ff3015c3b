//! Where the channels out of an instance begin. It is decided once in the life of a channel, and stored
//! in the instance before anything is captured for it.

use std::collections::HashMap;
use std::sync::Arc;

use weft_core::binlog::begin::{BinlogPlace, StartAt};
use weft_core::binlog::resume::split_log_name;
use weft_core::scn::Scn;

use super::args::{Outgoing, ReplicatorArgs};
use super::error::CaptureError;
use super::restore::Place;
use crate::ports::{ChannelStart, SourceError, SourceIdentity};

/// Places that were found, by channel.
pub(super) type Places = HashMap<String, BinlogPlace>;

/// Finds the places at which channels are told to begin, before the history of the instance begins.
///
/// # Errors
/// One of them is not there: nothing was captured yet, and its place may be older than the others.
pub(super) async fn find_all(args: &ReplicatorArgs) -> Result<Places, CaptureError> {
    let mut places = Places::new();
    for Outgoing { channel, start } in &args.outgoing {
        if let Some(start) = start {
            let found = args.source.locate(start).await.map_err(|error| named(error, channel, start))?;
            places.insert(channel.clone(), found);
        }
    }
    Ok(places)
}

/// Where the history of the instance begins: at the oldest place; None: now.
pub(super) fn oldest(places: &Places) -> Option<BinlogPlace> {
    places.values().min_by_key(|place| place.order()).cloned()
}

/// Stores where the outgoing channels begin that have no start yet. What commits from now on is theirs.
///
/// A place that is not there, or that was passed before the channel was configured, stops that channel
/// alone.
///
/// # Errors
/// The source cannot be asked.
pub(super) async fn store(
    args: &Arc<ReplicatorArgs>,
    identity: &SourceIdentity,
    place: &Place,
    mut places: Places,
) -> Result<(), CaptureError> {
    let log_index = split_log_name(&identity.file).map_or(0, |(_, index)| index);
    let now = Scn::of_transaction(place.epoch, log_index, identity.position);
    for Outgoing { channel, start } in &args.outgoing {
        let begun = match args.source.channel_start(channel).await? {
            Some(begun) => {
                tell_if_passed_over(channel, start.as_ref(), &begun);
                Ok(begun)
            }
            None => {
                match first_start(args, channel, start.as_ref(), place, now, places.remove(channel)).await {
                    Ok(first) => Ok(args.source.begin_channel(channel, first).await?),
                    Err(SourceError::Unreachable(why)) => return Err(SourceError::Unreachable(why).into()),
                    Err(SourceError::Purged(why) | SourceError::Refused(why)) => Err(why),
                }
            }
        };
        args.starts.update(|starts| {
            starts.insert(channel.clone(), begun.map(|begun| begun.after));
        });
    }
    Ok(())
}

async fn first_start(
    args: &ReplicatorArgs,
    channel: &str,
    start: Option<&StartAt>,
    captured: &Place,
    now: Scn,
    found: Option<BinlogPlace>,
) -> Result<ChannelStart, SourceError> {
    let Some(start) = start else { return Ok(ChannelStart { after: now, asked: None }) };
    let found = match found {
        Some(found) => found,
        None => args.source.locate(start).await.map_err(|error| named(error, channel, start))?,
    };
    if captured.is_behind(&found) {
        let why = format!(
            "{} was captured beyond that without the channel's tables; pause their writes and begin now, or end Weft \
             at {} with `weft uninstall` and begin all its channels anew",
            args.instance, args.instance
        );
        return Err(named(SourceError::Refused(why), channel, start));
    }
    tracing::info!(channel, start = %start, file = found.file, position = found.position, "the channel begins");
    Ok(ChannelStart { after: found.scn(captured.epoch), asked: Some(start.clone()) })
}

/// A start counts the first time only: going back would send again what was sent, going forth would
/// leave out changes.
fn tell_if_passed_over(channel: &str, start: Option<&StartAt>, begun: &ChannelStart) {
    if let Some(start) = start.filter(|start| begun.asked.as_ref() != Some(start)) {
        tracing::warn!(
            channel, start = %start, began = %begun.after,
            "the channel has begun already: its start in the configuration is passed over; remove it"
        );
    }
}

fn named(error: SourceError, channel: &str, start: &StartAt) -> SourceError {
    let name = |why: String| format!("channels.{channel}.start = {start}: {why}");
    match error {
        SourceError::Unreachable(why) => SourceError::Unreachable(name(why)),
        SourceError::Purged(why) => SourceError::Purged(name(why)),
        SourceError::Refused(why) => SourceError::Refused(name(why)),
    }
}
