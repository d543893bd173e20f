//! The task of a session: moves what the core wants to the socket, and what happens to the core.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use super::order::{Order, Waiting};
use super::socket::{Happening, Socket};
use super::trust::Trust;
use crate::core::{Client, ClientEvent, Link};
use crate::limits::EVENTS_WAITING_MAX;
use crate::outbox::Outbox;

pub(super) struct Driver<O> {
    client: Client<O>,
    url: String,
    socket: Socket,
    orders: mpsc::Receiver<Order>,
    orders_open: bool,
    events: mpsc::Sender<ClientEvent>,
    events_open: bool,
    /// Told by the core, not yet taken by the stream.
    held: VecDeque<ClientEvent>,
    waiting: Waiting,
    /// Those who wait until all that was marked is reported.
    reported: Vec<oneshot::Sender<()>>,
    trouble: watch::Sender<Option<String>>,
    /// Where its clock begins.
    pub(super) start: Instant,
    closing: Option<oneshot::Sender<()>>,
}

impl<O: Outbox> Driver<O> {
    pub(super) fn new(
        client: Client<O>,
        url: String,
        trust: Trust,
        orders: mpsc::Receiver<Order>,
        events: mpsc::Sender<ClientEvent>,
        trouble: watch::Sender<Option<String>>,
    ) -> Driver<O> {
        Driver {
            client,
            url,
            socket: Socket::new(trust),
            orders,
            orders_open: true,
            events,
            events_open: true,
            held: VecDeque::new(),
            waiting: Waiting::default(),
            reported: Vec::new(),
            trouble,
            start: Instant::now(),
            closing: None,
        }
    }

    /// Until the program closes the session, or nobody is left to hear of it.
    pub(super) async fn run(mut self) {
        let events = self.events.clone();
        while self.closing.is_none() && (self.orders_open || self.events_open) {
            self.serve();
            let timeout = self.client.poll_timeout().map(|at_ms| self.start + Duration::from_millis(at_ms));
            tokio::select! {
                order = self.orders.recv(), if self.orders_open => self.obey(order),
                permit = events.reserve(), if !self.held.is_empty() => match (permit, self.held.pop_front()) {
                    (Ok(permit), Some(event)) => permit.send(event),
                    _ => self.events_open = false,
                },
                () = events.closed(), if self.events_open => self.events_open = false,
                happening = self.socket.next() => self.handle(happening),
                () = sleep_until(timeout.unwrap_or(self.start)), if timeout.is_some() => {
                    self.client.handle_timeout(self.now_ms());
                }
            }
        }
        self.client.close(self.now_ms());
        while let Some(event) = self.client.poll_event() {
            self.held.extend(self.waiting.tell(event));
        }
        self.socket.close().await;
        // The outbox is free, and the last events follow, before anyone learns that the session is closed.
        let Driver { client, held, closing, .. } = self;
        drop(client);
        for event in held {
            if events.try_send(event).is_err() {
                break;
            }
        }
        if let Some(closed) = closing {
            let _ = closed.send(());
        }
    }

    fn now_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    /// Does what the core wants.
    fn serve(&mut self) {
        while let Some(link) = self.client.poll_link() {
            match link {
                Link::Connect => self.socket.connect(self.url.clone()),
                Link::Close => self.socket.drop_now(),
            }
        }
        while let Some(envelope) = self.client.poll_transmit() {
            self.socket.send(envelope);
        }
        if !self.reported.is_empty() && self.client.is_reported() {
            for reported in self.reported.drain(..) {
                let _ = reported.send(());
            }
        }
        while self.held.len() < EVENTS_WAITING_MAX
            && let Some(event) = self.client.poll_event()
        {
            self.held.extend(self.waiting.tell(event));
            if !self.events_open {
                self.held.clear();
            }
        }
    }

    fn handle(&mut self, happening: Happening) {
        let now_ms = self.now_ms();
        match happening {
            Happening::Connected => {
                self.trouble.send_replace(None);
                self.client.handle_connected(now_ms);
            }
            Happening::Envelope(envelope) => self.client.handle_envelope(now_ms, &envelope),
            Happening::Activity => self.client.handle_activity(now_ms),
            Happening::Ended(reason, text) => {
                self.trouble.send_replace(Some(text));
                self.client.handle_disconnected(now_ms, reason);
            }
        }
    }

    fn obey(&mut self, order: Option<Order>) {
        match order {
            None => self.orders_open = false,
            Some(Order::Close(closed)) => self.closing = Some(closed),
            Some(Order::Ask(question, reply)) => {
                let request = self.client.ask(self.now_ms(), question);
                self.waiting.answers.insert(request, reply);
            }
            Some(Order::Send { conversation, kind, body, taken, fate }) => {
                let result = self.client.send(self.now_ms(), conversation, kind, &body);
                if let (Ok(message_id), Some(fate)) = (&result, fate) {
                    self.waiting.fates.insert(*message_id, fate);
                }
                // Who gave up waiting is not told.
                let _ = taken.send(result);
            }
            Some(Order::MarkDelivered(conversation, seq)) => {
                self.client.mark_delivered(self.now_ms(), conversation, seq);
            }
            Some(Order::MarkRead(conversation, seq)) => self.client.mark_read(self.now_ms(), conversation, seq),
            Some(Order::Report(reported)) => {
                self.client.report_now(self.now_ms());
                self.reported.push(reported);
            }
            Some(Order::Typing(conversation)) => self.client.typing(self.now_ms(), conversation),
            Some(Order::Conversations(count, reply)) => {
                let _ = reply.send(self.client.conversations().take(count).cloned().collect());
            }
        }
    }
}
