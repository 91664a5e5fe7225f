use super::*;

fn config() -> S3Config {
    S3Config {
        endpoint: Some("http://127.0.0.1:9000".into()),
        ..S3Config::default()
    }
}

fn settings(config: &S3Config) -> Result<Settings, SettingsError> {
    config.settings(&S3Config::default())
}

fn refused(config: &S3Config) -> SettingsError {
    settings(config).unwrap_err()
}

#[test]
fn a_server_or_a_region_of_amazon_is_needed() {
    let error = refused(&S3Config::default());
    assert_eq!(error.field, "endpoint");
    assert!(error.problem.contains("missing"), "{error}");
    let amazon = S3Config {
        region: Some("eu-central-1".into()),
        ..S3Config::default()
    };
    let settings = settings(&amazon).unwrap();
    assert_eq!(
        settings.endpoint.as_str(),
        "https://s3.eu-central-1.amazonaws.com/"
    );
    assert!(!settings.path_style);
    let elsewhere = S3Config {
        region: Some("evil.example/".into()),
        ..S3Config::default()
    };
    assert_eq!(refused(&elsewhere).field, "region");
}

#[test]
fn an_endpoint_is_a_url_without_a_password() {
    for wrong in [
        "127.0.0.1:9000",
        "ftp://h",
        "http://",
        "https://me:hush@h",
        "http://h/?x",
    ] {
        let error = refused(&S3Config {
            endpoint: Some(wrong.into()),
            ..S3Config::default()
        });
        assert_eq!(error.field, "endpoint", "{wrong}");
        assert!(!error.to_string().contains("hush"), "{error}");
    }
    assert!(settings(&config()).unwrap().path_style);
}

#[test]
fn keys_come_together() {
    let half = S3Config {
        access_key_id: Some("me".into()),
        ..config()
    };
    assert_eq!(refused(&half).field, "secret_access_key");
    let other = S3Config {
        secret_access_key: Some("hush".into()),
        ..config()
    };
    assert_eq!(refused(&other).field, "access_key_id");
    let both = S3Config {
        access_key_id: Some("me".into()),
        ..other
    };
    let settings = settings(&both).unwrap();
    assert!(!format!("{settings:?}").contains("hush"));
}

#[test]
fn a_provider_may_leave_keys_and_servers_to_its_links() {
    S3Config::default().check_default().unwrap();
    let own = S3Config {
        access_key_id: Some("me".into()),
        ..S3Config::default()
    };
    own.check_default().unwrap();
    let link = S3Config {
        secret_access_key: Some("hush".into()),
        ..config()
    };
    assert_eq!(link.settings(&own).unwrap().keys.unwrap().id, "me");
    let wrong = S3Config {
        max_attempts: Some(0),
        ..S3Config::default()
    };
    assert_eq!(wrong.check_default().unwrap_err().field, "max_attempts");
}

#[test]
fn a_link_s_bucket_brings_its_own_prefix() {
    let own = S3Config {
        bucket: Some("own-bucket".into()),
        prefix: Some("deep/er".into()),
        ..config()
    };
    let places = |link: &S3Config| link.settings(&own).unwrap().places;
    let folders = |bucket: &str, prefix: &str| Places::Folders {
        bucket: bucket.into(),
        prefix: prefix.into(),
        allowed: None,
    };
    assert_eq!(
        places(&S3Config::default()),
        folders("own-bucket", "deep/er/")
    );
    let link = S3Config {
        bucket: Some("other".into()),
        ..S3Config::default()
    };
    assert_eq!(places(&link), folders("other", ""));
    let prefix = S3Config {
        prefix: Some("/x/".into()),
        ..config()
    };
    assert_eq!(refused(&prefix).field, "prefix");
    let up = S3Config {
        bucket: Some("other".into()),
        prefix: Some("a/../../b".into()),
        ..config()
    };
    assert_eq!(refused(&up).field, "prefix");
}

#[test]
fn containers_are_named_with_their_buckets() {
    let list = |entries: &[&str], bucket: Option<&str>| S3Config {
        containers: Some(entries.iter().map(|entry| (*entry).to_owned()).collect()),
        bucket: bucket.map(Into::into),
        ..config()
    };
    let named = settings(&list(&["photos", "to = acme-to"], None)).unwrap();
    let expected = [("photos", "photos"), ("to", "acme-to")];
    let expected = expected.map(|(name, at)| (name.to_owned(), at.to_owned()));
    assert_eq!(
        named.places,
        Places::Buckets {
            allowed: Some(expected.into())
        }
    );
    for wrong in [
        list(&["to"], None),
        list(&["a=b/c"], None),
        list(&["a=b"], Some("bucket")),
        list(&["a/b"], Some("bucket")),
    ] {
        assert_eq!(refused(&wrong).field, "containers");
    }
}

#[test]
fn numbers_have_bounds() {
    let small = S3Config {
        part_bytes: Some(1 << 20),
        ..config()
    };
    let error = refused(&small);
    assert_eq!(error.field, "part_bytes");
    assert!(error.problem.contains("5242880"), "{error}");
}
