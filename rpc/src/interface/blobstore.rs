//! `wrpc:blobstore@0.2.0`: `wasi:blobstore` as it goes to a provider, with containers and objects by their names. The
//! content of objects and of listings streams; how it ended is told in a `future` beside it, for callees of 1.x, whose
//! streams can't tell.

mod streamed;

use bytes::{Bytes, BytesMut};

pub use self::streamed::{Content, Names, Outcome, Upload};
use crate::{wire_functions, wire_record};

/// The instance of all functions here.
pub const BLOBSTORE: &str = "wrpc:blobstore/blobstore@0.2.0";

wire_record! {
    /// What is known of a container.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct ContainerMetadata {
        /// When it was made, in seconds since 1970.
        pub created_at: u64,
    }
}

wire_record! {
    /// What is known of an object.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct ObjectMetadata {
        /// When it was written, in seconds since 1970.
        pub created_at: u64,
        /// Its size in bytes.
        pub size: u64,
    }
}

wire_record! {
    /// An object's name.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct ObjectId {
        /// Its container.
        pub container: String,
        /// Its name there.
        pub object: String,
    }
}

wire_record! {
    /// Which objects to list.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct ListParams {
        /// The container.
        pub container: String,
        /// How many at most.
        pub limit: Option<u64>,
        /// How many to leave out first.
        pub offset: Option<u64>,
    }
}

wire_record! {
    /// Which part of an object to read.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct RangeParams {
        /// The object.
        pub id: ObjectId,
        /// The first byte.
        pub start: u64,
        /// The last byte, which is read too; past the end of the object it means the end.
        pub end: u64,
    }
}

wire_record! {
    /// From where to where.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct FromTo {
        /// The object that is there.
        pub src: ObjectId,
        /// The one that is to be.
        pub dest: ObjectId,
    }
}

wire_record! {
    /// Several objects of a container.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct ObjectsParams {
        /// The container.
        pub container: String,
        /// Their names.
        pub objects: Vec<String>,
    }
}

wire_functions! {
    BLOBSTORE {
        /// Deletes all objects of a container.
        ClearContainer = "clear-container"(String) -> Result<(), String>;
        /// Whether there is a container of that name.
        ContainerExists = "container-exists"(String) -> Result<bool, String>;
        /// Makes a container.
        CreateContainer = "create-container"(String) -> Result<(), String>;
        /// Deletes a container with all that is in it.
        DeleteContainer = "delete-container"(String) -> Result<(), String>;
        /// What is known of a container.
        GetContainerInfo = "get-container-info"(String) -> Result<ContainerMetadata, String>;
        /// Copies an object.
        CopyObject = "copy-object"(FromTo) -> Result<(), String>;
        /// Deletes an object; one that isn't there is no error.
        DeleteObject = "delete-object"(ObjectId) -> Result<(), String>;
        /// Deletes several objects.
        DeleteObjects = "delete-objects"(ObjectsParams) -> Result<(), String>;
        /// What is known of an object.
        GetObjectInfo = "get-object-info"(ObjectId) -> Result<ObjectMetadata, String>;
        /// Whether there is an object of that name.
        HasObject = "has-object"(ObjectId) -> Result<bool, String>;
        /// Moves an object.
        MoveObject = "move-object"(FromTo) -> Result<(), String>;
    }
}

/// Reads a part of an object. Its answer is a [`Content`].
pub const GET_CONTAINER_DATA: &str = "get-container-data";
/// Lists a container's objects. Its answer are [`Names`].
pub const LIST_CONTAINER_OBJECTS: &str = "list-container-objects";
/// Writes an object. Its parameters are an [`Upload`], its answer an [`Outcome`].
pub const WRITE_CONTAINER_DATA: &str = "write-container-data";

/// Values before the streams among them.
fn encoded(values: &impl crate::codec::Encode) -> Bytes {
    let mut out = BytesMut::new();
    values.encode(&mut out);
    out.freeze()
}
