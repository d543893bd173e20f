//! What is asked about people on the public port: look-ups, profiles, contacts, conversations. All of it needs an access token.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use trunkline_shards::store::{ContactRow, ContactState};
use trunkline_wire::ids::{ConversationId, UserId};
use trunkline_wire::message::ConversationKind;

use super::routes::{Bearer, Body, Door, Refusal, secret};
use crate::people::{Contact, ConversationShown, PeopleError, Person, ProfileChange};

/// The routes.
pub(super) fn routes() -> Router<Door> {
    Router::new()
        .route("/v1/profile", get(profile).patch(change_profile))
        .route("/v1/users", get(named))
        .route("/v1/users/{user}", get(user))
        .route("/v1/conversations/{conversation}", get(conversation))
        .route("/v1/contacts", get(contacts))
        .route("/v1/contacts/{user}", post(ask_contact).delete(end_contact))
        .route("/v1/contacts/{user}/accept", post(accept_contact))
        .route("/v1/blocks/{user}", put(block).delete(unblock))
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    #[serde(default)]
    after: Option<String>,
    #[serde(default)]
    limit: Option<u32>,
}

#[derive(Serialize)]
struct ContactShown {
    user: String,
    handle: String,
    state: &'static str,
    blocked: bool,
    changed_ms: u64,
}

impl From<Contact> for ContactShown {
    fn from(Contact { user, handle, row }: Contact) -> ContactShown {
        let ContactRow { state, blocked, changed_ms } = row;
        ContactShown { user: user.to_string(), handle, state: name_of(state), blocked, changed_ms }
    }
}

/// What clients call it.
fn name_of(state: ContactState) -> &'static str {
    match state {
        ContactState::None => "none",
        ContactState::Requested => "requested",
        ContactState::Asked => "asked",
        ContactState::Accepted => "accepted",
    }
}

#[derive(Serialize)]
struct ContactsShown {
    contacts: Vec<ContactShown>,
    more: bool,
}

#[derive(Serialize)]
struct StateShown {
    user: String,
    state: &'static str,
}

#[derive(Serialize)]
struct ConversationAnswer {
    conversation: String,
    kind: &'static str,
    title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<String>,
    members: usize,
    created_ms: u64,
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

async fn conversation(State(door): State<Door>, Bearer(token): Bearer, path: PathText) -> Result<Response, Refusal> {
    let text = path.ok().map(|Path(text)| text).unwrap_or_default();
    let conversation = ConversationId::parse(&text).ok_or(PeopleError::UnknownConversation)?;
    let found = door.ask(move |sign_in, now_s| sign_in.people(now_s, &token)?.conversation(conversation)).await?;
    let ConversationShown { conversation, kind, title, peer, members, created_ms } = found;
    let kind = if kind == ConversationKind::Group as u8 { "group" } else { "direct" };
    let (conversation, peer) = (conversation.to_string(), peer.map(|peer| peer.to_string()));
    Ok(secret(StatusCode::OK, ConversationAnswer { conversation, kind, title, peer, members, created_ms }))
}

async fn contacts(
    State(door): State<Door>,
    Bearer(token): Bearer,
    query: Result<Query<Page>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(Page { after, limit }) = query?;
    let after = match after.as_deref() {
        Some(text) => UserId::parse(text)
            .ok_or_else(|| Refusal::new(StatusCode::BAD_REQUEST, "malformed", "`after` is a user: 16 hex digits"))?,
        None => UserId(0),
    };
    let (found, more) = door.ask(move |sign_in, now_s| sign_in.people(now_s, &token)?.contacts(after, limit)).await?;
    let contacts = found.into_iter().map(ContactShown::from).collect();
    Ok(secret(StatusCode::OK, ContactsShown { contacts, more }))
}

async fn ask_contact(State(door): State<Door>, Bearer(token): Bearer, path: PathText) -> Result<Response, Refusal> {
    let user = user_of(path)?;
    let state = door.ask(move |sign_in, now_s| sign_in.people(now_s, &token)?.ask_contact(user)).await?;
    Ok(secret(StatusCode::OK, StateShown { user: user.to_string(), state: name_of(state) }))
}

async fn accept_contact(State(door): State<Door>, Bearer(token): Bearer, path: PathText) -> Result<Response, Refusal> {
    let user = user_of(path)?;
    let state = door.ask(move |sign_in, now_s| sign_in.people(now_s, &token)?.accept_contact(user)).await?;
    Ok(secret(StatusCode::OK, StateShown { user: user.to_string(), state: name_of(state) }))
}

async fn end_contact(State(door): State<Door>, Bearer(token): Bearer, path: PathText) -> Result<Response, Refusal> {
    let user = user_of(path)?;
    door.ask(move |sign_in, now_s| sign_in.people(now_s, &token)?.end_contact(user)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn block(State(door): State<Door>, Bearer(token): Bearer, path: PathText) -> Result<Response, Refusal> {
    let user = user_of(path)?;
    door.ask(move |sign_in, now_s| sign_in.people(now_s, &token)?.block(user)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn unblock(State(door): State<Door>, Bearer(token): Bearer, path: PathText) -> Result<Response, Refusal> {
    let user = user_of(path)?;
    door.ask(move |sign_in, now_s| sign_in.people(now_s, &token)?.unblock(user)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
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
            PeopleError::UnknownUser | PeopleError::UnknownConversation => (StatusCode::NOT_FOUND, None),
            PeopleError::NoRequest | PeopleError::Blocked | PeopleError::ContactsFull | PeopleError::RequestsFull => {
                (StatusCode::CONFLICT, None)
            }
            PeopleError::DisplayName | PeopleError::Avatar | PeopleError::Oneself => (StatusCode::BAD_REQUEST, None),
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
