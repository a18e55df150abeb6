//! A server that syncs by the second, and is asked at each put to sync now (WAITAOF, from
//! Redis 7.2 on): a put that does not ask, or does not hear the answer, loses what it
//! confirmed with the machine.
//!
//! The server is a real one of any version, behind a wire on which these questions are
//! answered by the test: whether a server has synced cannot be seen from outside.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader,
};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// What the server says of a WAITAOF, and what it was told until now.
#[derive(Default)]
struct Heard {
    synced: u64,
    commands: Vec<String>,
}

/// The address of a wire to the server, and what is heard on it.
async fn wire(server: &webwallet_engines::Redis) -> (String, Arc<Mutex<Heard>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("redis://{}", listener.local_addr().expect("an address"));
    let heard = Arc::new(Mutex::new(Heard { synced: 1, commands: Vec::new() }));
    let (shared, server) = (heard.clone(), server.url.trim_start_matches("redis://").to_owned());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (asked, mut answers) = client.into_split();
            let server = TcpStream::connect(&server).await.expect("the server");
            let (mut said, mut asking) = server.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut said, &mut answers).await });
            let (heard, mut asked) = (shared.clone(), BufReader::new(asked));
            tokio::spawn(async move {
                while let Some(command) = command(&mut asked).await {
                    let command = passed_on(command, &heard);
                    asking.write_all(&command).await.expect("written");
                }
            });
        }
    });
    (url, heard)
}

/// The next command of a client, an array of strings (the protocol of Redis).
async fn command(asked: &mut (impl AsyncBufRead + Unpin)) -> Option<Vec<Vec<u8>>> {
    let mut parts = Vec::new();
    for _ in 0..number(asked, b'*').await? {
        let mut part = vec![0; number(asked, b'$').await?];
        asked.read_exact(&mut part).await.ok()?;
        asked.read_exact(&mut [0; 2]).await.ok()?;
        parts.push(part);
    }
    Some(parts)
}

async fn number(asked: &mut (impl AsyncBufRead + Unpin), sign: u8) -> Option<usize> {
    let mut line = String::new();
    asked.read_line(&mut line).await.ok()?;
    line.strip_prefix(char::from(sign))?.trim_end().parse().ok()
}

/// Every command as it is, but for those about WAITAOF, which get the test's answers.
fn passed_on(mut command: Vec<Vec<u8>>, heard: &Mutex<Heard>) -> Vec<u8> {
    let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
    let words = command.iter().map(|word| String::from_utf8_lossy(word).to_uppercase());
    let words = words.collect::<Vec<_>>();
    let words = words.iter().map(String::as_str).collect::<Vec<_>>();
    let answer = match words[..] {
        ["COMMAND", "INFO", "WAITAOF"] => Some("return {{'waitaof'}}".to_owned()),
        ["WAITAOF", "1", "0", _] => Some(format!("return {{{}, 0}}", heard.synced)),
        _ => None,
    };
    heard.commands.push(words[0].to_owned());
    if let Some(answer) = answer {
        command = [&b"EVAL"[..], answer.as_bytes(), b"0"].map(<[u8]>::to_vec).to_vec();
    }
    let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
    for part in command {
        bytes.extend(format!("${}\r\n", part.len()).into_bytes());
        bytes.extend([&part[..], b"\r\n"].concat());
    }
    bytes
}

#[tokio::test]
async fn a_sync_by_the_second_will_do_where_each_put_asks_for_its_own() {
    let server = private();
    say(&server, "CONFIG SET appendfsync everysec");
    let knows = say(&server, "COMMAND INFO WAITAOF");
    let knows =
        matches!(knows, redis::Value::Array(of) if matches!(of[..], [redis::Value::Array(_)]));
    match try_open(&server.url, false).await {
        Ok(store) => assert!(knows && !store.name().contains("lossy"), "{}", store.name()),
        Err(refused) => {
            let refused = refused.to_string();
            assert!(!knows && refused.contains("appendfsync is everysec"), "{refused}");
        }
    }

    let (url, heard) = wire(&server).await;
    let heard = || heard.lock().unwrap_or_else(PoisonError::into_inner);
    let store = open(&url).await;
    assert!(!store.name().contains("lossy"), "{}", store.name());
    heard().commands.clear();
    store.put(vec![record(1)]).await.expect("stored");
    let commands = std::mem::take(&mut heard().commands);
    let place = |of: &str| commands.iter().rposition(|command| command == of);
    let (written, asked) = (place("EXEC").expect("written"), place("WAITAOF"));
    assert!(asked.is_some_and(|asked| asked > written), "{commands:?}");

    heard().synced = 0;
    let why = chain(&store.put(vec![record(2)]).await.expect_err("not confirmed"));
    assert!(why.contains("not synced in time"), "{why}");
    heard().synced = 1;
    store.put(vec![record(2)]).await.expect("stored again");
    assert!(heard().commands.iter().any(|command| command == "WAITAOF"), "a repeat asks too");
}
