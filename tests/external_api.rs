//! The external API over HTTP, on a coordinator of its own per test.

use reqwest::{Method, StatusCode};
use sagactl::coordinator::access::Access;
use sagactl::coordinator::server::{Config, Coordinator, DATABASE_FILE, Database, SagaSet};
use sagactl::store::domain::schema::TABLES;
use sagactl::store::sql::Statement;
use serde_json::{Value, json};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest wait for something that has to happen.
const DEADLINE: Duration = Duration::from_secs(30);

/// A coordinator in this process and a client for its external API.
struct Api {
    url: String,
    client: reqwest::Client,
    coordinator: Option<Coordinator>,
    _dir: Option<tempfile::TempDir>,
}

/// What was answered.
#[derive(Clone, Debug, PartialEq)]
struct Answer {
    status: StatusCode,
    body: Value,
}

impl Api {
    fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let free_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let coordinator = Coordinator::start(Config {
            data_dir: dir.path().to_owned(),
            database: Database::Sqlite(dir.path().join(DATABASE_FILE)),
            internal: free_port,
            external: free_port,
            access: Access::default(),
            sec_id: None,
            recovery_period: Duration::from_secs(600),
            abandon_unrecoverable: false,
            allow_faults: false,
            always_strict: false,
            sagas: SagaSet::reference(),
            look_at_database: Box::new(|_| panic!("nobody asks the internal API")),
            on_fatal: Arc::new(|why| panic!("the coordinator gave up: {why}")),
            log: slog::Logger::root(slog::Discard, slog::o!()),
        })
        .expect("a coordinator");
        let url = coordinator.ready().external_url.clone();
        Self { url, client: client(), coordinator: Some(coordinator), _dir: Some(dir) }
    }

    fn at(url: &str) -> Self {
        Self { url: url.to_owned(), client: client(), coordinator: None, _dir: None }
    }

    async fn send(&self, method: Method, path: &str, key: Option<&str>, body: Option<&Value>) -> Answer {
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.expect("an answer");
        let status = response.status();
        let request_id = response.headers().get("x-request-id").cloned();
        let text = response.text().await.expect("a body");
        let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect("JSON") };
        if !status.is_success() {
            assert_eq!(body["request_id"].as_str(), request_id.as_ref().and_then(|id| id.to_str().ok()));
        }
        Answer { status, body }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None, None).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, None, Some(&body)).await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None, None).await
    }

    async fn project(&self, name: &str) -> Answer {
        self.post("/v1/projects", json!({"name": name, "description": "for a test"})).await
    }

    /// The number that a question to the coordinator's database answers.
    async fn count(&self, sql: String) -> i64 {
        let store = self.coordinator.as_ref().expect("a coordinator in this process").store();
        let statement = Statement::new(Box::leak(sql.into_boxed_str()), Vec::new());
        let rows = store.read(statement).await.expect("a read");
        rows[0].int(0).expect("a number")
    }

    /// The whole list, names only, and how many pages it took.
    async fn names(&self, path: &str, query: &str) -> (Vec<String>, usize) {
        let (mut names, mut pages, mut next) = (Vec::new(), 0, format!("{path}?{query}"));
        loop {
            let page = self.get(&next).await.expect(StatusCode::OK);
            pages += 1;
            let items = page["items"].as_array().expect("a page has items");
            names.extend(items.iter().map(|item| item["name"].as_str().expect("a name").to_owned()));
            match page["next_page"].as_str() {
                Some(token) => next = format!("{path}?page_token={token}"),
                None => return (names, pages),
            }
        }
    }
}

fn client() -> reqwest::Client {
    // The library chooses its own for each client it makes, and reqwest none. Who was first does not matter.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::builder().no_proxy().timeout(DEADLINE).build().expect("a client")
}

impl Answer {
    fn expect(self, status: StatusCode) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    fn expect_error(self, status: u16, code: Option<&str>, message: &str) {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        assert_eq!(self.body["error_code"].as_str(), code, "{}", self.body);
        let said = self.body["message"].as_str().expect("a message");
        assert!(said.contains(message), "{said:?} should contain {message:?}");
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

#[tokio::test]
async fn a_project_comes_with_its_vpc_and_goes_with_it() {
    let api = Api::start();
    assert_eq!(api.get("/v1/ping").await.expect(StatusCode::OK), json!({"status": "ok"}));
    let project = api.project("apollo").await.expect(StatusCode::CREATED);
    let id = text(&project["id"]);
    for by in ["apollo", id] {
        assert_eq!(api.get(&format!("/v1/projects/{by}")).await.expect(StatusCode::OK), project);
    }
    let vpc = api.get("/v1/vpcs/default?project=apollo").await.expect(StatusCode::OK);
    assert_eq!(vpc["project_id"], project["id"]);
    assert_eq!(api.get(&format!("/v1/vpcs/{}", text(&vpc["id"]))).await.expect(StatusCode::OK), vpc);
    let within = "project=apollo&vpc=default";
    let lists = [
        ("/v1/vpcs", "project=apollo".to_owned(), vec!["default"]),
        ("/v1/vpc-subnets", within.to_owned(), vec!["default"]),
        ("/v1/vpc-routers", within.to_owned(), vec!["system"]),
        (
            "/v1/vpc-router-routes",
            format!("{within}&router=system"),
            vec!["default", "default-v4", "default-v6"],
        ),
    ];
    for (path, query, expected) in lists {
        assert_eq!(api.names(path, &query).await.0, expected, "{path}");
    }
    let rules = api.get(&format!("/v1/vpc-firewall-rules?{within}")).await.expect(StatusCode::OK);
    let names: Vec<&str> =
        rules["rules"].as_array().expect("rules").iter().map(|rule| text(&rule["name"])).collect();
    assert_eq!(names, ["allow-icmp", "allow-internal-inbound", "allow-ssh"]);

    api.delete("/v1/projects/apollo").await.expect(StatusCode::NO_CONTENT);
    let gone = "not found: project with name \"apollo\"";
    api.get("/v1/projects/apollo").await.expect_error(404, Some("ObjectNotFound"), gone);
    api.delete("/v1/projects/apollo").await.expect_error(404, Some("ObjectNotFound"), gone);
    let gone = format!("not found: project with id \"{id}\"");
    api.get(&format!("/v1/projects/{id}")).await.expect_error(404, Some("ObjectNotFound"), &gone);
    let again = api.project("apollo").await.expect(StatusCode::CREATED);
    assert_ne!(again["id"], project["id"]);
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_in_nexus_words() {
    let api = Api::start();
    api.project("apollo").await.expect(StatusCode::CREATED);
    let exists = "already exists: project \"apollo\"";
    api.project("apollo").await.expect_error(400, Some("ObjectAlreadyExists"), exists);
    api.project("Apollo").await.expect_error(400, None, "begin with an ASCII lowercase");
    let body = json!({"name": "gemini", "description": "x".repeat(513)});
    api.post("/v1/projects", body).await.expect_error(400, Some("InvalidRequest"), "at most 512");
    api.post("/v1/projects", json!({"name": "gemini"})).await.expect_error(400, None, "description");
    let large = json!({"name": "gemini", "description": "x".repeat(65536)});
    api.post("/v1/projects", large).await.expect_error(400, None, "65536 bytes");
    let vpc = json!({"name": "moon", "description": "", "dns_name": "moon"});
    let missing = "not found: project with name \"gemini\"";
    api.post("/v1/vpcs?project=gemini", vpc.clone()).await.expect_error(404, Some("ObjectNotFound"), missing);
    api.post("/v1/vpcs", vpc).await.expect_error(400, None, "project");
    api.get("/v1/vpcs/default").await.expect_error(400, Some("InvalidRequest"), "\"project\" must be given");
    let missing = "not found: vpc with name \"moon\"";
    api.get("/v1/vpcs/moon?project=apollo").await.expect_error(404, Some("ObjectNotFound"), missing);
    let id = text(&api.get("/v1/vpcs/default?project=apollo").await.body["id"]).to_owned();
    let both = api.get(&format!("/v1/vpcs/{id}?project=apollo")).await;
    both.expect_error(400, Some("InvalidRequest"), "must not be given");
    api.get("/v1/projects?limit=0").await.expect_error(400, None, "");
    api.get("/v1/projects?page_token=nonsense").await.expect_error(400, None, "");
    api.get("/v1/nowhere").await.expect_error(404, None, "");
    api.send(Method::PATCH, "/v1/projects", None, None).await.expect_error(405, None, "");
    let no_json = api
        .client
        .post(format!("{}/v1/projects", api.url))
        .body("{")
        .header("content-type", "application/json");
    assert_eq!(no_json.send().await.expect("an answer").status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn lists_come_in_pages() {
    let api = Api::start();
    let made = ["foxtrot", "alpha", "delta", "charlie", "bravo", "echo"];
    for name in made {
        api.project(name).await.expect(StatusCode::CREATED);
    }
    let sorted = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot"];
    // Only an empty page has no token, so there is one page more than hold anything.
    assert_eq!(api.names("/v1/projects", "limit=3").await, (sorted.map(str::to_owned).to_vec(), 3));
    assert_eq!(api.names("/v1/projects", "").await, (sorted.map(str::to_owned).to_vec(), 2));
    assert_eq!(
        api.names("/v1/projects", "limit=4&sort_by=id_ascending").await,
        (made.map(str::to_owned).to_vec(), 3)
    );
    let within = "project=alpha&vpc=default&router=system&limit=2";
    assert_eq!(api.names("/v1/vpc-router-routes", within).await.0, ["default", "default-v4", "default-v6"]);
}

#[tokio::test]
async fn subnets_of_one_vpc_are_kept_apart() {
    let api = Api::start();
    api.project("apollo").await.expect(StatusCode::CREATED);
    let subnets = "/v1/vpc-subnets?project=apollo&vpc=default";
    let body = |name: &str, block: &str| json!({"name": name, "description": "", "ipv4_block": block});
    let one = api.post(subnets, body("one", "10.0.0.0/16")).await.expect(StatusCode::CREATED);
    let vpc = api.get("/v1/vpcs/default?project=apollo").await.expect(StatusCode::OK);
    let prefix = text(&vpc["ipv6_prefix"]).trim_end_matches("::/48").to_owned();
    assert!(text(&one["ipv6_block"]).starts_with(&prefix), "{one} in {prefix}");
    let overlap = api.post(subnets, body("two", "10.0.4.0/24")).await;
    overlap.expect_error(400, Some("InvalidRequest"), "overlaps");
    let mut given = body("two", "10.1.0.0/24");
    given["ipv6_block"] = one["ipv6_block"].clone();
    api.post(subnets, given.clone()).await.expect_error(400, Some("InvalidRequest"), "IPv6 range");
    given["ipv6_block"] = json!("fd00::/64");
    api.post(subnets, given.clone()).await.expect_error(
        400,
        Some("InvalidRequest"),
        "not within the VPC's prefix",
    );
    let bad = api.post(subnets, body("two", "8.8.8.0/24")).await;
    bad.expect_error(400, Some("InvalidRequest"), "ipv4_block: \"8.8.8.0/24\" is not within a private range");
    let taken = "already exists: vpc-subnet \"one\"";
    api.post(subnets, body("one", "10.1.0.0/24")).await.expect_error(400, Some("ObjectAlreadyExists"), taken);

    let path = |subnet: &str| format!("/v1/vpc-subnets/{subnet}");
    assert_eq!(api.get(&path(text(&one["id"]))).await.expect(StatusCode::OK), one);
    api.delete(&path("default?project=apollo&vpc=default")).await.expect_error(
        400,
        Some("InvalidRequest"),
        "default subnet",
    );
    api.delete(&path(text(&one["id"]))).await.expect(StatusCode::NO_CONTENT);
    assert_eq!(api.names("/v1/vpc-subnets", "project=apollo&vpc=default").await.0, ["default"]);
    api.post(subnets, body("one", "10.0.4.0/24")).await.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn routers_and_routes_of_users_come_and_go() {
    let api = Api::start();
    api.project("apollo").await.expect(StatusCode::CREATED);
    let within = "project=apollo&vpc=default";
    let router = json!({"name": "north", "description": ""});
    let router = api.post(&format!("/v1/vpc-routers?{within}"), router).await.expect(StatusCode::CREATED);
    assert_eq!(router["kind"], "custom");
    let body = json!({"name": "home", "description": "", "target": {"type": "drop"},
                      "destination": {"type": "ip_net", "value": "10.0.0.0/8"}});
    let routes = format!("/v1/vpc-router-routes?router={}", text(&router["id"]));
    let route = api.post(&routes, body).await.expect(StatusCode::CREATED);
    let found = api.get(&format!("/v1/vpc-router-routes/home?{within}&router=north")).await;
    assert_eq!(found.expect(StatusCode::OK), route);
    let path = |name: &str| format!("/v1/vpc-router-routes/{name}?{within}&router=system");
    api.delete(&path("default-v4")).await.expect_error(
        400,
        Some("InvalidRequest"),
        "only routes that a user made",
    );
    let system = api.delete(&format!("/v1/vpc-routers/system?{within}")).await;
    system.expect_error(400, Some("InvalidRequest"), "system router");
    let one = format!("/v1/vpc-router-routes/{}", text(&route["id"]));
    api.delete(&one).await.expect(StatusCode::NO_CONTENT);
    api.get(&one).await.expect_error(404, Some("ObjectNotFound"), "not found: router-route with id");
    api.delete(&format!("/v1/vpc-routers/north?{within}")).await.expect(StatusCode::NO_CONTENT);
    assert_eq!(api.names("/v1/vpc-routers", within).await.0, ["system"]);
}

#[tokio::test]
async fn firewall_rules_are_replaced_together() {
    let api = Api::start();
    api.project("apollo").await.expect(StatusCode::CREATED);
    let path = "/v1/vpc-firewall-rules?project=apollo&vpc=default";
    let rules = |names: &[&str]| {
        let rule = |name: &&str| {
            json!({"name": name, "description": "", "action": "deny", "direction": "outbound",
                   "status": "enabled", "priority": 7, "targets": [], "filters": {"ports": ["80"]}})
        };
        json!({"rules": names.iter().map(rule).collect::<Vec<_>>()})
    };
    let put = async |names: &[&str]| api.send(Method::PUT, path, None, Some(&rules(names))).await;
    let answer = put(&["b-rule", "a-rule"]).await.expect(StatusCode::OK);
    assert_eq!(api.get(path).await.expect(StatusCode::OK), answer);
    assert_eq!(answer["rules"].as_array().map(Vec::len), Some(2));
    put(&["twice", "twice"]).await.expect_error(400, Some("InvalidRequest"), "two firewall rules");

    let names: Vec<String> = (0..8).map(|number| format!("rule-{number}")).collect();
    let sets: Vec<Vec<&str>> = names.iter().map(|name| vec![name.as_str()]).collect();
    for answer in futures::future::join_all(sets.iter().map(|set| put(set))).await {
        assert!([200, 503].contains(&answer.status.as_u16()), "{}", answer.body);
    }
    let left = api.get(path).await.expect(StatusCode::OK);
    assert_eq!(left["rules"].as_array().map(Vec::len), Some(1), "{left}");
    put(&[]).await.expect(StatusCode::OK);
    assert_eq!(api.get(path).await.expect(StatusCode::OK), json!({"rules": []}));
}

#[tokio::test]
async fn a_repeated_request_gets_the_first_ones_answer() {
    let api = Api::start();
    let body = json!({"name": "apollo", "description": "first"});
    let create =
        async |key: &str, body: &Value| api.send(Method::POST, "/v1/projects", Some(key), Some(body)).await;
    let answers = futures::future::join_all((0..8).map(|_| create("k1", &body))).await;
    assert_eq!(answers[0].status, StatusCode::CREATED, "{}", answers[0].body);
    for answer in &answers {
        assert_eq!(answer, &answers[0]);
    }
    let other = json!({"name": "gemini", "description": "first"});
    let used = "idempotency key was used for another request";
    create("k1", &other).await.expect_error(400, Some("InvalidRequest"), used);
    let vpc = json!({"name": "apollo", "description": "first", "dns_name": "apollo"});
    let elsewhere = api.send(Method::POST, "/v1/vpcs?project=apollo", Some("k1"), Some(&vpc)).await;
    elsewhere.expect_error(400, Some("InvalidRequest"), used);

    for _ in 0..2 {
        let taken = create("k2", &json!({"name": "apollo", "description": "second"})).await;
        taken.expect_error(400, Some("ObjectAlreadyExists"), "already exists: project \"apollo\"");
    }
    create("", &body).await.expect_error(400, Some("InvalidRequest"), "1 to 255");
    create(&"k".repeat(256), &body).await.expect_error(400, Some("InvalidRequest"), "256 characters");

    // The answer is that of the time, whatever has become of the object.
    api.delete("/v1/projects/apollo").await.expect(StatusCode::NO_CONTENT);
    assert_eq!(create("k1", &body).await, answers[0]);
    assert_eq!(api.names("/v1/projects", "").await.0, [""; 0]);
    // A request that made no saga has not used its key up.
    let vpc_of = async || api.send(Method::POST, "/v1/vpcs?project=gemini", Some("k3"), Some(&vpc)).await;
    assert_eq!(vpc_of().await.status, StatusCode::NOT_FOUND);
    api.project("gemini").await.expect(StatusCode::CREATED);
    vpc_of().await.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn a_client_that_hangs_up_cancels_nothing() {
    let api = Api::start();
    let body = r#"{"name":"apollo","description":""}"#;
    let mut connection = TcpStream::connect(api.url.trim_start_matches("http://")).expect("a connection");
    write!(
        connection,
        "POST /v1/projects HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("a request");
    let deadline = Instant::now() + DEADLINE;
    // Who hangs up before the server has looked at the request has asked for nothing.
    let sagas = api.coordinator.as_ref().expect("a coordinator of the test's own").sagas();
    while sagas.counts().total() == 0 && api.get("/v1/projects/apollo").await.status != StatusCode::OK {
        assert!(Instant::now() < deadline, "no saga was ever made");
    }
    drop(connection);
    loop {
        let rules = api.get("/v1/vpc-firewall-rules?project=apollo&vpc=default").await;
        if rules.body["rules"].as_array().map(Vec::len) == Some(3) {
            break;
        }
        assert!(Instant::now() < deadline, "{} {}", rules.status, rules.body);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn what_is_deleted_while_it_is_made_is_gone() {
    let api = Api::start();
    let rounds = (0..40).map(|round| {
        let api = &api;
        async move {
            let name = format!("p{round}");
            let delete = async {
                let path = format!("/v1/projects/{name}");
                let deadline = Instant::now() + DEADLINE;
                while api.delete(&path).await.status == StatusCode::NOT_FOUND {
                    assert!(Instant::now() < deadline, "project {name} never came");
                    tokio::task::yield_now().await;
                }
            };
            let (made, ()) = tokio::join!(api.project(&name), delete);
            assert!([201, 404].contains(&made.status.as_u16()), "{} {}", made.status, made.body);
            made.status
        }
    });
    let statuses = futures::future::join_all(rounds).await;
    assert_eq!(api.names("/v1/projects", "").await.0, [""; 0], "{statuses:?}");
    // Not only out of sight: no row of any table is left, and no saga is stuck or at work.
    for table in TABLES {
        assert_eq!(api.count(format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
    }
    assert_eq!(api.count("SELECT count(*) FROM saga WHERE saga_state <> 'done'".to_owned()).await, 0);
    let undo_failed = "SELECT count(*) FROM saga_node_event WHERE event_type = 'undo_failed'";
    assert_eq!(api.count(undo_failed.to_owned()).await, 0);
}

/// A coordinator in a process of its own, which can be killed.
struct Process {
    child: Child,
    external_url: String,
}

impl Process {
    fn start(dir: &Path) -> Self {
        let ready = dir.join("ready.json");
        let _ = std::fs::remove_file(&ready);
        let child = Command::new(env!("CARGO_BIN_EXE_sagactl"))
            .args(["coordinator", "run", "--internal", "127.0.0.1:0", "--external", "127.0.0.1:0"])
            .arg("--data-dir")
            .arg(dir.join("data"))
            .arg("--ready-file")
            .arg(&ready)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the coordinator can be started");
        let mut this = Self { child, external_url: String::new() };
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Ok(text) = std::fs::read_to_string(&ready) {
                let ready: Value = serde_json::from_str(&text).expect("it is written in one go");
                this.external_url = text_of(&ready["external_url"]);
                return this;
            }
            assert!(Instant::now() < deadline, "the coordinator is not ready");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text_of(value: &Value) -> String {
    text(value).to_owned()
}

#[tokio::test]
async fn keys_survive_a_kill() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let first = Process::start(dir.path());
    let api = Api::at(&first.external_url);
    let body = |number: usize| json!({"name": format!("p{number}"), "description": ""});
    let key = |number: usize| format!("key-{number}");
    let done = api.send(Method::POST, "/v1/projects", Some(&key(0)), Some(&body(0))).await;
    assert_eq!(done.status, StatusCode::CREATED, "{}", done.body);
    // A few more are under way when the coordinator is killed.
    let url = first.external_url.clone();
    let under_way: Vec<_> = (1..=8)
        .map(|number| {
            let request = client().post(format!("{url}/v1/projects")).header("idempotency-key", key(number));
            let request = request.json(&body(number));
            tokio::spawn(async move { request.send().await.map(|response| response.status()) })
        })
        .collect();
    first.kill();
    for request in under_way {
        let _ = request.await.expect("no panic");
    }

    let second = Process::start(dir.path());
    let api = Api::at(&second.external_url);
    assert_eq!(api.send(Method::POST, "/v1/projects", Some(&key(0)), Some(&body(0))).await, done);
    for number in 1..=8 {
        let answer = api.send(Method::POST, "/v1/projects", Some(&key(number)), Some(&body(number))).await;
        let project = answer.expect(StatusCode::CREATED);
        assert_eq!(api.get(&format!("/v1/projects/p{number}")).await.expect(StatusCode::OK), project);
    }
    assert_eq!(api.names("/v1/projects", "").await.0.len(), 9);
}
