#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "tests"
)]

use std::os::unix::net::UnixListener as StdListener;

use countersign_proto::Client;
use tokio::sync::watch;
use tonic::Code;
use tonic::service::Routes;

use super::connection::Door as _;
use super::*;

fn door(path: &Path) -> Door {
    Bound::new(path).unwrap().listen(8).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o777
}

#[tokio::test]
async fn kernel_names_the_caller() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let door = door(&path);
    let _client = UnixStream::connect(&path).await.unwrap();
    let (_, caller) = Door::identify(door.accept().await.unwrap(), Duration::ZERO).await.unwrap();
    assert_eq!(caller.as_str(), format!("uid:{}", fs::metadata("/proc/self").unwrap().uid()));
}

#[tokio::test]
async fn serves_the_client() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let door = door(&path);
    let (stop, stopping) = watch::channel(false);
    let limits = connection::Limits { connections: 1, grace: std::time::Duration::from_secs(5) };
    let server = tokio::spawn(connection::serve(door, |_: &Caller| Routes::default(), limits, stopping));
    let client = Client::connect_unix(&path).await.unwrap();
    assert_eq!(client.list_keys().await.unwrap_err().code, Code::Unimplemented);
    stop.send_replace(true);
    server.await.unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn only_the_owner_can_connect() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let _door = door(&path);
    assert_eq!(mode(&path), 0o600);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn replaces_socket_of_a_dead_server() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    drop(StdListener::bind(&path).unwrap());
    assert!(path.exists());
    let _door = door(&path);
    UnixStream::connect(&path).await.unwrap();
}

#[tokio::test]
async fn leaves_socket_of_a_live_server_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let live = StdListener::bind(&path).unwrap();
    let error = Bound::new(&path).err().unwrap();
    assert!(error.to_string().contains("another server"), "{error}");
    live.set_nonblocking(true).unwrap();
    live.accept().unwrap();
}

#[tokio::test]
async fn leaves_a_file_that_is_no_socket_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    fs::write(&path, "precious").unwrap();
    assert!(Bound::new(&path).is_err());
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn removes_its_own_socket_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    drop(door(&path));
    assert!(!path.exists());
    let taken = door(&path);
    fs::remove_file(&path).unwrap();
    let _successor = door(&path);
    drop(taken);
    assert!(path.exists());
}
