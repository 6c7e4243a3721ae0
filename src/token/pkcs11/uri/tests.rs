#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn parse(text: &str) -> Result<TokenUri, UriError> {
    text.parse()
}

#[test]
fn reads_what_chooses_a_token() {
    let uri = parse(
        "pkcs11:token=The%20Software%20PKCS%2311;manufacturer=Snake%20Oil,%20Inc.;model=1.0;serial=4a:b=c\
         ?pin-source=file:/etc/token_pin&module-path=/usr/lib/p11.so",
    )
    .unwrap();
    assert_eq!(uri.wanted.label.as_deref(), Some("The Software PKCS#11"));
    assert_eq!(uri.wanted.manufacturer.as_deref(), Some("Snake Oil, Inc."));
    assert_eq!(uri.wanted.model.as_deref(), Some("1.0"));
    assert_eq!(uri.wanted.serial.as_deref(), Some("4a:b=c"));
    assert_eq!(uri.pin_file, Some(PathBuf::from("/etc/token_pin")));
    assert_eq!(uri.module, Some(PathBuf::from("/usr/lib/p11.so")));
    assert_eq!(parse("pkcs11:").unwrap(), TokenUri::default());
    assert_eq!(parse("PKCS11:token=%C3%BC").unwrap().wanted.label.as_deref(), Some("ü"));
}

#[test]
fn takes_a_pin_from_a_file_and_from_nothing_else() {
    for source in ["file:/run/pin", "file:///run/pin", "/run/pin", "file:%2Frun%2Fpin"] {
        let uri = parse(&format!("pkcs11:token=t?pin-source={source}")).unwrap();
        assert_eq!(uri.pin_file, Some(PathBuf::from("/run/pin")), "{source}");
    }
    for command in ["|/usr/bin/pin", "%7Ccat%20/run/pin"] {
        assert_eq!(parse(&format!("pkcs11:?pin-source={command}")), Err(UriError::PinCommand));
    }
    for source in ["", "file:", "file:pin", "file://host/pin", "pin", "https://host/pin", "file:////pin"] {
        assert_eq!(parse(&format!("pkcs11:?pin-source={source}")), Err(UriError::PinSource), "{source}");
    }
}

#[test]
fn refuses_a_pin_and_never_shows_it() {
    for uri in ["pkcs11:token=t?pin-value=canary-4711", "pkcs11:pin-value=canary-4711"] {
        let error = parse(uri).unwrap_err();
        assert_eq!(error, UriError::PinValue);
        assert!(!format!("{error} {error:?}").contains("canary"));
    }
}

#[test]
fn refuses_what_it_would_have_to_ignore() {
    for (uri, error) in [
        ("token=t", UriError::Scheme),
        ("pkcs12:token=t", UriError::Scheme),
        ("pkcs11:token", UriError::Form),
        ("pkcs11:=t", UriError::Form),
        ("pkcs11:token=t;", UriError::Form),
        ("pkcs11:;token=t", UriError::Form),
        ("pkcs11:token=t?", UriError::Form),
        ("pkcs11:token=t;token=t", UriError::Twice("token")),
        ("pkcs11:?pin-source=/a&pin-source=/a", UriError::Twice("pin-source")),
        ("pkcs11:slot-id=0", UriError::Slot),
        ("pkcs11:token=t;object=ca;type=private", UriError::Object),
        ("pkcs11:token=t?module-name=softhsm2", UriError::ModuleName),
        ("pkcs11:token=t?module-path=softhsm2.so", UriError::ModulePath),
        ("pkcs11:token=t;library-version=3", UriError::Unknown),
        ("pkcs11:Token=t", UriError::Unknown),
        ("pkcs11:token=t?x-vendor=1", UriError::Unknown),
        ("pkcs11:serial=12345678901234567", UriError::TooLong { name: "serial", most: 16 }),
    ] {
        assert_eq!(parse(uri), Err(error), "{uri}");
    }
}

#[test]
fn refuses_an_encoding_that_is_none() {
    for value in ["a b", "%", "%2", "%zz", "%+1", "a/b", "a?b\u{fc}", "ü", "%ff", "a|b", "a#b", "\"a\""] {
        let parsed = parse(&format!("pkcs11:token={value}"));
        assert!(parsed.is_err(), "{value}: {parsed:?}");
    }
    assert_eq!(parse("pkcs11:token=%ff"), Err(UriError::Encoding("token")));
}
