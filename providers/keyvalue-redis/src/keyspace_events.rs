//! Redis' keyspace events: what they mean, and the setting without which Redis tells nobody of them.

use trellis_provider::config::SettingsError;

use crate::redis_store::{Failed, RedisStore};

/// The setting.
const SETTING: &str = "notify-keyspace-events";
/// What it needs to have: events by key, of strings, of all types (deleted, renamed), of keys that expire and are evicted.
const NEEDED: &str = "K$gxe";
/// Stands for every kind of event.
const ALL: char = 'A';
/// Where events go. It stands for no kind, so that [`ALL`] doesn't have it.
const BY_KEY: char = 'K';

/// What an event says of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It may have another value.
    Changed,
    /// It is no more.
    Gone,
    /// Nothing of its value.
    Unchanged,
}

impl Event {
    /// An event by its name. One that isn't known may have changed a value: whoever reads it sees.
    pub fn named(name: &[u8]) -> Self {
        match name {
            b"del" | b"expired" | b"evicted" | b"rename_from" | b"move_from" => Self::Gone,
            b"expire" | b"persist" | b"new" | b"overwritten" | b"type_changed" | b"keymiss" => {
                Self::Unchanged
            }
            _ => Self::Changed,
        }
    }
}

/// Whether Redis announces what changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Announcing {
    /// It does.
    Already,
    /// It does from now on.
    TurnedOn,
    /// It doesn't say, as a managed Redis may not. Here is its word for it.
    Hidden(String),
    /// It can't be asked now.
    Unreached,
}

impl RedisStore {
    /// Looks whether Redis announces what changes, and turns it on where that is wanted.
    ///
    /// # Errors
    /// It doesn't, with the field and what can be done.
    pub async fn announcing(&self, enable: bool) -> Result<Announcing, SettingsError> {
        let set = match self.setting_of_redis(SETTING).await {
            Ok(Some(set)) => set,
            Ok(None) => return Ok(Announcing::Hidden("no such setting".to_owned())),
            Err(failed) => {
                return Ok(refusal(&failed).map_or(Announcing::Unreached, Announcing::Hidden));
            }
        };
        let missing = missing(&set);
        if missing.is_empty() {
            return Ok(Announcing::Already);
        }
        if !enable {
            let problem = format!(
                "Redis at {} does not announce what changes: its setting {SETTING} is {set:?} and lacks {missing:?}. Set it \
                 in redis.conf, for example to {BY_KEY}{ALL}, or let the provider add what is missing with \
                 `watch_enable_events: \"true\"`",
                self.place()
            );
            return Err(SettingsError {
                field: "watch",
                problem,
            });
        }
        // Nothing is taken away: others may listen to other events.
        let both = format!("{set}{missing}");
        match self.set_setting_of_redis(SETTING, &both).await {
            Ok(()) => {
                tracing::info!(
                    redis = self.place(),
                    setting = SETTING,
                    earlier = set,
                    now = both,
                    "turned on"
                );
                Ok(Announcing::TurnedOn)
            }
            Err(failed) => match refusal(&failed) {
                None => Ok(Announcing::Unreached),
                Some(code) => Err(SettingsError {
                    field: "watch_enable_events",
                    problem: format!(
                        "Redis at {} does not let this user change {SETTING} ({code}): set it in redis.conf, for example to \
                         {BY_KEY}{ALL}",
                        self.place()
                    ),
                }),
            },
        }
    }
}

/// With which word Redis refuses a command; none when it is not there, or can't answer now.
fn refusal(failed: &Failed) -> Option<String> {
    match failed {
        // A command that was renamed away is an ERR.
        Failed::Redis(error) => match error.code() {
            Some(code @ ("ERR" | "NOPERM")) => Some(code.to_owned()),
            _ => None,
        },
        Failed::Late => None,
    }
}

/// What a setting lacks.
fn missing(set: &str) -> String {
    let has = |flag| set.contains(flag) || (flag != BY_KEY && set.contains(ALL));
    NEEDED.chars().filter(|flag| !has(*flag)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_found() {
        for (set, lacks) in [
            ("", "K$gxe"),
            ("KA", ""),
            ("AKE", ""),
            ("A", "K"),
            ("Elm", "K$gxe"),
            ("K$g", "xe"),
            ("g$xeK", ""),
        ] {
            assert_eq!(missing(set), lacks, "{set:?}");
        }
    }

    #[test]
    fn events_change_a_value_or_end_it_or_leave_it() {
        for gone in ["del", "expired", "evicted", "rename_from", "move_from"] {
            assert_eq!(Event::named(gone.as_bytes()), Event::Gone, "{gone}");
        }
        for same in ["expire", "persist", "new", "overwritten", "type_changed"] {
            assert_eq!(Event::named(same.as_bytes()), Event::Unchanged, "{same}");
        }
        for changed in ["set", "incrby", "append", "rename_to", "restore", "to come"] {
            assert_eq!(
                Event::named(changed.as_bytes()),
                Event::Changed,
                "{changed}"
            );
        }
    }
}
