//! Where a broker is, and how to get in.

use std::{fmt, sync::Arc, time::Duration};

use http::Uri;
use rustls::ClientConfig;
use trellis_provider::{config::SettingsError, tls::Roots};

/// A broker.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Server {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whose certificates are trusted; none: TLS is not spoken.
    pub tls: Option<Roots>,
    /// Who connects.
    pub user: Option<String>,
    /// With which password.
    pub password: Option<String>,
    /// How long connecting may take, the broker's answer included.
    pub connect_timeout: Duration,
    /// After how many seconds without a word the broker is asked whether it is there.
    pub keep_alive_s: u16,
    /// The longest packet that is taken from it, in bytes.
    pub max_packet_bytes: u32,
}

impl Server {
    /// Reads `mqtt://host[:port]` or `mqtts://host[:port]`: host, port and whether TLS is spoken.
    ///
    /// # Errors
    /// It is no such URL, or has a user in it.
    pub fn read_url(url: &str) -> Result<(String, u16, bool), SettingsError> {
        let wrong = |problem: &str| SettingsError {
            field: "url",
            problem: problem.to_owned(),
        };
        const FORM: &str =
            "not an MQTT URL: write it like mqtt://127.0.0.1:1883 or mqtts://broker.example:8883";
        let uri: Uri = url.parse().map_err(|_| wrong(FORM))?;
        let tls = match uri.scheme_str() {
            Some("mqtt") => false,
            Some("mqtts") => true,
            _ => return Err(wrong(FORM)),
        };
        let authority = uri.authority().ok_or_else(|| wrong(FORM))?;
        if authority.as_str().contains('@') {
            let problem =
                "has a user in it: give `user` and `password` of their own, best as secrets";
            return Err(wrong(problem));
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() || authority.host().is_empty() {
            return Err(wrong(FORM));
        }
        let port = authority.as_str().strip_prefix(authority.host());
        let port = match port.map(|port| port.strip_prefix(':').unwrap_or(port)) {
            Some("") if !authority.as_str().ends_with(':') => Some(if tls { 8883 } else { 1883 }),
            Some(port) => port.parse().ok().filter(|port| *port > 0),
            None => None,
        };
        let port = port.ok_or_else(|| wrong("has a port that is not from 1 to 65535"))?;
        let host = authority.host().trim_matches(['[', ']']);
        Ok((host.to_owned(), port, tls))
    }

    /// Where it is, fit to be shown.
    pub fn shown(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// How TLS is spoken; none where it is not.
    ///
    /// # Errors
    /// The file of authorities can't be read, or has none that can be used.
    pub fn tls_config(&self) -> Result<Option<Arc<ClientConfig>>, SettingsError> {
        let config = self.tls.as_ref().map(Roots::client_config).transpose();
        Ok(config?.map(Arc::new))
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("at", &self.shown())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_host_a_port_and_tls_or_not() {
        let read = |url| Server::read_url(url).unwrap();
        assert_eq!(read("mqtt://h"), ("h".to_owned(), 1883, false));
        assert_eq!(read("mqtts://h"), ("h".to_owned(), 8883, true));
        assert_eq!(read("mqtt://[::1]:7/"), ("::1".to_owned(), 7, false));
    }

    #[test]
    fn a_wrong_url_is_told_without_its_password() {
        for url in [
            "",
            "h:1883",
            "tcp://h",
            "mqtt://",
            "mqtt://h/path",
            "mqtt://h?x=1",
            "mqtt://h:0",
            "mqtt://h:70000",
            "mqtt://me:hush@h",
        ] {
            let error = Server::read_url(url).unwrap_err();
            assert_eq!(error.field, "url", "{url}");
            assert!(!error.to_string().contains("hush"), "{error}");
        }
    }
}
