//! Which files a step is given, and which it writes.
//!
//! Secrets are among those that must be there, or must not; never among those whose digests are taken.

use super::Action;

impl Action {
    /// The files that it makes for others, whose digests the transcript has.
    pub(in crate::cli::ceremony) fn outs(&self) -> Vec<String> {
        match self {
            Self::KeyExportPublic { out, .. } => out.iter().cloned().collect(),
            Self::KeyGenerate { record, .. } | Self::KeyUnwrap { record, .. } => {
                record.iter().flat_map(|file| with_signature(file)).collect()
            }
            Self::KeyCsr { out, .. }
            | Self::KeySelfSign { out, .. }
            | Self::KeySignIntermediate { out, .. }
            | Self::KeyWrappingKey { out, .. }
            | Self::KeyWrap { out, .. } => vec![out.clone()],
            _ => Vec::new(),
        }
    }

    /// The file that is made of what the command prints.
    pub(in crate::cli::ceremony) fn printed_to(&self) -> Option<&str> {
        if let Self::KeyExportPublic { out, .. } = self { out.as_deref() } else { None }
    }

    /// Every file that must not be there before.
    pub(in crate::cli::ceremony) fn makes_files(&self) -> Vec<String> {
        let secret = match self {
            Self::TokenInit { so_pin_file, generate_pins: true, .. } => Some(so_pin_file.clone()),
            _ => None,
        };
        self.outs().into_iter().chain(secret).collect()
    }

    /// Every file that must be there, or come out of a step before.
    pub(in crate::cli::ceremony) fn reads_files(&self) -> Vec<String> {
        let secret = match self {
            Self::TokenInit { so_pin_file, generate_pins: false, .. } => Some(so_pin_file),
            Self::KeyWrap { so_pin_file, .. } => so_pin_file.as_ref(),
            _ => None,
        };
        self.inputs().into_iter().chain(secret.cloned()).collect()
    }

    /// Those of them that are no secret, whose digests the operators agree to.
    pub(in crate::cli::ceremony) fn inputs(&self) -> Vec<String> {
        match self {
            Self::KeyAttest { roots, .. } => vec![roots.clone()],
            Self::KeySignIntermediate { csr, public_key, .. } => {
                csr.iter().chain(public_key).cloned().collect()
            }
            Self::KeyRecordVerify { file, .. } => with_signature(file).to_vec(),
            Self::KeyWrap { wrapping_key, .. } => vec![wrapping_key.clone()],
            Self::KeyUnwrap { from, .. } => vec![from.clone()],
            Self::LedgerVerify { keys, .. } => keys.clone(),
            _ => Vec::new(),
        }
    }

    /// The same step, which reads each of these files elsewhere.
    pub(in crate::cli::ceremony) fn reading(&self, elsewhere: &dyn Fn(&str) -> String) -> Self {
        let mut moved = self.clone();
        let (one, more): (Vec<&mut String>, &mut [String]) = match &mut moved {
            Self::KeyAttest { roots, .. } => (vec![roots], &mut []),
            Self::KeySignIntermediate { csr, public_key, .. } => {
                (csr.iter_mut().chain(public_key).collect(), &mut [])
            }
            Self::KeyRecordVerify { file, .. } => (vec![file], &mut []),
            Self::KeyWrap { wrapping_key, .. } => (vec![wrapping_key], &mut []),
            Self::KeyUnwrap { from, .. } => (vec![from], &mut []),
            Self::LedgerVerify { keys, .. } => (Vec::new(), keys),
            _ => (Vec::new(), &mut []),
        };
        for file in one.into_iter().chain(more) {
            *file = elsewhere(file);
        }
        moved
    }
}

/// A record's file, and that of its signature.
fn with_signature(file: &str) -> [String; 2] {
    [file.to_owned(), format!("{file}.sig")]
}
