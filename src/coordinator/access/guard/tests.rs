//! Who is let in, and who is not: by Host, Origin, token and session.

use super::*;
use crate::coordinator::access::users::tests_support::one_user;
use http::HeaderValue;
use std::net::Ipv4Addr;

fn guard(token: Option<&str>) -> Guard {
    Guard::new(Hosts::new(Ipv4Addr::LOCALHOST.into(), []), token.map(BearerToken::new), None)
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, HeaderValue::from_str(value).expect("a value"));
    }
    headers
}

fn admit(guard: &Guard, path: &str, pairs: &[(&'static str, &str)]) -> Result<(), Denied> {
    guard.admit(&path.parse().expect("a target"), &headers(pairs))
}

const HOST_HERE: (&str, &str) = ("host", "127.0.0.1:12221");

#[test]
fn a_request_says_once_which_server_it_is_for() {
    let guard = guard(None);
    assert_eq!(admit(&guard, "/info", &[HOST_HERE]), Ok(()));
    assert_eq!(admit(&guard, "/info", &[]), Err(Denied::NoHost));
    assert_eq!(admit(&guard, "/info", &[HOST_HERE, HOST_HERE]), Err(Denied::NoHost));
    assert_eq!(admit(&guard, "/info", &[("host", "rebound.example")]), Err(Denied::ForeignHost));
    assert_eq!(admit(&guard, "http://rebound.example/info", &[HOST_HERE]), Err(Denied::ForeignHost));
    assert_eq!(
        admit(&guard, "http://127.0.0.1/info", &[("host", "rebound.example")]),
        Err(Denied::ForeignHost)
    );
}

#[test]
fn pages_of_other_sites_are_refused_whatever_they_ask_for() {
    let guard = guard(None);
    for page in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("origin", "http://127.0.0.1:8000"),
        ("origin", "http://127.0.0.1:12221.evil.example"),
        ("origin", "127.0.0.1:12221"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        assert_eq!(admit(&guard, "/v1/ping", &[HOST_HERE, page]), Err(Denied::ForeignPage), "{page:?}");
    }
    for own in
        [("origin", "http://127.0.0.1:12221"), ("sec-fetch-site", "same-origin"), ("sec-fetch-site", "none")]
    {
        assert_eq!(admit(&guard, "/v1/ping", &[HOST_HERE, own]), Ok(()), "{own:?}");
    }
}

#[test]
fn with_a_token_everything_asks_for_it_but_the_ping() {
    let guard = guard(Some("t0ken"));
    let with =
        |authorization: &str| admit(&guard, "/no/such/route", &[HOST_HERE, ("authorization", authorization)]);
    assert_eq!(with("Bearer t0ken"), Ok(()));
    assert_eq!(with("bearer t0ken"), Ok(()));
    for wrong in
        ["Bearer t0kem", "Bearer t0ke", "Bearer t0ken ", "Bearer ", "Bearer", "Basic t0ken", "t0ken", ""]
    {
        assert_eq!(with(wrong), Err(Denied::NotLetIn), "{wrong:?}");
    }
    let right = ("authorization", "Bearer t0ken");
    assert_eq!(admit(&guard, "/info", &[HOST_HERE, right, right]), Err(Denied::NotLetIn));
    assert_eq!(admit(&guard, "/info", &[HOST_HERE]), Err(Denied::Anonymous));
    assert_eq!(admit(&guard, "/info", &[HOST_HERE, ("cookie", "session=t0ken")]), Err(Denied::Anonymous));
    assert_eq!(admit(&guard, "/v1/ping", &[HOST_HERE]), Ok(()));
}

#[test]
fn a_session_lets_in_as_long_as_its_user_is_one() {
    let (users, alice) = one_user("main/alice", "correct horse");
    let logged_in = Arc::new(LoggedIn { users, sessions: Sessions::new([7; 32]) });
    let hosts = Hosts::new(Ipv4Addr::LOCALHOST.into(), []);
    let guard = Guard::new(hosts, None, Some(Arc::clone(&logged_in)));
    let session = logged_in.sessions.open(&alice);
    let cookie = format!("theme=dark; session={session}");
    assert_eq!(admit(&guard, "/v1/projects", &[HOST_HERE, ("cookie", &cookie)]), Ok(()));
    let somebody = logged_in.sessions.open("main/mallory");
    for wrong in [format!("session={session}x"), "session=".to_owned(), format!("session={somebody}")] {
        assert_eq!(
            admit(&guard, "/v1/projects", &[HOST_HERE, ("cookie", &wrong)]),
            Err(Denied::NotLetIn),
            "{wrong}"
        );
    }
    assert_eq!(admit(&guard, "/v1/projects", &[HOST_HERE]), Err(Denied::Anonymous));
    assert_eq!(admit(&guard, "/v1/login/main/local", &[HOST_HERE]), Ok(()));
}

#[test]
fn a_refusal_is_an_answer_of_the_apis() {
    let error = HttpError::from(Denied::Anonymous);
    assert_eq!(error.status_code.as_status(), http::StatusCode::UNAUTHORIZED);
    assert_eq!(error.error_code.as_deref(), Some("Unauthorized"));
    assert!(error.headers.is_some_and(|headers| headers.contains_key(WWW_AUTHENTICATE)));
    assert_eq!(HttpError::from(Denied::ForeignHost).status_code.as_status(), http::StatusCode::FORBIDDEN);
}
