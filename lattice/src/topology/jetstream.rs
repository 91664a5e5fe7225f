//! Which subjects the use of JetStream takes.
//!
//! A wildcard stands nowhere that a stream's name could stand in another request of as many parts: a right to one stream
//! is none to another.

/// What begins the requests to the server's own domain.
pub(super) const OWN: &str = "$JS.API";

/// What begins the requests to a domain by its name, from wherever.
pub(super) fn of_domain(domain: &str) -> String {
    format!("$JS.{domain}.API")
}

/// Answers of who is sent a stream's messages: without them the stream waits.
pub(super) const FLOW: &str = "$JS.FC.>";
/// Where whoever is given a stream's messages says what became of them; [`no_acks`] takes some out.
pub(super) const ACKS: &str = "$JS.ACK.>";
/// What a mirror, and what a source, is sent of a stream by the domain that has it, and the answers to what it asks there.
pub(super) const COPIES: [&str; 3] = ["$JS.M.>", "$JS.S.>", "$JSC.R.>"];

/// Which stream stands behind a bucket.
fn stream(bucket: &str) -> String {
    format!("KV_{bucket}")
}

/// Reading, following and writing a bucket.
pub(super) fn use_bucket<'a>(api: &'a str, bucket: &'a str) -> impl Iterator<Item = String> + 'a {
    let stream = stream(bucket);
    let requests = [
        format!("STREAM.INFO.{stream}"),
        format!("STREAM.MSG.GET.{stream}"),
        format!("CONSUMER.*.{stream}"),
        format!("CONSUMER.*.{stream}.>"),
        format!("CONSUMER.MSG.NEXT.{stream}.*"),
        format!("DIRECT.GET.{stream}"),
        format!("DIRECT.GET.{stream}.>"),
    ];
    requests
        .into_iter()
        .map(move |request| format!("{api}.{request}"))
        .chain([entries(api, bucket)])
}

/// Reading and following a bucket, without writing it.
pub(super) fn read_bucket<'a>(api: &'a str, bucket: &'a str) -> impl Iterator<Item = String> + 'a {
    let entries = entries(api, bucket);
    use_bucket(api, bucket).filter(move |subject| *subject != entries)
}

/// Making a bucket or a copy of one, changing and deleting it.
pub(super) fn make_bucket<'a>(api: &'a str, bucket: &'a str) -> impl Iterator<Item = String> + 'a {
    let stream = stream(bucket);
    ["CREATE", "UPDATE", "DELETE", "PURGE"]
        .into_iter()
        .map(move |verb| format!("{api}.STREAM.{verb}.{stream}"))
}

/// Using and making every bucket, and any stream; [`no_bucket`] takes some out.
pub(super) fn every_bucket(api: &str) -> impl Iterator<Item = String> + '_ {
    [
        "STREAM.NAMES",
        "STREAM.INFO.*",
        "STREAM.CREATE.*",
        "STREAM.UPDATE.*",
        "STREAM.DELETE.*",
        "STREAM.PURGE.*",
        "STREAM.MSG.GET.*",
        "CONSUMER.CREATE.>",
        "CONSUMER.INFO.*.*",
        "CONSUMER.DELETE.*.*",
        "CONSUMER.MSG.NEXT.*.*",
        "DIRECT.GET.>",
    ]
    .into_iter()
    .map(move |request| format!("{api}.{request}"))
    .chain([entries(api, "*").replace(".*.>", ".>")])
}

/// Everything that could be asked of a bucket, to deny it.
pub(super) fn no_bucket<'a>(api: &'a str, bucket: &'a str) -> impl Iterator<Item = String> + 'a {
    let stream = stream(bucket);
    [
        format!("STREAM.*.{stream}"),
        format!("STREAM.*.*.{stream}"),
        format!("CONSUMER.*.{stream}"),
        format!("CONSUMER.*.{stream}.>"),
        format!("CONSUMER.*.*.{stream}"),
        format!("CONSUMER.*.*.{stream}.>"),
        format!("DIRECT.GET.{stream}"),
        format!("DIRECT.GET.{stream}.>"),
    ]
    .into_iter()
    .map(move |request| format!("{api}.{request}"))
    .chain([entries(api, bucket)])
}

/// Saying what became of a bucket's messages, to deny it: NATS writes the stream's name first, or after its domain and
/// account.
pub(super) fn no_acks(bucket: &str) -> [String; 2] {
    let stream = stream(bucket);
    [
        format!("$JS.ACK.{stream}.>"),
        format!("$JS.ACK.*.*.{stream}.>"),
    ]
}

/// Whether JetStream is there at all.
pub(super) fn account(api: &str) -> String {
    format!("{api}.INFO")
}

/// A bucket's entries: where they are written to.
fn entries(api: &str, bucket: &str) -> String {
    if api == OWN {
        format!("$KV.{bucket}.>")
    } else {
        format!("{api}.$KV.{bucket}.>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_another_domain_are_written_through_its_requests() {
        let own: Vec<_> = use_bucket(OWN, "a").collect();
        assert!(own.contains(&"$KV.a.>".to_owned()), "{own:?}");
        let hub = of_domain("hub");
        let far: Vec<_> = use_bucket(&hub, "a").collect();
        assert!(far.contains(&"$JS.hub.API.$KV.a.>".to_owned()), "{far:?}");
        assert!(read_bucket(&hub, "a").all(|subject| !subject.contains("$KV")));
        let every: Vec<_> = every_bucket(&hub).collect();
        assert!(every.contains(&"$JS.hub.API.$KV.>".to_owned()), "{every:?}");
    }
}
