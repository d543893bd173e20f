//! Set-up: a server that answers and pushes anything: wrong kinds, impossible numbers, damaged bytes.
//! Claim: the client neither panics nor spins; at worst it closes the connection and comes back later.

#![allow(dead_code, reason = "the line serves several tests")]

#[path = "model/dice.rs"]
mod dice;
#[path = "model/line.rs"]
mod line;

use dice::Dice;
use line::{Asked, CHAT, Line, ME};
use trunkline_client::core::{ClientEvent, Follow, Link};
use trunkline_wire::ids::{ConversationId, DeviceId, UserId};
use trunkline_wire::message::{Ack, Encoder, ErrorCode, Message, Opened, Page, Summary, Welcome};

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

fn any_answer(dice: &mut Dice, request: u32) -> Vec<u8> {
    let (mut encoder, mut out) = (Encoder::new(), Vec::new());
    let conversation = any_chat(dice);
    match dice.below(8) {
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
            let opened = Opened { conversation, kind: 9, epoch, last_seq, high, high_message_id: 0, peer };
            encoder.opened(request, &opened).write_envelope(&mut out);
        }
        2 => {
            let page = Page { conversation, epoch: any(dice), more: dice.chance(50), last_seq: any(dice) };
            let messages: Vec<_> = (0..dice.below(4)).map(|_| any_message(dice)).collect();
            encoder.history_page(request, &page, messages.into_iter()).write_envelope(&mut out);
        }
        3 => {
            let summaries: Vec<_> = (0..dice.below(3))
                .map(|_| Summary { conversation: any_chat(dice), kind: 1, peer: UserId(0), last_seq: any(dice) })
                .collect();
            encoder.listed(request, &summaries, dice.chance(50)).write_envelope(&mut out);
        }
        4 => {
            let retry_after_ms = dice.pick(&[0, 1, u32::MAX]);
            encoder.error(request, dice.pick(ErrorCode::ALL), "", retry_after_ms).write_envelope(&mut out);
        }
        5 => encoder.message(conversation, &any_message(dice)).write_envelope(&mut out),
        6 => encoder.go_away(ErrorCode::Draining, dice.pick(&[0, u32::MAX])).write_envelope(&mut out),
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
    let follows = [Follow::FromNow, Follow::FromStart, Follow::Behind([(CHAT, 2)].into())];
    let mut welcomes = 0;
    for seed in 0..3_000 {
        let mut dice = Dice::new(seed);
        let mut line = Line::new(follows[dice.below(3) as usize].clone(), seed as u8);
        let mut connected = false;
        for _ in 0..100 {
            line.now_ms += dice.below(50);
            match dice.below(10) {
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
