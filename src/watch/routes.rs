//! The routes, and the headers that every answer has.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use chrono::Utc;
use serde_json::{Value, json};

use super::board::{Board, Role};
use super::door::{self, Answer};
use super::knowledge::Knowledge;
use super::metrics::metrics;
use super::page::{self, Ask};

const TEXT: &str = "text/plain; charset=utf-8";

/// Everything that can be asked for. Who may ask is settled before a path is looked at, so that a
/// stranger does not learn which there are.
pub(super) fn routes(board: Arc<Board>) -> Router {
    let inside = Router::new()
        .route("/", get(status_page))
        .route("/metrics", get(figures))
        .route("/report.json", get(report))
        .fallback(nothing_here)
        .layer(middleware::from_fn_with_state(
            Arc::clone(&board),
            at_the_door,
        ));
    Router::new()
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .merge(inside)
        .layer(middleware::from_fn(with_headers))
        .with_state(board)
}

async fn at_the_door(State(board): State<Arc<Board>>, request: Request, next: Next) -> Response {
    let plan = board.plan();
    match door::answer(plan.token.as_ref(), request.uri(), request.headers()) {
        Answer::Welcome => next.run(request).await,
        Answer::TokenWanted => {
            let mut refused = text(
                StatusCode::UNAUTHORIZED,
                "a token is needed: Authorization: Bearer TOKEN, or any name and the token as the password\n",
            );
            let headers = refused.headers_mut();
            for scheme in [
                "Bearer realm=\"quay-doctor\"",
                "Basic realm=\"quay-doctor\", charset=\"UTF-8\"",
            ] {
                headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
            }
            refused
        }
        Answer::OtherName => text(
            StatusCode::MISDIRECTED_REQUEST,
            "without a token only a loopback name is answered: ask for localhost or 127.0.0.1\n",
        ),
    }
}

async fn with_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let fixed: [(HeaderName, &str); 5] = [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(policy) = HeaderValue::from_str(page::security_policy()) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    response
}

fn text(status: StatusCode, text: impl Into<String>) -> Response {
    (status, [(CONTENT_TYPE, TEXT)], text.into()).into_response()
}

async fn nothing_here() -> Response {
    text(
        StatusCode::NOT_FOUND,
        "there are /, /metrics, /report.json, /healthz and /readyz\n",
    )
}

/// The process answers; what it knows is another question.
async fn alive() -> Response {
    text(StatusCode::OK, "ok\n")
}

/// Whether it can do its work. Said to everybody, and so without a name of anything.
async fn ready(State(board): State<Arc<Board>>) -> Response {
    let (facts, now) = (board.facts(), Utc::now());
    let unready = |words: String| text(StatusCode::SERVICE_UNAVAILABLE, words);
    match &facts.role {
        Role::Starting => unready("starting: the database has not been reached yet\n".to_owned()),
        Role::Cut { since, trouble } => {
            let what = if trouble.stays {
                "database cannot be used in this way, since"
            } else {
                "database unreachable since"
            };
            unready(format!(
                "{what} {}; the log and the status page say why and what to do\n",
                since.format("%Y-%m-%dT%H:%M:%SZ")
            ))
        }
        _ if !facts.reachable(now) => {
            unready("database unreachable: it does not answer\n".to_owned())
        }
        Role::Standby(_) => text(StatusCode::OK, "standing by: another process scans\n"),
        Role::Scanner => {
            let last = match facts.last_complete {
                Some(last) => format!("last complete scan {} s ago", (now - last).num_seconds()),
                None => "no complete scan yet".to_owned(),
            };
            text(StatusCode::OK, format!("scanning: {last}\n"))
        }
    }
}

async fn figures(State(board): State<Arc<Board>>) -> Response {
    match metrics(&board.facts(), Utc::now()) {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            (StatusCode::OK, [(CONTENT_TYPE, kind)], text).into_response()
        }
        // Writing to a String does not fail; whoever scrapes must not take half for all.
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "no metrics\n"),
    }
}

/// The last report as it was printed, while it holds; else why it does not, with status 503, so that
/// nobody takes yesterday's for today's.
async fn report(State(board): State<Arc<Board>>) -> Response {
    let facts = board.facts();
    let kind = [(CONTENT_TYPE, "application/json")];
    match facts.knowledge(Utc::now()) {
        Knowledge::Known(scan) => (StatusCode::OK, kind, scan.json.clone()).into_response(),
        Knowledge::NotKnown(why) => {
            let last = facts.last.as_ref();
            let last: Value = last
                .and_then(|scan| serde_json::from_str(&scan.json).ok())
                .unwrap_or(Value::Null);
            let body = json!({ "not_known": why.to_string(), "last": last });
            (StatusCode::SERVICE_UNAVAILABLE, kind, format!("{body:#}\n")).into_response()
        }
    }
}

async fn status_page(State(board): State<Arc<Board>>, Query(ask): Query<Ask>) -> Response {
    let kind = [(CONTENT_TYPE, "text/html; charset=utf-8")];
    let plan = board.plan();
    let page = page::render(&board.facts(), &plan, &ask, Utc::now());
    (StatusCode::OK, kind, page.into_string()).into_response()
}
