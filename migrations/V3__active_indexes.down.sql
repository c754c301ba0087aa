-- Drops the two indexes, CONCURRENTLY and so outside a transaction. An index that Quay brought with
-- its own column stays.

-- step: index repositoryimmutabilitypolicy.idx_repository_immutability_policy_active
DROP INDEX CONCURRENTLY idx_repository_immutability_policy_active;

-- step: index namespaceimmutabilitypolicy.idx_namespace_immutability_policy_active
DROP INDEX CONCURRENTLY idx_namespace_immutability_policy_active;
