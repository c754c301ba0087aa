//! The ids of Quay's rows, one type a table, so that none is taken for another.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! row_id {
    ($($(#[$doc:meta])* $name:ident($inner:ty);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    )*};
}

row_id! {
    /// `tag.id`; its sequence ends at 2^31-1.
    TagId(i32);
    /// `repository.id`.
    RepositoryId(i32);
    /// `"user".id` of a namespace: a user or an organisation.
    NamespaceId(i32);
    /// `manifest.id`.
    ManifestId(i32);
    /// `id` of a row in one of the two policy tables.
    PolicyRowId(i32);
    /// `logentry3.id`.
    AuditEntryId(i64);
    /// `quay_doctor.operation.id`: a policy operation or a fix run.
    OperationId(i64);
}

/// A fix run is an operation of kind `fix`; the same id, shown to people as a run.
pub type RunId = OperationId;

/// `uuid` of a policy: what Quay's API calls the policy by. Stored as text of at most 36
/// characters; Quay writes the hyphenated form, and nothing in the schema says that it must.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PolicyUuid(pub String);

impl fmt::Display for PolicyUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
