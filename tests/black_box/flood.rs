//! What a peer that says nothing, reads nothing or never ends a message cannot take from the others: places and memory.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpSocket;

use crate::forge::Forgery;
use crate::limits::ca_key;
use crate::site::{Daemon, FRONT_END, Site, USER_CA, now, request};

async fn signs_for_another(site: &Site, daemon: &Daemon, ca_key: &[u8], serial: u64) {
    let tbs = Forgery { serial, ..Forgery::user(ca_key.to_vec(), now()) };
    let client = site.client(daemon, FRONT_END).await;
    client.sign(request("user-ca", tbs.encode())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_who_say_nothing_keep_no_caller_out() {
    let site = Site::new(USER_CA);
    let mut daemon = site.serve();
    let ca_key = ca_key(&site, &daemon).await;
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let mut idle = Vec::new();
    for _ in 0..1200 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        idle.push(socket.connect(daemon.address).await.unwrap());
    }
    let served = signs_for_another(&site, &daemon, &ca_key, 1);
    tokio::time::timeout(Duration::from_secs(5), served).await.expect("a caller is served meanwhile");
    daemon.wait_for("127.0.0.2: handshake slots full (128 of one host, 1024 of all)");
}
