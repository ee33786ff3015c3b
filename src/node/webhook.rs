//! Asks a user's program who wins a conflict: one POST of both rows, answered with the winner.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::BoxFuture;
use serde::Serialize;
use weft_actors::referee::ports::{Arbiter, ArbiterError, OpenCase};
use weft_core::filter::referee::{Claim, Contest, Row, Winner};
use weft_core::instance::InstanceId;

use crate::config::Secret;

/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// One channel's webhook.
pub struct HttpArbiter {
    http: reqwest::Client,
    url: Secret<reqwest::Url>,
    /// Full name of the instance that decides.
    decider: String,
    /// Full names of all instances.
    names: BTreeMap<InstanceId, String>,
}

/// What is posted. Its fields are what users' programs read.
#[derive(Serialize)]
struct Question<'a> {
    /// Id of the record in `weft.conflict` at `decided_at`.
    conflict: u64,
    decided_at: &'a str,
    channel: &'a str,
    /// `schema.table`.
    table: String,
    primary_key: Vec<&'a str>,
    /// Of the incoming change.
    scn: String,
    incoming: Posted<'a>,
    local: Posted<'a>,
    /// What holds until the answer.
    last_write_wins: &'static str,
}

#[derive(Serialize)]
struct Posted<'a> {
    /// Texts by column name; null: the row was deleted.
    row: Option<&'a Row>,
    /// Version time in microseconds since 1970 UTC.
    time_us: u64,
    /// Where an application made the change.
    instance: Option<&'a str>,
    site: Option<&'a str>,
}

const INCOMING: &str = "incoming";
const LOCAL: &str = "local";

impl HttpArbiter {
    /// # Errors
    /// The HTTP client cannot be made.
    pub fn new(
        url: Secret<reqwest::Url>,
        timeout: Duration,
        decider: &str,
        names: BTreeMap<InstanceId, String>,
    ) -> Result<HttpArbiter, reqwest::Error> {
        // A proxy of the environment is not what the configuration names.
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(timeout)
            .build()?;
        Ok(HttpArbiter { http, url, decider: decider.to_owned(), names })
    }

    fn posted<'a>(&'a self, claim: &'a Claim) -> Posted<'a> {
        let instance = self.names.get(&claim.stands_for.origin).map(String::as_str);
        Posted {
            row: claim.row.as_ref(),
            time_us: claim.stands_for.time.0,
            instance,
            site: instance.and_then(|name| name.split_once('.')).map(|(site, _)| site),
        }
    }

    fn question<'a>(&'a self, case: &'a OpenCase, contest: &'a Contest) -> Question<'a> {
        let (challenger, standing) = (self.posted(&contest.challenger), self.posted(&contest.standing));
        let (incoming, local, last_write_wins) = match contest.challenger_came_in {
            true => (challenger, standing, LOCAL),
            false => (standing, challenger, INCOMING),
        };
        Question {
            conflict: contest.entry,
            decided_at: &self.decider,
            channel: &case.channel,
            table: case.table.to_string(),
            primary_key: case.row_key.iter().map(|(name, _)| name.as_str()).collect(),
            scn: contest.scn.to_string(),
            incoming,
            local,
            last_write_wins,
        }
    }

    async fn post(&self, question: &Question<'_>) -> Result<Vec<u8>, ArbiterError> {
        let failed = |error: reqwest::Error| match error.is_timeout() {
            true => ArbiterError::Timeout,
            false => ArbiterError::Unreachable,
        };
        let request = self.http.post(self.url.reveal().clone()).json(question);
        let mut answer = request.send().await.map_err(failed)?;
        if answer.status() != reqwest::StatusCode::OK {
            return Err(ArbiterError::Status);
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(ArbiterError::BadAnswer);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

impl Arbiter for HttpArbiter {
    fn ask<'a>(
        &'a self,
        case: &'a OpenCase,
        contest: &'a Contest,
    ) -> BoxFuture<'a, Result<Winner, ArbiterError>> {
        Box::pin(async move {
            let body = self.post(&self.question(case, contest)).await?;
            winner(&body, contest.challenger_came_in).ok_or(ArbiterError::BadAnswer)
        })
    }
}

/// Reads `{"winner": "incoming"}` or `{"winner": "local"}`; other fields are let be.
fn winner(body: &[u8], challenger_came_in: bool) -> Option<Winner> {
    let answer: serde_json::Value = serde_json::from_slice(body).ok()?;
    let incoming_wins = match answer.get("winner")?.as_str()? {
        INCOMING => true,
        LOCAL => false,
        _ => return None,
    };
    Some(if incoming_wins == challenger_came_in { Winner::Challenger } else { Winner::Standing })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_names_one_of_two_winners_and_anything_else_is_none() {
        assert_eq!(winner(br#"{"winner":"incoming","by":"x"}"#, true), Some(Winner::Challenger));
        assert_eq!(winner(br#"{"winner":"incoming"}"#, false), Some(Winner::Standing));
        assert_eq!(winner(br#"{"winner":"local"}"#, true), Some(Winner::Standing));
        assert_eq!(winner(br#"{"winner":"local"}"#, false), Some(Winner::Challenger));
        for body in ["", "incoming", "{}", r#"{"winner":null}"#, r#"{"winner":"both"}"#, r#"["winner"]"#] {
            assert_eq!(winner(body.as_bytes(), true), None, "{body}");
        }
    }
}
