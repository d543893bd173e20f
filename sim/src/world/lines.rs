//! Connections of client processes: made, closed, left.

use trunkline_shards::contract::PeerAddress;
use trunkline_shards::{Event, ShardId};

use super::World;
use crate::network::{Link, LinkId};
use crate::person::Wish;

impl World {
    pub(super) fn time_out_clients(&mut self) -> bool {
        let now_ms = self.now_ms();
        let due: Vec<usize> = (0..self.persons.len())
            .filter(|&number| self.persons[number].next_deadline_ms().is_some_and(|at| at <= now_ms))
            .collect();
        let Some(&number) = self.dice.pick(&due) else { return false };
        self.persons[number].ask(|client| client.handle_timeout(now_ms));
        self.poll_person(number);
        true
    }

    pub(super) fn poll_person(&mut self, number: usize) {
        while let Some(wish) = self.with_person(number, |person, ears| person.poll(ears)) {
            self.grant(number, wish);
        }
    }

    pub(super) fn grant(&mut self, number: usize, wish: Wish) {
        match wish {
            Wish::Connect => self.connect(number),
            Wish::Send(link, bytes) => {
                if let Some(link) = self.links.get_mut(&link) {
                    link.to_server.extend(bytes);
                }
            }
            Wish::Drop(link) => self.leave(link, true),
            Wish::Event(event) => self.told(number, event),
        }
    }

    pub(super) fn connect(&mut self, number: usize) {
        let now_ms = self.now_ms();
        let id = self.next_link;
        let Some(process) = self.process.as_mut().filter(|_| !self.draining) else {
            return self.persons[number].refused(now_ms);
        };
        self.next_link += 1;
        let shard = self.dice.below(process.shards.len()) as ShardId;
        let connection = process.connect(shard, id, &mut self.dice);
        let mut link = Link::new(shard, connection, number);
        link.to_server.extend(self.persons[number].linked(id));
        self.links.insert(id, link);
        let peer = PeerAddress { ip: 1u128.to_be_bytes() };
        self.apply(shard, Event::Accepted { connection, peer });
    }

    /// The client no longer takes part; what it had sent may still arrive.
    pub(super) fn leave(&mut self, id: LinkId, late: bool) {
        if let Some(link) = self.links.get_mut(&id) {
            link.client_there = false;
            if !late {
                link.to_server.clear();
            }
        }
    }

    /// A connection that the server closed comes to its end.
    pub(super) fn close_link(&mut self) -> bool {
        let Some(id) = self.pick_link(|link| link.closing) else { return false };
        let Some(link) = self.links.get_mut(&id) else { return false };
        let (shard, connection, person, there) = (link.shard, link.connection, link.person, link.client_there);
        if link.sending.take().is_some() {
            self.apply(shard, Event::Sent { connection, complete: false, buffer: None });
            return true;
        }
        self.links.remove(&id);
        self.apply(shard, Event::Closed { connection });
        if let Some(process) = &mut self.process {
            process.links.remove(&(shard, connection));
        }
        if there && self.persons[person].link() == Some(id) {
            let now_ms = self.now_ms();
            self.persons[person].cut(now_ms);
            self.poll_person(person);
        }
        true
    }

    pub(super) fn cut_link(&mut self) {
        let Some(id) = self.pick_link(|link| link.client_there) else { return };
        let late = self.dice.percent(60);
        self.mark(if late { "cuts_with_late_bytes" } else { "cuts" });
        let Some(number) = self.links.get(&id).map(|link| link.person) else { return };
        self.leave(id, late);
        let now_ms = self.now_ms();
        self.persons[number].cut(now_ms);
        self.poll_person(number);
    }
}
