//! Bytes as PEM.

use base64ct::{Base64, Encoding};

/// RFC 7468: bytes in base64, in lines of 64, between two lines with their label.
pub(crate) fn pem(label: &str, bytes: &[u8]) -> String {
    let body = Base64::encode_string(bytes);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for (at, letter) in body.chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            pem.push('\n');
        }
        pem.push(letter);
    }
    pem + &format!("\n-----END {label}-----\n")
}
