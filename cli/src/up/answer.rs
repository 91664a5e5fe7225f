//! Where an application answers over HTTP, and whether it does.

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    net::{IpAddr, SocketAddr, TcpListener},
    time::Duration,
};

use anyhow::Context as _;
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use trellis_wadm::manifest::{ConfigProperty, Kind, Manifest, TraitProperties};

use crate::exit::NoAnswer;

/// What is asked for: a path of its own, so that the first visit to `/` stays the user's.
const READY_PATH: &str = "/.well-known/trellis-ready";

/// How long one try may take.
const TRY_TIME: Duration = Duration::from_secs(5);
/// Between two tries.
const INTERVAL: Duration = Duration::from_millis(25);

/// Where an HTTP server listens that nobody tells another place, as in 1.x.
const DEFAULT_ADDRESS: &str = "0.0.0.0:8000";

/// What the HTTP server answers with, where it is told to, of who answered: `POP/HOST`.
const SERVED_BY: &str = "trellis-served-by";

/// An address that an application's manifest has an HTTP server listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Where to connect to.
    address: String,
    /// The port, where it is every address of the machine that is listened on.
    everywhere: Option<u16>,
    /// The component of the manifest that listens.
    pub component: String,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Its status.
    pub status: u16,
    /// Who gave it, where that is told.
    pub served_by: Option<String>,
}

impl Endpoint {
    /// The URL.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// The same at one address of the machine, where it is every one that is listened on.
    pub fn at(&self, address: IpAddr) -> Option<Self> {
        let at = SocketAddr::new(address, self.everywhere?);
        Some(Self {
            address: at.to_string(),
            everywhere: None,
            component: self.component.clone(),
        })
    }

    /// Checks that nobody listens there yet: an answer would be somebody else's.
    ///
    /// # Errors
    /// Somebody does.
    pub fn is_free(&self) -> anyhow::Result<()> {
        match TcpListener::bind(&self.address) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => Err(anyhow::anyhow!(
                "address {} is in use: stop what listens there, or change `address` in the manifest",
                self.address
            )),
            // What else is wrong with it the server will say.
            _ => Ok(()),
        }
    }

    /// Waits until something answers there that isn't a server's error.
    ///
    /// # Errors
    /// Nothing did in time; the last answer, or why there was none, is told.
    pub async fn answers(&self, within: Duration) -> anyhow::Result<Answered> {
        let deadline = Instant::now() + within;
        loop {
            let outcome = timeout(TRY_TIME, self.get()).await;
            let reason = match outcome {
                // 502 to 504: the server is there, the application isn't yet. 500: the application is, and what it
                // needs may not be.
                Ok(Ok(answer)) if !(500..=599).contains(&answer.status) => return Ok(answer),
                Ok(Ok(answer)) => format!("the last answer has status {}", answer.status),
                Ok(Err(error)) => format!("{error:#}"),
                Err(_) => format!("no answer within {}", humantime::format_duration(TRY_TIME)),
            };
            if Instant::now() >= deadline {
                let within = humantime::format_duration(within);
                return Err(NoAnswer(format!(
                    "{} is not ready within {within}: {reason}",
                    self.url()
                ))
                .into());
            }
            sleep(INTERVAL).await;
        }
    }

    async fn get(&self) -> anyhow::Result<Answered> {
        let stream = TcpStream::connect(&self.address).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let request = http::Request::get(READY_PATH)
            .header(http::header::HOST, &self.address)
            .header(
                http::header::USER_AGENT,
                concat!("trellis/", env!("CARGO_PKG_VERSION")),
            )
            .body(Empty::<bytes::Bytes>::new())
            .context("request")?;
        // The connection works while the answer is waited for, and ends with it. It may end in the very moment that the
        // answer is there.
        let mut answer = std::pin::pin!(sender.send_request(request));
        let answer = tokio::select! {
            answer = &mut answer => answer,
            _ = connection => answer.await,
        };
        let answer = answer?;
        let served_by = answer.headers().get(SERVED_BY);
        Ok(Answered {
            status: answer.status().as_u16(),
            served_by: served_by
                .and_then(|served_by| served_by.to_str().ok())
                .map(str::to_owned),
        })
    }
}

/// The endpoints of a manifest: what its links to HTTP's incoming handler, or its servers themselves, are
/// configured with.
pub fn endpoints(manifest: &Manifest) -> Vec<Endpoint> {
    let mut found = Vec::new();
    for component in &manifest.spec.components {
        let Kind::Capability(properties) = &component.kind else {
            continue;
        };
        for one in component.traits() {
            let TraitProperties::Link(link) = &one.properties else {
                continue;
            };
            if (link.namespace.as_str(), link.package.as_str()) != ("wasi", "http") {
                continue;
            }
            let source = link
                .source
                .as_ref()
                .map(|source| source.config.as_slice())
                .unwrap_or_default();
            let configs = [source, properties.config.as_slice()];
            // What somebody else configures is not known here.
            if configs
                .iter()
                .copied()
                .flatten()
                .any(|config| config.properties.is_none())
            {
                continue;
            }
            let [own, server] = configs.map(values);
            let address = own.get("address").or_else(|| server.get("default_address"));
            let text = address.map_or(DEFAULT_ADDRESS, String::as_str);
            let Some((address, everywhere)) = reachable(text) else {
                continue;
            };
            let endpoint = Endpoint {
                address,
                everywhere,
                component: component.name.clone(),
            };
            if !found.contains(&endpoint) {
                found.push(endpoint);
            }
        }
    }
    found
}

fn values(config: &[ConfigProperty]) -> BTreeMap<String, String> {
    config
        .iter()
        .filter_map(|config| config.properties.clone())
        .flatten()
        .collect()
}

/// What listens everywhere is reached on this machine; then with its port.
fn reachable(address: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = address.rsplit_once(':')?;
    let port: u16 = port.parse().ok()?;
    Some(match host {
        "" | "0.0.0.0" | "[::]" => (format!("127.0.0.1:{port}"), Some(port)),
        host => (format!("{host}:{port}"), None),
    })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use trellis_tests::manifest;

    use super::*;

    fn endpoint(address: String) -> Endpoint {
        Endpoint {
            address,
            everywhere: None,
            component: "http".into(),
        }
    }

    #[test]
    fn an_http_server_s_address_is_found() {
        let text = manifest::hello("file:///hello.wasm", "0.0.0.0:8080");
        let (manifest, _) = trellis_wadm::manifest::parse(&text).unwrap();
        let urls: Vec<String> = endpoints(&manifest).iter().map(Endpoint::url).collect();
        assert_eq!(urls, ["http://127.0.0.1:8080/"]);
        let there = |endpoint: &Endpoint| endpoint.at([127, 0, 2, 1].into());
        let urls = endpoints(&manifest);
        let urls: Vec<_> = urls.iter().filter_map(there).collect();
        assert_eq!(urls[0].url(), "http://127.0.2.1:8080/");
        assert_eq!(there(&urls[0]), None, "it is at one address already");
        let (none, _) =
            trellis_wadm::manifest::parse(&text.replace("package: http", "package: other"))
                .unwrap();
        assert_eq!(endpoints(&none), []);
    }

    #[test]
    fn an_address_in_use_is_told() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let endpoint = endpoint(address.clone());
        let error = endpoint.is_free().unwrap_err().to_string();
        assert!(error.contains(&address), "{error}");
        drop(taken);
        endpoint.is_free().unwrap();
    }

    #[tokio::test]
    async fn nobody_there_is_told() {
        let port = super::super::nats::choose_port(None).unwrap();
        let endpoint = endpoint(format!("127.0.0.1:{port}"));
        let error = endpoint
            .answers(Duration::from_millis(100))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(&endpoint.url()), "{error}");
    }

    /// What `answers` says of a server that answers with these statuses, one a request, and goes on with the last.
    async fn asked(statuses: &[u16], within: Duration) -> anyhow::Result<Answered> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = endpoint(listener.local_addr()?.to_string());
        let serve = async {
            let last = statuses.iter().rev().take(1).cycle();
            for status in statuses.iter().chain(last) {
                let (mut stream, _) = listener.accept().await?;
                let read = stream.read(&mut [0; 1024]).await?;
                anyhow::ensure!(read > 0, "a connection without a request");
                let answer = format!(
                    "HTTP/1.1 {status} Said\r\ntrellis-served-by: fra/fra-1\r\ncontent-length: 0\r\n\r\n"
                );
                stream.write_all(answer.as_bytes()).await?;
            }
            anyhow::bail!("there were no statuses")
        };
        tokio::select! {
            answered = endpoint.answers(within) => answered,
            failed = serve => failed,
        }
    }

    #[tokio::test]
    async fn a_server_s_error_is_waited_out_and_told_in_the_end() {
        let answer = asked(&[500, 503, 500, 404], Duration::from_secs(60)).await;
        let answer = answer.unwrap();
        assert_eq!(answer.status, 404);
        assert_eq!(answer.served_by.as_deref(), Some("fra/fra-1"));
        let error = asked(&[500], Duration::from_millis(100)).await.unwrap_err();
        let error = error.to_string();
        assert!(error.contains("the last answer has status 500"), "{error}");
    }
}
