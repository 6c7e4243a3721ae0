
-- What schema 3 adds: a reason is one that a list can give (RFC 5280 §5.3.1, without certificateHold and what ends it). Any other word, by
-- whatever signer, would be in the way of every list of its CA.
ALTER TABLE countersign.revoked ADD CONSTRAINT reason_is_known CHECK (reason IN ('unspecified', 'key-compromise', 'ca-compromise',
    'affiliation-changed', 'superseded', 'cessation-of-operation', 'privilege-withdrawn'));
ALTER TABLE countersign.revoked_subject ADD CONSTRAINT reason_is_known CHECK (reason IN ('unspecified', 'key-compromise', 'ca-compromise',
    'affiliation-changed', 'superseded', 'cessation-of-operation', 'privilege-withdrawn'));
UPDATE countersign.meta SET schema = 3;
