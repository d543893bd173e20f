//! What the wire costs per message: assembling a frame and verifying its envelope, and encoding a push.

use std::hint::black_box;
use std::ops::ControlFlow;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use trunkline_wire::ids::{ConversationId, DeviceId, MessageId, UserId};
use trunkline_wire::message::{ContentKind, Encoder, Message, Outgoing, decode_request};
use trunkline_wire::websocket::{Assembler, FrameLimits, Incoming, Opcode, Role, encode_frame};

const CONVERSATION: ConversationId = ConversationId([7; 16]);
const KIND: u8 = ContentKind::Text as u8;
const MASK: [u8; 4] = [1, 2, 3, 4];
const BODIES: [usize; 3] = [100, 1024, 16 * 1024];

fn receive_send(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("assemble and verify a Send");
    for bytes in BODIES {
        let body = vec![b'x'; bytes];
        let message = Outgoing { client_seq: 1, message_id: MessageId(1), kind: KIND, body: &body };
        let (mut envelope, mut frame) = (Vec::new(), Vec::new());
        Encoder::new().send(1, CONVERSATION, &[message]).write_envelope(&mut envelope);
        encode_frame(Opcode::Binary, &envelope, Some(MASK), &mut frame);
        let mut input = frame.clone();
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::from_parameter(bytes), |bencher| {
            bencher.iter(|| {
                // Unmasking works in place, so each round starts from a copy.
                input.copy_from_slice(&frame);
                let mut sink = |incoming: Incoming<'_>| {
                    if let Incoming::Binary(envelope) = incoming {
                        black_box(decode_request(envelope).expect("the envelope is one of ours"));
                    }
                    ControlFlow::Continue(())
                };
                Assembler::new(Role::Server).receive(&FrameLimits::DEFAULT, &mut input, &mut sink)
            });
        });
    }
}

fn encode_message(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode a Message");
    for bytes in BODIES {
        let body = vec![b'x'; bytes];
        let message = Message {
            epoch: 1,
            seq: 1,
            ts_ms: 1,
            sender: UserId(1),
            device: DeviceId(1),
            message_id: MessageId(1),
            kind: KIND,
            flags: 0,
            body: &body,
            sent_at_ms: 0,
            ref_seq: 0,
            mls_epoch: 0,
        };
        let (mut encoder, mut out) = (Encoder::new(), Vec::new());
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::from_parameter(bytes), |bencher| {
            bencher.iter(|| {
                out.clear();
                encoder.message(CONVERSATION, black_box(&message)).write_server_frame(&mut out);
                out.len()
            });
        });
    }
}

criterion_group!(wire, receive_send, encode_message);
criterion_main!(wire);
