//! What is told at the end: the PoPs, their hosts, where applications answer in each, and who answered.

use std::fmt;

use serde::Serialize;

use crate::output::{Format, or_dash};

/// A lattice in many points of presence that is up.
#[derive(Debug, Serialize)]
pub struct Ready {
    /// The lattice.
    pub lattice: String,
    /// Where the hub is.
    pub nats_url: String,
    /// The issuer whose signatures count.
    pub issuer: String,
    /// The applications that were deployed.
    pub applications: Vec<String>,
    /// The PoPs.
    pub pops: Vec<ReadyPop>,
    /// How long it took.
    pub seconds: f64,
}

/// A PoP.
#[derive(Debug, Serialize)]
pub struct ReadyPop {
    /// Its name.
    pub pop: String,
    /// Its region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Where its NATS server is.
    pub nats_url: String,
    /// Its hosts.
    pub hosts: Vec<ReadyHost>,
}

/// A host.
#[derive(Debug, Serialize)]
pub struct ReadyHost {
    /// Its name.
    pub host: String,
    /// Its id.
    pub host_id: String,
    /// Where applications answer at it.
    pub urls: Vec<Url>,
}

/// Where an application answers.
#[derive(Debug, Serialize)]
pub struct Url {
    /// The application.
    pub application: String,
    /// Where.
    pub url: String,
    /// The status of the answer.
    pub status: u16,
    /// Who gave it, as `POP/HOST` by name, where the HTTP server is told to say so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub served_by: Option<String>,
}

impl Ready {
    /// Prints it.
    ///
    /// # Errors
    /// Standard output can't be written.
    pub fn print(&self, format: Format) -> std::io::Result<()> {
        format.print(self)
    }
}

const COLUMNS: [&str; 5] = ["POP", "REGION", "HOST", "URL", "SERVED BY"];

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = Vec::new();
        for pop in &self.pops {
            let region = or_dash(pop.region.clone().unwrap_or_default());
            for host in &pop.hosts {
                let mut cells = vec![pop.pop.clone(), region.clone(), host.host.clone()];
                if host.urls.is_empty() {
                    cells.extend(["-".to_owned(), "-".to_owned()]);
                    lines.push(cells);
                    continue;
                }
                for url in &host.urls {
                    let served_by = url.served_by.clone();
                    let served_by = or_dash(served_by.unwrap_or_default());
                    lines.push([&cells[..], &[url.url.clone(), served_by]].concat());
                }
            }
        }
        crate::output::table(f, "", &COLUMNS, lines.into_iter())?;
        writeln!(f, "up after {:.1} s; Ctrl-C ends it", self.seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_each_url_and_each_host_without_one() {
        let url = |url: &str, served_by: &str| Url {
            application: "pops".into(),
            url: url.into(),
            status: 200,
            served_by: Some(served_by.into()),
        };
        let host = |host: &str, urls: Vec<Url>| ReadyHost {
            host: host.into(),
            host_id: "N".into(),
            urls,
        };
        let ready = Ready {
            lattice: "default".into(),
            nats_url: "nats://h:1".into(),
            issuer: "A".into(),
            applications: vec!["pops".into()],
            pops: vec![
                ReadyPop {
                    pop: "fra".into(),
                    region: Some("eu".into()),
                    nats_url: "nats://h:2".into(),
                    hosts: vec![host(
                        "fra-1",
                        vec![url("http://127.0.1.1:8080/", "fra/fra-1")],
                    )],
                },
                ReadyPop {
                    pop: "iad".into(),
                    region: None,
                    nats_url: "nats://h:3".into(),
                    hosts: vec![host("iad-1", Vec::new())],
                },
            ],
            seconds: 4.25,
        };
        assert_eq!(
            ready.to_string(),
            "POP  REGION  HOST   URL                     SERVED BY\n\
             fra  eu      fra-1  http://127.0.1.1:8080/  fra/fra-1\n\
             iad  -       iad-1  -                       -\n\
             up after 4.2 s; Ctrl-C ends it\n"
        );
    }
}
