//! UDP: the right answer, and anything else.

use super::{HERE, SOON, ask_at, check, patience};
use crate::health::spec::Ask;
use std::net::SocketAddr;
use tokio::net::UdpSocket;

/// A server that answers each question with all of these, and then again and again if `floods`.
async fn server(answers: Vec<Vec<u8>>, floods: bool) -> SocketAddr {
    let socket = UdpSocket::bind((HERE, 0)).await.unwrap();
    let at = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut question = [0; 64];
        loop {
            let (length, from) = socket.recv_from(&mut question).await.unwrap();
            assert_eq!(&question[..length], b"ping of blue");
            loop {
                for answer in &answers {
                    if socket.send_to(answer, from).await.is_err() {
                        return;
                    }
                }
                if !floods {
                    break;
                }
            }
        }
    });
    at
}

#[tokio::test]
async fn an_answer_must_begin_as_wanted() {
    let pong = b"pong blue 1".to_vec();
    let wrong = b"\0\x1b[2J\n".to_vec();
    let huge = [b"pong blue".to_vec(), vec![0; 60_000]].concat();
    let late = "no answer that begins as wanted within 300ms";
    for (row, answers, floods, expect, expected) in [
        ("the right one", vec![pong.clone()], false, "pong {colour}", Ok(())),
        ("any", vec![wrong.clone()], false, "", Ok(())),
        ("an empty one, and any is wanted", vec![vec![]], false, "", Ok(())),
        ("a huge one", vec![huge], false, "pong {colour}", Ok(())),
        (
            "the right one after others",
            vec![wrong.clone(), vec![], pong.clone()],
            false,
            "pong {colour}",
            Ok(()),
        ),
        ("another colour", vec![b"pong green".to_vec()], false, "pong {colour}", Err(late)),
        ("too little", vec![b"pong".to_vec()], false, "pong {colour}", Err(late)),
        ("none", vec![], false, "pong", Err("no answer within 300ms")),
        (
            "wrong ones for ever",
            vec![wrong],
            true,
            "pong {colour}",
            Err("64 answers do not begin with \"pong blue\"; the last one is \"\\x00\\x1b[2J\\n\""),
        ),
    ] {
        let at = server(answers, floods).await;
        let ask = Ask::Udp { send: b"ping of {colour}".to_vec(), expect: expect.as_bytes().to_vec() };
        check(row, &ask_at(at, ask, patience(expected)).await, expected);
    }
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_told_at_once() {
    let socket = UdpSocket::bind((HERE, 0)).await.unwrap();
    let closed = socket.local_addr().unwrap();
    drop(socket);
    let ask = Ask::Udp { send: b"ping".to_vec(), expect: vec![] };
    check("closed", &ask_at(closed, ask, SOON).await, Err("refused by ICMP: nobody listens on this port"));
}
