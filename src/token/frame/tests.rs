#![allow(clippy::unwrap_used, reason = "tests")]

use std::os::unix::net::UnixStream;

use super::*;

#[test]
fn a_frame_survives_the_way() {
    let mut bytes = Vec::new();
    encode(&Ask { key: 7, until: None, input: &[1; 48] }, &mut bytes).unwrap();
    let body = read(bytes.as_slice()).unwrap().unwrap();
    let ask: Ask<'_> = decode(&body).unwrap();
    assert_eq!((ask.key, ask.input), (7, [1; 48].as_slice()));
}

#[test]
fn allocates_nothing_for_a_length_above_the_limit() {
    assert!(read(u32::MAX.to_le_bytes().as_slice()).is_err());
}

#[test]
fn refuses_bytes_after_the_value() {
    let mut body = postcard::to_stdvec(&Ask { key: 0, until: None, input: &[] }).unwrap();
    body.push(0);
    assert!(decode::<Ask<'_>>(&body).is_err());
}

#[test]
fn what_a_token_process_says_is_short_and_one_line() {
    let hostile = "line\nline\r\x1b[31m \u{202e}\"it's\" \\ ".to_owned() + &"é".repeat(512 * 1024);
    let answer = Answer::Failed(CallFailure { call: "C_Sign".to_owned(), code: hostile.clone() });
    let body = postcard::to_stdvec(&Reply { recovered: None, took_us: 0, answer }).unwrap();
    let Answer::Failed(CallFailure { call, code }) = decode::<Reply>(&body).unwrap().answer else { panic!() };
    assert_eq!(call, "C_Sign");
    assert!(
        code.starts_with(r#"line\nline\r\u{1b}[31m \u{202e}"it's" \ éé"#) && code.ends_with("é (cut)"),
        "{code:?}"
    );
    assert!(code.len() < 2 * MAX_TEXT && !code.contains(char::is_control));

    let fault = StartFault { at: At::Token, message: hostile.clone() };
    let refused =
        Report::Refused(Refusal::Faults(vec![
            StartFault { message: "é".to_owned(), ..fault.clone() };
            1000
        ]));
    let body = postcard::to_stdvec(&refused).unwrap();
    let Report::Refused(Refusal::Faults(faults)) = decode(&body).unwrap() else { panic!() };
    assert_eq!((faults.len(), faults.first().unwrap().message.as_str()), (MAX_FAULTS, "é"));

    let token =
        TokenDescription { serial: hostile.clone(), model: hostile.clone(), firmware: hostile.clone() };
    let refusal = PinRefusal { message: hostile.clone(), mark: None };
    let held = Held::Not(hostile);
    let bytes = postcard::to_stdvec(&(token, refusal, held, fault)).unwrap();
    let (token, refusal, held, fault): (TokenDescription, PinRefusal, Held, StartFault) =
        decode(&bytes).unwrap();
    let Held::Not(held) = held else { panic!() };
    for text in [token.serial, token.model, token.firmware, refusal.message, held, fault.message] {
        assert!(text == code, "{text:?}");
    }
}

#[test]
fn a_cut_frame_is_an_error_and_no_frame_is_the_end() {
    let mut bytes = Vec::new();
    encode(&Ask { key: 0, until: None, input: &[1; 32] }, &mut bytes).unwrap();
    bytes.pop();
    assert!(read(bytes.as_slice()).is_err());
    assert!(read([].as_slice()).unwrap().is_none());
}

#[test]
fn passes_sockets_that_still_work() {
    let (left, right) = UnixStream::pair().unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    send_sockets(&left, &vec![theirs.as_fd(); MAX_SESSIONS]).unwrap();
    let received = receive_sockets(&right).unwrap();
    assert_eq!(received.len(), MAX_SESSIONS);
    drop(theirs);
    write(UnixStream::from(received.into_iter().next_back().unwrap()), &1_u8).unwrap();
    assert_eq!(read(&ours).unwrap().unwrap(), [1]);
}
