//! Calls that are under way in a provider for as long as a test wants.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use futures::future::BoxFuture;
use tokio::task::JoinSet;
use trellis_tests::{gate::Gate, http::Http, wait::until};

use super::{
    stand::Stand,
    subject::{Outcome, Subject},
};

/// How many calls are held.
pub const HELD: u32 = 4;
/// How often nothing more may come before nothing more is expected.
const QUIET_LOOKS: u32 = 5;

/// Calls under way.
pub struct Held {
    calls: JoinSet<Outcome>,
    let_go: Box<dyn FnOnce() + Send>,
}

impl Held {
    /// Calls that end after `let_go`.
    pub fn new(calls: JoinSet<Outcome>, let_go: impl FnOnce() + Send + 'static) -> Self {
        Self {
            calls,
            let_go: Box::new(let_go),
        }
    }

    /// Calls whose backend's answers wait at a gate. Each has asked for something.
    pub async fn at<S: Subject>(
        stand: &Stand<S>,
        gate: &Arc<Gate>,
        call: impl Fn(Http, u32) -> BoxFuture<'static, Outcome>,
    ) -> Result<Self> {
        gate.shut();
        let before = gate.asked();
        let mut calls = JoinSet::new();
        for number in 0..HELD {
            calls.spawn(call(stand.http().clone(), number));
        }
        let (mut asked, mut looks) = (before, 0);
        until("the calls are under way", || {
            let now = gate.asked();
            looks = if now == asked { looks + 1 } else { 0 };
            asked = now;
            async move {
                ensure!(
                    stand.in_flight().await? >= HELD,
                    "they are not at the actor"
                );
                ensure!(asked > before && looks >= QUIET_LOOKS, "more may come");
                Ok(())
            }
        })
        .await?;
        let gate = gate.clone();
        Ok(Self::new(calls, move || gate.open()))
    }

    /// Lets them end.
    pub async fn let_go(mut self) -> Result<Vec<Outcome>> {
        (self.let_go)();
        let mut outcomes = Vec::new();
        while let Some(outcome) = self.calls.join_next().await {
            outcomes.push(outcome.context("a call panicked")?);
        }
        Ok(outcomes)
    }
}
