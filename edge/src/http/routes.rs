//! What is asked on the admin port, and the answers.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::Semaphore;

use super::Watch;
use crate::limits::{HTTP_ANSWER_MS, HTTP_QUESTIONS_MAX};
use crate::metrics::MEDIA_TYPE;

/// What the routes share.
#[derive(Clone)]
struct Desk {
    watch: Arc<Watch>,
    /// Questions to shards wait for them, and each takes a thread.
    questions: Arc<Semaphore>,
}

/// The routes of a server's admin port.
pub(super) fn routes(watch: Arc<Watch>) -> Router {
    let desk = Desk { watch, questions: Arc::new(Semaphore::new(HTTP_QUESTIONS_MAX)) };
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { plain(StatusCode::OK, "alive") }))
        .route("/readyz", get(ready))
        .with_state(desk)
}

async fn metrics(State(desk): State<Desk>) -> Response {
    match desk.ask(|watch| watch.snapshot().map(|snapshot| snapshot.to_text())).await {
        Ok(Ok(text)) => ([(CONTENT_TYPE, MEDIA_TYPE), (CACHE_CONTROL, "no-store")], text).into_response(),
        Ok(Err(reason)) | Err(reason) => plain(StatusCode::SERVICE_UNAVAILABLE, &reason),
    }
}

async fn ready(State(desk): State<Desk>) -> Response {
    match desk.ask(Watch::why_not_ready).await {
        Ok(None) => plain(StatusCode::OK, "ready"),
        Ok(Some(reason)) | Err(reason) => plain(StatusCode::SERVICE_UNAVAILABLE, &reason),
    }
}

fn plain(status: StatusCode, text: &str) -> Response {
    let head = [(CONTENT_TYPE, "text/plain; charset=utf-8"), (CACHE_CONTROL, "no-store")];
    (status, head, format!("{text}\n")).into_response()
}

impl Desk {
    /// Asks what makes a thread wait.
    async fn ask<T: Send + 'static>(&self, question: impl FnOnce(&Watch) -> T + Send + 'static) -> Result<T, String> {
        let permit = Arc::clone(&self.questions).try_acquire_owned();
        let permit = permit.map_err(|_| "too many requests at once; try again".to_owned())?;
        let watch = Arc::clone(&self.watch);
        let asked = tokio::task::spawn_blocking(move || {
            let answer = question(&watch);
            drop(permit);
            answer
        });
        let patience = Duration::from_millis(HTTP_ANSWER_MS);
        let answered = tokio::time::timeout(patience, asked).await;
        answered.map_err(|_| "the shards did not answer in time".to_owned())?.map_err(|error| error.to_string())
    }
}
