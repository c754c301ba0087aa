-- Takes our own schema away. Refused beforehand while an operation is unfinished or a change in the
-- journal could still be undone; the lines below only drop.

-- Nothing but the program itself reads these tables.
-- squawk-ignore-file ban-drop-table

-- step: lock
LOCK TABLE quay_doctor.operation IN ACCESS EXCLUSIVE MODE NOWAIT;
LOCK TABLE quay_doctor.tag_change IN ACCESS EXCLUSIVE MODE NOWAIT;
LOCK TABLE quay_doctor.policy_change IN ACCESS EXCLUSIVE MODE NOWAIT;
LOCK TABLE quay_doctor.kept IN ACCESS EXCLUSIVE MODE NOWAIT;
LOCK TABLE quay_doctor.scan IN ACCESS EXCLUSIVE MODE NOWAIT;

-- step: tables
DROP TABLE quay_doctor.scan;
DROP TABLE quay_doctor.kept;
DROP TABLE quay_doctor.policy_change;
DROP TABLE quay_doctor.tag_change;
DROP TABLE quay_doctor.operation;
DROP TABLE quay_doctor.refinery_schema_history;

-- step: schema quay_doctor
-- Kept where it is another role's, or holds something that no migration of ours made.
DROP SCHEMA quay_doctor;
