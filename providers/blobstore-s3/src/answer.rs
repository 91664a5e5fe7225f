//! What servers answer in XML. Elements are read by their names alone: servers differ in namespaces, in the name of the whole
//! and in what else is there.

use percent_encoding::percent_decode_str;
use serde::Deserialize;

/// An answer that isn't what was asked for.
#[derive(Debug, thiserror::Error)]
#[error("its answer to {what} can't be read: {problem}")]
pub struct Unreadable {
    /// What was asked.
    what: &'static str,
    problem: String,
}

/// Why a server refuses something.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Refusal {
    /// A word for it.
    pub code: String,
    /// For people.
    pub message: String,
    /// Where the bucket is, when it was asked for elsewhere.
    pub region: Option<String>,
}

/// A page of a bucket's keys.
#[derive(Debug, Default)]
pub struct Page {
    /// The keys, sorted.
    pub keys: Vec<String>,
    /// What asks for the next page.
    pub next: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    #[serde(default)]
    is_truncated: bool,
    #[serde(default)]
    contents: Vec<ListedKey>,
    next_continuation_token: Option<String>,
    encoding_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedKey {
    key: String,
}

/// The objects of several that could not be deleted.
#[derive(Debug, Default, Deserialize)]
pub struct Deleted {
    /// Each with why.
    #[serde(rename = "Error", default)]
    pub errors: Vec<NotDeleted>,
}

/// An object that could not be deleted.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct NotDeleted {
    /// Its key.
    pub key: String,
    /// A word for why.
    pub code: String,
    /// For people.
    pub message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Begun {
    upload_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Owned {
    buckets: Option<Buckets>,
}

#[derive(Deserialize)]
struct Buckets {
    #[serde(rename = "Bucket", default)]
    buckets: Vec<OwnedBucket>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OwnedBucket {
    name: String,
    creation_date: Option<String>,
}

fn read<'a, T: Deserialize<'a>>(what: &'static str, xml: &'a str) -> Result<T, Unreadable> {
    quick_xml::de::from_str(xml).map_err(|error| Unreadable {
        what,
        problem: error.to_string(),
    })
}

/// Why it was refused, if that is what it says: some refusals come with a status of success, and some come without XML.
pub fn refusal(xml: &str) -> Option<Refusal> {
    let refusal: Refusal = read("a request", xml).ok()?;
    (!refusal.code.is_empty()).then_some(refusal)
}

/// A page of keys.
///
/// # Errors
/// It isn't one, or it says that there is more and not how to get it.
pub fn page(xml: &str) -> Result<Page, Unreadable> {
    let what = "a listing";
    let listed: Listed = read(what, xml)?;
    let encoded = listed.encoding_type.as_deref() == Some("url");
    let keys = listed.contents.into_iter().map(|found| match encoded {
        true => decoded(&found.key),
        false => found.key,
    });
    let next = listed
        .next_continuation_token
        .filter(|token| listed.is_truncated && !token.is_empty());
    if listed.is_truncated && next.is_none() {
        return Err(Unreadable {
            what,
            problem: "it goes on, but doesn't say where".to_owned(),
        });
    }
    Ok(Page {
        keys: keys.collect(),
        next,
    })
}

/// Some servers write a space as `+`, some as `%20`, and all of them `+` as `%2B`.
fn decoded(key: &str) -> String {
    let spaced = key.replace('+', " ");
    match percent_decode_str(&spaced).decode_utf8() {
        Ok(decoded) => decoded.into_owned(),
        Err(_) => key.to_owned(),
    }
}

/// Which of several objects could not be deleted.
///
/// # Errors
/// It doesn't say.
pub fn deleted(xml: &str) -> Result<Deleted, Unreadable> {
    read("deleting objects", xml)
}

/// The id of an upload in parts that was begun.
///
/// # Errors
/// It has none.
pub fn upload_id(xml: &str) -> Result<String, Unreadable> {
    read("beginning an upload", xml).map(|begun: Begun| begun.upload_id)
}

/// When a bucket was made, as text, where the server tells.
///
/// # Errors
/// It is no list of buckets.
pub fn created(xml: &str, bucket: &str) -> Result<Option<String>, Unreadable> {
    let owned: Owned = read("a list of buckets", xml)?;
    let mut buckets = owned.buckets.into_iter().flat_map(|owned| owned.buckets);
    let found = buckets.find(|owned| owned.name == bucket);
    Ok(found.and_then(|owned| owned.creation_date))
}

/// What asks to delete several objects; the answer names only those that could not be.
pub fn delete(keys: &[String]) -> String {
    let objects = keys.iter().map(|key| {
        let key = quick_xml::escape::escape(key.as_str());
        format!("<Object><Key>{key}</Key></Object>")
    });
    let objects: String = objects.collect();
    format!("<Delete>{objects}<Quiet>true</Quiet></Delete>")
}

/// Whether a key can be written in XML at all: most control characters can't.
pub fn is_writable(key: &str) -> bool {
    !key.chars()
        .any(|char| matches!(char, '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}'))
}

/// What says that an upload is complete, with what the server gave for each part, from the first on.
pub fn complete(etags: &[String]) -> String {
    let parts = etags.iter().zip(1..).map(|(etag, number)| {
        let etag = quick_xml::escape::escape(etag.as_str());
        format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>")
    });
    let parts: String = parts.collect();
    format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>")
}

/// What asks for a bucket in a region: nothing in the one that is every server's own.
pub fn create_bucket(region: &str) -> String {
    if region == "us-east-1" {
        return String::new();
    }
    let region = quick_xml::escape::escape(region);
    format!(
        "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_namespaces_of_the_whole_don_t_count() {
        for xml in [
            "<InitiateMultipartUpload><Bucket>b</Bucket><UploadId>7</UploadId></InitiateMultipartUpload>",
            "<?xml version=\"1.0\"?>\n<InitiateMultipartUploadResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><UploadId>7</UploadId></InitiateMultipartUploadResult>",
        ] {
            assert_eq!(upload_id(xml).unwrap(), "7");
        }
        assert!(
            upload_id("<html><body>Welcome</body></html>")
                .unwrap_err()
                .to_string()
                .contains("upload")
        );
    }

    #[test]
    fn keys_are_decoded_as_they_are_encoded() {
        let xml = "<ListBucketResult><IsTruncated>true</IsTruncated><Contents><Key>a+b%2B%25%C3%BC</Key><Size>5</Size></Contents>\
            <CommonPrefixes><Prefix>x</Prefix></CommonPrefixes><Contents><Key>z%20</Key></Contents>\
            <EncodingType>url</EncodingType><NextContinuationToken>t</NextContinuationToken></ListBucketResult>";
        let found = page(xml).unwrap();
        assert_eq!(found.keys, ["a b+%ü", "z "]);
        assert_eq!(found.next.as_deref(), Some("t"));
        let plain = page(
            "<L><IsTruncated>false</IsTruncated><Contents><Key>a+b</Key></Contents><NextContinuationToken/></L>",
        );
        let plain = plain.unwrap();
        assert_eq!((plain.keys, plain.next), (vec!["a+b".to_owned()], None));
        assert!(page("<L><IsTruncated>true</IsTruncated></L>").is_err());
        assert!(page("<L/>").unwrap().keys.is_empty());
    }

    #[test]
    fn refusals_are_found() {
        let said = refusal("<Error><Code>NoSuchKey</Code><Resource>x</Resource></Error>").unwrap();
        assert_eq!(
            (said.code.as_str(), said.message.as_str()),
            ("NoSuchKey", "")
        );
        assert!(refusal("<CopyObjectResult><ETag>x</ETag></CopyObjectResult>").is_none());
        assert!(refusal("").is_none());
        assert!(refusal("404 page not found").is_none());
    }

    #[test]
    fn what_is_asked_is_escaped() {
        let asked = delete(&["a<b&c".to_owned()]);
        assert!(asked.contains("<Key>a&lt;b&amp;c</Key>"), "{asked}");
        assert!(is_writable("a b/ü") && !is_writable("a\u{1}") && !is_writable("a\r"));
        assert_eq!(
            complete(&["\"e\"".to_owned()])
                .matches("<PartNumber>1<")
                .count(),
            1
        );
        assert_eq!(create_bucket("us-east-1"), "");
        assert!(create_bucket("eu-central-1").contains(">eu-central-1<"));
    }

    #[test]
    fn a_bucket_s_age_is_told_or_not() {
        let xml = "<R><Owner/><Buckets><Bucket><Name>a</Name><CreationDate>2026-11-22T01:21:19.631Z</CreationDate></Bucket></Buckets></R>";
        assert_eq!(
            created(xml, "a").unwrap().as_deref(),
            Some("2026-11-22T01:21:19.631Z")
        );
        assert_eq!(created(xml, "b").unwrap(), None);
        assert_eq!(created("<R><Buckets/></R>", "b").unwrap(), None);
        let failed = deleted("<D><Error><Key>a</Key><Code>AccessDenied</Code></Error></D>");
        assert_eq!(failed.unwrap().errors[0].code, "AccessDenied");
        assert!(deleted("<D/>").unwrap().errors.is_empty());
    }
}
