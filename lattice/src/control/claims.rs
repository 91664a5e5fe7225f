//! Claims as `claims.get` lists them: flat maps of strings, every value under its short and its long name.

use std::collections::BTreeMap;

use crate::bucket::StoredClaims;

/// One entry of the list.
pub type ClaimsEntry = BTreeMap<String, String>;

/// The list's entry for stored claims, as 1.x forms it.
pub fn entry(claims: &StoredClaims) -> ClaimsEntry {
    let mut entry = BTreeMap::new();
    let mut put = |key: &str, value: &str| entry.insert(key.to_owned(), value.to_owned());
    put("iss", &claims.issuer);
    put("issuer", &claims.issuer);
    put("name", &claims.name);
    put("rev", &claims.revision);
    put("revision", &claims.revision);
    put("sub", &claims.subject);
    put("subject", &claims.subject);
    put("version", &claims.version);
    match &claims.tags {
        // Only components carry tags, and only they have a call alias.
        Some(tags) => {
            put("tags", &tags.join(","));
            put(
                "call_alias",
                claims.call_alias.as_deref().unwrap_or_default(),
            );
        }
        None => {
            put("config_schema", "");
        }
    }
    entry
}
