//! The rules that the tables hold, whoever writes to them, and what repeated inserts do.

use super::blocks::{Ipv4Block, VpcPrefix};
use super::schema::{POSTGRES, SQLITE, TABLES};
use super::subnets::{NewSubnet, SubnetRole};
use super::{PageRequest, firewall, parts, projects, routers, routes, subnets, vpcs};
use crate::scratch_postgres::Server;
use crate::store::error::{Rule, StoreError};
use crate::store::postgres::{self, PostgresStore};
use crate::store::sql::{Row, Statement};
use crate::store::sqlite::{self, SqliteStore};
use crate::store::{FatalHandler, SharedStore, Until, Write};
use crate::wire::external::{
    FirewallAction, FirewallDirection, FirewallFilter, FirewallRule, FirewallRuleUpdate, FirewallStatus,
    Project, Route, RouteEnd, RouteKind, Router, RouterKind, Vpc,
};
use crate::wire::ids::{FirewallRuleId, ProjectId, RouteId, RouterId, SagaId, SecId, SubnetId, VpcId};
use crate::wire::name::Name;
use crate::wire::time::Time;
use std::any::Any;
use std::sync::Arc;
use uuid::Uuid;

struct TestStore {
    store: SharedStore,
    _keep: Box<dyn Any>,
}

/// What the rules are the same on.
#[derive(Clone, Copy, Debug)]
enum Backend {
    Sqlite,
    Postgres,
}
/// Runs each test on each backend.
macro_rules! on_each_backend {
    ($($test:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::Backend::Sqlite).await;
            })*
        }
        mod on_postgres {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::Backend::Postgres).await;
            })*
        }
    };
}

on_each_backend!(
    raw_writes_are_held_to_the_rules,
    subnets_cannot_be_moved_over_one_another,
    a_repeated_insert_counts_its_row_even_when_the_parent_is_going,
    lists_go_by_key_a_page_at_a_time_and_leave_out_what_is_going,
);

fn moment() -> Time {
    Time::from_timestamp(1_700_000_000, 0).expect("a time in range")
}

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn project(number: u128, text: &str) -> Project {
    Project {
        id: ProjectId::from_uuid(Uuid::from_u128(number)),
        name: name(text),
        description: String::new(),
        time_created: moment(),
        time_modified: moment(),
    }
}

fn vpc() -> Vpc {
    Vpc {
        id: VpcId::from_uuid(Uuid::from_u128(2)),
        name: name("moon"),
        description: String::new(),
        project_id: project(1, "apollo").id,
        system_router_id: router(3, "system").id,
        dns_name: name("moon"),
        ipv6_prefix: VpcPrefix::from_uuid(Uuid::nil()).to_string(),
        time_created: moment(),
        time_modified: moment(),
    }
}

fn router(number: u128, text: &str) -> Router {
    Router {
        id: RouterId::from_uuid(Uuid::from_u128(number)),
        name: name(text),
        description: String::new(),
        kind: RouterKind::Custom,
        vpc_id: VpcId::from_uuid(Uuid::from_u128(2)),
        time_created: moment(),
        time_modified: moment(),
    }
}

fn saga(number: u128) -> SagaId {
    SagaId::from_uuid(Uuid::from_u128(number))
}

impl TestStore {
    fn new(backend: Backend) -> Self {
        let on_fatal: FatalHandler = Arc::new(|why| panic!("the store gave up: {why}"));
        match backend {
            Backend::Sqlite => {
                let dir = tempfile::tempdir().expect("a temporary directory");
                let store =
                    SqliteStore::open(&dir.path().join("test.db"), sqlite::OpenOptions::new(on_fatal));
                Self { store: Arc::new(store.expect("a new database")), _keep: Box::new(dir) }
            }
            Backend::Postgres => {
                let database = Server::shared().database();
                let options = postgres::OpenOptions::new(SecId::random(), on_fatal);
                let store = PostgresStore::open(&database.url(), options);
                Self { store: Arc::new(store.expect("a new database")), _keep: Box::new(database) }
            }
        }
    }

    /// With a project, a VPC, a router, a subnet, a route to it and a firewall rule.
    async fn with_a_project(backend: Backend) -> Self {
        let this = Self::new(backend);
        let (vpc, rule_set) = (vpc(), Uuid::from_u128(7));
        let subnet = NewSubnet {
            id: SubnetId::from_uuid(Uuid::from_u128(4)),
            vpc_id: vpc.id,
            name: name("default"),
            description: String::new(),
            ipv4_block: Ipv4Block::DEFAULT,
            ipv6_block: VpcPrefix::from_uuid(Uuid::nil()).subnet(0),
            role: SubnetRole::Default,
            time_created: moment(),
        };
        let route = Route {
            id: RouteId::from_uuid(Uuid::from_u128(5)),
            name: name("default"),
            description: String::new(),
            kind: RouteKind::VpcSubnet,
            vpc_router_id: vpc.system_router_id,
            target: RouteEnd::Subnet(name("default")),
            destination: RouteEnd::Subnet(name("default")),
            time_created: moment(),
            time_modified: moment(),
        };
        let rule = FirewallRule {
            id: FirewallRuleId::from_uuid(Uuid::from_u128(6)),
            vpc_id: vpc.id,
            rule: FirewallRuleUpdate {
                name: name("allow-all"),
                description: String::new(),
                action: FirewallAction::Allow,
                direction: FirewallDirection::Inbound,
                status: FirewallStatus::Enabled,
                priority: 1,
                targets: Vec::new(),
                filters: FirewallFilter::default(),
            },
            time_created: moment(),
            time_modified: moment(),
        };
        let project = project(1, "apollo");
        let statements = vec![
            projects::insert(&project),
            projects::insert_quota(project.id, 10),
            vpcs::insert(&vpc, rule_set),
            routers::insert(&router(3, "system")),
            subnets::insert(&subnet),
            routes::insert(&route, Some(subnet.id)),
            firewall::insert(&rule, rule_set),
        ];
        this.store.write(Write::all(statements), Until::Durable).await.expect("a new project");
        this
    }

    async fn write(&self, statement: Statement) -> Result<u64, StoreError> {
        let applied = self.store.write(Write::one(statement), Until::Durable).await?;
        Ok(applied.rows[0])
    }

    async fn refusal(&self, sql: &'static str) -> Rule {
        match self.write(Statement::new(sql, Vec::new())).await {
            Err(StoreError::Refused(refusal)) => refusal.rule,
            other => panic!("{sql} should have been refused: {other:?}"),
        }
    }

    async fn contents(&self) -> Vec<Vec<Row>> {
        let mut contents = Vec::new();
        for table in TABLES {
            let sql: &'static str = Box::leak(format!("SELECT * FROM {table}").into_boxed_str());
            let mut rows = self.store.read(Statement::new(sql, Vec::new())).await.expect("a table");
            rows.sort_by_key(|row| format!("{row:?}"));
            contents.push(rows);
        }
        contents
    }
}

#[test]
fn no_table_is_forgotten() {
    for schema in [SQLITE, POSTGRES] {
        let mut made: Vec<&str> = schema
            .lines()
            .filter_map(|line| line.strip_prefix("CREATE TABLE ")?.strip_suffix(" ("))
            .collect();
        made.sort_unstable();
        let mut listed = TABLES.to_vec();
        listed.sort_unstable();
        assert_eq!(made, listed);
    }
}

async fn raw_writes_are_held_to_the_rules(backend: Backend) {
    let bed = TestStore::with_a_project(backend).await;
    let cases = [
        (
            "INSERT INTO project SELECT '00000000-0000-0000-0000-0000000000ff', name, description, time_created, time_modified, NULL FROM project",
            Rule::Unique,
        ),
        ("UPDATE project SET name = ''", Rule::Check),
        ("DELETE FROM project", Rule::ForeignKey),
        ("DELETE FROM vpc", Rule::ForeignKey),
        ("DELETE FROM vpc_subnet", Rule::ForeignKey),
        ("UPDATE vpc SET project_id = '00000000-0000-0000-0000-0000000000ff'", Rule::ForeignKey),
        (
            "INSERT INTO vpc_subnet SELECT '00000000-0000-0000-0000-0000000000ff', vpc_id, project_id, 'other', description, ipv4_block, \
             ipv4_first + 8, ipv4_last + 8, ipv6_block, ipv6_index + 1, 0, time_created, time_modified, NULL \
             FROM vpc_subnet",
            Rule::Trigger,
        ),
        (
            "INSERT INTO vpc_subnet SELECT '00000000-0000-0000-0000-0000000000ff', vpc_id, project_id, 'other', description, ipv4_block, \
             ipv4_first + 65536, ipv4_last + 65536, ipv6_block, ipv6_index, 0, time_created, time_modified, NULL \
             FROM vpc_subnet",
            Rule::Trigger,
        ),
        ("UPDATE vpc_firewall_rule SET priority = 65536", Rule::Check),
        ("UPDATE router_route SET vpc_subnet_id = NULL", Rule::Check),
    ];
    let before = bed.contents().await;
    for (sql, rule) in cases {
        assert_eq!(bed.refusal(sql).await, rule, "{sql}");
    }
    assert_eq!(bed.contents().await, before);
}

async fn subnets_cannot_be_moved_over_one_another(backend: Backend) {
    let bed = TestStore::with_a_project(backend).await;
    let apart = Statement::new(
        "INSERT INTO vpc_subnet SELECT '00000000-0000-0000-0000-0000000000ff', vpc_id, project_id, 'other', description, '10.0.0.0/26', \
         167772160, 167772223, ipv6_block, 7, 0, time_created, time_modified, NULL FROM vpc_subnet",
        Vec::new(),
    );
    assert_eq!(bed.write(apart).await.expect("it fits"), 1);
    let onto = "UPDATE vpc_subnet SET ipv4_first = 2887647232, ipv4_last = 2887647487 WHERE id = '00000000-0000-0000-0000-0000000000ff'";
    assert_eq!(bed.refusal(onto).await, Rule::Trigger);
    assert_eq!(
        bed.refusal("UPDATE vpc_subnet SET ipv6_index = 0 WHERE id = '00000000-0000-0000-0000-0000000000ff'")
            .await,
        Rule::Trigger
    );
}

async fn a_repeated_insert_counts_its_row_even_when_the_parent_is_going(backend: Backend) {
    let bed = TestStore::with_a_project(backend).await;
    let vpc = vpc().id;
    let north = router(10, "north");
    assert_eq!(bed.write(routers::insert(&north)).await.expect("a new row"), 1);
    let before = bed.contents().await;
    assert_eq!(bed.write(routers::insert(&north)).await.expect("the same row"), 1);
    assert_eq!(bed.contents().await, before);

    bed.write(vpcs::mark(vpc, saga(20))).await.expect("a mark");
    assert_eq!(bed.write(routers::insert(&north)).await.expect("the same row"), 1);
    let late = bed.write(routers::insert(&router(11, "south"))).await;
    assert!(
        matches!(late, Err(StoreError::Refused(ref refusal)) if refusal.rule == Rule::RowCount),
        "{late:?}"
    );
    let other = bed.write(vpcs::mark(vpc, saga(21))).await;
    assert!(matches!(other, Err(StoreError::Refused(_))), "marked by another saga: {other:?}");
    bed.write(vpcs::mark(vpc, saga(20))).await.expect("the same mark");
}

async fn lists_go_by_key_a_page_at_a_time_and_leave_out_what_is_going(backend: Backend) {
    let bed = TestStore::new(backend);
    for (number, text) in [(1, "delta"), (2, "alpha"), (3, "charlie"), (4, "bravo")] {
        bed.write(projects::insert(&project(number, text))).await.expect("a new project");
    }
    let list = async |page: PageRequest| {
        let projects = projects::list_projects(&*bed.store, &page).await.expect("a read");
        projects.into_iter().map(|project| project.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(list(PageRequest::by_name(None, 3)).await, ["alpha", "bravo", "charlie"]);
    assert_eq!(list(PageRequest::by_name(Some(name("charlie")), 3)).await, ["delta"]);
    assert_eq!(list(PageRequest::by_id(None, 10)).await, ["delta", "alpha", "charlie", "bravo"]);
    assert_eq!(list(PageRequest::by_id(Some(Uuid::from_u128(2)), 10)).await, ["charlie", "bravo"]);
    bed.write(projects::mark(project(3, "charlie").id, saga(20))).await.expect("a mark");
    assert_eq!(list(PageRequest::by_name(None, 10)).await, ["alpha", "bravo", "delta"]);
}

#[tokio::test]
async fn removing_a_project_scans_no_table() {
    let bed = TestStore::with_a_project(Backend::Sqlite).await;
    for statement in parts::delete_project(project(1, "apollo").id) {
        let sql: &'static str = Box::leak(format!("EXPLAIN QUERY PLAN {}", statement.sql).into_boxed_str());
        let plan = bed.store.read(Statement::new(sql, statement.params)).await.expect("a plan");
        for row in plan {
            let step = row.text(3).expect("the plan's text");
            assert!(!step.starts_with("SCAN"), "{}: {step}", statement.sql);
        }
    }
}
