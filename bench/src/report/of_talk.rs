//! Figures of pairs and of groups that talked.

use super::Report;
use super::load::Load;
use crate::direct;
use crate::group;
use crate::history::Compared;
use crate::statistics::per;

impl Report {
    /// Of pairs that chatted; the server may use so many cores.
    #[must_use]
    pub fn of_direct(setting: &direct::Setting, outcome: &direct::Outcome, server_cores: u32) -> Report {
        let mut report = Report::of("direct");
        report.set("pairs", setting.pairs);
        report.set("in_flight_per_connection", setting.in_flight);
        report.set("one_way", setting.is_one_way);
        report.set("body_bytes", setting.body_bytes);
        report.set("seconds", setting.seconds);
        report.set("warmup_s", setting.warmup_s);
        report.set("rate_per_s", setting.rate);
        let cores = setting.server_pid.map(|_| server_cores);
        let load = Load::new(&outcome.before, &outcome.after, setting.rate.is_some(), cores);
        let acked = load.count(|usage| usage.tally.acked);
        let delivered = load.count(|usage| usage.tally.delivered);
        let durable = acked.min(delivered);
        report.add("durable_messages_per_s", load.per_s(durable));
        report.add("acked_per_s", load.per_s(acked));
        report.add("delivered_per_s", load.per_s(delivered));
        report.add_latencies("ack", &outcome.to_ack);
        report.add_latencies("delivery", &outcome.to_delivery);
        report.add_cpu(&load, &[("message", durable)]);
        report.add_gathering(&load, acked, delivered);
        report.add_bytes(&load, "message", durable);
        report.add("connects_per_s", outcome.connected.per_s());
        report.add_refusals(&outcome.total);
        report.add_compared(&outcome.compared);
        report.add("unsent", outcome.unsent as f64);
        report.add_disturbances(&load);
        if outcome.unsent > 0 {
            let (unsent, due) = (outcome.unsent, outcome.due);
            let text = "messages could not even be sent; the latencies leave them out";
            report.note(format!("overloaded: {unsent} of {due} {text}"));
        }
        report
    }

    /// Of groups that chatted; the server may use so many cores.
    #[must_use]
    pub fn of_group(setting: &group::Setting, outcome: &group::Outcome, server_cores: u32) -> Report {
        let mut report = Report::of("group");
        report.set("groups", setting.groups);
        report.set("members", setting.members);
        report.set("senders", setting.senders);
        report.set("in_flight_per_sender", 1);
        report.set("body_bytes", setting.body_bytes);
        report.set("seconds", setting.spans.seconds);
        report.set("warmup_s", setting.spans.warmup_s);
        let cores = setting.server_pid.map(|_| server_cores);
        let load = Load::new(&outcome.before, &outcome.after, false, cores);
        let acked = load.count(|usage| usage.tally.acked);
        let copies = load.count(|usage| usage.tally.delivered);
        let durable = acked.min(copies / f64::from(setting.members - 1));
        report.add("durable_messages_per_s", load.per_s(durable));
        report.add("copies_per_s", load.per_s(copies));
        report.add_latencies("ack", &outcome.to_ack);
        report.add_latencies("delivery", &outcome.to_delivery);
        report.add_latencies("last_delivery", &outcome.to_last);
        report.add_cpu(&load, &[("message", durable), ("copy", copies)]);
        report.add_gathering(&load, acked, copies);
        report.add_bytes(&load, "copy", copies);
        report.add("connects_per_s", outcome.connected.per_s());
        report.add_refusals(&outcome.total);
        report.add_compared(&outcome.compared);
        report.add_disturbances(&load);
        report
    }

    fn add_gathering(&mut self, load: &Load<'_>, acked: f64, delivered: f64) {
        let frames = load.count(|usage| usage.traffic.envelopes);
        self.add("deliveries_per_message", per(delivered, acked));
        self.add("frames_per_receive", per(frames, load.count(|usage| usage.traffic.receives)));
        self.add("sends_per_message", per(load.count(|usage| usage.tally.sends), acked));
    }

    fn add_compared(&mut self, compared: &Compared) {
        self.add("history_conversations", compared.conversations as f64);
        self.add("history_messages", compared.messages as f64);
        if compared.messages == 0 {
            self.note("no history was compared".to_owned());
        }
    }
}
