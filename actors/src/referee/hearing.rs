//! One hearing: from holding the row to the commit that closes its conflicts.

use std::time::Duration;

use weft_core::filter::referee::{
    Answer, Answers, Case, Close, Contest, Hearing, PureRule, Rule, Ruled, Ruling, Why, hear,
};
use weft_core::version::Version;

use super::actor::{ChannelRule, RefereeArgs};
use crate::link::backoff::Backoff;
use crate::ports::TargetError;
use crate::referee::ports::{Held, OpenCase};

/// How long the ledger may take to pass the binlog's position while the row is held.
const FENCE_TIMEOUT: Duration = Duration::from_millis(500);
/// Questions of one hearing: more contests than this are left for the next one.
const QUESTIONS_MAX: usize = 16;

/// How a hearing ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// These are closed and committed.
    Closed(Vec<Close>),
    /// Something is not there yet: hear it again.
    Later,
}

/// Hears a case.
///
/// # Errors
/// The instance could not serve; the case stays open, or its commit was not acknowledged.
pub async fn hear_case(args: &RefereeArgs, case: &OpenCase) -> Result<Heard, TargetError> {
    let last_write_wins = ChannelRule { rule: Rule::Pure(PureRule::LastWriteWins), asking: None };
    // A channel whose rule was taken away: what holds is what last-write-wins did.
    let channel = args.rules.get(&case.channel).unwrap_or(&last_write_wins);
    let mut answers = Answers::new();
    for _ in 0..=QUESTIONS_MAX {
        let session = args.sessions.acquire().await;
        let mut held = args.docket.hold(case).await?;
        if !args.ledger.passed(held.server_id(), held.position(), FENCE_TIMEOUT).await {
            held.release().await;
            return Ok(Heard::Later);
        }
        let entries = held.entries().await?;
        let newest = args.ledger.newest(&case.key);
        let facts = Case { decider: args.id, newest, row: held.row(), entries };
        let hearing = if held.fits() {
            hear(&facts, &channel.rule, &answers)
        } else {
            Hearing::Ruled(Ruled::all(&facts.entries, Ruling::Abandoned, Why::DoesNotFit))
        };
        match hearing {
            Hearing::Ruled(ruled) => return settle(args, case, held, ruled, newest).await,
            Hearing::Wait => {
                held.release().await;
                return Ok(Heard::Later);
            }
            Hearing::Ask(contest) => {
                held.release().await;
                drop(session);
                let answer = ask(args, channel, case, &contest).await;
                answers.insert(contest.entry, (contest.standing.version, answer));
            }
        }
    }
    Ok(Heard::Later)
}

/// Writes, looks once more, and commits.
async fn settle(
    args: &RefereeArgs,
    case: &OpenCase,
    mut held: Box<dyn Held>,
    mut ruled: Ruled,
    newest: Option<Version>,
) -> Result<Heard, TargetError> {
    if let Err(why) = held.write(&ruled).await? {
        ruled = ruled.abandoned(why);
        if held.write(&ruled).await?.is_err() {
            held.release().await;
            return Ok(Heard::Later);
        }
    }
    // A row that was not there cannot be held wholly: someone may have come and gone since, or have
    // deleted it once more. Now that it is written, looking once more is enough.
    let now = held.position_now().await?;
    if now != held.position() {
        let passed = args.ledger.passed(held.server_id(), now, FENCE_TIMEOUT).await;
        if !passed || args.ledger.newest(&case.key) != newest {
            held.release().await;
            return Ok(Heard::Later);
        }
    }
    held.commit().await?;
    Ok(Heard::Closed(ruled.closes))
}

/// Asks as often as the channel says.
async fn ask(args: &RefereeArgs, channel: &ChannelRule, case: &OpenCase, contest: &Contest) -> Answer {
    let Some(asking) = &channel.asking else { return Answer::Nothing };
    let _permit = asking.permits.acquire().await;
    let mut backoff = Backoff::default();
    for tried in 0..=asking.retries {
        if tried > 0 {
            tokio::time::sleep(backoff.next(rand::random())).await;
        }
        match asking.arbiter.ask(case, contest).await {
            Ok(winner) => return Answer::Winner(winner),
            Err(error) => {
                args.metrics.ask_failed(&case.channel, error);
                tracing::debug!(channel = case.channel, table = %case.table, %error, "the webhook did not decide");
            }
        }
    }
    args.metrics.fell_back(&case.channel);
    tracing::warn!(
        channel = case.channel,
        table = %case.table,
        conflict = contest.entry,
        "the webhook did not decide a conflict; its fallback does"
    );
    Answer::Nothing
}
