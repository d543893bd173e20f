//! What an operator looks at, and whom it keeps out: users and conversations, in pages.

use serde::Serialize;
use serde_json::{Value, json};
use trunkline_shards::directory::{ConversationInfo, DirectoryAnswer, DirectoryRequest};
use trunkline_shards::store::{ConversationKey, ConversationMeta, UserRow};
use trunkline_wire::handle::Handle;
use trunkline_wire::ids::{ConversationId, UserId};
use trunkline_wire::message::{ConversationKind, ErrorCode, Role};

use super::{Refusal, Request, to_value};
use crate::accounts::{AccountError, Accounts, TENANT};
use crate::ask::Shards;
use crate::limits::ADMIN_PAGE_MAX;
use crate::sign_in::account::Account;

/// The answer; none: something else is asked.
pub(super) fn answer<S: Shards + ?Sized>(
    accounts: &Accounts<'_, S>,
    request: &Request,
) -> Option<Result<Value, Refusal>> {
    Some(match request {
        Request::UserList { prefix, after, limit } => users(accounts, prefix, after, page_of(*limit)),
        Request::UserShow { name } => user(accounts, name),
        Request::UserSuspend { name } => suspend(accounts, name, true),
        Request::UserUnsuspend { name } => suspend(accounts, name, false),
        Request::ConversationList { after, limit } => conversations(accounts, after, page_of(*limit)),
        Request::ConversationShow { conversation } => conversation_of(accounts, conversation),
        _ => return None,
    })
}

fn page_of(limit: Option<u32>) -> u32 {
    limit.unwrap_or(ADMIN_PAGE_MAX).clamp(1, ADMIN_PAGE_MAX)
}

fn users<S: Shards + ?Sized>(
    accounts: &Accounts<'_, S>,
    prefix: &str,
    after: &str,
    rows_max: u32,
) -> Result<Value, Refusal> {
    // What begins a handle need not be one.
    let prefix = Handle::parse(prefix).map_or_else(|_| prefix.to_lowercase(), |handle| handle.fold());
    let request = DirectoryRequest::Users { tenant: TENANT, prefix, after: after.to_owned(), rows_max };
    let DirectoryAnswer::Users(found, more) = accounts.look(request)? else { unreachable!("users were asked for") };
    let after = found.last().map(|(folded, _)| folded.clone());
    let mut users = Vec::with_capacity(found.len());
    for (folded, user) in found {
        // One that cannot be read hides no other.
        let row = accounts.read(user).ok().flatten();
        users.push(row.map_or_else(|| json!({"handle": folded, "user": user.to_string()}), |row| brief(user, &row)));
    }
    Ok(json!({"users": users, "more": more, "after": after}))
}

/// What is told of a user among others.
fn brief(user: UserId, row: &UserRow) -> Value {
    let account = Account::decode(&row.account).ok();
    json!({
        "handle": row.handle,
        "user": user.to_string(),
        "created_ms": row.created_ms,
        "devices": row.devices,
        "signed_in": account.as_ref().map(|account| account.devices.len()),
        "suspended": account.is_some_and(|account| account.suspended),
    })
}

fn user<S: Shards + ?Sized>(accounts: &Accounts<'_, S>, name: &str) -> Result<Value, Refusal> {
    show(accounts, accounts.known(name)?)
}

fn show<S: Shards + ?Sized>(accounts: &Accounts<'_, S>, (handle, user): (Handle, UserId)) -> Result<Value, Refusal> {
    let (row, account) = accounts.open(user)?.ok_or(AccountError::Unknown(handle))?;
    let mut shown = brief(user, &row);
    let devices = account.devices.iter().map(|(number, device)| {
        json!({"device": number, "name": device.name, "since_s": device.since_s, "seen_s": device.family.renewed_s})
    });
    shown["signed_in"] = devices.collect();
    shown["display_name"] = account.profile.display_name.into();
    shown["avatar"] = account.profile.avatar.into();
    Ok(shown)
}

fn suspend<S: Shards + ?Sized>(accounts: &Accounts<'_, S>, name: &str, suspended: bool) -> Result<Value, Refusal> {
    let (handle, user) = accounts.known(name)?;
    accounts.set_suspended(user, suspended)?;
    show(accounts, (handle, user))
}

fn conversations<S: Shards + ?Sized>(accounts: &Accounts<'_, S>, after: &str, rows_max: u32) -> Result<Value, Refusal> {
    let after = if after.is_empty() { None } else { Some(conversation_id(after)?) };
    let request = DirectoryRequest::Conversations { tenant: TENANT, after, rows_max };
    let DirectoryAnswer::Conversations(found, more) = accounts.look(request)? else {
        unreachable!("conversations were asked for")
    };
    let after = found.last().map(|entry| entry.conversation.to_string());
    let listed: Vec<Value> =
        found.iter().map(|entry| of_conversation(entry.conversation, &entry.meta, entry.last_seq)).collect();
    Ok(json!({"conversations": listed, "more": more, "after": after}))
}

fn of_conversation(conversation: ConversationId, meta: &ConversationMeta, last_seq: u64) -> Value {
    let is_group = meta.kind == ConversationKind::Group as u8;
    let peers: Vec<String> = meta.peers.iter().map(UserId::to_string).collect();
    json!({
        "conversation": conversation.to_string(),
        "kind": if is_group { "group" } else { "direct" },
        "title": meta.title,
        "peers": peers,
        "created_ms": meta.created_ms,
        "last_seq": last_seq,
    })
}

fn conversation_of<S: Shards + ?Sized>(accounts: &Accounts<'_, S>, text: &str) -> Result<Value, Refusal> {
    let conversation = conversation_id(text)?;
    let key = ConversationKey { tenant: TENANT, conversation };
    let request = DirectoryRequest::Conversation { key };
    let DirectoryAnswer::Conversation(found) = accounts.look(request)? else {
        unreachable!("a conversation was asked for")
    };
    let no_such = || Refusal::new(ErrorCode::NotFound.name(), format!("there is no conversation {conversation}"));
    let info = found.ok_or_else(no_such)?;
    let mut shown = of_conversation(conversation, &info.meta, info.last_seq);
    shown["members"] = members_of(&info);
    Ok(shown)
}

/// Who is and was a member.
fn members_of(info: &ConversationInfo) -> Value {
    #[derive(Serialize)]
    struct Shown {
        user: String,
        role: &'static str,
        joined_seq: u64,
        left_seq: Option<u64>,
    }
    let shown: Vec<Shown> = info
        .members
        .iter()
        .map(|member| Shown {
            user: member.user.to_string(),
            role: if member.role == Role::Admin as u8 { "admin" } else { "member" },
            joined_seq: member.joined_seq,
            left_seq: (member.left_seq != u64::MAX).then_some(member.left_seq),
        })
        .collect();
    to_value(&shown)
}

fn conversation_id(text: &str) -> Result<ConversationId, Refusal> {
    let no_id = || Refusal::new(ErrorCode::Malformed.name(), "a conversation goes by 32 hex digits");
    ConversationId::parse(text).ok_or_else(no_id)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Admin;
    use super::*;
    use crate::test_shards::{TestShards, admin};

    fn ask(admin: &Admin<TestShards>, request: &Value) -> Value {
        serde_json::from_str(&admin.answer_line(request.to_string().as_bytes())).unwrap()
    }

    fn handles(page: &Value) -> Vec<&str> {
        page["users"].as_array().unwrap().iter().map(|user| user["handle"].as_str().unwrap()).collect()
    }

    #[test]
    fn users_are_looked_through_in_pages() {
        let admin = admin(3);
        for name in ["Alice", "alicia", "Bob", "élan"] {
            ask(&admin, &json!({"op": "user_add", "name": name}));
        }
        let all = ask(&admin, &json!({"op": "user_list"}));
        assert_eq!((handles(&all), &all["more"]), (vec!["Alice", "alicia", "Bob", "élan"], &json!(false)));
        let first = ask(&admin, &json!({"op": "user_list", "prefix": "ALI", "limit": 1}));
        assert_eq!((handles(&first), &first["more"]), (vec!["Alice"], &json!(true)));
        let second = ask(&admin, &json!({"op": "user_list", "prefix": "ALI", "limit": 1, "after": first["after"]}));
        assert_eq!((handles(&second), &second["more"]), (vec!["alicia"], &json!(false)));
        assert_eq!(ask(&admin, &json!({"op": "user_show", "name": "bob"}))["devices"], 1);
        assert_eq!(ask(&admin, &json!({"op": "user_show", "name": "carol"}))["error"], "unknown_handle");
    }

    #[test]
    fn who_is_suspended_gets_no_token() {
        let admin = admin(2);
        let name = |op: &str| json!({"op": op, "name": "alice"});
        ask(&admin, &name("user_add"));
        for _ in 0..2 {
            assert_eq!(ask(&admin, &name("user_suspend"))["suspended"], true);
            assert_eq!(ask(&admin, &name("user_token"))["error"], "suspended");
        }
        assert_eq!(ask(&admin, &name("user_unsuspend"))["suspended"], false);
        assert_eq!(ask(&admin, &name("user_token"))["device"], 2);
        assert_eq!(ask(&admin, &json!({"op": "user_suspend", "name": "bob"}))["error"], "unknown_handle");
    }

    #[test]
    fn what_is_no_conversation_is_told() {
        let admin = admin(1);
        let show = |id: &str| ask(&admin, &json!({"op": "conversation_show", "conversation": id}))["error"].clone();
        assert_eq!((show("abc"), show(&"0".repeat(32))), (json!("malformed"), json!("not_found")));
        assert_eq!(ask(&admin, &json!({"op": "conversation_list", "after": "x"}))["error"], "malformed");
        assert_eq!(ask(&admin, &json!({"op": "conversation_list"}))["conversations"], json!([]));
    }
}
