//! `wrpc:keyvalue@0.2.0-draft`: `wasi:keyvalue` as it goes to a provider. The bucket resource stays with the caller; its
//! name goes first among the parameters (`wasmcloud-v1.md`, Messaging and HTTP interfaces).

use bytes::Bytes;

use crate::{wire_functions, wire_record, wire_variant};

/// The instance of [`Get`], [`Set`], [`Delete`], [`Exists`] and [`ListKeys`].
pub const STORE: &str = "wrpc:keyvalue/store@0.2.0-draft";
/// The instance of [`Increment`].
pub const ATOMICS: &str = "wrpc:keyvalue/atomics@0.2.0-draft";
/// The instance of [`GetMany`], [`SetMany`] and [`DeleteMany`].
pub const BATCH: &str = "wrpc:keyvalue/batch@0.2.0-draft";
/// The instance of [`OnSet`] and [`OnDelete`], which a store's provider calls and an actor exports.
pub const WATCHER: &str = "wrpc:keyvalue/watcher@0.2.0-draft";

wire_variant! {
    /// Why a request failed.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum Error {
        /// There is no such bucket.
        NoSuchStore,
        /// The caller may not do that.
        AccessDenied,
        /// Anything else, in words.
        Other(String),
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoSuchStore => f.write_str("no such store"),
            Self::AccessDenied => f.write_str("access denied"),
            Self::Other(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Error {}

wire_record! {
    /// One key of a bucket.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct KeyParams {
        /// The bucket's name.
        pub bucket: String,
        /// The key.
        pub key: String,
    }
}

wire_record! {
    /// What to set.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct SetParams {
        /// The bucket's name.
        pub bucket: String,
        /// The key.
        pub key: String,
        /// Its new value.
        pub value: Bytes,
    }
}

wire_record! {
    /// Which keys to list.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct ListParams {
        /// The bucket's name.
        pub bucket: String,
        /// Where an earlier answer stopped.
        pub cursor: Option<u64>,
    }
}

wire_record! {
    /// Some of a bucket's keys.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct KeyResponse {
        /// The keys.
        pub keys: Vec<String>,
        /// Where to go on, if there are more.
        pub cursor: Option<u64>,
    }
}

wire_record! {
    /// What to count up.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct IncrementParams {
        /// The bucket's name.
        pub bucket: String,
        /// The key.
        pub key: String,
        /// By how much.
        pub delta: u64,
    }
}

wire_record! {
    /// Several keys of a bucket.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct KeysParams {
        /// The bucket's name.
        pub bucket: String,
        /// The keys.
        pub keys: Vec<String>,
    }
}

wire_record! {
    /// Several keys to set.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct SetManyParams {
        /// The bucket's name.
        pub bucket: String,
        /// The keys and their new values.
        pub key_values: Vec<(String, Bytes)>,
    }
}

wire_functions! {
    STORE {
        /// A key's value, if it has one.
        Get = "get"(KeyParams) -> Result<Option<Bytes>, Error>;
        /// Sets a key's value.
        Set = "set"(SetParams) -> Result<(), Error>;
        /// Deletes a key; one that isn't there is no error.
        Delete = "delete"(KeyParams) -> Result<(), Error>;
        /// Whether a key has a value.
        Exists = "exists"(KeyParams) -> Result<bool, Error>;
        /// Lists a bucket's keys.
        ListKeys = "list-keys"(ListParams) -> Result<KeyResponse, Error>;
    }
}

wire_functions! {
    ATOMICS {
        /// Adds to a number and gives the sum, in one step that no other can come between.
        Increment = "increment"(IncrementParams) -> Result<u64, Error>;
    }
}

wire_functions! {
    BATCH {
        /// The values of several keys; a key without one is `None`.
        GetMany = "get-many"(KeysParams) -> Result<Vec<Option<(String, Bytes)>>, Error>;
        /// Sets several keys.
        SetMany = "set-many"(SetManyParams) -> Result<(), Error>;
        /// Deletes several keys.
        DeleteMany = "delete-many"(KeysParams) -> Result<(), Error>;
    }
}

wire_functions! {
    WATCHER {
        /// Tells an actor that a key has a new value.
        OnSet = "on-set"(SetParams) -> ();
        /// Tells an actor that a key has no value any more.
        OnDelete = "on-delete"(KeyParams) -> ();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        CallError, Channels, Incoming,
        codec::{from_bytes, to_bytes},
        interface::Function as _,
    };

    /// From the captured traffic.
    #[test]
    fn increment_is_encoded_as_captured() {
        let params = IncrementParams {
            bucket: "default".to_owned(),
            key: "counter".to_owned(),
            delta: 1,
        };
        let bytes = b"\x07default\x07counter\x01";
        assert_eq!(&to_bytes(&params)[..], bytes);
        assert_eq!(
            from_bytes::<IncrementParams>(Bytes::from_static(bytes)).unwrap(),
            params
        );
        let result = Increment::answer(&Ok(7766));
        assert_eq!(&result.root[..], [0x00, 0xd6, 0x3c]);
        assert_eq!(
            Increment::operation().to_string(),
            "wrpc:keyvalue/atomics@0.2.0-draft.increment"
        );
    }

    #[test]
    fn results_are_encoded_as_wrpc_s_facts_have_it() {
        assert_eq!(&Get::answer(&Ok(None)).root[..], [0, 0]);
        assert_eq!(
            &Get::answer(&Ok(Some(Bytes::from_static(b"abc")))).root[..],
            b"\x00\x01\x03abc"
        );
        assert_eq!(
            &Get::answer(&Err(Error::Other("x".to_owned()))).root[..],
            [1, 2, 1, 0x78]
        );
        assert_eq!(&Set::answer(&Ok(())).root[..], [0]);
    }

    /// From 1.9.2's WIT: the bucket is a name, and nothing comes back.
    #[test]
    fn a_change_is_a_bucket_a_key_and_a_value() {
        let params = SetParams {
            bucket: "default".to_owned(),
            key: "k".to_owned(),
            value: Bytes::from_static(b"v"),
        };
        assert_eq!(&to_bytes(&params)[..], b"\x07default\x01k\x01v");
        assert!(OnSet::answer(&()).root.is_empty());
        assert_eq!(
            OnDelete::operation().to_string(),
            "wrpc:keyvalue/watcher@0.2.0-draft.on-delete"
        );
    }

    #[test]
    fn a_callee_that_ends_without_a_result_has_failed() {
        let nothing = Incoming {
            root: Bytes::new(),
            channels: Channels::none(),
        };
        assert!(matches!(
            Get::decode_result(nothing),
            Err(CallError::Failed(_))
        ));
    }
}
