-- The ledgers of a fleet of signers, schema 1. Run it in one transaction, as the role that is to own it; docs/ledger.md says what
-- a signer's own role is granted.
CREATE SCHEMA countersign;

CREATE TABLE countersign.meta (schema integer NOT NULL);
INSERT INTO countersign.meta VALUES (1);

-- Each signer by its log's name, and the role that began it, which alone may write it. Its epoch grows whenever a process opens the log; opened_at is that process's first entry.
CREATE TABLE countersign.signer (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY CHECK (id > 0),
    origin text NOT NULL UNIQUE,
    role name NOT NULL DEFAULT current_user,
    epoch bigint NOT NULL DEFAULT 0,
    opened_at bigint NOT NULL DEFAULT 0
);

-- The logs: contiguous from 0 for each signer.
CREATE TABLE countersign.entry (
    signer integer NOT NULL,
    idx bigint NOT NULL CHECK (idx >= 0),
    leaf bytea NOT NULL CHECK (octet_length(leaf) BETWEEN 1 AND 65535),
    PRIMARY KEY (signer, idx)
);
CREATE FUNCTION countersign.refuse() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$;
CREATE TRIGGER entry_is_never_changed BEFORE UPDATE OR DELETE ON countersign.entry
    FOR EACH ROW EXECUTE FUNCTION countersign.refuse();
CREATE TRIGGER entry_is_never_emptied BEFORE TRUNCATE ON countersign.entry
    FOR EACH STATEMENT EXECUTE FUNCTION countersign.refuse();

-- What leads from an intent to its outcome, in the same log.
CREATE TABLE countersign.outcome (
    signer integer, intent bigint, idx bigint NOT NULL, PRIMARY KEY (signer, intent)
);

-- What is claimed, by any signer: the newest intent that claims it, and the log that has that. Of a CA key's lists, those that are
-- being worked on, and the newest before them.
CREATE TABLE countersign.request (
    caller bytea, id bytea, signer integer NOT NULL, intent bigint NOT NULL, PRIMARY KEY (caller, id)
);
CREATE TABLE countersign.serial (
    ca_key bytea, serial bytea, signer integer NOT NULL, intent bigint NOT NULL, PRIMARY KEY (ca_key, serial)
);
CREATE TABLE countersign.crl_number (
    ca_key bytea, series text, number bytea, signer integer NOT NULL, intent bigint NOT NULL,
    PRIMARY KEY (ca_key, series, number)
);

-- Subject keys that a CA key certifies no more, and the revocation that says so.
CREATE TABLE countersign.barred (
    ca_key bytea, subject_key bytea, signer integer NOT NULL, idx bigint NOT NULL, PRIMARY KEY (ca_key, subject_key)
);

-- What callers have left, at all signers together. Of each bucket, how many nanoseconds are missing to its being full, and
-- when that was so, in milliseconds.
CREATE TABLE countersign.spent (
    caller bytea, key bytea, rule text, rate bigint NOT NULL, rate_at bigint NOT NULL,
    volume bigint NOT NULL, volume_at bigint NOT NULL, PRIMARY KEY (caller, key, rule)
);
CREATE TABLE countersign.standing (
    caller bytea, key bytea, tries bigint NOT NULL, since bigint NOT NULL, frozen bigint, frozen_by integer,
    PRIMARY KEY (caller, key), CHECK ((frozen IS NULL) = (frozen_by IS NULL))
);
CREATE TABLE countersign.tally (
    caller bytea PRIMARY KEY, whole bigint NOT NULL, whole_at bigint NOT NULL, count bigint NOT NULL, since bigint NOT NULL
);
CREATE INDEX tally_open ON countersign.tally (caller) WHERE count > 0;

-- A role writes the logs that it began, and claims for those alone. It may take a claim over, for what failed at one signer is free
-- at another. The tables' owner is held by none of this.
ALTER TABLE countersign.signer ENABLE ROW LEVEL SECURITY;
CREATE POLICY is_read ON countersign.signer FOR SELECT USING (true);
ALTER TABLE countersign.entry ENABLE ROW LEVEL SECURITY;
CREATE POLICY is_read ON countersign.entry FOR SELECT USING (true);
ALTER TABLE countersign.outcome ENABLE ROW LEVEL SECURITY;
CREATE POLICY is_read ON countersign.outcome FOR SELECT USING (true);
ALTER TABLE countersign.request ENABLE ROW LEVEL SECURITY;
CREATE POLICY is_read ON countersign.request FOR SELECT USING (true);
ALTER TABLE countersign.serial ENABLE ROW LEVEL SECURITY;
CREATE POLICY is_read ON countersign.serial FOR SELECT USING (true);
ALTER TABLE countersign.crl_number ENABLE ROW LEVEL SECURITY;
CREATE POLICY is_read ON countersign.crl_number FOR SELECT USING (true);
ALTER TABLE countersign.barred ENABLE ROW LEVEL SECURITY;
CREATE POLICY is_read ON countersign.barred FOR SELECT USING (true);
CREATE POLICY is_begun ON countersign.signer FOR INSERT WITH CHECK (role = current_user);
CREATE POLICY is_own ON countersign.signer FOR UPDATE USING (role = current_user);
CREATE POLICY is_own ON countersign.entry FOR INSERT
    WITH CHECK (signer IN (SELECT id FROM countersign.signer WHERE role = current_user));
CREATE POLICY is_own ON countersign.outcome FOR INSERT
    WITH CHECK (signer IN (SELECT id FROM countersign.signer WHERE role = current_user));
CREATE POLICY is_own ON countersign.request FOR INSERT
    WITH CHECK (signer IN (SELECT id FROM countersign.signer WHERE role = current_user));
CREATE POLICY is_own ON countersign.serial FOR INSERT
    WITH CHECK (signer IN (SELECT id FROM countersign.signer WHERE role = current_user));
CREATE POLICY is_own ON countersign.crl_number FOR INSERT
    WITH CHECK (signer IN (SELECT id FROM countersign.signer WHERE role = current_user));
CREATE POLICY is_own ON countersign.barred FOR INSERT
    WITH CHECK (signer IN (SELECT id FROM countersign.signer WHERE role = current_user));
CREATE POLICY is_taken_over ON countersign.request FOR UPDATE USING (true)
    WITH CHECK (signer IN (SELECT id FROM countersign.signer WHERE role = current_user));
CREATE POLICY is_taken_over ON countersign.serial FOR UPDATE USING (true)
    WITH CHECK (signer IN (SELECT id FROM countersign.signer WHERE role = current_user));
CREATE POLICY is_taken_over ON countersign.crl_number FOR UPDATE USING (true)
    WITH CHECK (signer IN (SELECT id FROM countersign.signer WHERE role = current_user));
CREATE POLICY is_forgotten ON countersign.crl_number FOR DELETE USING (true);
