-- The flag that lets a policy exist before it is enforced, and the date that tells a fresh policy
-- from a stale one, on both of Quay's policy tables.
--
-- A column that is there already is Quay's own: it is adopted where it has the same shape, and its
-- step below is left out. The comment on a column says that it is ours to drop.

-- Quay keeps naive timestamps in UTC everywhere.
-- squawk-ignore-file prefer-timestamp-tz

-- step: lock
-- Repository table first, as everywhere. NOWAIT: a lock that is waited for stands in the queue, and
-- every query of Quay queues behind it. Whoever runs this tries again.
LOCK TABLE repositoryimmutabilitypolicy IN ACCESS EXCLUSIVE MODE NOWAIT;
LOCK TABLE namespaceimmutabilitypolicy IN ACCESS EXCLUSIVE MODE NOWAIT;

-- step: column repositoryimmutabilitypolicy.active
-- The default is true: a Quay that does not know the column goes on inserting enforced policies.
ALTER TABLE repositoryimmutabilitypolicy ADD COLUMN active boolean NOT NULL DEFAULT true;
COMMENT ON COLUMN repositoryimmutabilitypolicy.active IS
    'Added by quay-doctor; `quay-doctor migrate hand-over` removes it.';

-- step: column repositoryimmutabilitypolicy.created_date
-- UTC, as Quay keeps time. The default comes in a statement of its own: in the first it would date
-- every old row by this migration. Old rows stay NULL: not known.
ALTER TABLE repositoryimmutabilitypolicy ADD COLUMN created_date timestamp;
ALTER TABLE repositoryimmutabilitypolicy
    ALTER COLUMN created_date SET DEFAULT (timezone('utc', now()));
COMMENT ON COLUMN repositoryimmutabilitypolicy.created_date IS
    'Added by quay-doctor; `quay-doctor migrate hand-over` removes it.';

-- step: column namespaceimmutabilitypolicy.active
ALTER TABLE namespaceimmutabilitypolicy ADD COLUMN active boolean NOT NULL DEFAULT true;
COMMENT ON COLUMN namespaceimmutabilitypolicy.active IS
    'Added by quay-doctor; `quay-doctor migrate hand-over` removes it.';

-- step: column namespaceimmutabilitypolicy.created_date
ALTER TABLE namespaceimmutabilitypolicy ADD COLUMN created_date timestamp;
ALTER TABLE namespaceimmutabilitypolicy
    ALTER COLUMN created_date SET DEFAULT (timezone('utc', now()));
COMMENT ON COLUMN namespaceimmutabilitypolicy.created_date IS
    'Added by quay-doctor; `quay-doctor migrate hand-over` removes it.';
