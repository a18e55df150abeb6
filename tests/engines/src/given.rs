//! Servers that somebody else started and gave by their URL: asked for their
//! version, so that a run says what it ran on and one that does not answer is a failure at once.

use std::time::Duration;

/// Neither a wrong address nor a wrong password may hang a test.
const DEADLINE: Duration = Duration::from_secs(10);

/// Asks Redis.
pub(crate) fn redis_version(url: &str) -> String {
    let ask = || {
        let mut connection = redis::Client::open(url)?.get_connection_with_timeout(DEADLINE)?;
        connection.set_read_timeout(Some(DEADLINE))?;
        redis::cmd("INFO").arg("server").query::<redis::InfoDict>(&mut connection)
    };
    let info = ask().unwrap_or_else(|error| panic!("WEBWALLET_TEST_REDIS_URL: {error}"));
    info.get("redis_version").expect("a version")
}

/// `bolt://USER:PASSWORD@HOST:PORT` without user and password, the user, the password.
pub(crate) fn split(url: &str) -> (String, String, String) {
    let parts = url
        .split_once("://")
        .and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?)))
        .and_then(|(scheme, (user, host))| Some((scheme, user.split_once(':')?, host)));
    let (scheme, (user, password), host) =
        parts.expect("WEBWALLET_TEST_NEO4J_URL is bolt://USER:PASSWORD@HOST:PORT");
    (format!("{scheme}://{host}"), user.to_owned(), password.to_owned())
}

/// Asks Neo4j.
pub(crate) fn neo4j_version(uri: &str, user: &str, password: &str) -> String {
    let ask = async {
        let graph = neo4rs::Graph::new(uri, user, password)?;
        let query =
            neo4rs::query("CALL dbms.components() YIELD versions RETURN versions[0] AS version");
        let row = graph.execute(query).await?.next().await?;
        Ok::<_, neo4rs::Error>(row.and_then(|row| row.get::<String>("version").ok()))
    };
    // A thread of its own: whoever asks may be inside another runtime.
    let answer = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime
                .expect("a runtime")
                .block_on(async { tokio::time::timeout(DEADLINE, ask).await })
        });
        asking.join().expect("it does not panic")
    });
    let version = answer
        .unwrap_or_else(|_| panic!("WEBWALLET_TEST_NEO4J_URL: no answer for 10 s"))
        .unwrap_or_else(|error| panic!("WEBWALLET_TEST_NEO4J_URL: {error}"));
    version.expect("a version")
}
