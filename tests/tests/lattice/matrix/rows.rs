//! The rows: what is tried on every provider.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use trellis_tests::{
    process::{alive, signal_to},
    wait::until,
};

use super::{
    load::{LONGEST, Load, Seen},
    stand::{APPLICATION, Stand},
    subject::{Outcome, PROVIDER, Place, Subject},
};

/// Calls before and after something happens: enough that every caller has made some.
const SOME: u64 = 20;
/// How long what is behind a provider stays away, where calls don't end sooner.
const AWAY: Duration = Duration::from_secs(2);

/// Its host starts it and lists it, and it is well with nothing linked to it. Its `--help` is there, and who starts it by
/// hand is told that a host does that.
pub async fn starts<S: Subject>() -> Result<()> {
    let stand = Stand::<S>::bare().await?;
    let help = stand.lattice.succeed(&["provider", S::NAME, "--help"]);
    let help = help.await?;
    ensure!(help.contains(" provider [OPTIONS] <NAME>"), "{help}");
    let by_hand = stand.lattice.run(&["provider", S::NAME]).await?;
    let said = String::from_utf8_lossy(&by_hand.stderr);
    ensure!(
        by_hand.status.code() == Some(2) && said.contains("host data"),
        "{by_hand:?}"
    );

    stand.start_provider().await?;
    let listed = stand.listed().await?.context("it is not listed")?;
    let image = format!("builtin:{}", S::NAME);
    ensure!(listed.image_ref == Some(image), "{listed:?}");
    stand.well().await?;
    ensure!(alive(stand.process().await?));
    Ok(())
}

/// Links that are put while everything runs are there at once: a call is done, and did what it should.
pub async fn link_put<S: Subject>() -> Result<()> {
    let stand = Stand::<S>::with_actors().await?;
    stand.start_provider().await?;
    let process = stand.process().await?;
    let before = stand.subject.kept(Place::Here).await?;
    stand.link(Place::Here).await?;
    stand.works().await?;
    ensure!(stand.subject.kept(Place::Here).await? > before);
    stand.well().await?;
    ensure!(stand.process().await? == process, "it was started again");
    Ok(())
}

/// A value that can't be is refused with its field's name, in the provider's health and by `trellis app status`. The
/// provider lives on; with a right value it works.
pub async fn wrong_config_refused<S: Subject>() -> Result<()> {
    let mut stand = Stand::<S>::bare().await?;
    stand.lattice.start_wadm().await?;
    let (field, wrong) = stand.subject.wrong();
    let named = format!("`{field}`");
    stand.lattice.begin_deploy(&stand.manifest(wrong)?).await?;
    stand.unwell(&named).await?;
    let process = stand.process().await?;
    until("the application's status names the field", || async {
        let status = stand.lattice.succeed(&["app", "status", APPLICATION]);
        let status = status.await?;
        let well = status.lines().next() == Some(&format!("{APPLICATION}: deployed"));
        ensure!(!well && status.contains(&named), "{status}");
        Ok(())
    })
    .await
    .with_context(|| stand.lattice.logs())?;
    if stand.subject.address().is_none() {
        let outcome = stand.call(stand.http()).await;
        ensure!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
    }

    let right = stand.subject.links(Place::Here);
    stand.lattice.deploy(&stand.manifest(right)?).await?;
    stand.works().await?;
    stand.well().await?;
    ensure!(stand.process().await? == process, "it was started again");
    Ok(())
}

/// What is behind the provider isn't there when it is started and linked. It lives, its health says what is missing,
/// calls fail in words and in time; when what was missing comes, calls are done without anybody's help.
pub async fn backend_down_at_start<S: Subject>() -> Result<()> {
    let stand = Stand::<S>::without_provider(Place::Here).await?;
    stand.subject.crash(&stand.lattice).await?;
    stand.start_provider().await?;
    let process = stand.process().await?;
    if let Some(words) = stand.subject.away() {
        stand.unwell(&words).await?;
    }
    // Where callers connect to the provider itself, it may be a moment until it has its link and listens.
    let begun = until("a call fails in words", || async {
        let begun = tokio::time::Instant::now();
        let outcome = stand.call(stand.http()).await;
        ensure!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
        Ok(begun)
    });
    let begun = begun.await.with_context(|| stand.lattice.logs())?;
    ensure!(begun.elapsed() < LONGEST, "{:?}", begun.elapsed());

    stand.subject.resume(&stand.lattice).await?;
    stand.works().await?;
    stand.well().await?;
    ensure!(stand.process().await? == process, "it was started again");
    Ok(())
}

/// What is behind the provider crashes twice under load and comes back, once at once and once after a while. Calls fail
/// meanwhile in words and in time only, nothing that was acknowledged is lost where it is kept at all, and soon calls are
/// done again by the same process.
pub async fn backend_restarts_under_load<S: Subject>() -> Result<()> {
    let stand = Arc::new(Stand::<S>::working(Place::Here).await?);
    let process = stand.process().await?;
    let load = Load::start(&stand);
    load.goes_on(&stand, SOME).await?;
    for away in [Duration::ZERO, AWAY] {
        stand.subject.crash(&stand.lattice).await?;
        load.is_felt(away).await;
        stand.subject.resume(&stand.lattice).await?;
        load.goes_on(&stand, SOME).await?;
    }
    let seen = load.stop().await;
    well_formed(&stand, &seen, false)?;
    is_kept(&stand, &seen).await?;
    stand.well().await?;
    ensure!(stand.process().await? == process, "it was started again");
    Ok(())
}

/// The provider is killed under load: its host starts it again, it gets its links again, and calls are done.
pub async fn killed<S: Subject>() -> Result<()> {
    let stand = Arc::new(Stand::<S>::working(Place::Here).await?);
    let load = Load::start(&stand);
    load.goes_on(&stand, SOME).await?;
    let before = stand.process().await?;
    signal_to(before, Signal::SIGKILL)?;
    until("another process of the provider runs", || async {
        let now = stand.process().await?;
        ensure!(now != before, "still {now}");
        Ok(())
    })
    .await
    .with_context(|| stand.lattice.logs())?;
    load.goes_on(&stand, SOME).await?;
    let seen = load.stop().await;
    well_formed(&stand, &seen, stand.subject.address().is_some())?;
    is_kept(&stand, &seen).await?;
    stand.well().await?;
    stand.ready().await
}

/// Its links are replaced under load by ones that lead elsewhere: no call fails, and later ones go there only.
pub async fn link_replaced<S: Subject>() -> Result<()> {
    let stand = Arc::new(Stand::<S>::working(Place::Here).await?);
    let process = stand.process().await?;
    let load = Load::start(&stand);
    load.goes_on(&stand, SOME).await?;
    let before = stand.subject.kept(Place::There).await?;
    stand.replace(Place::There).await?;
    until("calls go there", || async {
        ensure!(stand.subject.kept(Place::There).await? > before, "none");
        Ok(())
    })
    .await
    .with_context(|| stand.lattice.logs())?;
    load.goes_on(&stand, SOME).await?;
    let seen = load.stop().await;
    ensure!(
        seen.failed.is_empty() && seen.broken.is_empty(),
        "{seen:?}\n{}",
        stand.lattice.logs()
    );

    let [here, there] = kept(&stand).await?;
    for _ in 0..SOME {
        let outcome = stand.call(stand.http()).await;
        ensure!(outcome.is_done(), "{outcome:?}");
    }
    until("later calls are there", || async {
        let now = kept(&stand).await?;
        ensure!(
            now == [here, there + SOME],
            "{now:?}, not {here} and {}",
            there + SOME
        );
        Ok(())
    })
    .await?;
    stand.well().await?;
    ensure!(stand.process().await? == process, "it was started again");
    Ok(())
}

/// The provider is stopped with calls under way: they end as if it were not, it exits with 0, and nothing of it is left:
/// no process, no zombie, no socket, nothing that listens.
pub async fn drain<S: Subject>() -> Result<()> {
    let stand = Stand::<S>::without_provider(Place::Held).await?;
    let sockets = stand.sockets()?;
    stand.start_provider().await?;
    stand.works().await?;
    let process = stand.process().await?;
    let held = stand.subject.hold(&stand).await;
    let held = held.with_context(|| stand.lattice.logs())?;

    let let_go = async {
        until("the provider begins to shut down", || async {
            ensure!(said(&stand, &["shutting down"]), "it does not say so");
            Ok(())
        })
        .await?;
        ensure!(alive(process), "it ended with calls under way");
        held.let_go().await
    };
    let (stopped, outcomes) = tokio::join!(stand.stop_provider(), let_go);
    stopped?;
    let outcomes = outcomes.with_context(|| stand.lattice.logs())?;
    ensure!(
        outcomes.iter().all(Outcome::is_done),
        "{outcomes:?}\n{}",
        stand.lattice.logs()
    );
    until("nothing of the provider is left", || async {
        let entry = PathBuf::from(format!("/proc/{process}"));
        ensure!(!entry.exists(), "its process {process} is there");
        ensure!(stand.listed().await?.is_none(), "it is listed");
        let left = stand.sockets()?;
        ensure!(left == sockets, "{left:?}, not {sockets:?}");
        let at = tokio::net::TcpStream::connect(stand.at).await;
        ensure!(
            stand.subject.address().is_none() || at.is_err(),
            "it listens"
        );
        Ok(())
    })
    .await
    .with_context(|| stand.lattice.logs())?;
    ensure!(
        said(&stand, &["provider stopped", "exit status: 0"]),
        "{}",
        stand.lattice.logs()
    );
    Ok(())
}

/// Whether a line of the host's log about the provider has all these words.
fn said<S: Subject>(stand: &Stand<S>, words: &[&str]) -> bool {
    let (printed, provider) = (stand.lattice.printed(), format!("provider={PROVIDER}"));
    let mut lines = printed.lines();
    lines.any(|line| line.contains(&provider) && words.iter().all(|word| line.contains(word)))
}

/// That every call ended in time, and in words where it failed.
fn well_formed<S: Subject>(stand: &Stand<S>, seen: &Seen, its_own_end: bool) -> Result<()> {
    ensure!(
        seen.longest < LONGEST,
        "a call took {:?}: {seen:?}",
        seen.longest
    );
    ensure!(
        its_own_end || seen.broken.is_empty(),
        "{seen:?}\n{}",
        stand.lattice.logs()
    );
    Ok(())
}

async fn is_kept<S: Subject>(stand: &Stand<S>, seen: &Seen) -> Result<()> {
    let kept = stand.subject.kept(Place::Here).await?;
    ensure!(
        !S::DURABLE || kept >= seen.done,
        "{} were acknowledged, {kept} are there",
        seen.done
    );
    Ok(())
}

async fn kept<S: Subject>(stand: &Stand<S>) -> Result<[u64; 2]> {
    let (here, there) = (Place::Here, Place::There);
    Ok([
        stand.subject.kept(here).await?,
        stand.subject.kept(there).await?,
    ])
}
