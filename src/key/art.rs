//! A fingerprint as a picture, the one that `ssh-keygen -lv` draws: people compare pictures better than letters.
//!
//! In: a public key. Out: eleven lines. Where a walk over a board of 17 by 9 comes by more often, there is more ink.

use std::fmt::Write;

use aws_lc_rs::digest::{SHA256, digest};

use crate::key::PublicKey;

const WIDTH: usize = 17;
const HEIGHT: usize = 9;
/// Ink, by how often the walk came by; the last is for all that is more.
const INK: &[u8; 15] = b" .o+=*BOX@%&#/^";
const START: char = 'S';
const END: char = 'E';

/// What `ssh-keygen -lv` says of a key that is called `comment`; `None` for a key that SSH does not have.
pub(crate) fn fingerprint(key: &PublicKey, comment: &str) -> Option<String> {
    let (kind, bits) = kind(key)?;
    let wire = key.to_ssh_wire()?;
    Some(format!(
        "{bits} {} {comment} ({kind})\n{}",
        key.fingerprint(),
        picture(&wire, &format!("[{kind} {bits}]"))
    ))
}

/// Eleven lines, with a line's end after each.
fn picture(wire: &[u8], title: &str) -> String {
    let walk = Walk::of(digest(&SHA256, wire).as_ref());
    let mut picture = border(title);
    for y in 0..HEIGHT {
        let row: String = (0..WIDTH).map(|x| walk.ink(x, y)).collect();
        let _ = writeln!(picture, "|{row}|");
    }
    picture + &border("[SHA256]")
}

/// The kind and size of a key, in OpenSSH's words.
fn kind(key: &PublicKey) -> Option<(&'static str, usize)> {
    use countersign_tbs::key::Curve;

    Some(match key {
        PublicKey::Ed25519(_) => ("ED25519", 256),
        PublicKey::Ecdsa(point) => {
            let bits = match point.curve() {
                Curve::P256 => 256,
                Curve::P384 => 384,
                Curve::P521 => 521,
            };
            ("ECDSA", bits)
        }
        PublicKey::Rsa(rsa) => ("RSA", rsa.bits()),
        PublicKey::MlDsa(_) => return None,
    })
}

fn border(title: &str) -> String {
    let left = (WIDTH - title.len().min(WIDTH)) / 2;
    let right = WIDTH - title.len().min(WIDTH) - left;
    format!("+{}{title}{}+\n", "-".repeat(left), "-".repeat(right))
}

/// Who goes diagonally, two bits a step, and stays on the board.
struct Walk {
    visits: [[usize; WIDTH]; HEIGHT],
    end: (usize, usize),
}

impl Walk {
    fn of(hash: &[u8]) -> Self {
        let mut walk = Self { visits: [[0; WIDTH]; HEIGHT], end: (WIDTH / 2, HEIGHT / 2) };
        for byte in hash {
            for step in [0, 2, 4, 6].map(|shift| byte >> shift) {
                let (x, y) = walk.end;
                walk.end = (go(x, step & 1, WIDTH), go(y, step & 2, HEIGHT));
                if let Some(visits) = walk.visits.get_mut(walk.end.1).and_then(|row| row.get_mut(walk.end.0))
                {
                    *visits += 1;
                }
            }
        }
        walk
    }

    fn ink(&self, x: usize, y: usize) -> char {
        let visits = self.visits.get(y).and_then(|row| row.get(x)).copied().unwrap_or_default();
        match (x, y) {
            // The end covers the start.
            here if here == self.end => END,
            (x, y) if (x, y) == (WIDTH / 2, HEIGHT / 2) => START,
            _ => INK.get(visits.min(INK.len() - 1)).copied().map_or(' ', char::from),
        }
    }
}

fn go(place: usize, forward: u8, most: usize) -> usize {
    if forward == 0 { place.saturating_sub(1) } else { (place + 1).min(most - 1) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::process::Command;

    use base64ct::{Base64, Encoding};

    use super::*;

    #[test]
    fn draws_what_ssh_keygen_draws() {
        let dir = tempfile::tempdir().unwrap();
        let kinds =
            [("ed25519", "256"), ("ecdsa", "256"), ("ecdsa", "384"), ("ecdsa", "521"), ("rsa", "2048")];
        let many = std::iter::repeat_n(("ed25519", "256"), 8).chain(kinds);
        for (at, (kind, bits)) in many.enumerate() {
            let file = dir.path().join(at.to_string());
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-N", "", "-C", "c", "-t", kind, "-b", bits, "-f"]).arg(&file);
            assert!(keygen.status().unwrap().success());
            let drawn = Command::new("ssh-keygen").arg("-lvf").arg(&file).output().unwrap();
            let line = std::fs::read_to_string(file.with_extension("pub")).unwrap();
            let wire = Base64::decode_vec(line.split(' ').nth(1).unwrap()).unwrap();
            let key = PublicKey::from_ssh_wire(&wire).unwrap();
            let drawn = String::from_utf8(drawn.stdout).unwrap();
            assert_eq!(fingerprint(&key, "c").unwrap(), drawn);
        }
    }
}
