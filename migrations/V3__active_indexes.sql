-- Policy evaluation asks for a scope's active policies.
--
-- Built CONCURRENTLY, so outside a transaction, one statement at a time, without lock_timeout: a
-- lock_timeout that strikes here leaves an INVALID index behind. No IF NOT EXISTS: it would call
-- such an index good. What is there already is looked at first: a sound index is kept, an INVALID
-- one is dropped and built again, one that is defined otherwise is refused.

-- step: index repositoryimmutabilitypolicy.idx_repository_immutability_policy_active
CREATE INDEX CONCURRENTLY idx_repository_immutability_policy_active
    ON repositoryimmutabilitypolicy (repository_id, active);
COMMENT ON INDEX idx_repository_immutability_policy_active IS
    'Added by quay-doctor; `quay-doctor migrate hand-over` removes it.';

-- step: index namespaceimmutabilitypolicy.idx_namespace_immutability_policy_active
CREATE INDEX CONCURRENTLY idx_namespace_immutability_policy_active
    ON namespaceimmutabilitypolicy (namespace_id, active);
COMMENT ON INDEX idx_namespace_immutability_policy_active IS
    'Added by quay-doctor; `quay-doctor migrate hand-over` removes it.';
