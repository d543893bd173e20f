//! Set-up: a server that answers and pushes anything: wrong kinds, impossible numbers, damaged bytes.
//! Claim: the client neither panics nor spins; at worst it closes the connection and comes back later.

use crate::dice::Dice;
use crate::line;
use crate::line::{Asked, CHAT, Line, ME};
use trunkline_client::core::{Change, ClientEvent, Follow, Link, State};
use trunkline_wire::ids::{ConversationId, DeviceId, UserId};
use trunkline_wire::message::{Ack, Encoder, ErrorCode, Member, Message, Opened, Page, Summary, UserReceipt, Welcome};

fn any(dice: &mut Dice) -> u64 {
    dice.pick(&[0, 1, 2, 3, 5, 100, 1 << 32, 1 << 62, u64::MAX - 1, u64::MAX])
}

fn any_chat(dice: &mut Dice) -> ConversationId {
    if dice.chance(80) { CHAT } else { ConversationId([dice.below(3) as u8; 16]) }
}

fn any_message(dice: &mut Dice) -> Message<'static> {
    let sender = if dice.chance(50) { ME } else { UserId(any(dice)) };
    Message { epoch: any(dice), seq: any(dice), sender, device: DeviceId(1), ..line::message(1) }
}

fn welcome(request: u32) -> Vec<u8> {
    let (mut encoder, mut out) = (Encoder::new(), Vec::new());
    let (session, server_time_ms, token_expires_ms, heartbeat_ms) = (0, 0, 0, 30_000);
    let device = DeviceId(1);
    let welcome = Welcome { user: ME, device, session, server_time_ms, token_expires_ms, heartbeat_ms };
    encoder.welcome(request, &welcome).write_envelope(&mut out);
    out
}

fn any_row(dice: &mut Dice) -> Summary<'static> {
    let (conversation, last_seq, user_seq) = (any_chat(dice), any(dice), any(dice));
    let (read_seq, joined_seq, left_seq) = (any(dice), any(dice), any(dice));
    Summary { conversation, last_seq, read_seq, joined_seq, left_seq, ..line::row(user_seq) }
}

fn any_answer(dice: &mut Dice, request: u32) -> Vec<u8> {
    let (mut encoder, mut out) = (Encoder::new(), Vec::new());
    let conversation = any_chat(dice);
    match dice.below(15) {
        0 => {
            let accepted: Vec<_> = (0..dice.below(3)).map(|_| (any(dice), any(dice), any(dice))).collect();
            let refusal = dice.chance(70).then(|| dice.pick(ErrorCode::ALL));
            let (epoch, high) = (any(dice), any(dice));
            let ack =
                Ack { conversation, epoch, accepted: &accepted, refusal, high, high_message_id: 0, retry_after_ms: 1 };
            encoder.ack(request, &ack).write_envelope(&mut out);
        }
        1 => {
            let (epoch, last_seq, high, peer) = (any(dice), any(dice), any(dice), UserId(any(dice)));
            let (joined_seq, left_seq, delivered_seq, read_seq) = (any(dice), any(dice), any(dice), any(dice));
            let opened = Opened { conversation, epoch, last_seq, high, peer, kind: 9, ..line::opened() };
            let opened = Opened { joined_seq, left_seq, delivered_seq, read_seq, ..opened };
            encoder.opened(request, &opened).write_envelope(&mut out);
        }
        2 => {
            let page = Page { conversation, epoch: any(dice), more: dice.chance(50), last_seq: any(dice) };
            let messages: Vec<_> = (0..dice.below(4)).map(|_| any_message(dice)).collect();
            encoder.history_page(request, &page, messages.into_iter(), &[]).write_envelope(&mut out);
        }
        3 => {
            let summaries: Vec<_> = (0..dice.below(3)).map(|_| any_row(dice)).collect();
            let span = (any(dice), any(dice));
            encoder.synced(request, span, &summaries, dice.chance(50), dice.chance(20)).write_envelope(&mut out);
        }
        4 => {
            let retry_after_ms = dice.pick(&[0, 1, u32::MAX]);
            encoder.error(request, dice.pick(ErrorCode::ALL), "", retry_after_ms).write_envelope(&mut out);
        }
        5 => encoder.message(conversation, &any_message(dice)).write_envelope(&mut out),
        6 => encoder.go_away(ErrorCode::Draining, dice.pick(&[0, u32::MAX])).write_envelope(&mut out),
        7 => {
            let body = line::change(dice.pick(&[Change::Created, Change::Added, Change::Removed]), &[ME]);
            let message = line::membership(any(dice), &body);
            encoder.message(conversation, &message).write_envelope(&mut out);
        }
        8 => {
            let places: Vec<_> = (0..dice.below(3)).map(|_| (any_chat(dice), any(dice))).collect();
            encoder.advanced(any(dice), any(dice), &places).write_envelope(&mut out);
        }
        9 => {
            let (delivered_seq, read_seq) = (any(dice), any(dice));
            let receipt = UserReceipt { user: UserId(dice.below(3)), delivered_seq, read_seq };
            encoder.receipts(conversation, &[receipt]).write_envelope(&mut out);
        }
        10 => {
            let expires_ms = dice.pick(&[0, 1, 5_000, u32::MAX]);
            encoder.typing_now(conversation, UserId(any(dice)), expires_ms).write_envelope(&mut out);
        }
        11 => encoder.members_changed(request, conversation, any(dice), any(dice)).write_envelope(&mut out),
        12 => {
            let (user, joined_seq) = (UserId(any(dice)), any(dice));
            let member = Member { user, role: 7, joined_seq, delivered_seq: any(dice), read_seq: any(dice) };
            encoder.members_page(request, conversation, "", &[member], (true, any(dice))).write_envelope(&mut out);
        }
        13 => encoder.done(request).write_envelope(&mut out),
        _ => return welcome(request),
    }
    if dice.chance(10) {
        let at = dice.below(out.len() as u64) as usize;
        out[at] ^= 1 << dice.below(8);
    }
    out
}

#[test]
fn no_server_makes_a_client_panic() {
    let state = State { position: 5, places: [(CHAT, 2)].into(), ..State::default() };
    let follows = [Follow::FromNow, Follow::FromStart, Follow::Behind(state), Follow::Stored, Follow::Nothing];
    let mut welcomes = 0;
    for seed in 0..3_000 {
        let mut dice = Dice::new(seed);
        let mut line = Line::new(follows[dice.below(5) as usize].clone(), seed as u8);
        let mut connected = false;
        for _ in 0..100 {
            line.now_ms += dice.below(50);
            match dice.below(16) {
                3 => line.client.mark_read(line.now_ms, any_chat(&mut dice), any(&mut dice)),
                4 => line.client.typing(line.now_ms, any_chat(&mut dice)),
                5 => drop(line.client.create_group(line.now_ms, "group", &[ME])),
                6 => drop(line.client.change_members(line.now_ms, CHAT, Change::Removed, &[ME])),
                7 => drop(line.client.members(line.now_ms, CHAT, None, 9)),
                8 => drop(line.client.list(line.now_ms, any(&mut dice), 9)),
                9 => drop(State::decode(&line.client.snapshot().encode()).expect("a state comes back")),
                0 => drop(line.client.send_text(line.now_ms, any_chat(&mut dice), "text")),
                1 => drop(line.client.open(line.now_ms, CHAT)),
                2 => drop(line.client.history(line.now_ms, CHAT, any(&mut dice), dice.chance(50), 9)),
                _ => {}
            }
            let wakes = line.client.poll_timeout().is_some_and(|at_ms| at_ms <= line.now_ms + 60_000);
            if wakes && dice.chance(30) {
                line.wait();
            }
            let again = line.client.poll_timeout();
            line.client.handle_timeout(line.now_ms);
            line.client.handle_timeout(line.now_ms);
            assert!(
                line.client.poll_timeout().is_none_or(|at_ms| at_ms > line.now_ms),
                "seed {seed}: spins, {again:?}"
            );
            while let Some(link) = line.client.poll_link() {
                connected = link == Link::Connect;
                if connected {
                    line.client.handle_connected(line.now_ms);
                }
            }
            let requests = line.asked();
            for (request, asked) in requests.into_iter().chain([(0, Asked::Other)]) {
                if connected && dice.chance(80) {
                    let greets = matches!(asked, Asked::Hello(_)) && dice.chance(95);
                    let answer = if greets { welcome(request) } else { any_answer(&mut dice, request) };
                    line.client.handle_envelope(line.now_ms, &answer);
                }
            }
            let events = line.events();
            welcomes += events.iter().filter(|event| matches!(event, ClientEvent::Connected { .. })).count();
            if events.iter().any(|event| matches!(event, ClientEvent::AuthFailed { .. })) {
                line.client.renew(line.now_ms, "newer");
            }
        }
    }
    assert!(welcomes > 10_000, "{welcomes}");
}
