use trellis_provider::config::from_config;

use super::*;

const NAMES: Names<'_> = Names {
    lattice: "home",
    provider: "mqtt",
    host: "NHOST",
};

fn config(entries: &[(&str, &str)]) -> MqttConfig {
    let config = entries
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect();
    from_config("test", &config).unwrap()
}

fn receiving(entries: &[(&str, &str)]) -> Result<Receiving, SettingsError> {
    config(entries).receiving(&config(&[]), NAMES, "default")
}

#[test]
fn what_is_left_out_has_a_default() {
    let link = receiving(&[("subscriptions", "a/#, b ,a/#")]).unwrap();
    let texts: Vec<_> = link
        .subscriptions
        .iter()
        .map(Subscription::as_str)
        .collect();
    assert_eq!(texts, ["a/#", "b"]);
    assert_eq!(link.session.client_id, "trellis.home.mqtt.default");
    assert!(link.session.at_least_once && link.pace.dead_letter_topic.is_none());
    assert_eq!((link.session.expiry_s, link.pace.max_attempts), (3600, 5));
    assert_eq!(link.session.server.shown(), "127.0.0.1:1883");
}

#[test]
fn members_of_a_group_have_names_of_their_own() {
    let link = receiving(&[("subscriptions", "$share/g/a")]).unwrap();
    assert_eq!(link.session.client_id, "trellis.home.mqtt.default.NHOST");
    let link = receiving(&[("subscriptions", "$share/g/a"), ("client_id", "me-{host}")]).unwrap();
    assert_eq!(link.session.client_id, "me-NHOST");
    let random = receiving(&[("client_id", "{random}")]).unwrap();
    assert_ne!(
        random.session.client_id,
        receiving(&[("client_id", "{random}")])
            .unwrap()
            .session
            .client_id
    );
}

#[test]
fn a_wrong_value_is_named() {
    for (field, value, problem) in [
        (
            "url",
            "http://h",
            "not an MQTT URL: write it like mqtt://127.0.0.1:1883 or mqtts://broker.example:8883",
        ),
        (
            "qos",
            "2",
            "2 is not offered: a component can be called twice for a message all the same",
        ),
        ("qos", "7", "7 is neither 0 nor 1"),
        ("max_in_flight", "0", "0 is not from 1 to 1024"),
        ("max_attempts", "0", "0 is not from 1 to 1000"),
        ("timeout_ms", "0", "0 is not from 1 to 3600000"),
        ("keep_alive_s", "0", "0 is not from 1 to 3600"),
        ("connect_timeout_ms", "9000", "9000 is not from 1 to 8000"),
        ("max_message_bytes", "0", "0 is not from 1 to 67108864"),
        (
            "dead_letter_topic",
            "a/#",
            "topic \"a/#\" has a wildcard ('+', '#'), and only subscriptions can",
        ),
        (
            "tls_ca_file",
            "/ca.pem",
            "is for TLS, and the `url` is not an mqtts:// one",
        ),
        (
            "client_id",
            "a\u{1}",
            "is empty, longer than 256 bytes or has control characters",
        ),
    ] {
        let error = receiving(&[(field, value)]).unwrap_err();
        assert_eq!(error.to_string(), format!("field `{field}`: {problem}"));
    }
    let round =
        receiving(&[("subscriptions", "a/+"), ("dead_letter_topic", "a/dead")]).unwrap_err();
    assert_eq!(round.field, "dead_letter_topic");
}

#[test]
fn a_wrong_key_or_subscription_is_named() {
    let read = |key: &str, value: &str| {
        from_config::<MqttConfig>("link", &[(key.to_owned(), value.to_owned())].into())
            .map(drop)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        read("subscription", "a"),
        "link: there is no field `subscription`; did you mean `subscriptions`?"
    );
    assert_eq!(
        read("subscriptions", "a,b#"),
        "link: field `subscriptions`: topic \"b#\" has a '+' or '#' beside other characters"
    );
}

#[test]
fn each_direction_has_its_own_fields() {
    let sending = |entries: &[(&str, &str)]| config(entries).sending(&config(&[]), NAMES);
    for (field, value) in [
        ("subscriptions", "a"),
        ("dead_letter_topic", "d"),
        ("max_in_flight", "1"),
    ] {
        assert_eq!(sending(&[(field, value)]).unwrap_err().field, field);
    }
    // Equal settings are equal: what is random is filled in for the connection.
    assert_eq!(sending(&[]).unwrap(), sending(&[]).unwrap());
    let own = config(&[("subscriptions", "a"), ("qos", "0")]);
    assert!(!config(&[]).sending(&own, NAMES).unwrap().at_least_once);
}

#[test]
fn another_broker_comes_with_its_own_credentials() {
    let own = config(&[("url", "mqtt://own"), ("user", "me"), ("password", "hush")]);
    let link = |entries: &[(&str, &str)]| config(entries).sending(&own, NAMES).unwrap().server;
    assert_eq!(link(&[]).password.as_deref(), Some("hush"));
    assert_eq!(link(&[("user", "you")]).user.as_deref(), Some("you"));
    let other = link(&[("url", "mqtts://other")]);
    assert_eq!(
        (other.port, other.user.as_deref(), other.password.as_deref()),
        (8883, None, None)
    );
    assert!(!format!("{:?}", link(&[])).contains("hush"));
}

#[test]
fn the_provider_s_own_is_checked_too() {
    assert_eq!(
        config(&[("client_id", "x")])
            .check_default()
            .unwrap_err()
            .field,
        "client_id"
    );
    assert_eq!(
        config(&[("qos", "3")]).check_default().unwrap_err().field,
        "qos"
    );
    assert_eq!(
        config(&[("response_topic", "a/+")])
            .check_default()
            .unwrap_err()
            .field,
        "response_topic"
    );
    config(&[("subscriptions", "a"), ("max_in_flight", "3")])
        .check_default()
        .unwrap();
}
