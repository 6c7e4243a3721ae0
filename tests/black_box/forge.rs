//! SSH certificate TBSs with any field wrong: the library's own builder cannot make these.

/// A TBS field by field, encoded without a check.
#[derive(Clone)]
pub struct Forgery {
    pub certificate_type: Vec<u8>,
    pub nonce: Vec<u8>,
    /// The subject key's fields as they stand in the certificate, each with its length.
    pub subject: Vec<u8>,
    pub serial: u64,
    pub kind: u32,
    pub key_id: Vec<u8>,
    pub principals: Vec<Vec<u8>>,
    pub valid_after: u64,
    pub valid_before: u64,
    pub critical_options: Vec<(Vec<u8>, Vec<u8>)>,
    pub extensions: Vec<(Vec<u8>, Vec<u8>)>,
    pub reserved: Vec<u8>,
    pub ca_key: Vec<u8>,
}

impl Forgery {
    /// A user certificate for `alice` that the profile of [`crate::site::USER_CA`] permits, valid for ten minutes.
    pub fn user(ca_key: Vec<u8>, now: u64) -> Self {
        Self {
            certificate_type: b"ssh-ed25519-cert-v01@openssh.com".to_vec(),
            nonce: vec![7; 32],
            subject: string(&[0x5a; 32]),
            serial: 42,
            kind: 1,
            key_id: b"alice@example".to_vec(),
            principals: vec![b"alice".to_vec()],
            valid_after: now,
            valid_before: now + 600,
            critical_options: Vec::new(),
            extensions: vec![(b"permit-pty".to_vec(), Vec::new())],
            reserved: Vec::new(),
            ca_key,
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        self.fields().into_iter().flat_map(|(_, bytes)| bytes).collect()
    }

    /// Every field by name, in order, each with its length.
    pub fn fields(&self) -> Vec<(&'static str, Vec<u8>)> {
        let principals: Vec<u8> = self.principals.iter().flat_map(|name| string(name)).collect();
        vec![
            ("type", string(&self.certificate_type)),
            ("nonce", string(&self.nonce)),
            ("subject key", self.subject.clone()),
            ("serial", self.serial.to_be_bytes().to_vec()),
            ("certificate type", self.kind.to_be_bytes().to_vec()),
            ("key id", string(&self.key_id)),
            ("principals", string(&principals)),
            ("valid after", self.valid_after.to_be_bytes().to_vec()),
            ("valid before", self.valid_before.to_be_bytes().to_vec()),
            ("critical options", string(&options(&self.critical_options))),
            ("extensions", string(&options(&self.extensions))),
            ("reserved", string(&self.reserved)),
            ("ca key", string(&self.ca_key)),
        ]
    }
}

/// RFC 4251 §5 `string`.
pub fn string(bytes: &[u8]) -> Vec<u8> {
    let mut out = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    out.extend(bytes);
    out
}

fn options(options: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    options.iter().flat_map(|(name, data)| [string(name), string(data)].concat()).collect()
}
