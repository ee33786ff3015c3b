//! What an operator, or the end of the node, asks of a direction.

use ractor::{ActorRef, RpcReplyPort};
use weft_core::channel::delivery::Consistency;
use weft_core::scn::Scn;
use weft_core::sink::step::StopKind;

use super::actor::{ChannelState, Life};
use super::message::{ChannelMessage, Command};

impl ChannelState {
    pub(super) fn command(
        &mut self,
        myself: &ActorRef<ChannelMessage>,
        command: Command,
        reply: RpcReplyPort<Result<(), String>>,
    ) {
        match command {
            Command::Pause => {
                self.paused = true;
                if let Life::Running(run) = &mut self.life {
                    run.hold();
                }
                let _ = reply.send(Ok(()));
            }
            // At a statement that stops the direction, to resume says: it was dealt with at the target.
            Command::Resume if self.stopped_at.as_ref().is_some_and(|stop| stop.kind == StopKind::Ddl) => {
                self.paused = false;
                self.skip(myself, None, "resumed after", reply);
            }
            Command::Resume => {
                self.paused = false;
                let _ = myself.cast(ChannelMessage::Begin);
                let _ = reply.send(Ok(()));
            }
            Command::Skip(scn) => self.skip(myself, scn, "skipped", reply),
        }
    }

    /// Puts on record that the change is passed over, then recovers past it.
    fn skip(
        &mut self,
        myself: &ActorRef<ChannelMessage>,
        wanted: Option<Scn>,
        verb: &str,
        reply: RpcReplyPort<Result<(), String>>,
    ) {
        let stopped_at = self.stopped_at.as_ref().and_then(|stop| stop.scn.map(|scn| (scn, &stop.reason)));
        let (scn, what) = match (stopped_at, wanted) {
            (None, _) => {
                let _ = reply
                    .send(Err("the direction is not stopped at a change: there is nothing to skip".into()));
                return;
            }
            (Some((scn, _)), Some(wanted)) if wanted.transaction() != scn.transaction() => {
                let _ = reply.send(Err(format!("the direction is stopped at {scn}, not at {wanted}")));
                return;
            }
            // Only where transactions are cut into rows can a single row be passed over.
            (Some((scn, reason)), _) if self.args.schedule.consistency == Consistency::Row => {
                (scn, format!("{verb}: {reason}"))
            }
            (Some((scn, reason)), _) => (scn.transaction(), format!("{verb}: {reason}")),
        };
        self.rest();
        let (target, myself) = (self.args.target.clone(), myself.clone());
        tokio::spawn(async move {
            let recorded = target.record_skip(scn, &what).await.map_err(|error| error.to_string());
            let _ = reply.send(recorded);
            let _ = myself.cast(ChannelMessage::Begin);
        });
    }

    pub(super) fn drain(&mut self, reply: RpcReplyPort<()>) {
        if let Life::Running(run) = &mut self.life {
            run.hold();
        }
        self.paused = true;
        self.draining = Some(reply);
    }
}
