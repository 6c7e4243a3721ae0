//! A token that breaks: the faulty module in front of SoftHSM2, in the token processes of these tests.

use countersign_faulty::{Action, Call, Code, Control, Heals, On, Renumber, Script, Token, module};
use futures_util::FutureExt;

use super::fixture::{Fixture, PIN, signal};
use super::*;
use crate::token::latch::Latch;

const REAL: &str = "/usr/lib/softhsm/libsofthsm2.so";
/// How often the module was called at what a steady state does not need.
const UPKEEP: [Call; 8] = [
    Call::Initialize,
    Call::Finalize,
    Call::OpenSession,
    Call::CloseSession,
    Call::Login,
    Call::FindObjectsInit,
    Call::GetAttributeValue,
    Call::GetTokenInfo,
];

pub(super) struct Broken {
    pub(super) fixture: Fixture,
    pub(super) control: Control,
}

impl Broken {
    /// A token with a key `ca`, and one `other` that is not configured.
    pub(super) fn new() -> Self {
        let mut fixture = Fixture::with_key();
        fixture.generate("other", "EC:prime256v1");
        let dir = fixture.path("faulty");
        std::fs::create_dir(&dir).unwrap();
        let control = Control::new(&dir.join("script.toml")).unwrap();
        fixture.device().module = module().unwrap();
        fixture.config.limits.writable = vec![dir, fixture.path("tokens")];
        fixture.config.environment.extend(control.environment(REAL));
        Self { fixture, control }
    }

    pub(super) fn with(token: Token) -> Self {
        let broken = Self::new();
        broken.set(&Script::token(token));
        broken
    }

    pub(super) fn set(&self, script: &Script) {
        self.control.set(script).unwrap();
    }

    fn upkeep(&self) -> [u64; UPKEEP.len()] {
        UPKEEP.map(|call| self.control.calls(call))
    }

    pub(super) fn logins(&self) -> u64 {
        self.control.calls(Call::Login)
    }

    pub(super) fn latch(&self) -> Latch {
        Latch::new(self.fixture.path("").as_path(), &self.fixture.config.name)
    }
}

/// Signs, and looks whether it is a signature of the right key.
pub(super) async fn signs(tokens: &Tokens, keys: &Keys) {
    let raw = sign(tokens, "ca", P256).await.unwrap();
    let key = keys.get(&KeyName::new("ca").unwrap()).unwrap();
    assert!(verifies(&key.public_key, P256, &raw), "it is another key's");
}

/// Many at once, as often as `times`.
pub(super) async fn all_sign(tokens: &Tokens, keys: &Keys, times: usize) {
    let callers = (0..8).map(|_| {
        let (tokens, keys) = (tokens.clone(), keys.clone());
        tokio::spawn(async move {
            for _ in 0..times {
                signs(&tokens, &keys).await;
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
}

#[tokio::test]
async fn a_steady_state_is_sign_init_and_sign() {
    is_steady(&Broken::new()).await;
}

/// None is looked for or looked at, however many there are (R19).
#[tokio::test]
async fn a_token_full_of_objects_costs_a_signature_no_call_more() {
    let broken = Broken::new();
    broken.fixture.crowd(300);
    is_steady(&broken).await;
}

async fn is_steady(broken: &Broken) {
    let (tokens, keys) = broken.fixture.start().await.unwrap();
    let (before, inits) = (broken.upkeep(), broken.control.calls(Call::SignInit));
    let (asked, lengths) = (broken.control.calls(Call::Sign), broken.control.length_queries());
    all_sign(&tokens, &keys, 10).await;
    assert_eq!(broken.upkeep(), before);
    assert_eq!(broken.control.calls(Call::SignInit) - inits, 80);
    let lengths = broken.control.length_queries() - lengths;
    assert_eq!(broken.control.calls(Call::Sign) - asked - lengths, 80);
    // The one call more that `cryptoki` makes, which the device is not asked for.
    assert_eq!(lengths, 80);
    tokens.shutdown().await;
}

/// A session has one call at a time, which `Control` sees to, and no session waits for another (R21).
#[tokio::test(flavor = "multi_thread")]
async fn as_many_sign_at_once_as_there_are_sessions() {
    let mut broken = Broken::new();
    broken.fixture.config.sessions = 6;
    let (tokens, keys) = broken.fixture.start().await.unwrap();
    let begun = broken.control.calls(Call::SignInit);
    broken.set(&Script::on(On::call(Call::Sign, Action::Hang)));
    let asked: Vec<_> = (0..12)
        .map(|_| {
            let (tokens, keys) = (tokens.clone(), keys.clone());
            tokio::spawn(async move { signs(&tokens, &keys).await })
        })
        .collect();
    let all = |control: &Control| control.hangs(Call::Sign) == 6;
    assert!(broken.control.wait_until(Duration::from_secs(15), all), "{}", broken.control.hangs(Call::Sign));
    assert_eq!(broken.control.calls(Call::SignInit) - begun, 6, "each session has begun one, and no other");
    broken.control.clear().unwrap();
    for caller in asked {
        caller.await.unwrap();
    }
    assert_eq!(broken.fixture.processes().len(), 1);
    tokens.shutdown().await;
}

/// One runtime thread: all of them ask before the one session looks, which takes them as one chunk.
#[tokio::test]
async fn what_expires_behind_another_in_its_chunk_does_not_reach_the_token() {
    let mut broken = Broken::new();
    broken.fixture.config.sessions = 1;
    broken.fixture.config.deadline = Duration::from_secs(30);
    let (tokens, keys) = broken.fixture.start().await.unwrap();
    for _ in 0..4 {
        signs(&tokens, &keys).await;
    }
    let signed = || broken.control.calls(Call::Sign) - broken.control.length_queries();
    broken.set(&Script::on(On::call(Call::Sign, Action::DelayMicros(1_500_000))));
    let before = signed();
    let until = Some(Instant::now() + Duration::from_secs(1));
    let asked: Vec<_> = (0..8)
        .map(|_| {
            let tokens = tokens.clone();
            tokio::spawn(async move { sign_until(&tokens, "ca", P256, until).await })
        })
        .collect();
    let mut expired = 0;
    for caller in asked {
        expired += usize::from(matches!(caller.await.unwrap(), Err(TokenError::Expired { .. })));
    }
    assert!(expired >= 7 && signed() - before <= 1, "{expired} expired, {} signed", signed() - before);
    // The session goes on, and learns its pace from what the token was asked.
    broken.control.clear().unwrap();
    all_sign(&tokens, &keys, 2).await;
    tokens.shutdown().await;
}

#[tokio::test]
async fn a_request_that_the_token_refuses_costs_nobody_a_session() {
    let broken = Broken::new();
    let (tokens, keys) = broken.fixture.start().await.unwrap();
    let before = broken.upkeep();
    for refused in [
        Code::CKR_FUNCTION_NOT_SUPPORTED,
        // These `cryptoki` has no name for.
        Code::CKR_KEY_EXHAUSTED,
        Code::CKR_PARAMETER_SET_NOT_SUPPORTED,
    ] {
        broken.set(&Script::on(On::call(Call::SignInit, Action::Fail(refused)).times(1)));
        let error = sign(&tokens, "ca", P256).await.err().unwrap();
        let TokenError::Failed { code, .. } = &error else { panic!("{error}") };
        assert_eq!(*code, refused.to_string());
        signs(&tokens, &keys).await;
        assert_eq!(broken.upkeep(), before, "{refused}");
    }
    tokens.shutdown().await;
}

#[tokio::test]
async fn sessions_that_expire_while_nobody_asks_are_opened_again() {
    let broken = Broken::new();
    let (tokens, keys) = broken.fixture.start().await.unwrap();
    // Not before the login, which hashes for longer than that on a machine that is busy.
    broken.set(&Script::token(Token { expire_idle_millis: Some(100), ..Token::default() }));
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        signs(&tokens, &keys).await;
    }
    assert_eq!(broken.fixture.processes().len(), 1);
    tokens.shutdown().await;
}

#[tokio::test]
async fn a_token_where_every_close_logs_out_recovers_without_a_restart() {
    let broken = Broken::with(Token { logout_on_close: true, ..Token::default() });
    let (tokens, keys) = broken.fixture.start().await.unwrap();
    let die = Action::Die { heals: Heals::Reopen, code: Code::CKR_SESSION_HANDLE_INVALID };
    let mut script = Script::on(On::call(Call::SignInit, die).times(1));
    script.token.logout_on_close = true;
    broken.set(&script);
    all_sign(&tokens, &keys, 10).await;
    assert_eq!(broken.fixture.processes().len(), 1);
    tokens.shutdown().await;
}

#[tokio::test]
async fn a_handle_that_denotes_another_key_after_a_recovery_signs_nothing() {
    for renumber in [Renumber::OtherKey, Renumber::Invalid] {
        let broken = Broken::with(Token { renumber: Some(renumber), ..Token::default() });
        let (tokens, keys) = broken.fixture.start().await.unwrap();
        let die = Action::Die { heals: Heals::Initialize, code: Code::CKR_DEVICE_ERROR };
        let mut script = Script::on(On::call(Call::SignInit, die).times(1));
        script.token.renumber = Some(renumber);
        broken.set(&script);
        all_sign(&tokens, &keys, 10).await;
        assert_eq!(broken.fixture.processes().len(), 1);
        tokens.shutdown().await;
    }
}

#[tokio::test]
async fn takes_as_many_sessions_as_the_token_has_and_reopens_the_last_one() {
    for (most, configured) in [(1, 4), (2, 4), (16, 20)] {
        let mut broken = Broken::with(Token { max_sessions: Some(most), ..Token::default() });
        broken.fixture.config.sessions = configured;
        let (tokens, keys) = broken.fixture.start().await.unwrap();
        let opened = broken.control.calls(Call::OpenSession);
        assert_eq!(
            (opened, broken.control.capped()),
            (most.into(), 0),
            "none is asked for that is not there"
        );
        assert_eq!(broken.control.calls(Call::CloseSession), 0);
        all_sign(&tokens, &keys, 5).await;
        let die = Action::Die { heals: Heals::Reopen, code: Code::CKR_SESSION_CLOSED };
        let mut script = Script::on(On::call(Call::SignInit, die).times(1));
        script.token.max_sessions = Some(most);
        broken.set(&script);
        all_sign(&tokens, &keys, 5).await;
        assert_eq!(broken.fixture.processes().len(), 1, "{most} sessions");
        tokens.shutdown().await;
    }
}

#[tokio::test]
async fn others_who_use_the_tokens_sessions_leave_fewer() {
    let broken = Broken::new();
    broken.set(&Script::on(On::call(Call::OpenSession, Action::Fail(Code::CKR_SESSION_COUNT)).after(1)));
    let (tokens, keys) = broken.fixture.start().await.unwrap();
    all_sign(&tokens, &keys, 5).await;
    tokens.shutdown().await;
}

#[tokio::test]
async fn a_key_that_wants_the_pin_for_each_signature_gets_it() {
    let broken = Broken::with(Token { always_authenticate: true, ..Token::default() });
    let (tokens, keys) = broken.fixture.start().await.unwrap();
    let logins = broken.logins();
    for _ in 0..100 {
        signs(&tokens, &keys).await;
    }
    all_sign(&tokens, &keys, 13).await;
    assert_eq!(broken.logins() - logins, 204, "one for each, one after the other and side by side");
    assert_eq!(broken.fixture.processes().len(), 1);
    tokens.shutdown().await;
}

// SoftHSM2 itself has such keys and their logins, but signs in one part only, and `cryptoki` leaves no room for a login before that:
// there every signature with one ends in `CKR_FUNCTION_NOT_SUPPORTED`. Here the faulty module plays the login, and joins the parts.
#[tokio::test]
async fn a_login_for_a_signature_that_fails_leaves_nothing_half_done() {
    for sessions in [1, 2] {
        let always = Token { always_authenticate: true, ..Token::default() };
        let mut broken = Broken::with(always.clone());
        broken.fixture.config.sessions = sessions;
        let (tokens, keys) = broken.fixture.start().await.unwrap();
        let mut script = Script::on(On::call(Call::Login, Action::Fail(Code::CKR_USER_TYPE_INVALID)));
        script.token = always.clone();
        broken.set(&script);
        let before = broken.logins();
        for _ in 0..20 {
            let error = sign(&tokens, "ca", P256).await.err().unwrap();
            let is_plain = matches!(&error, TokenError::Failed { call, code, .. }
                if call == "C_Login" && code == "CKR_USER_TYPE_INVALID");
            assert!(is_plain, "{error}");
        }
        assert_eq!(broken.logins() - before, 20, "none but the signatures' own");
        broken.set(&Script::token(always));
        signs(&tokens, &keys).await;
        assert_eq!(broken.control.violations(), 0);
        assert_eq!(broken.fixture.processes().len(), 1);
        tokens.shutdown().await;
    }
}

#[tokio::test]
async fn a_pin_that_is_refused_for_a_signature_is_latched_until_an_operator_says_so() {
    let broken = Broken::with(Token { always_authenticate: true, ..Token::default() });
    let (tokens, keys) = broken.fixture.start().await.unwrap();
    let mut health = tokens.watch_health(&KeyName::new("ca").unwrap()).unwrap();
    let mut script = Script::on(On::call(Call::Login, Action::Fail(Code::CKR_PIN_INCORRECT)).times(1));
    script.token.always_authenticate = true;
    broken.set(&script);
    let before = broken.logins();
    let error = sign(&tokens, "ca", P256).await.err().unwrap();
    assert!(matches!(error, TokenError::PinRefused { .. }), "{error}");
    reaches(&mut health, |health| health == Health::Down).await;
    for _ in 0..1000 {
        assert!(sign(&tokens, "ca", P256).await.is_err());
    }
    assert_eq!(broken.logins() - before, 1, "the one that was refused");
    assert!(broken.latch().clear().unwrap());
    reaches(&mut health, |health| health == Health::Ready).await;
    signs(&tokens, &keys).await;
    tokens.shutdown().await;
}

#[tokio::test]
async fn a_wrong_pin_costs_one_try_however_often_the_daemon_starts() {
    let broken = Broken::with(Token { pin_tries: Some(3), ..Token::default() });
    broken.fixture.write_pin("0000");
    for _ in 0..4 {
        let faults = faults(&broken.fixture).await;
        assert!(mentions(&faults, &["token.t.pin_file", "PIN"]), "{faults:?}");
        assert_eq!(broken.control.wrong_pins(), 1);
    }
    // Touched, and still the same.
    broken.fixture.write_pin("0000");
    assert!(mentions(&faults(&broken.fixture).await, &["countersign token unlatch"]));
    assert_eq!(broken.control.wrong_pins(), 1);
    broken.fixture.write_pin(PIN);
    let (tokens, keys) = broken.fixture.start().await.unwrap();
    assert!(!broken.latch().is_set());
    signs(&tokens, &keys).await;
    tokens.shutdown().await;
}

#[tokio::test]
async fn the_last_try_is_never_spent() {
    let broken = Broken::with(Token { pin_tries: Some(2), ..Token::default() });
    broken.fixture.write_pin("0000");
    faults(&broken.fixture).await;
    let logins = broken.logins();
    broken.latch().clear().unwrap();
    assert!(mentions(&faults(&broken.fixture).await, &["one try left"]));
    assert_eq!((broken.logins(), broken.control.wrong_pins()), (logins, 1));
}

#[tokio::test]
async fn a_key_whose_token_lied_is_in_service_once_a_signature_with_it_verifies() {
    let mut broken = Broken::new();
    broken.fixture.configure("other", "other", P256);
    let (tokens, keys) = broken.fixture.start().await.unwrap();
    let (ca, other) = (KeyName::new("ca").unwrap(), KeyName::new("other").unwrap());
    let route = tokens.route(&ca).unwrap();
    let ask = || {
        let (message, priority) = (MESSAGE, Priority::Interactive);
        route.ask(Request { key: &ca, scheme: P256, message, deadline: None, priority })
    };
    let right = |raw: &RawSignature| verifies(&keys.get(&ca).unwrap().public_key, P256, raw);
    let [mut health, mut others] = [&ca, &other].map(|key| tokens.watch_health(key).unwrap());
    for _ in 0..2 {
        let mut before = ask();
        assert!(right(&before.sign().await.unwrap()));
        broken.set(&Script::on(On::call(Call::Sign, Action::WrongSignature).times(1)));
        let mut lied = ask();
        assert!(!right(&lied.sign().await.unwrap()));
        assert!(!lied.doubt(), "no other token has it");
        let processes = broken.fixture.processes().len();
        reaches(&mut health, |health| health == Health::Restarting).await;
        for health in [&mut health, &mut others] {
            reaches(health, |health| health == Health::Doubted).await;
        }
        assert!(broken.fixture.processes().len() > processes);
        // A signature of before says nothing of the process that took the place of the one that lied.
        before.believe();
        let mut asked = ask();
        assert!(right(&asked.sign().await.unwrap()));
        assert_eq!(*health.borrow_and_update(), Health::Doubted);
        asked.believe();
        reaches(&mut health, |health| health == Health::Ready).await;
        assert_eq!(*others.borrow(), Health::Doubted, "nobody has seen a signature with it");
        assert_eq!(tokens.probations()[0].keys().count(), 2, "the token has not proven itself");
    }
    tokens.shutdown().await;
}

#[tokio::test]
async fn what_callers_ask_for_takes_no_key_out_of_service_and_a_challenge_that_is_refused_does() {
    let broken = Broken::new();
    let (tokens, keys) = broken.fixture.start().await.unwrap();
    let pool = tokens.route(&KeyName::new("ca").unwrap()).unwrap().members()[0].pool.clone();
    let mut health = tokens.watch_health(&KeyName::new("ca").unwrap()).unwrap();
    let mut suspicion = tokens.suspicions().pop().unwrap();
    for _ in 0..3 {
        let refuses = On::call(Call::SignInit, Action::Fail(Code::CKR_FUNCTION_NOT_SUPPORTED));
        broken.set(&Script::on(refuses.times(2)));
        for _ in 0..2 {
            sign(&tokens, "ca", P256).await.expect_err("it is refused");
        }
        let ca = KeyName::new("ca").unwrap();
        let (scheme, message, priority) = (P256, MESSAGE, Priority::Interactive);
        let request = Request { key: &ca, scheme, message, deadline: None, priority };
        let mut asking = tokens.route(&ca).unwrap().ask(request);
        asking.sign().await.unwrap();
        asking.believe();
    }
    assert!(suspicion.stands().now_or_never().is_none(), "no three in a row");
    broken.set(&Script::on(On::call(Call::SignInit, Action::Fail(Code::CKR_FUNCTION_NOT_SUPPORTED))));
    for refused in 0..20 {
        let reason = suspicion.stands().now_or_never();
        assert_eq!(reason.is_some(), refused >= 3, "after {refused}");
        sign(&tokens, "ca", P256).await.expect_err("it is refused");
    }
    assert_eq!((pool.health_of(0), tokens.troubles().len()), (Health::Ready, 0), "it may be their fault");
    let error = sign(&tokens, "ca", P256).await.err().unwrap();
    assert_eq!(suspicion.confirmed(&error, Instant::now()), Duration::from_millis(500));
    assert_eq!(suspicion.confirmed(&error, Instant::now()), Duration::from_secs(1), "longer and longer");
    for _ in 0..9 {
        assert!(
            suspicion.confirmed(&error, Instant::now()) <= Duration::from_secs(2),
            "it alone has the key"
        );
    }
    reaches(&mut health, |health| health == Health::Refusing).await;
    let [trouble] = &tokens.troubles()[..] else { panic!("{:?}", tokens.troubles()) };
    assert_eq!((trouble.token.as_str(), trouble.word), ("t", "TOKEN_FAILED"));
    let says = |word: &str| trouble.message.contains(word);
    assert!(says("key ca") && says("C_SignInit") && says("CKR_FUNCTION_NOT_SUPPORTED"), "{trouble:?}");
    broken.control.clear().unwrap();
    signs(&tokens, &keys).await;
    assert_eq!(pool.health_of(0), Health::Refusing, "that was no challenge");
    assert_eq!(suspicion.refuted(), Duration::from_secs(2), "however many are refused meanwhile");
    reaches(&mut health, |health| health == Health::Ready).await;
    assert_eq!(tokens.troubles().len(), 0);
    assert!(suspicion.stands().now_or_never().is_none());
    assert_eq!(broken.fixture.processes().len(), 1, "no process is ended for it");
    tokens.shutdown().await;
}

#[tokio::test]
async fn a_hang_in_finalize_during_a_recovery_costs_the_process_and_not_the_service() {
    let mut broken = Broken::new();
    broken.fixture.config.deadline = Duration::from_millis(500);
    let (tokens, keys) = broken.fixture.start().await.unwrap();
    let mut health = tokens.watch_health(&KeyName::new("ca").unwrap()).unwrap();
    let die = Action::Die { heals: Heals::Initialize, code: Code::CKR_DEVICE_ERROR };
    let script = Script::on(On::call(Call::SignInit, die).times(1));
    broken.set(&script.and(On::call(Call::Finalize, Action::Hang)));
    let error = sign(&tokens, "ca", P256).await.err().unwrap();
    assert!(matches!(error, TokenError::TimedOut { .. }), "{error}");
    reaches(&mut health, |health| health == Health::Ready).await;
    signs(&tokens, &keys).await;
    signal(*broken.fixture.processes().last().unwrap(), Signal::KILL);
    tokens.shutdown().await;
}
