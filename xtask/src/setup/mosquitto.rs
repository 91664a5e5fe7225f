//! The Mosquitto broker that the tests run against, and its command-line clients.

use std::path::PathBuf;

use anyhow::{Result, bail};

use super::debian;
use crate::progress::say;

/// Where Debian has the broker: on nobody's PATH but root's.
const DEBIAN: &str = "/usr/sbin/mosquitto";

pub fn ensure() -> Result<PathBuf> {
    if let Some(found) = look() {
        return Ok(found);
    }
    say(
        "checking mosquitto: missing, the tests need it. (Debian's package also starts it \
         as a service where there is systemd; the tests start their own and leave that one alone)",
    );
    debian::ensure(&["mosquitto", "mosquitto-clients"])?;
    match look() {
        Some(found) => Ok(found),
        None => bail!(
            "mosquitto is installed but not found, or without mosquitto_passwd and mosquitto_rr"
        ),
    }
}

fn look() -> Option<PathBuf> {
    let debian = PathBuf::from(DEBIAN);
    let broker = match debian.is_file() {
        true => debian,
        false => which::which("mosquitto").ok()?,
    };
    // The tests make a user with the one and ask with the other.
    which::which("mosquitto_passwd").ok()?;
    which::which("mosquitto_rr").ok()?;
    say(format_args!(
        "checking mosquitto: found {}",
        broker.display()
    ));
    Some(broker)
}
