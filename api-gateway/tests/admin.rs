//! The admin listener: what it shows, and to whom.

#[path = "all/standin/mod.rs"]
mod standin;

use axum::body::Body;
use http::Request;
use metrics_exporter_prometheus::PrometheusBuilder;
use standin::{Deployment, answer, issue, person};
use webwallet_api_gateway::admin::Access;
use webwallet_proto::token::Token;

const RIGHT: &str = "the-right-token-of-it";

/// Any page open in the operator's browser could have the log's key changed; and he himself would
/// not see what his server refuses.
#[tokio::test]
async fn the_operator_sees_what_happened_and_nobody_else_does() {
    let metrics = PrometheusBuilder::new().install_recorder().expect("one recorder");
    let server = Deployment::new();
    let [alice, bob] = [1, 2].map(person);
    server.post(issue(alice, bob, "10", 1)).await;
    server.post("nonsense").await;
    server.get("/nowhere/secret-path").await;

    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), RIGHT).expect("written");
    let token = Token::read(file.path()).expect("a token");
    let access = Access { metrics, token: Some(token) };
    let admin = server.gateway.admin_router(access.clone());
    let get = async |path: &str, token: &str| {
        let request = Request::get(path).header("authorization", format!("Bearer {token}"));
        answer(admin.clone(), request.body(Body::empty()).expect("a request")).await
    };
    assert_eq!(get("/metrics", "wrong").await.code(), "unauthorized");
    let refused = get("/metrics", "").await;
    assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    for open in ["/livez", "/readyz"] {
        assert_eq!(get(open, "").await.status, 200);
    }
    assert_eq!(get("/transaction", RIGHT).await.code(), "not_found");

    let shown = get("/metrics", RIGHT).await;
    assert_eq!(shown.status, 200);
    let text = String::from_utf8_lossy(&shown.body).into_owned();
    for line in [
        r#"webwallet_gateway_requests_total{listener="public",route="/transaction",status="201"} 1"#,
        r#"webwallet_gateway_requests_total{listener="public",route="/transaction",status="400"} 1"#,
        r#"webwallet_gateway_requests_total{listener="public",route="none",status="404"} 1"#,
        r#"webwallet_gateway_refusals_total{code="malformed"} 1"#,
        r#"webwallet_gateway_refusals_total{code="unauthorized"} 2"#,
        "webwallet_gateway_signatures_verified_total 1",
        "webwallet_gateway_verify_batch_signatures_count 1",
        "webwallet_gateway_verify_queue ",
        r#"webwallet_gateway_request_seconds_count{listener="public",route="/transaction"} 2"#,
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
    // A client cannot make series.
    assert!(!text.contains("secret-path"));

    let open = server.gateway.admin_router(Access { token: None, ..access });
    let ask = async |method: &str, path: &str, headers: &[(&str, &str)]| {
        let request = Request::builder().method(method).uri(path);
        let host = match headers {
            [("host", _), ..] => None,
            _ => Some(&("host", "127.0.0.1:9")),
        };
        let request = host
            .into_iter()
            .chain(headers)
            .fold(request, |request, (name, value)| request.header(*name, *value));
        answer(open.clone(), request.body(Body::empty()).expect("a request")).await
    };
    assert_eq!(ask("GET", "/metrics", &[]).await.status, 200);
    // Whoever types the address into a browser; and a page that was opened in it.
    assert_eq!(ask("GET", "/metrics", &[("sec-fetch-site", "none")]).await.status, 200);
    for host in ["localhost", "LOCALHOST:1", "[::1]:1", "127.1.2.3", "[::ffff:127.0.0.1]:1"] {
        assert_eq!(ask("GET", "/metrics", &[("host", host)]).await.status, 200, "{host}");
    }
    // And one whose author lets a name of his own point here.
    for page in [
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("host", "evil.example:9"),
        ("host", "192.0.2.1"),
        ("host", ""),
    ] {
        for (method, path) in [("POST", "/log-key"), ("POST", "/seal"), ("GET", "/metrics")] {
            assert_eq!(ask(method, path, &[page]).await.code(), "unauthorized", "{method} {path}");
        }
    }
    assert_eq!(ask("GET", "/livez", &[("origin", "http://evil.example")]).await.status, 200);
    // Each try of a script that does as it is told would change the log's key.
    server.stores.fail("blockstack", tonic::Code::DeadlineExceeded);
    let unknown = ask("POST", "/log-key", &[]).await;
    assert_eq!((unknown.status.as_u16(), unknown.header("retry-after")), (503, None));
    let text = String::from_utf8_lossy(&unknown.body);
    assert!(text.contains(r#""retry":"never""#) && text.contains(".well-known"), "{text}");
}
