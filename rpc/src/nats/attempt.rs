//! One try to have a call taken: counted, noted, and held against a PoP that does not answer.

use std::time::Instant;

use async_nats::HeaderMap;
use trellis_lattice::subject::Tier;

use super::{connection::Connection, exchange::RootEvent, headers, reach::Reach};
use crate::{
    call::RouteKind,
    counts::{CallCounts, ServedIn},
    trail::{Trail, Try, TryEnd},
};

/// One try to have a call taken. Dropped before it has ended, it got no answer.
pub(super) struct Attempt<'a> {
    pub(super) connection: &'a Connection,
    pub(super) reach: &'a Reach,
    /// Whom it is for.
    pub(super) tier: &'a Tier,
    pub(super) trail: Option<&'a Trail>,
    pub(super) counts: Option<&'a CallCounts>,
    pub(super) begun: Instant,
    /// The call's.
    pub(super) deadline: Instant,
    /// What came of it is known.
    pub(super) over: bool,
}

impl Attempt<'_> {
    /// Somebody took the call, and said so or answered at once.
    pub(super) fn taken(mut self, event: &RootEvent) {
        let (RootEvent::Reply(message) | RootEvent::Chunk(message) | RootEvent::Failed(message)) =
            event;
        let headers = message.headers.as_ref();
        if headers.is_some() && headers::is_leaving(headers) {
            self.reach.missed(self.tier);
        }
        if let Some(counts) = self.counts {
            counts.nats(self.served_in(headers));
        }
        if self.trail.is_some() {
            self.end(TryEnd::Answered(headers::who(headers)));
        }
        self.over = true;
    }

    /// Where the call is served.
    fn served_in(&self, headers: Option<&HeaderMap>) -> ServedIn {
        if self.reach.other_pop(self.tier).is_some() {
            return ServedIn::OtherPop;
        }
        if let Tier::Pop(_) = self.tier {
            return ServedIn::OwnPop;
        }
        let own = self.connection.place().map(|place| &place.pop);
        match (headers::who(headers).pop, own) {
            (Some(pop), Some(own)) if pop == *own => ServedIn::OwnPop,
            (Some(_), Some(_)) => ServedIn::OtherPop,
            _ => ServedIn::Unknown,
        }
    }

    /// Nobody took the call.
    pub(super) fn free(mut self, end: TryEnd) {
        self.end(end);
    }

    fn end(&mut self, end: TryEnd) {
        self.over = true;
        if let Some(trail) = self.trail {
            trail.push(Try {
                way: RouteKind::Nats,
                tier: Some(self.tier.clone()),
                end,
                took: self.begun.elapsed(),
            });
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        // Who gave up before its time says nothing of the PoP.
        if Instant::now() >= self.deadline
            && let Some(pop) = self.reach.other_pop(self.tier)
            && let Some(vicinity) = &self.connection.vicinity
        {
            vicinity.doubt(pop);
        }
        self.end(TryEnd::Unanswered);
    }
}
