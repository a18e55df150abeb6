//! A server that would lose documents, or is not the one that was meant, is
//! named for what it is, soon, before anything is written to it.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use super::*;

/// Settings that no server may have; which may sync by the second is in `synced.rs`.
const LOSSY: [(&str, &str, &str); 6] = [
    ("appendonly", "no", "yes"),
    ("appendfsync", "no", "always"),
    ("no-appendfsync-on-rewrite", "yes", "no"),
    ("maxmemory-policy", "allkeys-lru", "noeviction"),
    ("maxmemory-policy", "volatile-ttl", "noeviction"),
    ("maxmemory-policy", "allkeys-random", "noeviction"),
];

/// An operator would learn after a crash that his Redis was never told to keep what it confirms.
#[tokio::test]
async fn settings_that_lose_documents_are_refused_by_name() {
    let server = private();
    for (setting, bad, good) in LOSSY {
        say(&server, &format!("CONFIG SET {setting} {bad}"));
        let refused = try_open(&server.url, false).await.err().expect("refused").to_string();
        let mends = format!("CONFIG SET {setting} {good}");
        for part in [format!("{setting} is {bad}"), mends.clone(), server.url.clone()] {
            assert!(refused.contains(&part), "{part:?} is missing in: {refused}");
        }
        let lossy = try_open(&server.url, true).await.expect("for experiments");
        assert!(lossy.name().contains(&format!("lossy: {setting} is {bad}")), "{}", lossy.name());
        assert_eq!(say(&server, "DBSIZE"), redis::Value::Int(0), "nothing was written");
        lossy.put(vec![record(1)]).await.expect("for experiments");
        say(&server, "FLUSHALL");
        // The command it names is the one that helps.
        say(&server, &mends);
        until_whole(&server).await;
        assert!(!open(&server.url).await.name().contains("lossy"));
    }
}

/// Waits for the file that Redis begins when it is told to keep one.
async fn until_whole(server: &webwallet_engines::Redis) {
    loop {
        let info = say(server, "INFO persistence");
        let info: String = redis::from_redis_value(info).expect("text");
        if info.contains("aof_rewrite_in_progress:0") && info.contains("aof_rewrite_scheduled:0") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Whoever has just run the command that a refusal names has no file yet: what was
/// confirmed until it is whole would be gone after a crash.
#[tokio::test]
async fn a_first_append_only_file_is_waited_for() {
    let server = private();
    say(&server, "CONFIG SET appendonly no");
    for key in 0..50 {
        say(&server, &format!("SET filler:{key} x"));
    }
    // Two seconds for them all.
    say(&server, "CONFIG SET rdb-key-save-delay 40000");
    say(&server, "CONFIG SET appendonly yes");
    let refused = try_open(&server.url, false).await.err().expect("refused").to_string();
    assert!(refused.contains("the append-only file is being begun"), "{refused}");
    until_whole(&server).await;
    let store = open(&server.url).await;
    store.put(vec![record(1)]).await.expect("stored");
    // A new file in place of one that is there loses nothing, and stops nobody.
    say(&server, "BGREWRITEAOF");
    store.put(vec![record(2)]).await.expect("stored meanwhile");
    open(&server.url).await;
}

/// An operator would mend one setting, start again, and be told of the next.
#[tokio::test]
async fn everything_that_is_wrong_is_said_at_once() {
    let server = private();
    say(&server, "CONFIG SET appendonly no appendfsync no maxmemory-policy allkeys-lfu");
    let refused = try_open(&server.url, false).await.err().expect("refused").to_string();
    for part in ["appendonly is no", "appendfsync is no", "maxmemory-policy is allkeys-lfu"] {
        assert!(refused.contains(part), "{part:?} is missing in: {refused}");
    }
}

/// A setting that is changed while the store runs loses as much as one that was
/// wrong at the start.
#[tokio::test]
async fn a_setting_that_goes_bad_stops_puts_until_it_is_mended() {
    let server = private();
    let store = open(&server.url).await;
    for (setting, bad, good) in LOSSY {
        store.put(vec![record(1)]).await.expect("stored");
        say(&server, &format!("CONFIG SET {setting} {bad}"));
        let begun = Instant::now();
        // The watch finds it; nobody asks whether the store is ready.
        let why = loop {
            match store.put(vec![record(2)]).await {
                Err(Error::Stopped(why)) => break why,
                other => other.expect("stored, or stopped"),
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "{setting} {bad} is not noticed");
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let what = format!("{setting} is {bad}");
        assert!(why.contains(&what), "{what}: {why}");
        let unready = store.get(&[]).await.expect_err("not ready");
        assert!(matches!(&unready, Error::Stopped(why) if why.contains(&what)), "{unready:?}");
        assert!(got(&store, &record(1)).await.expect("reads go on").is_some());
        say(&server, &format!("CONFIG SET {setting} {good}"));
        until_whole(&server).await;
        store.get(&[]).await.expect("ready again");
        store.put(vec![record(2)]).await.expect("stored again");
    }
}

/// What is put into a replica is gone when it next follows its primary.
#[tokio::test]
async fn a_replica_is_refused() {
    let (primary, replica) = (private(), private());
    let port = primary.url.rsplit(':').next().expect("a port");
    say(&replica, &format!("REPLICAOF 127.0.0.1 {port}"));
    let refused = try_open(&replica.url, false).await.err().expect("refused").to_string();
    assert!(refused.contains("role is slave") && refused.contains("primary"), "{refused}");
}

/// An older build would write over what a newer one keeps, and could not read it.
#[tokio::test]
async fn a_newer_format_is_refused() {
    let server = private();
    say(&server, "SET example.net:format 2");
    let refused = try_open(&server.url, false).await.err().expect("refused").to_string();
    assert!(refused.contains("newer format"), "{refused}");
    assert_eq!(say(&server, "DBSIZE"), redis::Value::Int(1), "nothing was written");
}

/// Whatever is wrong is named within five seconds, without the password.
#[tokio::test]
async fn a_wrong_address_or_password_is_named_soon() {
    let locked = private();
    say(&locked, "CONFIG SET requirepass right");
    // Answers nobody: the kernel accepts, no process reads.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = format!("redis://{}", silent.local_addr().expect("its address"));
    let nobody = private().url.clone();
    let http = http();
    let cases = [
        (&locked.url[..], None, vec!["asks for a password", "WEBWALLET_REDIS_PASSWORD_FILE"]),
        (&locked.url, Some("hunter2"), vec!["password", "WEBWALLET_REDIS_PASSWORD_FILE"]),
        (&nobody, None, vec!["does not answer", "PING"]),
        (&silent, None, vec!["does not answer"]),
        (&http, None, vec![&http]),
        ("localhost:6379", None, vec!["redis://HOST:PORT"]),
        ("http://localhost:6379", None, vec!["redis://HOST:PORT"]),
        ("redis://no-such-host.invalid:6379", None, vec!["no-such-host.invalid"]),
    ];
    for (url, password, parts) in cases {
        let begun = Instant::now();
        let refused = Redis::open(RedisSettings {
            url: url.to_owned(),
            password: password.map(str::to_owned),
            domain: "example.net".to_owned(),
            allow_lossy: false,
        });
        let refused = refused.await.err().expect("refused").to_string();
        assert!(begun.elapsed() < Duration::from_secs(5), "{refused}");
        for part in parts {
            assert!(refused.contains(part), "{part:?} is missing in: {refused}");
        }
        assert!(!refused.contains("hunter2"), "{refused}");
    }
    let settings = RedisSettings {
        url: locked.url.clone(),
        password: Some("right".to_owned()),
        domain: "example.net".to_owned(),
        allow_lossy: false,
    };
    assert!(!format!("{settings:?}").contains("right"));
    let store = Redis::open(settings).await.expect("the right password");
    store.put(vec![record(1)]).await.expect("stored");
}

/// Another kind of server altogether.
fn http() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = std::io::Write::write_all(&mut &stream, b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    format!("redis://{address}")
}
