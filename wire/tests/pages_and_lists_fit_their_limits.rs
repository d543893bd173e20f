//! The largest answers that the limits allow fit a frame and the client's verifier; requests, the server's.
//!
//! Set-up: each op with a list, filled to its limit with the widest values there are. Claim: the envelope is within
//! `FRAME_BYTES_MAX` and decodes to as many entries on the other side; what is above the verifier's limits, does not.

use trunkline_wire::ids::{ConversationId, DeviceId, MessageId, UserId};
use trunkline_wire::limits::{
    ADVANCED_CONVERSATIONS_MAX, BODY_BYTES_MAX, CLIENT_VERIFIER_TABLES_MAX, FRAME_BYTES_MAX, HISTORY_MESSAGES_MAX,
    MEMBERS_PAGE_MAX, NAMED_HISTORY_BYTES_MAX, REPORT_RECEIPTS_MAX, SENDER_NAME_BYTES_MAX, SERVER_VERIFIER_TABLES_MAX,
    SYNC_CONVERSATIONS_MAX, TITLE_BYTES_MAX, message_cost_bytes,
};
use trunkline_wire::message::{
    Answer, Change, Encoded, Encoder, EnvelopeError, Member, Message, Outgoing, Page, Receipt, Request, Summary,
    UserReceipt, decode_answer, decode_membership, decode_request,
};

const CONVERSATION: ConversationId = ConversationId([0xff; 16]);

fn envelope(encoded: Encoded<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encoded.write_envelope(&mut bytes);
    bytes
}

/// The envelope, after checking that a frame holds it.
fn fitting(encoded: Encoded<'_>) -> Vec<u8> {
    let bytes = envelope(encoded);
    assert!(bytes.len() <= FRAME_BYTES_MAX, "{} bytes", bytes.len());
    bytes
}

fn title() -> String {
    "é".repeat(TITLE_BYTES_MAX / 2)
}

fn users(count: usize) -> Vec<UserId> {
    (0..count as u64).map(|index| UserId(u64::MAX - index)).collect()
}

fn summary(title: &str) -> Summary<'_> {
    Summary {
        conversation: CONVERSATION,
        kind: 2,
        peer: UserId(u64::MAX),
        last_seq: u64::MAX,
        user_seq: u64::MAX,
        read_seq: u64::MAX,
        joined_seq: u64::MAX,
        left_seq: u64::MAX,
        title,
    }
}

#[test]
fn a_page_of_a_list_fits() {
    let title = title();
    let summaries = vec![summary(&title); SYNC_CONVERSATIONS_MAX];
    let mut encoder = Encoder::new();
    let bytes = fitting(encoder.synced(u32::MAX, (u64::MAX, u64::MAX), &summaries, true, true));
    let Ok((u32::MAX, Answer::Synced(synced))) = decode_answer(&bytes) else { panic!("no Synced") };
    let conversations = synced.conversations().expect("conversations");
    assert_eq!(conversations.len(), SYNC_CONVERSATIONS_MAX);
    assert!(conversations.iter().all(|summary| summary.title() == Some(&title)));
}

#[test]
fn a_page_of_an_import_fits() {
    let name = "é".repeat(SENDER_NAME_BYTES_MAX / 2);
    let mut encoder = Encoder::new();
    for (messages, body_bytes) in [(HISTORY_MESSAGES_MAX, 0), (1, BODY_BYTES_MAX)] {
        let body_bytes = body_bytes.max(NAMED_HISTORY_BYTES_MAX / messages - message_cost_bytes(0));
        let body = vec![b'x'; body_bytes];
        let message = |index| Message {
            epoch: u64::MAX,
            seq: u64::MAX,
            ts_ms: u64::MAX,
            sender: UserId(u64::MAX - index),
            device: DeviceId(u32::MAX),
            message_id: MessageId(u64::MAX),
            kind: 1,
            flags: u16::MAX,
            body: &body,
            sent_at_ms: u64::MAX,
            ref_seq: u64::MAX,
            mls_epoch: u64::MAX,
        };
        let names: Vec<_> = users(messages).into_iter().map(|user| (user, name.as_str())).collect();
        let page = Page { conversation: CONVERSATION, epoch: u64::MAX, more: true, last_seq: u64::MAX };
        let bytes = fitting(encoder.history_page(1, &page, (0..messages as u64).map(message), &names));
        let Ok((1, Answer::HistoryPage(page))) = decode_answer(&bytes) else { panic!("no HistoryPage") };
        assert_eq!(page.names().map(|names| names.len()), Some(messages));
    }
}

#[test]
fn a_page_of_members_fits() {
    let member = |user| Member { user, role: 2, joined_seq: u64::MAX, delivered_seq: u64::MAX, read_seq: u64::MAX };
    let members: Vec<Member> = users(MEMBERS_PAGE_MAX).into_iter().map(member).collect();
    let mut encoder = Encoder::new();
    let bytes = fitting(encoder.members_page(1, CONVERSATION, &title(), &members, (true, u64::MAX)));
    let Ok((1, Answer::MembersPage(page))) = decode_answer(&bytes) else { panic!("no MembersPage") };
    let found = page.members().expect("members");
    assert!(found.iter().map(|member| UserId(member.user())).eq(users(MEMBERS_PAGE_MAX)));
}

#[test]
fn pushes_with_lists_fit() {
    let mut encoder = Encoder::new();
    let places = vec![(CONVERSATION, u64::MAX); ADVANCED_CONVERSATIONS_MAX];
    let bytes = fitting(encoder.advanced(1, u64::MAX, &places));
    let Ok((0, Answer::Advanced(advanced))) = decode_answer(&bytes) else { panic!("no Advanced") };
    assert_eq!(advanced.conversations().map(|places| places.len()), Some(places.len()));

    let receipt = |user| UserReceipt { user, delivered_seq: u64::MAX, read_seq: u64::MAX };
    let receipts: Vec<UserReceipt> = users(MEMBERS_PAGE_MAX).into_iter().map(receipt).collect();
    let bytes = fitting(encoder.receipts(CONVERSATION, &receipts));
    let Ok((0, Answer::Receipts(pushed))) = decode_answer(&bytes) else { panic!("no Receipts") };
    assert_eq!(pushed.users().map(|users| users.len()), Some(MEMBERS_PAGE_MAX));
}

#[test]
fn requests_with_lists_fit() {
    let mut encoder = Encoder::new();
    let receipt = Receipt { conversation: CONVERSATION, delivered_seq: u64::MAX, read_seq: u64::MAX };
    let bytes = fitting(encoder.report(1, u64::MAX, &[receipt; REPORT_RECEIPTS_MAX]));
    let Ok((1, Request::Report(report))) = decode_request(&bytes) else { panic!("no Report") };
    assert_eq!(report.receipts().map(|receipts| receipts.len()), Some(REPORT_RECEIPTS_MAX));

    let bytes = fitting(encoder.create_group(1, u64::MAX, &title(), &users(MEMBERS_PAGE_MAX)));
    let Ok((1, Request::CreateGroup(group))) = decode_request(&bytes) else { panic!("no CreateGroup") };
    assert_eq!(group.members().map(|users| users.len()), Some(MEMBERS_PAGE_MAX));

    let bytes = fitting(encoder.change_members(1, CONVERSATION, Change::Added, &users(MEMBERS_PAGE_MAX)));
    let Ok((1, Request::ChangeMembers(change))) = decode_request(&bytes) else { panic!("no ChangeMembers") };
    assert_eq!(change.users().map(|users| users.len()), Some(MEMBERS_PAGE_MAX));
}

/// A row of the log is a message like others: its body is within their limit.
#[test]
fn the_largest_change_of_members_is_a_body() {
    let body = Encoder::new().membership_change(Change::Created, &users(MEMBERS_PAGE_MAX), &title());
    assert!(body.len() <= BODY_BYTES_MAX, "{} bytes", body.len());
    let view = decode_membership(&body).expect("a change of the members");
    assert_eq!(view.users().map(|users| users.len()), Some(MEMBERS_PAGE_MAX));
}

/// Receipts are structs and cost the verifier no table: how many there are is for the core to judge, and the frame bounds
/// that.
#[test]
fn a_report_of_a_whole_frame_is_read_in_full() {
    let receipt = Receipt { conversation: CONVERSATION, delivered_seq: 1, read_seq: 1 };
    let count = (FRAME_BYTES_MAX - 64) / 32;
    let bytes = fitting(Encoder::new().report(1, 1, &vec![receipt; count]));
    let Ok((1, Request::Report(report))) = decode_request(&bytes) else { panic!("no Report") };
    assert_eq!(report.receipts().map(|receipts| receipts.len()), Some(count));
    assert!(count > REPORT_RECEIPTS_MAX, "a frame has room for more than the core takes");
}

#[test]
fn more_tables_than_a_verifier_takes_are_refused() {
    let mut encoder = Encoder::new();
    let synced = envelope(encoder.synced(1, (0, 1), &vec![summary("x"); CLIENT_VERIFIER_TABLES_MAX], false, false));
    assert!(matches!(decode_answer(&synced), Err(EnvelopeError::Malformed)));
    let outgoing = Outgoing { client_seq: 1, message_id: MessageId(1), kind: 1, body: b"x" };
    let send = envelope(encoder.send(1, CONVERSATION, &[outgoing; SERVER_VERIFIER_TABLES_MAX]));
    assert!(matches!(decode_request(&send), Err(EnvelopeError::Malformed)));
}
