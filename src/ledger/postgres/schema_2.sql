
-- What schema 2 adds: which certificates are revoked, one by one, at any signer. A revocation is here once all that it means is kept.
-- Each signer has rows of its own: what one says of a certificate keeps out nothing that another says.
CREATE TABLE countersign.revocation (signer integer, idx bigint, PRIMARY KEY (signer, idx));
CREATE TABLE countersign.revoked (
    ca_key bytea, serial bytea, reason text, since bigint NOT NULL, not_after bigint, is_ca boolean, signer integer NOT NULL,
    PRIMARY KEY (ca_key, serial, reason, signer)
);

-- Subject keys all of whose certificates are revoked, and why.
CREATE TABLE countersign.revoked_subject (
    ca_key bytea, subject_key bytea, reason text, signer integer NOT NULL, PRIMARY KEY (ca_key, subject_key, reason)
);
INSERT INTO countersign.revoked_subject SELECT ca_key, subject_key, 'key-compromise', signer FROM countersign.barred;
DROP TABLE countersign.barred;

-- A log that has this many entries is none: what is counted of all logs stays a number, whatever one of them says.
ALTER TABLE countersign.entry ADD CHECK (idx < 281474976710656);

ALTER TABLE countersign.revocation ENABLE ROW LEVEL SECURITY;
CREATE POLICY is_read ON countersign.revocation FOR SELECT USING (true);
CREATE POLICY is_own ON countersign.revocation FOR INSERT
    WITH CHECK (signer IN (SELECT id FROM countersign.signer WHERE role = current_user));
ALTER TABLE countersign.revoked ENABLE ROW LEVEL SECURITY;
CREATE POLICY is_read ON countersign.revoked FOR SELECT USING (true);
CREATE POLICY is_own ON countersign.revoked FOR INSERT
    WITH CHECK (signer IN (SELECT id FROM countersign.signer WHERE role = current_user));
ALTER TABLE countersign.revoked_subject ENABLE ROW LEVEL SECURITY;
CREATE POLICY is_read ON countersign.revoked_subject FOR SELECT USING (true);
CREATE POLICY is_own ON countersign.revoked_subject FOR INSERT
    WITH CHECK (signer IN (SELECT id FROM countersign.signer WHERE role = current_user));
UPDATE countersign.meta SET schema = 2;
