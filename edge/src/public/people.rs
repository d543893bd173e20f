//! What is asked about people on the public port: look-ups and profiles. All of it needs an access token.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use trunkline_wire::ids::UserId;

use super::routes::{Bearer, Body, Door, Refusal, secret};
use crate::people::{PeopleError, Person, ProfileChange};

/// The routes.
pub(super) fn routes() -> Router<Door> {
    Router::new()
        .route("/v1/profile", get(profile).patch(change_profile))
        .route("/v1/users", get(named))
        .route("/v1/users/{user}", get(user))
}

#[derive(Serialize)]
struct PersonShown {
    user: String,
    handle: String,
    display_name: String,
    avatar: String,
}

impl From<Person> for PersonShown {
    fn from(Person { user, handle, display_name, avatar }: Person) -> PersonShown {
        PersonShown { user: user.to_string(), handle, display_name, avatar }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    handle: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfilePatch {
    display_name: Option<String>,
    avatar: Option<String>,
}

type PathText = Result<Path<String>, PathRejection>;

async fn profile(State(door): State<Door>, Bearer(token): Bearer) -> Result<Response, Refusal> {
    shown(door.ask(move |sign_in, now_s| sign_in.people(now_s, &token)?.profile()).await)
}

async fn change_profile(
    State(door): State<Door>,
    Bearer(token): Bearer,
    body: Body<ProfilePatch>,
) -> Result<Response, Refusal> {
    let Json(ProfilePatch { display_name, avatar }) = body?;
    let change = ProfileChange { display_name, avatar };
    shown(door.ask(move |sign_in, now_s| sign_in.people(now_s, &token)?.change_profile(change)).await)
}

async fn named(
    State(door): State<Door>,
    Bearer(token): Bearer,
    query: Result<Query<Named>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(Named { handle }) = query?;
    shown(door.ask(move |sign_in, now_s| sign_in.people(now_s, &token)?.named(&handle)).await)
}

async fn user(State(door): State<Door>, Bearer(token): Bearer, path: PathText) -> Result<Response, Refusal> {
    let user = user_of(path)?;
    shown(door.ask(move |sign_in, now_s| sign_in.people(now_s, &token)?.user(user)).await)
}

fn shown(person: Result<Person, Refusal>) -> Result<Response, Refusal> {
    Ok(secret(StatusCode::OK, PersonShown::from(person?)))
}

/// The user that a path names. What is no id is nobody's.
fn user_of(path: PathText) -> Result<UserId, Refusal> {
    let text = path.ok().map(|Path(text)| text).unwrap_or_default();
    UserId::parse(&text).ok_or_else(|| PeopleError::UnknownUser.into())
}

impl From<PeopleError> for Refusal {
    fn from(error: PeopleError) -> Refusal {
        let (status, retry_after_s) = match &error {
            PeopleError::Account(_) => (StatusCode::INTERNAL_SERVER_ERROR, None),
            PeopleError::UnknownUser => (StatusCode::NOT_FOUND, None),
            PeopleError::DisplayName | PeopleError::Avatar => (StatusCode::BAD_REQUEST, None),
            PeopleError::TooOften(seconds) => (StatusCode::TOO_MANY_REQUESTS, Some(*seconds)),
        };
        if let PeopleError::Account(error) = error {
            return error.into();
        }
        let mut refusal = Refusal::new(status, error.code(), error.to_string());
        refusal.retry_after_s = retry_after_s;
        refusal
    }
}

impl From<QueryRejection> for Refusal {
    fn from(rejection: QueryRejection) -> Refusal {
        Refusal::new(rejection.status(), "malformed", rejection.body_text())
    }
}
