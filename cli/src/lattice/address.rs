//! Addresses as NATS' configurations have them.

/// `address:port`.
///
/// # Errors
/// It isn't, and how it is written.
pub fn listen(text: &str) -> Result<String, String> {
    let fits = text
        .rsplit_once(':')
        .is_some_and(|(host, port)| is_host(host) && is_port(port));
    if fits {
        Ok(text.to_owned())
    } else {
        Err("write it as address:port, such as 0.0.0.0:4222".into())
    }
}

/// Where leaf nodes connect: `nats-leaf://address:port`.
///
/// # Errors
/// It isn't, and how it is written.
pub fn hub_url(text: &str) -> Result<String, String> {
    let how = "write it as nats-leaf://address:port, or tls://address:port with TLS";
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(how.into());
    };
    if rest.contains('@') {
        return Err("leave user and password out: the PoP's key says who it is".into());
    }
    if matches!(scheme, "nats-leaf" | "nats" | "tls" | "ws" | "wss") && listen(rest).is_ok() {
        Ok(text.to_owned())
    } else {
        Err(how.into())
    }
}

fn is_host(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-._:[]".contains(c))
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked() {
        for text in [
            "0.0.0.0:4222",
            "hub:1",
            "[::]:4222",
            "fra.example.com:65535",
        ] {
            assert_eq!(listen(text).as_deref(), Ok(text));
        }
        for text in [
            "", "4222", ":4222", "h:0", "h:65536", "h:x", "a b:1", "h:1\"}",
        ] {
            assert!(listen(text).is_err(), "{text:?}");
        }
        assert!(hub_url("nats-leaf://hub:7422").is_ok());
        for text in [
            "hub:7422",
            "http://hub:7422",
            "nats-leaf://hub",
            "nats-leaf://a:b@hub:7422",
        ] {
            assert!(hub_url(text).is_err(), "{text:?}");
        }
    }
}
