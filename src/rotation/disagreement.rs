//! Where the log of rotations and the configuration do not agree: said when the signer starts, since the log wins.

use crate::ledger::rotation::{Link, Stage};
use crate::rotation::Rotations;

impl Rotations {
    /// What the log and the configuration do not agree on, each in one line.
    #[must_use]
    pub fn disagreements(&self) -> Vec<String> {
        let links = self.0.ledger.links();
        links.iter().filter_map(|link| self.disagreement(link)).collect()
    }

    fn disagreement(&self, link: &Link) -> Option<String> {
        let (old, new) = (&link.old, &link.new);
        let status = format!("`countersign rotate status {}` says how it stands", new.name);
        match (link.stage, self.in_service(old), self.in_service(new)) {
            (Stage::Replaced, ..)
            | (Stage::Retired(_), None, _)
            | (Stage::Retired(_), Some(_), Some(_))
            | (_, None, None) => None,
            (Stage::Retired(_) | Stage::Staged | Stage::Published | Stage::Activated(_), Some(old), None) => Some(format!(
                "key {} is in the ledger as what takes the place of key {}, and has no section in the configuration; what the ledger says \
                 of {} holds all the same; {status}",
                new.name, old.name, old.name
            )),
            (_, None, Some(new)) => Some(format!(
                "key {} has no section in the configuration, and is not retired: the bundles are without it, and its certificates are \
                 refused where they are taken; put it back and run `countersign rotate retire {}` when it is time; {status}",
                old.name, old.name
            )).filter(|_| new.turn.is_some()),
            (_, Some(old), Some(new)) => {
                let named = self.0.named.iter().any(|(key, other)| *key == new.name && *other == old.name);
                (!named).then(|| format!(
                    "key {} takes the place of key {} by the ledger, and its section does not say so; that holds all the same: write \
                     succeeds = \"{}\" into it",
                    new.name, old.name, old.name
                ))
            }
        }
    }
}
