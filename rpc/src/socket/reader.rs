//! What a connection reads: every frame is handed to the call it is for, without ever waiting for one.

use std::{borrow::Cow, sync::Arc, time::Instant};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use trellis_lattice::ComponentId;

use super::{
    answer::{self, Answer},
    connection::{Connection, MAX_HEADS, PASSING_HEAD},
    exchange::{Exchange, Failure},
    frame::{Frame, Head, Values, Violation},
    outbox::Pace,
    served::{Place, Registry, Seat, Served},
    targets::{Cell, Targets},
};
use crate::{
    call::{CallContext, Operation},
    channel::Path,
    deadline,
    error::CallError,
    trace::TraceContext,
};

/// The most targets a peer may serve.
const MAX_TARGETS: usize = 1 << 16;

/// The reading side of a connection after its handshake.
pub(super) struct Reader {
    pub(super) connection: Arc<Connection>,
    pub(super) registry: Arc<Registry>,
    pub(super) targets: Arc<Targets>,
    heads: Vec<KnownHead>,
    passing: Option<KnownHead>,
    /// What the peer serves.
    here: Vec<Arc<Cell>>,
    last_call: u64,
}

/// What the peer's calls have in common, and who answers them.
struct KnownHead {
    operation: Operation,
    context: CallContext,
    target: Arc<str>,
    seat: Option<Arc<Seat>>,
}

/// What a frame leads to beside what it says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Then {
    GoOn,
    /// The peer has told everything it serves.
    Ready,
}

impl Reader {
    pub(super) fn new(
        connection: Arc<Connection>,
        registry: Arc<Registry>,
        targets: Arc<Targets>,
    ) -> Self {
        Self {
            connection,
            registry,
            targets,
            heads: Vec::new(),
            passing: None,
            here: Vec::new(),
            last_call: 0,
        }
    }

    /// Does what a frame says.
    pub(super) fn accept(&mut self, frame: Frame, payload: Bytes) -> Result<Then, Violation> {
        match frame {
            Frame::Hello { .. } | Frame::Welcome { .. } | Frame::Refused => {
                Err(Violation::of("a handshake after the handshake"))
            }
            Frame::Ready => Ok(Then::Ready),
            Frame::Here => self.here(&payload),
            Frame::Gone => self.gone(&payload),
            Frame::Head { number, head } => self.head(number, head),
            Frame::Call {
                id,
                head,
                deadline_ms,
                trace,
                total,
                channels,
            } => self.call(id, head, deadline_ms, trace, total, channels, payload),
            Frame::Params { id } => {
                self.for_receiver(Values::Params, id, |call| call.part(payload))
            }
            Frame::Results {
                id,
                total,
                channels,
            } => {
                let options = &self.connection.options;
                let (window, limit) = (options.window_bytes as u64, options.max_message_bytes);
                let share = self
                    .connection
                    .share(total.saturating_sub(payload.len() as u64));
                self.for_receiver(Values::Results, id, |call| match share {
                    Ok(share) => call.begin(total, channels, payload, window, limit, share),
                    Err(error) => {
                        call.fail(Failure {
                            error,
                            not_started: false,
                        });
                        Ok(())
                    }
                })
            }
            Frame::MoreResults { id } => {
                self.for_receiver(Values::Results, id, |call| call.part(payload))
            }
            Frame::Failed { id, kind } => self.for_receiver(Values::Results, id, |call| {
                call.fail(failure(&kind, &payload));
                Ok(())
            }),
            Frame::Cancel { id } => self.for_receiver(Values::Params, id, |call| {
                call.cancel();
                Ok(())
            }),
            Frame::Data {
                values,
                id,
                channel,
            } => self.for_receiver(values, id, |call| call.data(channel, payload)),
            Frame::End {
                values,
                id,
                channel,
            } => self.for_receiver(values, id, |call| call.end(channel, Ok(()))),
            Frame::Broken {
                values,
                id,
                channel,
                kind,
            } => self.for_receiver(values, id, |call| {
                call.end(channel, Err(failure(&kind, &payload).error))
            }),
            Frame::Grant {
                values,
                id,
                channel,
                total,
            } => self.for_sender(values, id, |call| call.grant(channel, total)),
            Frame::Stop {
                values,
                id,
                channel,
            } => self.for_sender(values, id, |call| call.enough(channel)),
        }
    }

    fn here(&mut self, name: &[u8]) -> Result<Then, Violation> {
        let target = target(name)?;
        if let Some(peer) = &self.connection.peer
            && *peer != target
        {
            // Else any provider could take the calls of any other.
            return Err(Violation(Cow::Owned(format!(
                "it says that it serves {target}, but it is {peer}"
            ))));
        }
        if self.here.len() >= MAX_TARGETS {
            return Err(Violation::of("it serves too many targets"));
        }
        let cell = self.targets.cell(&target);
        cell.open(&self.connection);
        self.here.push(cell);
        Ok(Then::GoOn)
    }

    fn gone(&mut self, name: &[u8]) -> Result<Then, Violation> {
        let target = target(name)?;
        let position = self.here.iter().position(|cell| cell.target == target);
        let position = position.ok_or(Violation::of(
            "a target is gone that it never said it serves",
        ))?;
        self.here.swap_remove(position).close(&self.connection);
        Ok(Then::GoOn)
    }

    fn head(&mut self, number: u32, head: Head) -> Result<Then, Violation> {
        let known = KnownHead {
            operation: Operation {
                instance: head.instance,
                function: head.function,
            },
            context: CallContext {
                // Who calls is who it is by its token, whatever it says.
                source_id: match &self.connection.peer {
                    Some(peer) => Some(peer.to_shared()),
                    None => head.source_id,
                },
                target_id: head.target_id,
                link_name: head.link_name,
                ..CallContext::default()
            },
            target: head.target,
            seat: None,
        };
        match number {
            PASSING_HEAD => self.passing = Some(known),
            _ if number as usize == self.heads.len() && number < MAX_HEADS => {
                self.heads.push(known);
            }
            _ => return Err(Violation::of("heads are not numbered one after the other")),
        }
        Ok(Then::GoOn)
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one frame")]
    fn call(
        &mut self,
        id: u64,
        head: u32,
        deadline_ms: u64,
        trace: Option<TraceContext>,
        total: u64,
        channels: Vec<Path>,
        first: Bytes,
    ) -> Result<Then, Violation> {
        let received = Instant::now();
        if id != self.last_call + 1 {
            return Err(Violation::of("calls are not numbered one after the other"));
        }
        self.last_call = id;
        let mut passing;
        let head = match head {
            PASSING_HEAD => {
                passing = self.passing.take();
                passing.as_mut()
            }
            number => self.heads.get_mut(number as usize),
        };
        let head = head.ok_or(Violation::of("a call has a head that was not told"))?;
        let share = self
            .connection
            .share(total.saturating_sub(first.len() as u64));
        let entered = share.and_then(|share| Ok((head.enter(&self.registry)?, share)));
        let (place, share) = match entered {
            Ok(entered) => entered,
            Err(error) => {
                let (frame, words) = answer::failed(id, &error);
                self.connection.outbox.send(&frame, &words, Pace::Together);
                return Ok(Then::GoOn);
            }
        };
        let cancelled = CancellationToken::new();
        let exchange = Exchange::taken(cancelled.clone(), place.0.clone());
        let limit = self.connection.options.max_message_bytes;
        exchange.begin(total, channels, first, 0, limit, share)?;
        let context = CallContext {
            deadline: deadline::after(received, deadline_ms),
            trace,
            ..head.context.clone()
        };
        let answer = Answer {
            entered: Arc::new(self.connection.take(id, Arc::new(exchange))),
            operation: head.operation.clone(),
            context,
            cancelled,
            received,
            place,
        };
        if answer.place.0.is_stopped() {
            // Whoever stopped it may have looked before the call was there to be seen.
            answer.cancelled.cancel();
        }
        // Its token ends it: the connection's end fires it, as do the caller's and the serving's.
        tokio::spawn(answer.run());
        Ok(Then::GoOn)
    }

    /// Hands something to the call whose values of that kind arrive here. A call that has ended misses nothing.
    fn for_receiver(
        &self,
        values: Values,
        id: u64,
        what: impl FnOnce(&Exchange) -> Result<(), Violation>,
    ) -> Result<Then, Violation> {
        let call = self.connection.receiving(values, id);
        self.for_call(call, values == Values::Params, id, what)
    }

    /// Hands something to the call whose values of that kind are sent from here.
    fn for_sender(
        &self,
        values: Values,
        id: u64,
        what: impl FnOnce(&Exchange) -> Result<(), Violation>,
    ) -> Result<Then, Violation> {
        let call = self.connection.sending(values, id);
        self.for_call(call, values == Values::Results, id, what)
    }

    fn for_call(
        &self,
        call: Option<Arc<Exchange>>,
        theirs: bool,
        id: u64,
        what: impl FnOnce(&Exchange) -> Result<(), Violation>,
    ) -> Result<Then, Violation> {
        if let Some(call) = call {
            what(&call)?;
            return Ok(Then::GoOn);
        }
        let last = match theirs {
            true => self.last_call,
            false => self.connection.outbox.last_call(),
        };
        match (1..=last).contains(&id) {
            true => Ok(Then::GoOn),
            false => Err(Violation::of("a frame is for a call that was never made")),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.registry.part(&self.connection);
        for cell in &self.here {
            cell.close(&self.connection);
        }
        self.connection.close(&CallError::Transport(
            "the connection was closed during the call".to_owned(),
        ));
    }
}

impl KnownHead {
    /// A place for a call with whoever answers now.
    fn enter(&mut self, registry: &Registry) -> Result<Place, CallError> {
        for _ in 0..2 {
            let mut served = self.seat.as_ref().and_then(|seat| seat.served());
            if served.is_none() {
                self.seat = registry.seat(&self.target);
                served = self.seat.as_ref().and_then(|seat| seat.served());
            }
            match served.map(Served::enter) {
                None => break,
                // Another has just taken its seat.
                Some(Err(CallError::NoResponder { .. })) => {}
                Some(result) => return result,
            }
        }
        let target = self.target.to_string();
        Err(CallError::NoResponder { target })
    }
}

fn target(name: &[u8]) -> Result<ComponentId, Violation> {
    std::str::from_utf8(name)
        .ok()
        .and_then(|name| ComponentId::new(name).ok())
        .ok_or(Violation::of("a target's name is none"))
}

/// What a callee's error means for the call.
fn failure(kind: &str, words: &[u8]) -> Failure {
    let words = String::from_utf8_lossy(words).into_owned();
    Failure {
        not_started: matches!(kind, "no-responder" | "overloaded"),
        error: CallError::from_wire(Some(kind), words),
    }
}
