//! The traffic of a real wasmCloud 1.9.2 lattice, read and written again by our types: each message must
//! come out as the JSON value it was.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that fails here fails as it should"
)]

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use trellis_lattice::{
    ComponentId, HostId, LatticeName, Link, LinkKey, ResolvedLink, app,
    bucket::{ComponentSpec, LatticeKey, StoredClaims},
    config::Config,
    control::{
        Reply, claims,
        component::{ComponentAuction, ComponentBid, ScaleComponent, UpdateComponent},
        host::{Host, HostInventory},
        label::{DeleteLabel, PutLabel},
        provider::{ProviderAuction, ProviderBid, StartProvider, StopProvider},
    },
    event::{CloudEvent, Event},
    from_json,
    provider::{Health, Shutdown},
    subject::Subjects,
};

const TRAFFIC: &str = include_str!("captured/wasmcloud-1.9.2.jsonl");

/// What of a captured message is not a message of ours to read, and why.
enum Kind {
    /// Read, written and compared this many times.
    Compared,
    /// Values in the wRPC encoding; `trellis-rpc` compares their bytes.
    Call,
    /// What 1.x's wadm tells only itself: streams for its own work queues, not part of the contract.
    WadmOwn,
}

fn round_trip<T: Serialize + DeserializeOwned>(what: &'static str, text: &str) {
    let read: T =
        from_json(what, text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let written = serde_json::to_value(&read).unwrap();
    let original: Value = serde_json::from_str(text).unwrap();
    assert_eq!(written, original, "{what} comes out otherwise");
}

fn empty(what: &str, text: &str) {
    assert_eq!(text, "", "{what} has no body");
}

/// A control request and its replies.
fn control(path: &[&str], request: &str, replies: &[&str]) {
    fn each<T: Serialize + DeserializeOwned>(what: &'static str, replies: &[&str]) {
        assert!(!replies.is_empty(), "{what} was answered");
        replies
            .iter()
            .for_each(|reply| round_trip::<Reply<T>>(what, reply));
    }
    match *path {
        ["host", "ping"] => {
            empty("host.ping", request);
            each::<Host>("host.ping reply", replies);
        }
        ["host", "get", _] => {
            empty("host.get", request);
            each::<HostInventory>("host.get reply", replies);
        }
        ["component", "auction"] => {
            round_trip::<ComponentAuction>("component.auction", request);
            each::<ComponentBid>("component.auction reply", replies);
        }
        ["component", "scale", _] => {
            round_trip::<ScaleComponent>("component.scale", request);
            each::<Value>("component.scale reply", replies);
        }
        ["component", "update", _] => {
            round_trip::<UpdateComponent>("component.update", request);
            each::<Value>("component.update reply", replies);
        }
        ["provider", "auction"] => {
            round_trip::<ProviderAuction>("provider.auction", request);
            each::<ProviderBid>("provider.auction reply", replies);
        }
        ["provider", "start", _] => {
            round_trip::<StartProvider>("provider.start", request);
            each::<Value>("provider.start reply", replies);
        }
        ["provider", "stop", _] => {
            round_trip::<StopProvider>("provider.stop", request);
            each::<Value>("provider.stop reply", replies);
        }
        ["link", "put"] => {
            round_trip::<Link>("link.put", request);
            each::<Value>("link.put reply", replies);
        }
        ["link", "del"] => {
            round_trip::<LinkKey>("link.del", request);
            each::<Value>("link.del reply", replies);
        }
        ["link", "get"] => {
            empty("link.get", request);
            each::<Vec<Link>>("link.get reply", replies);
        }
        ["config", "put", _] => {
            round_trip::<Config>("config.put", request);
            each::<Value>("config.put reply", replies);
        }
        ["config", "get", _] => {
            empty("config.get", request);
            each::<Config>("config.get reply", replies);
        }
        ["config", "del", _] => {
            empty("config.del", request);
            each::<Value>("config.del reply", replies);
        }
        ["label", "put", _] => {
            round_trip::<PutLabel>("label.put", request);
            each::<Value>("label.put reply", replies);
        }
        ["label", "del", _] => {
            round_trip::<DeleteLabel>("label.del", request);
            each::<Value>("label.del reply", replies);
        }
        ["claims", "get"] => {
            empty("claims.get", request);
            each::<Vec<claims::ClaimsEntry>>("claims.get reply", replies);
        }
        _ => panic!("no type for control request {path:?}"),
    }
}

/// What a host and a provider say to each other. (1.x puts links to components' ids as well.)
fn provider(path: &[&str], request: &str, replies: &[&str]) {
    match *path {
        [_, "linkdefs", "put" | "del"] => round_trip::<ResolvedLink>("linkdefs", request),
        [_, "config", "update"] => round_trip::<Config>("config.update", request),
        [_, "health"] => {
            empty("health", request);
            replies
                .iter()
                .for_each(|reply| round_trip::<Health>("health reply", reply));
        }
        [_, "default", "shutdown"] => {
            round_trip::<Shutdown>("shutdown", request);
            assert_eq!(replies, ["shutting down"]);
        }
        _ => panic!("no type for provider message {path:?}"),
    }
}

/// An event: its envelope, and its data by its own type.
fn event(name: &str, text: &str) {
    round_trip::<CloudEvent>("event", text);
    let envelope = CloudEvent::read(text.as_bytes()).unwrap();
    let event = envelope
        .event()
        .unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert!(
        !matches!(event, Event::Other { .. }),
        "no type for event {name}"
    );
    assert_eq!(event.name(), name);
    assert_eq!(
        event.data(),
        envelope.data,
        "event {name} comes out otherwise"
    );
}

fn application(path: &[&str], request: &str, replies: &[&str]) {
    let reply = |index: usize| *replies.get(index).expect("it was answered");
    match *path {
        // The manifest itself is wadm's own type; its tests read this one.
        ["put"] => {
            serde_json::from_str::<Value>(request).unwrap();
            match reply(0).contains("\"result\":\"error\"") {
                true => round_trip::<app::ErrorReply>("put refused", reply(0)),
                false => round_trip::<app::PutReply>("put reply", reply(0)),
            }
        }
        ["list"] => {
            empty("list", request);
            round_trip::<Vec<app::AppSummary>>("list reply", reply(0));
        }
        ["get", _] => round_trip::<app::GetReply>("get reply", reply(0)),
        ["versions", _] => round_trip::<app::VersionsReply>("versions reply", reply(0)),
        ["status", _] => round_trip::<app::StatusReply>("status reply", reply(0)),
        ["deploy", _] => {
            // Without a body the newest version is meant.
            if !request.is_empty() {
                round_trip::<app::Deploy>("deploy", request);
            }
            round_trip::<app::DeployReply>("deploy reply", reply(0));
        }
        ["undeploy", _] => round_trip::<app::DeployReply>("undeploy reply", reply(0)),
        ["del", _] => round_trip::<app::DeleteReply>("del reply", reply(0)),
        _ => panic!("no type for application request {path:?}"),
    }
}

fn message(subject: &str, text: &str, replies: &[&str]) -> Kind {
    let path: Vec<&str> = subject.split('.').collect();
    match *path.as_slice() {
        ["wasmbus", "ctl", "v1", "default", ref path @ ..] => control(path, text, replies),
        ["wasmbus", "evt", "default", name] => event(name, text),
        ["wasmbus", "rpc", "default", ref path @ ..] => provider(path, text, replies),
        ["wadm", "api", "default", "model", ref path @ ..] => application(path, text, replies),
        ["wadm", "status", "default", _] => {
            round_trip::<app::AppStatus>("application status", text)
        }
        ["wadm", "cmd" | "notify" | "evt", ..] => return Kind::WadmOwn,
        ["default", _, "wrpc", ..] => return Kind::Call,
        ["$KV", "CONFIGDATA_default", _] => {
            if !text.is_empty() {
                round_trip::<Config>("stored config", text);
            }
        }
        ["$KV", "LATTICEDATA_default", key] => match LatticeKey::parse(key) {
            _ if text.is_empty() => {}
            Some(LatticeKey::Component(_)) => round_trip::<ComponentSpec>("component", text),
            Some(LatticeKey::Claims(_)) => round_trip::<StoredClaims>("claims", text),
            None => panic!("no type for {key}"),
        },
        // Stored manifests are wadm's own; its tests read them.
        ["$KV", "wadm_manifests", ..] => return Kind::WadmOwn,
        _ => panic!("no type for {subject}"),
    }
    Kind::Compared
}

#[test]
fn captured_messages_come_out_as_they_went_in() {
    let (mut compared, mut calls, mut own) = (0, 0, 0);
    for line in TRAFFIC.lines() {
        let captured: Value = serde_json::from_str(line).unwrap();
        // A step is the capture's own heading.
        let Some(subject) = captured["subject"].as_str() else {
            assert!(captured["step"].is_string());
            continue;
        };
        let replies: Vec<&str> = captured["replies"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|reply| reply["text"].as_str())
            .collect();
        match message(
            subject,
            captured["text"].as_str().unwrap_or_default(),
            &replies,
        ) {
            Kind::Compared => compared += 1,
            Kind::Call => calls += 1,
            Kind::WadmOwn => own += 1,
        }
    }
    // The capture is fixed: fewer compared messages would mean that some are skipped by mistake.
    assert_eq!((calls, own), (3, 58));
    assert!(compared > 150, "only {compared} messages compared");
}

#[test]
fn our_subjects_are_the_captured_ones() {
    let subjects = Subjects::new(LatticeName::default());
    let host = HostId::new("NBQI4KQWCYBPJA3DHESESOKOU4GP6DOXYXHZ5BA6DQ3QPNXGIKVJVZCB").unwrap();
    let component = ComponentId::new("hello").unwrap();
    let provider = ComponentId::new("http").unwrap();
    let ours = [
        subjects.host_ping(),
        subjects.host_get(&host),
        subjects.component_auction(),
        subjects.component_scale(&host),
        subjects.component_update(&host),
        subjects.provider_auction(),
        subjects.provider_start(&host),
        subjects.provider_stop(&host),
        subjects.link_put(),
        subjects.link_del(),
        subjects.link_get(),
        subjects.config_put("http-default"),
        subjects.config_get("http-default"),
        subjects.config_del("http-default"),
        subjects.label_put(&host),
        subjects.label_del(&host),
        subjects.claims_get(),
        subjects.event("component_scaled"),
        subjects.provider_link_put("http"),
        subjects.provider_link_del("http"),
        subjects.provider_health(&provider),
        subjects.provider_config_update(&provider),
        subjects.provider_shutdown(&provider),
        subjects.call(&component, "wrpc:http/incoming-handler@0.1.0", "handle"),
        subjects.app("put"),
        subjects.app_named("status", "kvc"),
        subjects.app_status("kvc"),
    ];
    for subject in ours {
        let quoted = format!("\"subject\": \"{subject}\"");
        assert!(
            TRAFFIC.lines().any(|line| line.contains(&quoted)),
            "not in the capture: {subject}"
        );
    }
}
