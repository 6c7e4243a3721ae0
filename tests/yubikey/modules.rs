//! The same card through PKCS#11 modules: Yubico's own, and OpenSC's. Firmware 5.4.3, for both are older than 5.7.

use virtual_yubikey::{Firmware, Settings};

use crate::Place;
use crate::desk::{Desk, MANAGEMENT_KEY, PIN, SERIAL, write_pin};
use crate::load::Caller;
use crate::site::Site;

const P256: &str = "ecdsa-p256-sha256";

/// A module, what it calls the card, and what it calls the keys in 9a and 9c.
struct Module {
    path: &'static str,
    token: &'static str,
    authentication: &'static str,
    signature: &'static str,
}

const YKCS11: Module = Module {
    path: "/usr/lib/x86_64-linux-gnu/libykcs11.so.2",
    token: "YubiKey PIV #12345678",
    authentication: "Private key for PIV Authentication",
    signature: "Private key for Digital Signature",
};

/// It shows slots that have a certificate, and calls the card after the first of them.
const OPENSC: Module = Module {
    path: "/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so",
    token: "slot 9a",
    authentication: "PIV AUTH key",
    signature: "SIGN key",
};

impl Module {
    /// A site with the keys of 9a and 9c, `once` and `always`, by when they want the PIN.
    fn place(&self) -> Place {
        let site = Site::without_token("");
        let desk = Desk::with(site.dir(), Settings { firmware: Firmware::V5_4_3, ..Settings::of(SERIAL) });
        write_pin(&site.path("pin"));
        for slot in ["9a", "9c"] {
            desk.generate(slot, P256);
            let certificate = ["piv", "certificates", "generate", "-m", MANAGEMENT_KEY, "-P", PIN, "-s"];
            desk.ykman_ok(&[&certificate[..], &[&format!("CN=slot {slot}"), slot, "public.pem"]].concat());
        }
        let (variable, socket) = desk.pcscd.environment();
        let base = site.base_config();
        let base = base.split("[token.soft]").next().unwrap();
        let Self { path, token, authentication, signature } = self;
        let key = |name: &str, label: &str, id: &str| {
            format!(
                "[key.{name}]\npurpose = \"ssh-user-ca\"\nscheme = {P256:?}\ntoken = \"yubi\"\nlabel = {label:?}\n\
                 id = {id:?}\n[key.{name}.allow.staff]\ncallers = [\"spiffe://countersign.example/front-end\"]\n\
                 principals = [\"alice\"]\nmax_lifetime = \"1h\"\nbudget = \"1000000/m\"\nextensions = [\"permit-pty\"]\n"
            )
        };
        site.configure(&format!(
            "{base}[token.yubi]\nmodule = {path:?}\nlabel = {token:?}\npin_file = \"pin\"\nsessions = 2\n\
             [token.yubi.environment]\n{variable} = {socket:?}\n{}{}",
            key("once", authentication, "01"),
            key("always", signature, "02"),
        ));
        Place { site, desk }
    }
}

/// Also after the card was pulled and put back.
async fn signs_through(module: Module) {
    let mut place = module.place();
    let daemon = place.site.serve();
    let mut callers = Vec::new();
    for key in ["once", "always"] {
        let caller = Caller::new(&place.site, &daemon, key).await;
        for _ in 0..2 {
            assert!(caller.verifies(&caller.sign().await.unwrap()), "{key}");
        }
        callers.push(caller);
    }
    place.desk.card.remove();
    place.desk.put_back();
    for caller in callers {
        caller.sign_at_last().await;
    }
    assert!(daemon.stop().0.success());
    assert_eq!(place.desk.card.counts().wrong_pins, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ykcs11_signs_and_finds_the_card_again() {
    signs_through(YKCS11).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opensc_signs_and_finds_the_card_again() {
    signs_through(OPENSC).await;
}
