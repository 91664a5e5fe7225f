//! Commands that are due, and those on their way: one about a thing at a time, and not too many at once, of all and of
//! one host. A host that hangs must not hold up the others.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use trellis_lattice::HostId;

use super::super::Id;
use crate::command::{Command, Subject};

/// How many commands are on their way at once.
const MAX_IN_FLIGHT: usize = 128;

/// How many of them to one host.
const MAX_PER_HOST: usize = 16;

/// After that long there won't be an answer, whatever became of it.
const GIVEN_UP: Duration = Duration::from_secs(60);

/// After that long it is worth asking whether the host can be reached at all: hosts answer at once, whatever they are
/// told to do.
const OVERDUE: Duration = Duration::from_secs(1);

/// The commands.
#[derive(Debug, Default)]
pub(super) struct Commands {
    /// Those that are due, by the host they are for; links and configurations are for any.
    due: BTreeMap<Option<HostId>, VecDeque<Command>>,
    in_flight: BTreeMap<Id, InFlight>,
    /// What those in flight are about.
    subjects: BTreeSet<Subject>,
    per_host: BTreeMap<HostId, usize>,
}

#[derive(Debug)]
struct InFlight {
    command: Command,
    since: Instant,
    /// Whether it was told that it is overdue.
    is_told: bool,
}

impl Commands {
    /// These are due, and no others.
    pub(super) fn set_due(&mut self, commands: impl Iterator<Item = Command>) {
        self.due.clear();
        for command in commands {
            let host = command.host().cloned();
            self.due.entry(host).or_default().push_back(command);
        }
    }

    /// The next command to send, if there is room. `id` names it.
    pub(super) fn send(&mut self, id: Id, now: Instant) -> Option<Command> {
        if self.in_flight.len() >= MAX_IN_FLIGHT {
            return None;
        }
        let (host, at) = self.due.iter().find_map(|(host, due)| {
            let is_full = host.as_ref().is_some_and(|host| {
                self.per_host.get(host).copied().unwrap_or_default() >= MAX_PER_HOST
            });
            if is_full {
                return None;
            }
            let at = due
                .iter()
                .position(|command| !self.subjects.contains(&command.subject()))?;
            Some((host.clone(), at))
        })?;
        let due = self.due.get_mut(&host)?;
        let command = due.remove(at)?;
        if due.is_empty() {
            self.due.remove(&host);
        }
        self.subjects.insert(command.subject());
        if let Some(host) = host {
            *self.per_host.entry(host).or_default() += 1;
        }
        let in_flight = InFlight {
            command: command.clone(),
            since: now,
            is_told: false,
        };
        self.in_flight.insert(id, in_flight);
        Some(command)
    }

    /// What came of one is told: gives it, unless that was told before.
    pub(super) fn done(&mut self, id: Id) -> Option<Command> {
        let InFlight { command, .. } = self.in_flight.remove(&id)?;
        self.subjects.remove(&command.subject());
        if let Some(host) = command.host()
            && let Some(count) = self.per_host.get_mut(host)
        {
            *count -= 1;
            if *count == 0 {
                self.per_host.remove(host);
            }
        }
        Some(command)
    }

    /// A host is gone: what it was asked for will have no answer.
    pub(super) fn forget(&mut self, host: &HostId) {
        let gone = self.ids(|in_flight| in_flight.command.host() == Some(host));
        for id in gone {
            self.done(id);
        }
        self.due.remove(&Some(host.clone()));
    }

    /// Gives up those that have no answer; gives them.
    pub(super) fn wake(&mut self, now: Instant) -> Vec<Command> {
        let lost = self.ids(|in_flight| now.duration_since(in_flight.since) >= GIVEN_UP);
        lost.into_iter().filter_map(|id| self.done(id)).collect()
    }

    /// The hosts that should have answered a command by now, once for each command.
    pub(super) fn overdue(&mut self, now: Instant) -> BTreeSet<HostId> {
        let mut hosts = BTreeSet::new();
        for in_flight in self.in_flight.values_mut() {
            let is_overdue = now.duration_since(in_flight.since) >= OVERDUE;
            if let (true, false, Some(host)) =
                (is_overdue, in_flight.is_told, in_flight.command.host())
            {
                in_flight.is_told = true;
                hosts.insert(host.clone());
            }
        }
        hosts
    }

    /// When that is to be looked at again.
    pub(super) fn next(&self) -> Option<Instant> {
        let in_flight = self.in_flight.values();
        let untold = in_flight.filter(|one| !one.is_told && one.command.host().is_some());
        untold.map(|one| one.since + OVERDUE).min()
    }

    /// Gives up those to a host that were sent before then; gives them.
    pub(super) fn give_up(&mut self, host: &HostId, before: Instant) -> Vec<Command> {
        let lost = self
            .ids(|in_flight| in_flight.command.host() == Some(host) && in_flight.since < before);
        lost.into_iter().filter_map(|id| self.done(id)).collect()
    }

    fn ids(&self, which: impl Fn(&InFlight) -> bool) -> Vec<Id> {
        self.in_flight
            .iter()
            .filter(|(_, in_flight)| which(in_flight))
            .map(|(id, _)| *id)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(host: &str, component: u32, count: u32) -> Command {
        let scale = serde_json::json!({
            "component_ref": "file:///a.wasm", "component_id": format!("c{component}"), "host_id": host, "count": count,
        });
        Command::Scale(serde_json::from_value(scale).unwrap())
    }

    fn send_all(commands: &mut Commands, ids: std::ops::Range<Id>) -> Vec<Command> {
        let now = Instant::now();
        ids.map_while(|id| commands.send(id, now)).collect()
    }

    #[test]
    fn a_host_that_hangs_holds_up_nobody() {
        let mut commands = Commands::default();
        let hanging = (0..1000).map(|component| scale("A", component, 1));
        commands.set_due(hanging.chain([scale("B", 0, 1)]));
        let sent = send_all(&mut commands, 0..1000);
        assert_eq!(sent.len(), MAX_PER_HOST + 1);
        assert!(sent.contains(&scale("B", 0, 1)));
    }

    #[test]
    fn one_about_a_thing_at_a_time() {
        let mut commands = Commands::default();
        commands.set_due([scale("A", 0, 1)].into_iter());
        assert_eq!(send_all(&mut commands, 0..10).len(), 1);
        commands.set_due([scale("A", 0, 2)].into_iter());
        assert_eq!(send_all(&mut commands, 10..20), []);
        assert_eq!(commands.done(0), Some(scale("A", 0, 1)));
        // Told twice.
        assert_eq!(commands.done(0), None);
        assert_eq!(send_all(&mut commands, 20..30), [scale("A", 0, 2)]);
    }

    #[test]
    fn a_lost_host_makes_room() {
        let mut commands = Commands::default();
        let all = (0..1000).map(|n| scale(&format!("H{:02}", n % 20), n, 1));
        commands.set_due(all);
        assert_eq!(send_all(&mut commands, 0..1000).len(), MAX_IN_FLIGHT);
        commands.forget(&"H00".parse().unwrap());
        assert_eq!(send_all(&mut commands, 1000..2000).len(), MAX_PER_HOST);
        assert_eq!(commands.done(0), None);
    }
}
