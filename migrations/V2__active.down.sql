-- Takes the two columns away again. Refused beforehand, in this same transaction and under these
-- same locks, while a policy is inactive: without the column Quay would enforce it at once.
-- A column without our comment is Quay's own and stays.

-- Quay does not know these columns.
-- squawk-ignore-file ban-drop-column

-- step: lock
LOCK TABLE repositoryimmutabilitypolicy IN ACCESS EXCLUSIVE MODE NOWAIT;
LOCK TABLE namespaceimmutabilitypolicy IN ACCESS EXCLUSIVE MODE NOWAIT;
LOCK TABLE quay_doctor.operation IN SHARE MODE NOWAIT;

-- step: column namespaceimmutabilitypolicy.created_date
ALTER TABLE namespaceimmutabilitypolicy DROP COLUMN created_date;

-- step: column namespaceimmutabilitypolicy.active
ALTER TABLE namespaceimmutabilitypolicy DROP COLUMN active;

-- step: column repositoryimmutabilitypolicy.created_date
ALTER TABLE repositoryimmutabilitypolicy DROP COLUMN created_date;

-- step: column repositoryimmutabilitypolicy.active
ALTER TABLE repositoryimmutabilitypolicy DROP COLUMN active;
