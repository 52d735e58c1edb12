//! The admin endpoint: metrics, health and the log filter over HTTP, on a listener of its own.
//!
//! `/health/live` says that the process turns and looks at neither disk nor peers; `/health/ready` that clients are
//! served; `/health/startup` how far the start has come.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use parking_lot::RwLock;
use prometheus::Registry;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::context::Context;
use crate::log_filter::LogFilter;
use crate::metrics::scrape;

/// What the endpoint can tell at any moment of the broker's life.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) registry: Registry,
    pub(crate) stage: Arc<RwLock<Stage>>,
    pub(crate) log_filter: Option<Arc<LogFilter>>,
}

/// How far the broker is.
#[derive(Clone)]
pub(crate) enum Stage {
    Starting(&'static str),
    Serving(Arc<Context>),
    Stopping,
}

/// Serves until `stop`.
pub(crate) async fn serve(admin: Admin, socket: TcpListener, stop: CancellationToken) {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/health/live", get(|| async { "live\n" }))
        .route("/health/ready", get(ready))
        .route("/health/startup", get(startup))
        .route(
            "/log-level",
            get(log_level).put(set_log_level).post(set_log_level),
        )
        .with_state(admin);
    let served = axum::serve(socket, router)
        .with_graceful_shutdown(async move { stop.cancelled().await })
        .await;
    if let Err(error) = served {
        warn!(%error, "the admin endpoint ended");
    }
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let ctx = match &*admin.stage.read() {
        Stage::Serving(ctx) => Some(Arc::clone(ctx)),
        _ => None,
    };
    match scrape::page(admin.registry, ctx).await {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Why the broker is not ready, in words; empty when it is.
fn reasons(stage: &Stage) -> Vec<String> {
    match stage {
        Stage::Starting(what) => vec![format!("starting: {what}")],
        Stage::Stopping => vec!["stopping".to_owned()],
        Stage::Serving(ctx) => {
            let offline = ctx.store.dirs().into_iter().filter_map(|dir| {
                let reason = dir.offline?;
                Some(format!(
                    "log directory {} is offline: {reason}",
                    dir.path.display()
                ))
            });
            offline.collect()
        }
    }
}

async fn ready(
    State(admin): State<Admin>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let reasons = reasons(&admin.stage.read());
    let status = if reasons.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    if query.contains_key("verbose") {
        return (
            status,
            axum::Json(json!({ "ready": reasons.is_empty(), "reasons": reasons })),
        )
            .into_response();
    }
    let text = if reasons.is_empty() {
        "ready\n".to_owned()
    } else {
        reasons.join("\n") + "\n"
    };
    (status, text).into_response()
}

async fn startup(State(admin): State<Admin>) -> Response {
    match &*admin.stage.read() {
        Stage::Starting(what) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("starting: {what}\n"),
        )
            .into_response(),
        Stage::Serving(_) | Stage::Stopping => "started\n".into_response(),
    }
}

const NO_LOG_FILTER: (StatusCode, &str) = (
    StatusCode::NOT_IMPLEMENTED,
    "the program that embeds this broker keeps its log filter to itself\n",
);

/// The filter in force; PUT one such as `info` or `warn,tidewater_storage=debug` to change it.
async fn log_level(State(admin): State<Admin>) -> Response {
    match &admin.log_filter {
        Some(filter) => (filter.current() + "\n").into_response(),
        None => NO_LOG_FILTER.into_response(),
    }
}

async fn set_log_level(State(admin): State<Admin>, filter: String) -> Response {
    let Some(live) = &admin.log_filter else {
        return NO_LOG_FILTER.into_response();
    };
    match live.set(filter.trim()) {
        Ok(()) => format!("log filter is now {}\n", filter.trim()).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, error + "\n").into_response(),
    }
}
