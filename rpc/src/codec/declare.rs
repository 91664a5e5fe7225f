//! A WIT record, variant or enum declared once: the Rust type and its encoding.

/// Declares a WIT `record`: a struct whose fields are encoded in the order they stand in.
///
/// ```
/// trellis_rpc::wire_record! {
///     /// A point.
///     #[derive(Clone, Debug, PartialEq)]
///     pub struct Point {
///         /// To the right.
///         pub x: u32,
///         /// Down.
///         pub y: u32,
///     }
/// }
/// assert_eq!(trellis_rpc::codec::to_bytes(&Point { x: 1, y: 300 })[..], [0x01, 0xac, 0x02]);
/// ```
#[macro_export]
macro_rules! wire_record {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $($(#[$field_meta:meta])* $field_vis:vis $field:ident: $ty:ty),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        $vis struct $name {
            $($(#[$field_meta])* $field_vis $field: $ty),+
        }

        impl $crate::codec::Encode for $name {
            fn encode(&self, out: &mut $crate::bytes::BytesMut) {
                $($crate::codec::Encode::encode(&self.$field, out);)+
            }
        }

        impl $crate::codec::Decode for $name {
            fn decode(
                decoder: &mut $crate::codec::Decoder,
            ) -> ::std::result::Result<Self, $crate::codec::WireError> {
                ::std::result::Result::Ok(Self {
                    $($field: <$ty as $crate::codec::Decode>::decode(decoder)?),+
                })
            }
        }
    };
}

/// Declares a WIT `variant` or `enum`: an enum whose cases are numbered in the order they stand in.
///
/// ```
/// trellis_rpc::wire_variant! {
///     /// What can go wrong.
///     #[derive(Clone, Debug, PartialEq)]
///     pub enum Error {
///         /// No such thing.
///         Missing,
///         /// Anything else.
///         Other(String),
///     }
/// }
/// assert_eq!(trellis_rpc::codec::to_bytes(&Error::Other("x".into()))[..], [0x01, 0x01, 0x78]);
/// ```
#[macro_export]
macro_rules! wire_variant {
    (@any $ty:ty) => { _ };
    (
        $(#[$meta:meta])*
        $vis:vis enum $name:ident {
            $($(#[$case_meta:meta])* $case:ident $(($payload:ty))?),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        $vis enum $name {
            $($(#[$case_meta])* $case $(($payload))?),+
        }

        const _: () = {
            /// The cases' numbers.
            enum Case {
                $($case),+
            }

            impl $crate::codec::Encode for $name {
                #[allow(clippy::redundant_pattern, reason = "the pattern names the payload where there is one")]
                fn encode(&self, out: &mut $crate::bytes::BytesMut) {
                    match self {
                        $(Self::$case $((payload @ $crate::wire_variant!(@any $payload)))? => {
                            $crate::codec::leb::put_unsigned(Case::$case as u64, out);
                            $(<$payload as $crate::codec::Encode>::encode(payload, out);)?
                        })+
                    }
                }
            }

            impl $crate::codec::Decode for $name {
                fn decode(
                    decoder: &mut $crate::codec::Decoder,
                ) -> ::std::result::Result<Self, $crate::codec::WireError> {
                    match $crate::codec::leb::read_u32(decoder, stringify!($name))? {
                        $(case if case == Case::$case as u32 => ::std::result::Result::Ok(
                            Self::$case $((<$payload as $crate::codec::Decode>::decode(decoder)?))?
                        ),)+
                        other => ::std::result::Result::Err(
                            decoder.unknown_case(stringify!($name), other),
                        ),
                    }
                }
            }
        };
    };
}
