//! Other programs at the same card.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Stdio};

use crate::Place;
use crate::load::{Caller, Load, settled};
use crate::site::text;

/// They disconnect with a reset, and select the applet anew: all that was unlocked is gone each time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_that_reset_the_card_cost_no_request() {
    let place = Place::new();
    let daemon = place.site.serve();
    let load = Load::start(vec![Caller::new(&place.site, &daemon, "user-ca").await], 4);
    for _ in 0..5 {
        load.progress(1).await;
        let status = place.desk.client("yubico-piv-tool").args(["--reader=", "--action=status"]).output();
        let status = status.unwrap();
        assert!(status.status.success(), "{}", text(&status.stderr));
    }
    load.progress(1).await;
    let tally = load.stop().await;
    assert!(tally.wrong == 0 && tally.errors.is_empty(), "{tally:?}");
    assert!(daemon.stop().0.success());
    let settled = settled(&place.site);
    assert_eq!(settled.signed, tally.signed, "{settled:?}");
}

/// Each signature ends with the card locked, before anybody else may speak to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_other_program_signs_with_our_pin() {
    let place = Place::with(
        virtual_yubikey::Settings::of(crate::desk::SERIAL),
        ("9a", "ecdsa-p256-sha256", &["--pin-policy", "ONCE"]),
        "",
    );
    let daemon = place.site.serve();
    let caller = Caller::new(&place.site, &daemon, "user-ca").await;
    caller.sign().await.unwrap();
    let before = place.desk.card.counts().signatures;
    let mut sign = place.desk.client("opensc-tool");
    // GENERAL AUTHENTICATE in 9a as the card was left, and once more after selecting PIV.
    let apdu = format!("0087119A267C24820081{:02x}{}", 32, "11".repeat(32));
    let tries =
        ["--reader", "0", "--send-apdu", &apdu, "--send-apdu", "00A4040005A000000308", "--send-apdu", &apdu];
    let output = sign.args(tries).output().unwrap();
    let said = text(&output.stdout);
    assert!(said.contains("Received (SW1=0x69, SW2=0x82)"), "{said}{}", text(&output.stderr));
    assert_eq!(place.desk.card.counts().signatures, before, "{said}");
    assert!(daemon.stop().0.success());
}

/// Holds the first reader's card, exclusively or shared, until its input ends; then it says whether it can still select PIV.
/// `exclusive-at-last` tries until nobody else has it, for three seconds.
const HOLDER: &str = "
import sys, time
from smartcard.scard import *
_, context = SCardEstablishContext(SCARD_SCOPE_USER)
mode = SCARD_SHARE_SHARED if sys.argv[2] == 'shared' else SCARD_SHARE_EXCLUSIVE
select = lambda: SCardTransmit(card, SCARD_PCI_T1, [0, 0xA4, 4, 0, 5, 0xA0, 0, 0, 3, 8])[0]
result, card, _ = SCardConnect(context, sys.argv[1], mode, SCARD_PROTOCOL_T1)
end = time.monotonic() + 3
while sys.argv[2] == 'exclusive-at-last' and time.monotonic() < end and (result != SCARD_S_SUCCESS or select() != SCARD_S_SUCCESS):
    if result == SCARD_S_SUCCESS: # a card that is out already, which pcscd has not seen yet
        SCardDisconnect(card, SCARD_LEAVE_CARD)
    result, card, _ = SCardConnect(context, sys.argv[1], mode, SCARD_PROTOCOL_T1)
print('held' if result == SCARD_S_SUCCESS else SCardGetErrorMessage(result), flush=True)
sys.stdin.read()
result = select()
print('selected' if result == SCARD_S_SUCCESS else SCardGetErrorMessage(result), flush=True)
SCardDisconnect(card, SCARD_LEAVE_CARD)
";

pub struct Holder {
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Holder {
    pub fn start(place: &Place, mode: &str) -> Self {
        let mut holder = Self::begin(place, mode);
        assert!(holder.has_it());
        holder
    }

    /// Does not wait until it has the card.
    pub fn begin(place: &Place, mode: &str) -> Self {
        let reader = format!("{} 00 00", virtual_yubikey::READER);
        let mut command = place.desk.client("python3");
        command.args(["-c", HOLDER, &reader, mode]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, said }
    }

    /// Waits until it has the card; or has given up, and ends then.
    pub fn has_it(&mut self) -> bool {
        let held = self.said.next().unwrap().unwrap() == "held";
        if !held {
            drop(self.child.stdin.take());
            self.child.wait().unwrap();
        }
        held
    }

    /// Whether its own session at the card is still good.
    pub fn end(mut self) -> String {
        drop(self.child.stdin.take());
        let said = self.said.next().unwrap().unwrap();
        assert!(self.child.wait().unwrap().success());
        said
    }
}

#[test]
fn a_card_that_another_program_has_for_itself_is_named_so() {
    let place = Place::new();
    let holder = Holder::start(&place, "exclusive");
    let message = place.site.run_refused(&["check"], 2);
    assert!(message.contains("held by another process"), "{message}");
    assert_eq!(holder.end(), "selected");
    assert!(place.site.serve().stop().0.success());
}

/// Neither when the daemon finds the card, nor when it signs, nor when it lets go of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_other_program_is_reset() {
    let place = Place::new();
    let holder = Holder::start(&place, "shared");
    let daemon = place.site.serve();
    Caller::new(&place.site, &daemon, "user-ca").await.sign().await.unwrap();
    assert!(daemon.stop().0.success());
    assert_eq!(holder.end(), "selected");
}
