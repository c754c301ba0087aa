//! The advisory lock with which Quay serialises changes of one repository's tags.

use sha2::{Digest, Sha256};

use super::RepositoryId;

/// The key of `pg_advisory_xact_lock` that Quay v3.18.0 and later take around every change of a
/// repository's tags: the first eight bytes, big-endian and signed, of the SHA-256 of
/// `retarget_tag:<repository id>` (database.py:239-247, oci/tag.py:516).
pub fn retarget_lock_key(repository: RepositoryId) -> i64 {
    let digest = Sha256::digest(format!("retarget_tag:{repository}").as_bytes());
    let mut key = [0_u8; 8];
    key.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_the_first_eight_bytes_of_the_digest_big_endian_and_signed() {
        // python: int.from_bytes(hashlib.sha256(b"retarget_tag:1").digest()[:8], "big", signed=True)
        assert_eq!(retarget_lock_key(RepositoryId(1)), KEY_OF_REPOSITORY_1);
        assert_eq!(retarget_lock_key(RepositoryId(42)), KEY_OF_REPOSITORY_42);
    }

    const KEY_OF_REPOSITORY_1: i64 = 6389721433979953103;
    const KEY_OF_REPOSITORY_42: i64 = -7022194054569095283;
}
