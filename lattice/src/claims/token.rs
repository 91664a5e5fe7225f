//! The token: a JWT signed with an issuer's account key (`wasmcloud-v1.md`, Claims).

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use super::{
    error::ClaimsError,
    keys::{AccountKey, Issuer, PublicKey, Role, shorten},
    moment,
};

/// The longest token that is looked at.
pub const MAX_TOKEN_BYTES: usize = 64 * 1024;
/// The format's revision, as 1.x writes it.
pub const REVISION: u32 = 3;

const ALGORITHM: &str = "Ed25519";

/// What claims say of their subject: the `wascap` object.
pub trait Metadata: Clone + std::fmt::Debug + Serialize + DeserializeOwned {
    /// What the subject is.
    type Subject: Role;
}

/// A token's content. Fields that aren't known are ignored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound(deserialize = "M: Metadata"))]
pub struct Claims<M: Metadata> {
    /// The token's own id.
    #[serde(default)]
    pub jti: String,
    /// When it was signed, in seconds since 1970.
    #[serde(default)]
    pub iat: u64,
    /// Who signed.
    pub iss: Issuer,
    /// Whom it is about.
    pub sub: PublicKey<M::Subject>,
    /// From when on it is no longer valid, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exp: Option<u64>,
    /// Before when it is not valid, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
    /// What it says.
    pub wascap: M,
    /// The format's revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wascap_revision: Option<u32>,
}

impl<M: Metadata> Claims<M> {
    /// Whether the claims hold at a moment; to the second, with no allowance for clocks that differ.
    ///
    /// # Errors
    /// [`ClaimsError::Expired`] or [`ClaimsError::NotYetValid`], each with the moment.
    pub fn check_time(&self, now: OffsetDateTime) -> Result<(), ClaimsError> {
        let second = moment::to_seconds(now);
        if let Some(exp) = self.exp.filter(|exp| *exp <= second) {
            return Err(ClaimsError::Expired {
                since: moment::both(moment::from_seconds(exp), now),
            });
        }
        match self.nbf.filter(|nbf| *nbf > second) {
            Some(nbf) => Err(ClaimsError::NotYetValid {
                until: moment::both(moment::from_seconds(nbf), now),
            }),
            None => Ok(()),
        }
    }

    /// Signs the claims into a token's text. The issuer must be the key's own. Their id is made from
    /// their content, so that the same claims make the same token.
    ///
    /// # Errors
    /// When the token would be longer than a reader takes, or the key refuses.
    pub(super) fn sign(mut self, issuer: &AccountKey) -> Result<String, ClaimsError> {
        self.jti.clear();
        let digest = Sha256::digest(encode(&self)?);
        self.jti = BASE64URL_NOPAD.encode(digest.get(..16).unwrap_or(&digest));
        let header = Header {
            typ: "jwt".into(),
            alg: ALGORITHM.into(),
        };
        let signed = format!("{}.{}", encode(&header)?, encode(&self)?);
        let signature = issuer.sign(signed.as_bytes())?;
        let text = format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature));
        check_length(&text)?;
        Ok(text)
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    typ: String,
    alg: String,
}

fn encode(part: &impl Serialize) -> Result<String, ClaimsError> {
    let json = serde_json::to_vec(part).map_err(|error| malformed(error.to_string()))?;
    Ok(BASE64URL_NOPAD.encode(&json))
}

/// A token whose signature is its issuer's.
#[derive(Clone, Debug, PartialEq)]
pub struct Token<M: Metadata> {
    /// The token as it was signed.
    pub text: String,
    /// Its content.
    pub claims: Claims<M>,
}

impl<M: Metadata> Token<M> {
    /// Reads a token and verifies its signature; its time, its content's hash and whether the issuer is
    /// trusted are further questions.
    ///
    /// # Errors
    /// [`ClaimsError::MalformedToken`], [`ClaimsError::WrongAlgorithm`], [`ClaimsError::IssuerNotAccount`],
    /// [`ClaimsError::WrongSubject`], [`ClaimsError::BadSignature`], in this order.
    pub fn verify(text: &str) -> Result<Self, ClaimsError> {
        let parts = Parts::split(text)?;
        let json = parts.content()?;
        // The keys first, so that claims about a provider don't fail with a field that a component has.
        let key = |name: &str| {
            json.get(name)
                .and_then(serde_json::Value::as_str)
                .unwrap_or_default()
        };
        let issuer =
            Issuer::new(key("iss")).map_err(|source| ClaimsError::IssuerNotAccount { source })?;
        PublicKey::<M::Subject>::new(key("sub"))
            .map_err(|source| ClaimsError::WrongSubject { source })?;
        if !issuer.verifies(parts.signed.as_bytes(), &parts.signature) {
            return Err(ClaimsError::BadSignature { issuer });
        }
        let claims = serde_path_to_error::deserialize(&json)
            .map_err(|error| malformed(format!("field `{}`: {}", error.path(), error.inner())))?;
        Ok(Self {
            text: text.to_owned(),
            claims,
        })
    }
}

/// What a token says, its signature unseen: for showing, never for trusting.
///
/// # Errors
/// [`ClaimsError::MalformedToken`] or [`ClaimsError::WrongAlgorithm`].
pub fn peek(text: &str) -> Result<serde_json::Value, ClaimsError> {
    Parts::split(text)?.content()
}

/// A token taken apart, its header checked.
struct Parts<'a> {
    /// Header and content with the point between: what is signed.
    signed: &'a str,
    content: &'a str,
    signature: Vec<u8>,
}

impl<'a> Parts<'a> {
    fn split(text: &'a str) -> Result<Self, ClaimsError> {
        check_length(text)?;
        let three = || malformed("not three parts with points between".into());
        let (signed, signature) = text.rsplit_once('.').ok_or_else(three)?;
        let (header, content) = signed.split_once('.').ok_or_else(three)?;
        if content.contains('.') {
            return Err(three());
        }
        let header: Header = serde_json::from_slice(&decode("header", header)?)
            .map_err(|error| malformed(format!("header: {error}")))?;
        if header.alg != ALGORITHM {
            return Err(ClaimsError::WrongAlgorithm {
                found: shorten(&header.alg),
            });
        }
        if !header.typ.eq_ignore_ascii_case("jwt") {
            return Err(malformed(format!(
                "header: typ is {:?} instead of \"jwt\"",
                shorten(&header.typ)
            )));
        }
        Ok(Self {
            signed,
            content,
            signature: decode("signature", signature)?,
        })
    }

    fn content(&self) -> Result<serde_json::Value, ClaimsError> {
        let json: serde_json::Value = serde_json::from_slice(&decode("content", self.content)?)
            .map_err(|error| malformed(format!("content: {error}")))?;
        if json.is_object() {
            Ok(json)
        } else {
            Err(malformed("content: not an object".into()))
        }
    }
}

fn check_length(text: &str) -> Result<(), ClaimsError> {
    if text.len() <= MAX_TOKEN_BYTES {
        return Ok(());
    }
    Err(malformed(format!(
        "{} bytes, more than the {MAX_TOKEN_BYTES} allowed",
        text.len()
    )))
}

fn decode(part: &str, text: &str) -> Result<Vec<u8>, ClaimsError> {
    BASE64URL_NOPAD
        .decode(text.as_bytes())
        .map_err(|error| malformed(format!("{part}: {error}")))
}

fn malformed(problem: String) -> ClaimsError {
    ClaimsError::MalformedToken { problem }
}
