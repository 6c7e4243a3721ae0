//! The program by itself, in front of a reader that this test plays.
#![allow(clippy::unwrap_used, reason = "tests: a panic is how they fail")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

const SERIAL: &[u8] = &[0, 5, 0, 0xF8, 0, 0, 0];
const SELECT: &[u8] = &[0, 10, 0, 0xA4, 4, 0, 5, 0xA0, 0, 0, 3, 8];

struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn exchange(reader: &mut TcpStream, message: &[u8]) -> Vec<u8> {
    reader.write_all(message).unwrap();
    let mut len = [0; 2];
    reader.read_exact(&mut len).unwrap();
    let mut answer = vec![0; u16::from_be_bytes(len).into()];
    reader.read_exact(&mut answer).unwrap();
    answer
}

#[test]
fn the_program_plays_a_card_and_follows_its_lines() {
    let dir = TempDir::new().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_virtual-yubikey"));
    command.args(["--serial", "66", "--port", &port.local_addr().unwrap().port().to_string()]);
    command.arg("--state").arg(dir.path().join("state")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut program = Program(command.spawn().unwrap());
    let mut lines = program.0.stdin.take().unwrap();
    let mut said = BufReader::new(program.0.stdout.take().unwrap()).lines();

    let (mut reader, _) = port.accept().unwrap();
    reader.write_all(&[0, 1, 1]).unwrap();
    exchange(&mut reader, SELECT);
    assert_eq!(exchange(&mut reader, SERIAL), [0, 0, 0, 66, 0x90, 0]);
    writeln!(lines, "reset").unwrap();
    assert_eq!(said.next().unwrap().unwrap(), "ok");
    assert_eq!(exchange(&mut reader, SERIAL), [0x6D, 0], "nothing is selected");
    writeln!(lines, "remove").unwrap();
    assert_eq!(said.next().unwrap().unwrap(), "ok");
    assert_eq!(reader.read(&mut [0]).unwrap(), 0, "the card is out");

    writeln!(lines, "insert").unwrap();
    let (mut reader, _) = port.accept().unwrap();
    reader.write_all(&[0, 1, 1]).unwrap();
    assert_eq!(said.next().unwrap().unwrap(), "ok");
    exchange(&mut reader, SELECT);
    assert_eq!(exchange(&mut reader, SERIAL), [0, 0, 0, 66, 0x90, 0]);
}
