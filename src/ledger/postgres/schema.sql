-- The ledgers of a fleet of signers, schema 1. Run it in one transaction, as the role that is to own it; docs/ledger.md says what
-- a signer's own role is granted.
CREATE SCHEMA countersign;

CREATE TABLE countersign.meta (schema integer NOT NULL);
INSERT INTO countersign.meta VALUES (1);

-- Each signer by its log's name. Its epoch grows whenever a process opens the log; opened_at is that process's first entry.
CREATE TABLE countersign.signer (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY CHECK (id > 0),
    origin text NOT NULL UNIQUE,
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
