//! What every token promises, through the real daemon: one suite, over each kind that runs without hardware.
//!
//! The table below is the suite: a test for each `shows`, named `PROMISE::KIND`. Where a kind cannot show a promise, the
//! table says why. `promises.rs` holds the promises, `token.rs` the kinds; docs/tokens.md says what was seen of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "tests: a panic is how they fail, and nothing outside can reach them"
)]

#[allow(dead_code, reason = "the black-box tests need more of it")]
#[path = "../black_box/ca.rs"]
mod ca;
mod carried;
#[allow(dead_code, reason = "the tests of YubiKeys need more of it")]
#[path = "../yubikey/desk.rs"]
mod desk;
#[allow(dead_code, reason = "the black-box tests need more of it")]
#[path = "../black_box/forge.rs"]
mod forge;
mod hsm;
mod load;
mod ml_dsa;
#[allow(dead_code, reason = "the black-box tests need more of it")]
#[path = "../black_box/pki.rs"]
mod pki;
mod promises;
mod rsa;
#[allow(dead_code, reason = "the black-box tests need more of it")]
#[path = "../black_box/site.rs"]
mod site;
mod token;

/// Makes a test of every cell of the table that says `shows`; each promise must have a cell for every kind, in order.
macro_rules! contract {
    ($($promise:ident {
        softhsm: $softhsm:ident $(($softhsm_why:literal))?,
        faulty: $faulty:ident $(($faulty_why:literal))?,
        p11_kit: $p11_kit:ident $(($p11_kit_why:literal))?,
        tpm: $tpm:ident $(($tpm_why:literal))?,
        yubikey: $yubikey:ident $(($yubikey_why:literal))?,
        kryoptic: $kryoptic:ident $(($kryoptic_why:literal))?,
    })*) => {
        $(mod $promise {
            cell!($promise softhsm SoftHsm $softhsm $($softhsm_why)?);
            cell!($promise faulty Faulty $faulty $($faulty_why)?);
            cell!($promise p11_kit P11Kit $p11_kit $($p11_kit_why)?);
            cell!($promise tpm Tpm $tpm $($tpm_why)?);
            cell!($promise yubikey YubiKey $yubikey $($yubikey_why)?);
            cell!($promise kryoptic Kryoptic $kryoptic $($kryoptic_why)?);
        })*
    };
}

/// One test, or none with a reason.
macro_rules! cell {
    ($promise:ident $test:ident $kind:ident shows) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            crate::promises::$promise(crate::token::Kind::$kind).await;
        }
    };
    ($promise:ident $test:ident $kind:ident cannot $why:literal) => {};
}

contract! {
    every_scheme_signs_and_verifies {
        softhsm: shows,
        faulty: shows,
        p11_kit: shows,
        tpm: shows,
        yubikey: shows,
        kryoptic: shows,
    }
    rsa_of_every_size_signs_certificates_that_openssl_verifies {
        softhsm: shows,
        faulty: shows,
        p11_kit: shows,
        tpm: shows,
        yubikey: shows,
        kryoptic: shows,
    }
    an_imported_key_of_every_scheme_serves {
        softhsm: shows,
        faulty: shows,
        p11_kit: shows,
        tpm: cannot("it takes no private key: the next promise"),
        yubikey: cannot("tests/yubikey/import.rs shows it, with what is a card's own"),
        kryoptic: shows,
    }
    a_token_that_takes_no_key_says_so_and_keeps_nothing {
        softhsm: cannot("it takes keys"),
        faulty: cannot("the SoftHSM2 behind it takes keys"),
        p11_kit: cannot("the SoftHSM2 behind it takes keys"),
        tpm: shows,
        yubikey: cannot("it takes keys"),
        kryoptic: cannot("it takes keys"),
    }
    a_key_moves_to_another_token_of_its_kind {
        softhsm: shows,
        faulty: shows,
        p11_kit: cannot("it passes on no mechanism that wraps: the next promise"),
        tpm: cannot("tpm2-pkcs11 wraps nothing: the next promise"),
        yubikey: cannot("no key leaves it: the next promise"),
        kryoptic: shows,
    }
    a_token_that_wraps_nothing_says_what_it_lacks {
        softhsm: cannot("it wraps"),
        faulty: cannot("the SoftHSM2 behind it wraps"),
        p11_kit: shows,
        tpm: shows,
        yubikey: shows,
        kryoptic: cannot("it wraps"),
    }
    ml_dsa_signs_what_cryptography_verifies {
        softhsm: cannot("it has no ML-DSA"),
        faulty: cannot("the SoftHSM2 behind it has no ML-DSA"),
        p11_kit: cannot("the SoftHSM2 behind it has no ML-DSA"),
        tpm: cannot("it has no ML-DSA"),
        yubikey: cannot("it has no ML-DSA"),
        kryoptic: shows,
    }
    ml_dsa_keys_sign_requests_and_roots_that_cryptography_verifies {
        softhsm: cannot("it has no ML-DSA"),
        faulty: cannot("the SoftHSM2 behind it has no ML-DSA"),
        p11_kit: cannot("the SoftHSM2 behind it has no ML-DSA"),
        tpm: cannot("it has no ML-DSA"),
        yubikey: cannot("it has no ML-DSA"),
        kryoptic: shows,
    }
    a_hundred_callers_at_once_are_all_answered {
        softhsm: shows,
        faulty: shows,
        p11_kit: shows,
        tpm: shows,
        yubikey: shows,
        kryoptic: shows,
    }
    two_keys_of_one_label_are_refused_with_the_candidates {
        softhsm: shows,
        faulty: shows,
        p11_kit: shows,
        tpm: shows,
        yubikey: cannot("a slot holds one key"),
        kryoptic: shows,
    }
    a_wrong_pin_costs_one_try {
        softhsm: cannot("it counts no tries"),
        faulty: shows,
        p11_kit: cannot("the SoftHSM2 behind it counts no tries"),
        tpm: shows,
        yubikey: shows,
        kryoptic: shows,
    }
    a_token_process_killed_under_load_is_replaced {
        softhsm: shows,
        faulty: shows,
        p11_kit: shows,
        tpm: shows,
        yubikey: shows,
        kryoptic: shows,
    }
    one_of_two_processes_is_not_missed {
        softhsm: shows,
        faulty: shows,
        p11_kit: shows,
        tpm: shows,
        yubikey: cannot("a card has one process"),
        kryoptic: shows,
    }
    other_keys_after_a_restart_sign_nothing {
        softhsm: shows,
        faulty: shows,
        p11_kit: shows,
        tpm: shows,
        yubikey: shows,
        kryoptic: shows,
    }
    an_hsm_that_died_under_load_comes_back_to_the_same_daemon {
        softhsm: cannot("it has no process of its own"),
        faulty: cannot("the SoftHSM2 behind it has no process of its own"),
        p11_kit: shows,
        tpm: shows,
        yubikey: shows,
        kryoptic: cannot("it has no process of its own"),
    }
    an_hsm_that_died_while_nobody_asked_is_noticed_and_comes_back {
        softhsm: cannot("it has no process of its own"),
        faulty: cannot("the SoftHSM2 behind it has no process of its own"),
        p11_kit: shows,
        tpm: shows,
        yubikey: shows,
        kryoptic: cannot("it has no process of its own"),
    }
    sigterm_under_load_settles_every_intent {
        softhsm: shows,
        faulty: shows,
        p11_kit: shows,
        tpm: shows,
        yubikey: shows,
        kryoptic: shows,
    }
}
