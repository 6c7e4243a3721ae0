//! The priority that a caller gives its request, on its whole way to the token's queue.

use countersign_faulty::{Action, Call, On, Script};
use countersign_proto::v1::{Priority, SignRequest};
use countersign_tbs::ssh::SubjectKey;
use tokio::task::JoinSet;

use crate::faulty::Broken;
use crate::forge::Forgery;
use crate::site::{FRONT_END, PATIENCE, now, request};

/// How many requests wait, and in how many of these places bulk ones may.
const QUEUE: usize = 16;
const BULK: usize = 14;

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_fills_the_queue_leaves_room_for_who_is_waiting() {
    let Broken { site, control } = Broken::patient(&format!("queue = {QUEUE}\nsessions = 2"));
    let daemon = site.serve();
    let client = site.client(&daemon, FRONT_END).await.with_deadline(PATIENCE);
    let openssh = client.get_key("user-ca").await.unwrap().openssh;
    let ca_key = SubjectKey::from_openssh_line(&openssh).unwrap().to_wire();
    let mut serials = 1..;
    let mut ask = |asked: &mut JoinSet<_>, priority: Priority| {
        let serial = serials.next().unwrap();
        let tbs = Forgery { serial, ..Forgery::user(ca_key.clone(), now()) };
        let request = SignRequest { priority: priority.into(), ..request("user-ca", tbs.encode()) };
        let client = client.clone();
        asked.spawn(async move { client.sign(request).await });
    };
    // Each session has one, and takes no other.
    control.set(&Script::on(On::call(Call::Sign, Action::Hang))).unwrap();
    let mut asked = JoinSet::new();
    for session in 1..=2 {
        ask(&mut asked, Priority::Bulk);
        assert!(control.wait_until(PATIENCE, |control| control.hangs(Call::Sign) == session));
    }
    for (priority, places) in [(Priority::Unspecified, BULK), (Priority::Interactive, QUEUE - BULK)] {
        let more = 5;
        for _ in 0..places + more {
            ask(&mut asked, priority);
        }
        for _ in 0..more {
            let refused = asked.join_next().await.unwrap().unwrap().unwrap_err();
            assert_eq!(refused.reason, "TOKEN_BUSY", "{priority:?}: {refused}");
        }
    }
    assert_eq!(asked.len(), 2 + QUEUE);
    control.clear().unwrap();
    while let Some(signed) = asked.join_next().await {
        signed.unwrap().expect("it had a place");
    }
}
