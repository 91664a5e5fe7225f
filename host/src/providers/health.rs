//! Asking a provider how it is (`wasmcloud-v1.md`, Providers).

use std::time::Duration;

use async_nats::{Client, Message, Request, RequestErrorKind};
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};
use trellis_lattice::{
    HostId,
    control::host::ComponentStats,
    from_json, header,
    provider::{Health, HealthAnswer},
};

/// How long a provider may take to answer.
const TIMEOUT: Duration = Duration::from_secs(3);
/// How soon a provider that has just been started is asked, at first and then at most.
const PROBE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));
/// How long a provider may take to answer for the first time before that is a failure.
const FIRST_ANSWER: Duration = Duration::from_secs(30);
/// How soon a provider is asked again after it failed for the first time: one lost answer is no illness.
const CONFIRM: Duration = Duration::from_secs(1);
/// How soon a provider is asked after it was told of a link: whether it can use it is to be known soon.
const AFTER_LINK: Duration = Duration::from_millis(250);
/// How many failures in a row make a provider unhealthy.
const FAILURES: u32 = 2;

/// What there is to tell of a provider's health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// It answered for the first time: it runs and hears us.
    Up,
    /// It became healthy.
    Passed,
    /// It became unhealthy, or is so for another reason than before: why.
    Failed(String),
    /// As before: healthy, or unhealthy for that reason.
    Same(Option<String>),
}

/// An answer, and what it means.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) news: News,
    /// How the provider's calls went, where it says.
    pub(crate) stats: Option<ComponentStats>,
}

impl Heard {
    fn of(news: News) -> Self {
        Self { news, stats: None }
    }
}

/// Whom to ask: the provider of one host. Others of its id, on other hosts, hear the 1.x form of the question too, and the
/// first answer to that may be theirs.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Where only this one listens, if it is of ours.
    pub(crate) own: String,
    /// Where all of its id listen, as in 1.x.
    pub(crate) shared: String,
    /// The host that it belongs to.
    pub(crate) host: HostId,
}

/// Asks a provider for its health until dropped: every `interval`, and soon after each link that it was `told` of.
pub(crate) async fn watch(
    client: Client,
    asked: Asked,
    interval: Duration,
    told: &Notify,
    news: mpsc::Sender<Heard>,
) {
    let started = Instant::now();
    let mut record = Record::default();
    let mut probe = PROBE.0;
    loop {
        let answer = asked.ask(&client).await;
        let mut up = record.up;
        if answer.is_ok() && !up {
            up = true;
            if news.send(Heard::of(News::Up)).await.is_err() {
                return;
            }
        }
        if !up && started.elapsed() < FIRST_ANSWER {
            tokio::time::sleep(probe).await;
            probe = (probe * 2).min(PROBE.1);
            continue;
        }
        record.up = up;
        let (answer, stats) = match answer {
            Ok(HealthAnswer { health, stats }) => (Ok(health), stats),
            Err(why) => (Err(why), None),
        };
        let verdict = answer.and_then(|health| match health {
            Health { healthy: true, .. } => Ok(()),
            Health { message, .. } => Err(message.unwrap_or_else(|| "unhealthy".to_owned())),
        });
        if let Some(sure) = record.judge(verdict) {
            let heard = Heard { news: sure, stats };
            if news.send(heard).await.is_err() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                () = told.notified() => tokio::time::sleep(AFTER_LINK.min(interval)).await,
            }
        } else {
            tokio::time::sleep(interval.min(CONFIRM)).await;
        }
    }
}

impl Asked {
    async fn ask(&self, client: &Client) -> Result<HealthAnswer, String> {
        let silent = || "it does not listen for health requests".to_owned();
        let answer = match request(client, self.own.clone()).await {
            Ok(Some(answer)) => answer,
            // Nobody listens there, or one that listens to everything of its id and knows the 1.x form only.
            Ok(None) | Err(_) => {
                let answer = request(client, self.shared.clone()).await?;
                let answer = answer.ok_or_else(silent)?;
                // A provider of ours says whose it is; one of 1.x doesn't, and has to be believed.
                let host = answer
                    .headers
                    .as_ref()
                    .and_then(|all| all.get(header::HOST));
                if host.is_some_and(|host| host.as_str() != self.host.as_str()) {
                    return Err(silent());
                }
                answer
            }
        };
        from_json("health answer", &answer.payload).map_err(|error| error.to_string())
    }
}

/// The first answer; `None` where nobody listens.
async fn request(client: &Client, subject: String) -> Result<Option<Message>, String> {
    let request = Request::new().timeout(Some(TIMEOUT));
    match client.send_request(subject, request).await {
        Ok(answer) => Ok(Some(answer)),
        Err(error) => match error.kind() {
            RequestErrorKind::NoResponders => Ok(None),
            RequestErrorKind::TimedOut => Err(format!("no answer within {} s", TIMEOUT.as_secs())),
            _ => Err(error.to_string()),
        },
    }
}

/// What was told so far.
#[derive(Default)]
struct Record {
    up: bool,
    /// Whether it is healthy, and why not.
    healthy: Option<Result<(), String>>,
    failures: u32,
}

impl Record {
    /// What to tell after an answer; nothing when it isn't sure yet.
    fn judge(&mut self, verdict: Result<(), String>) -> Option<News> {
        match verdict {
            Ok(()) => {
                self.failures = 0;
                Some(match self.healthy.replace(Ok(())) {
                    Some(Ok(())) => News::Same(None),
                    _ => News::Passed,
                })
            }
            Err(why) => {
                self.failures = self.failures.saturating_add(1);
                match &self.healthy {
                    Some(Err(told)) if *told == why => return Some(News::Same(Some(why))),
                    Some(Err(_)) => {}
                    _ if self.failures < FAILURES => return None,
                    _ => {}
                }
                self.healthy = Some(Err(why.clone()));
                Some(News::Failed(why))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_are_told_and_one_failure_is_none() {
        let mut record = Record::default();
        let failed = |why: &str| Err(why.to_owned());
        assert_eq!(record.judge(Ok(())), Some(News::Passed));
        assert_eq!(record.judge(Ok(())), Some(News::Same(None)));
        assert_eq!(record.judge(failed("x")), None);
        assert_eq!(record.judge(Ok(())), Some(News::Same(None)));
        assert_eq!(record.judge(failed("x")), None);
        assert_eq!(record.judge(failed("x")), Some(News::Failed("x".into())));
        let same = News::Same(Some("x".into()));
        assert_eq!(record.judge(failed("x")), Some(same));
        assert_eq!(record.judge(failed("y")), Some(News::Failed("y".into())));
        assert_eq!(record.judge(Ok(())), Some(News::Passed));
    }
}
