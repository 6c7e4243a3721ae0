//! One key on two tokens.

use std::process::Command;

use countersign_faulty::{Action, Call, Code, Control, On, Script, module};
use futures_util::FutureExt;

use super::fixture::{Fixture, signal};
use super::*;

const REAL: &str = "/usr/lib/softhsm/libsofthsm2.so";

/// Two tokens behind the faulty module, `t` and `u`, and what drives each.
struct Pair {
    first: Fixture,
    second: Fixture,
    controls: [Control; 2],
}

impl Pair {
    /// Two tokens, each without a key.
    fn empty() -> Self {
        let (mut first, mut second) = (Fixture::new(), Fixture::new());
        second.config.name = TokenName::new("u").unwrap();
        first.configure("ca", "ca", P256);
        first.keys[0].copies = vec![second.config.name.clone()];
        let controls = [&mut first, &mut second].map(|fixture| {
            let dir = fixture.path("faulty");
            std::fs::create_dir(&dir).unwrap();
            let control = Control::new(&dir.join("script.toml")).unwrap();
            fixture.device().module = module().unwrap();
            fixture.config.limits.writable = vec![dir, fixture.path("tokens")];
            fixture.config.environment.extend(control.environment(REAL));
            control
        });
        Self { first, second, controls }
    }

    /// Two tokens with one key pair.
    fn new() -> Self {
        let pair = Self::empty();
        let pem = pair.first.path("ca.pem");
        let arguments = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out"];
        let made = Command::new("openssl").args(arguments).arg(&pem).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        pair.first.import(&pem);
        pair.second.import(&pem);
        pair
    }

    async fn start(&self) -> Result<(Tokens, Keys), Vec<Fault>> {
        self.first.start_with(&self.second, Absent::Tolerated).await
    }
}

fn request_of(key: &KeyName) -> Request<'_> {
    Request { key, scheme: P256, message: MESSAGE, deadline: None, priority: Priority::Interactive }
}

/// Eight callers, each of whom signs so often; how many failed.
async fn load(tokens: &Tokens, keys: &Keys, times: usize) -> usize {
    let key = keys.get(&KeyName::new("ca").unwrap()).unwrap().clone();
    let callers = (0..8).map(|_| {
        let (tokens, key) = (tokens.clone(), key.clone());
        tokio::spawn(async move {
            let mut failed = 0;
            for _ in 0..times {
                let mut asking = tokens.route(&key.name).unwrap().ask(request_of(&key.name));
                match asking.sign().await {
                    Ok(raw) => {
                        assert!(verifies(&key.public_key, P256, &raw));
                        asking.believe();
                    }
                    Err(_) => failed += 1,
                }
            }
            failed
        })
    });
    let mut failed = 0;
    for caller in callers.collect::<Vec<_>>() {
        failed += caller.await.unwrap();
    }
    failed
}

#[tokio::test]
async fn load_is_spread() {
    let pair = Pair::new();
    let (tokens, keys) = pair.start().await.unwrap();
    assert_eq!(load(&tokens, &keys, 50).await, 0);
    for control in &pair.controls {
        let share = control.calls(Call::SignInit);
        // How much exactly is up to how fast each happens to be.
        assert!((40..=360).contains(&share), "{share} of 400");
    }
    tokens.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_dies_under_load_costs_no_caller_anything() {
    let pair = Pair::new();
    let (tokens, keys) = pair.start().await.unwrap();
    let working = tokio::spawn({
        let (tokens, keys) = (tokens.clone(), keys.clone());
        async move { load(&tokens, &keys, 200).await }
    });
    let signing = |control: &Control| control.calls(Call::SignInit) > 0;
    assert!(pair.controls[0].wait_until(Duration::from_secs(10), signing));
    signal(pair.first.processes()[0], Signal::KILL);
    assert_eq!(working.await.unwrap(), 0);
    assert_eq!(tokens.health(&KeyName::new("ca").unwrap()), Some(Health::Ready));
    tokens.shutdown().await;
}

#[tokio::test]
async fn a_token_that_hangs_costs_its_callers_a_deadline_and_no_signature() {
    let mut pair = Pair::new();
    pair.first.config.deadline = Duration::from_millis(500);
    let (tokens, keys) = pair.start().await.unwrap();
    pair.controls[0].set(&Script::on(On::call(Call::Sign, Action::Hang))).unwrap();
    assert_eq!(load(&tokens, &keys, 5).await, 0);
    assert!(pair.controls[0].hangs(Call::Sign) > 0, "nobody asked the token that hangs");
    pair.controls[0].clear().unwrap();
    tokens.shutdown().await;
}

#[tokio::test]
async fn a_token_that_refuses_one_request_does_not_have_the_last_word() {
    let pair = Pair::new();
    let (tokens, keys) = pair.start().await.unwrap();
    let refuse = Action::Fail(Code::CKR_KEY_FUNCTION_NOT_PERMITTED);
    pair.controls[1].set(&Script::on(On::call(Call::SignInit, refuse))).unwrap();
    assert_eq!(load(&tokens, &keys, 5).await, 0);
    tokens.shutdown().await;
}

#[tokio::test]
async fn a_load_that_is_shed_is_no_line_of_the_log_for_each_request() {
    let mut pair = Pair::new();
    (pair.first.config.queue, pair.second.config.queue) = (0, 0);
    let (tokens, _) = pair.start().await.unwrap();
    let log = Log::hold();
    let answer = sign(&tokens, "ca", P256).await;
    assert!(matches!(answer, Err(TokenError::Busy { .. })), "{answer:?}");
    let [line] = &log.lines(GOES_ON)[..] else { panic!("each has a queue of its own: {:?}", log.lines("")) };
    assert!(line.contains("DEBUG") && line.contains("from=") && line.contains("is full"), "{line}");
    tokens.shutdown().await;
}

#[tokio::test]
async fn a_token_that_hangs_under_a_load_is_told_once_and_not_for_each_request_that_goes_on() {
    let mut pair = Pair::new();
    pair.first.config.deadline = Duration::from_secs(1);
    let (tokens, keys) = pair.start().await.unwrap();
    let log = Log::hold();
    // As many as it has sessions.
    pair.controls[0].set(&Script::on(On::call(Call::Sign, Action::Hang).times(2))).unwrap();
    assert_eq!(load(&tokens, &keys, 8).await, 0);
    let (went_on, told) = (log.lines(GOES_ON), [log.lines("WARN"), log.lines("ERROR")].concat());
    assert!(!went_on.is_empty() && went_on.iter().all(|line| line.contains("DEBUG")), "{went_on:?}");
    let probations = tokens.probations();
    let is_back = probations.iter().find(|probation| probation.token().as_str() == "t").unwrap().begins();
    assert!(is_back.await.is_some());
    // One, where the machine keeps up: of a signature that it held up the next process is lost, too.
    let lost = pair.first.processes().len() - 2;
    assert!((1..=lost).contains(&told.len()), "of {lost} that were lost: {told:?}");
    for line in told {
        assert!(line.contains("token=t") && line.contains("did not answer in time"), "{line}");
    }
    tokens.shutdown().await;
}

#[tokio::test]
async fn what_a_token_refuses_and_another_signs_is_a_warning() {
    let pair = Pair::new();
    let (tokens, keys) = pair.start().await.unwrap();
    let log = Log::hold();
    let refuse = Action::Fail(Code::CKR_KEY_FUNCTION_NOT_PERMITTED);
    pair.controls[1].set(&Script::on(On::call(Call::SignInit, refuse))).unwrap();
    let ca = KeyName::new("ca").unwrap();
    // It is suspected from then on, and says no more until that is looked into.
    while tokens.suspicions().iter().all(|suspicion| suspicion.stands().now_or_never().is_none()) {
        let mut asking = tokens.route(&ca).unwrap().ask(request_of(&ca));
        asking.sign().await.expect("the other one signs");
        asking.believe();
    }
    assert_eq!(load(&tokens, &keys, 5).await, 0);
    let went_on = log.lines(GOES_ON);
    assert!(
        went_on.len() > 1 && went_on.iter().all(|line| line.contains("DEBUG") && line.contains("to=t")),
        "{went_on:?}"
    );
    let warnings = log.lines("WARN");
    let [warning] = &warnings[..] else { panic!("{warnings:?}") };
    assert!(
        warning.contains("token=u") && warning.contains("C_SignInit: CKR_KEY_FUNCTION_NOT_PERMITTED"),
        "{warning}"
    );
    tokens.shutdown().await;
}

#[tokio::test]
async fn one_refusal_of_what_another_token_signs_is_reason_for_a_challenge() {
    let pair = Pair::new();
    let (tokens, _) = pair.start().await.unwrap();
    let ca = KeyName::new("ca").unwrap();
    let suspected = || {
        let suspicions = tokens.suspicions();
        let stands = suspicions.iter().filter(|suspicion| suspicion.stands().now_or_never().is_some());
        stands.map(|suspicion| suspicion.token().to_string()).collect::<Vec<_>>()
    };
    let once = On::call(Call::SignInit, Action::Fail(Code::CKR_FUNCTION_NOT_SUPPORTED)).times(1);
    let script = Script::on(once);
    pair.controls[1].set(&script).unwrap();
    loop {
        let mut asking = tokens.route(&ca).unwrap().ask(request_of(&ca));
        asking.sign().await.unwrap();
        if pair.controls[1].struck(&script).unwrap() == [1] {
            assert!(suspected().is_empty(), "nobody knows whether the other one was right");
            asking.believe();
            break;
        }
    }
    assert_eq!(suspected(), ["u"]);
    tokens.shutdown().await;
}

#[tokio::test]
async fn a_token_that_refuses_a_key_is_asked_last_for_it_and_for_no_other_until_it_signs_a_challenge() {
    let mut pair = Pair::new();
    pair.second.generate("alone", "EC:prime256v1");
    pair.first.configure("alone", "alone", P256);
    pair.first.keys[1].token = pair.second.config.name.clone();
    let (tokens, keys) = pair.start().await.unwrap();
    let (ca, alone) = (KeyName::new("ca").unwrap(), KeyName::new("alone").unwrap());
    let mut suspicions = tokens.suspicions();
    let place = suspicions.iter().position(|of| of.key() == &ca && of.token().as_str() == "u").unwrap();
    let mut refuses = suspicions.swap_remove(place);
    let refusal = Action::Fail(Code::CKR_FUNCTION_NOT_SUPPORTED);
    pair.controls[1].set(&Script::on(On::call(Call::SignInit, refusal))).unwrap();
    while refuses.stands().now_or_never().is_none() {
        assert_eq!(load(&tokens, &keys, 1).await, 0, "the other one signs");
    }
    let only = tokens.route(&ca).unwrap().ask_only(refuses.token(), request_of(&ca));
    refuses.confirmed(&only.unwrap().sign().await.err().unwrap(), Instant::now());
    let before = pair.controls[1].calls(Call::SignInit);
    assert_eq!(load(&tokens, &keys, 25).await, 0);
    assert_eq!(pair.controls[1].calls(Call::SignInit), before, "none of 200");
    assert_eq!(tokens.health(&ca), Some(Health::Ready), "the other one is well");
    assert_eq!(tokens.health(&alone), Some(Health::Ready), "of this key it has refused nothing");
    assert_eq!(tokens.troubles().len(), 1);
    pair.controls[1].clear().unwrap();
    refuses.refuted();
    assert_eq!(load(&tokens, &keys, 25).await, 0);
    assert!(pair.controls[1].calls(Call::SignInit) > before);
    tokens.shutdown().await;
}

#[tokio::test]
async fn what_was_lost_is_asked_last_until_its_probation_ends() {
    let pair = Pair::new();
    let (tokens, keys) = pair.start().await.unwrap();
    let probations = tokens.probations();
    let lost = probations.iter().find(|probation| probation.token().as_str() == "t").unwrap();
    signal(pair.first.processes()[0], Signal::KILL);
    let faults = lost.begins().await.unwrap();
    let before = pair.controls[0].calls(Call::SignInit);
    assert_eq!(load(&tokens, &keys, 20).await, 0);
    assert_eq!(pair.controls[0].calls(Call::SignInit), before);
    // Better one on probation than none.
    pair.controls[1].set(&Script::on(On::call(Call::SignInit, Action::Crash))).unwrap();
    assert_eq!(load(&tokens, &keys, 1).await, 0);
    pair.controls[1].clear().unwrap();
    assert!(lost.end(faults));
    let before = pair.controls[0].calls(Call::SignInit);
    assert_eq!(load(&tokens, &keys, 20).await, 0);
    assert!(pair.controls[0].calls(Call::SignInit) > before);
    tokens.shutdown().await;
}

#[tokio::test]
async fn a_token_that_lied_is_asked_last_until_it_has_proven_itself_with_every_key() {
    let mut pair = Pair::new();
    pair.first.generate("alone", "EC:prime256v1");
    pair.first.configure("alone", "alone", P256);
    let (tokens, _) = pair.start().await.unwrap();
    let (ca, alone) = (KeyName::new("ca").unwrap(), KeyName::new("alone").unwrap());
    let probations = tokens.probations();
    let doubted = probations.iter().find(|probation| probation.token().as_str() == "t").unwrap();
    let started = pair.first.processes().len();
    loop {
        let mut asking = tokens.route(&ca).unwrap().ask(request_of(&ca));
        let before = pair.controls[0].calls(Call::SignInit);
        asking.sign().await.unwrap();
        if pair.controls[0].calls(Call::SignInit) > before {
            assert!(asking.doubt(), "the other token is left");
            asking.sign().await.unwrap();
            assert!(!asking.doubt(), "each token is asked once");
            break;
        }
    }
    let mut health = tokens.watch_health(&alone).unwrap();
    reaches(&mut health, |health| health == Health::Restarting).await;
    reaches(&mut health, |health| health == Health::Doubted).await;
    assert!(pair.first.processes().len() > started, "its process is another");
    let faults = doubted.begins().await.unwrap();
    assert_eq!(doubted.keys().collect::<Vec<_>>(), [&ca, &alone]);
    sign(&tokens, "alone", P256).await.expect("better a token that is doubted than none");
    assert!(doubted.end(faults));
    reaches(&mut health, |health| health == Health::Ready).await;
    tokens.shutdown().await;
}

#[tokio::test]
async fn different_keys_under_one_name_are_a_fault() {
    let pair = Pair::empty();
    pair.first.generate("ca", "EC:prime256v1");
    pair.second.generate("ca", "EC:prime256v1");
    let faults = pair.start().await.err().unwrap();
    let [fault] = &*faults else { panic!("{faults:?}") };
    assert_eq!(fault.at, "key.ca");
    assert!(
        fault.message().contains("token u") && fault.message().matches("SHA256:").count() == 2,
        "{fault}"
    );
}

#[tokio::test]
async fn a_token_that_is_absent_at_start_is_waited_for_unless_it_alone_has_a_key() {
    let mut pair = Pair::new();
    pair.second.write_pin("0000");
    let strict = pair.first.start_with(&pair.second, Absent::Fault).await.err().unwrap();
    assert_eq!(strict[0].at, "token.u.pin_file");
    let (tokens, keys) = pair.start().await.unwrap();
    assert_eq!(load(&tokens, &keys, 5).await, 0);
    let probations = tokens.probations();
    let absent = probations.iter().find(|probation| probation.token().as_str() == "u").unwrap();
    pair.second.write_pin(fixture::PIN);
    absent.begins().await.expect("it comes back on probation");
    tokens.shutdown().await;

    pair.second.write_pin("0000");
    pair.first.configure("alone", "ca", P256);
    pair.first.keys[1].token = pair.second.config.name.clone();
    let faults = pair.start().await.err().unwrap();
    assert_eq!(faults[0].at, "token.u.pin_file");
}
