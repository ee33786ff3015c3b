//! The routes and what each answers.

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, ORIGIN};
use actix_web::{HttpRequest, HttpResponse, web};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;

use super::problem::{PROBLEM_JSON, Problem};
use super::{AdminState, ChannelCommand, ChannelVerb, CommandBody, CommandError};

/// Longest body of a command in bytes.
const BODY_BYTES_MAX: usize = 16 << 10;
/// The Prometheus text format that is served.
const METRICS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) fn configure(config: &mut web::ServiceConfig) {
    config
        .app_data(web::PayloadConfig::new(BODY_BYTES_MAX))
        .route("/healthz", web::get().to(healthz))
        .route("/readyz", web::get().to(readyz))
        .route("/metrics", web::get().to(metrics))
        .route("/v1/status", web::get().to(status))
        .route("/v1/channels/{name}/{verb}", web::post().to(channel_command))
        .default_service(web::to(not_found));
}

async fn healthz() -> HttpResponse {
    HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(json!({ "alive": true }))
}

async fn readyz(state: web::Data<dyn AdminState>) -> HttpResponse {
    let (code, reasons) = match state.ready() {
        Ok(()) => (StatusCode::OK, Vec::new()),
        Err(reasons) => (StatusCode::SERVICE_UNAVAILABLE, reasons),
    };
    HttpResponse::build(code)
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(json!({ "ready": code == StatusCode::OK, "reasons": reasons }))
}

async fn metrics(handle: web::Data<PrometheusHandle>) -> HttpResponse {
    HttpResponse::Ok().content_type(METRICS_TEXT).body(handle.render())
}

async fn status(state: web::Data<dyn AdminState>) -> HttpResponse {
    HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(state.status())
}

async fn channel_command(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    query: Result<web::Query<CommandBody>, actix_web::Error>,
    body: web::Bytes,
    state: web::Data<dyn AdminState>,
) -> HttpResponse {
    // A page in an operator's browser can post here without asking; only browsers send an origin.
    if request.headers().contains_key(ORIGIN) {
        return refuse(
            StatusCode::FORBIDDEN,
            "forbidden",
            "commands from web pages are not taken; use weft channel",
        );
    }
    let done = match read_command(path.into_inner(), query, &body) {
        Ok(command) => state.channel_command(command).await.map_err(Refusal::from),
        Err(refusal) => Err(refusal),
    };
    match done {
        Ok(()) => HttpResponse::Ok().json(json!({ "done": true })),
        Err(refusal) => refuse(refusal.code, refusal.title, &refusal.detail),
    }
}

/// Why a command is not carried out, as it is answered.
struct Refusal {
    code: StatusCode,
    title: &'static str,
    detail: String,
}

impl From<CommandError> for Refusal {
    fn from(error: CommandError) -> Refusal {
        match error {
            CommandError::NotFound(detail) => {
                Refusal { code: StatusCode::NOT_FOUND, title: "no such channel", detail }
            }
            CommandError::Conflict(detail) => {
                Refusal { code: StatusCode::CONFLICT, title: "refused", detail }
            }
        }
    }
}

/// The body has the last word over the query.
fn read_command(
    (channel, verb): (String, String),
    query: Result<web::Query<CommandBody>, actix_web::Error>,
    body: &[u8],
) -> Result<ChannelCommand, Refusal> {
    let bad = |detail: String| Refusal { code: StatusCode::BAD_REQUEST, title: "bad request", detail };
    let verb = match verb.as_str() {
        "pause" => ChannelVerb::Pause,
        "resume" => ChannelVerb::Resume,
        "skip" => ChannelVerb::Skip,
        _ => {
            let detail = format!("{verb} is not a command; use pause, resume or skip");
            return Err(Refusal { code: StatusCode::NOT_FOUND, title: "no such command", detail });
        }
    };
    let query =
        query.map_err(|error| bad(format!("the query is not understood: {error}; use to and scn")))?;
    let body = match body.is_empty() {
        true => CommandBody::default(),
        false => serde_json::from_slice(body)
            .map_err(|error| bad(format!("the body is not understood: {error}; send to and scn as JSON")))?,
    };
    let query = query.into_inner();
    Ok(ChannelCommand { channel, verb, to: body.to.or(query.to), scn: body.scn.or(query.scn) })
}

async fn not_found(request: HttpRequest) -> HttpResponse {
    let detail = format!("{} {} is not served here", request.method(), request.path());
    refuse(StatusCode::NOT_FOUND, "not found", &detail)
}

fn refuse(code: StatusCode, title: &str, detail: &str) -> HttpResponse {
    let problem = Problem { title: title.to_owned(), detail: detail.to_owned() };
    HttpResponse::build(code).content_type(PROBLEM_JSON).json(problem)
}
