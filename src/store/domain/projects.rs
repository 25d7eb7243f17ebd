//! Projects, and the quota that comes with each.

use super::listing::{Listing, PageRequest, find};
use super::{GONE, PARENT_GONE};
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::sql::{Row, Statement, Value};
use crate::wire::external::Project;
use crate::wire::ids::{ProjectId, SagaId};
use crate::wire::name::NameOrId;

/// VPCs that a new project may have.
pub const DEFAULT_MAX_VPCS: i64 = 100;

/// Adds a project.
pub fn insert(project: &Project) -> Statement {
    Statement::new(
        "INSERT INTO project (id, name, description, time_created, time_modified) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (id) DO UPDATE SET time_created = excluded.time_created",
        vec![
            project.id.into(),
            project.name.as_str().into(),
            project.description.as_str().into(),
            project.time_created.into(),
            project.time_modified.into(),
        ],
    )
}

/// Adds a project's quota.
pub fn insert_quota(project: ProjectId, max_vpcs: i64) -> Statement {
    Statement::new(
        "INSERT INTO project_quota (project_id, max_vpcs) SELECT id, $1 FROM project WHERE id = $2 \
         AND (deleted_by IS NULL OR EXISTS (SELECT 1 FROM project_quota WHERE project_id = $2)) \
         /*pg FOR SHARE OF project*/ \
         ON CONFLICT (project_id) DO UPDATE SET max_vpcs = excluded.max_vpcs",
        vec![max_vpcs.into(), project.into()],
    )
    .changing_one(PARENT_GONE)
}

/// Removes a project's quota.
pub fn delete_quota(project: ProjectId) -> Statement {
    Statement::new("DELETE FROM project_quota WHERE project_id = $1", vec![project.into()])
}

/// Removes a project in which there is nothing any more.
pub fn delete(project: ProjectId) -> Statement {
    Statement::new("DELETE FROM project WHERE id = $1", vec![project.into()])
}

/// Marks a project as being deleted by `saga`.
pub fn mark(project: ProjectId, saga: SagaId) -> Statement {
    Statement::new(
        "UPDATE project SET deleted_by = $1 WHERE id = $2 AND (deleted_by IS NULL OR deleted_by = $1)",
        vec![saga.into(), project.into()],
    )
    .changing_one(GONE)
}

/// Takes that mark back.
pub fn unmark(project: ProjectId, saga: SagaId) -> Statement {
    Statement::new(
        "UPDATE project SET deleted_by = NULL WHERE id = $1 AND deleted_by = $2",
        vec![project.into(), saga.into()],
    )
}

macro_rules! columns {
    () => {
        "id, name, description, time_created, time_modified"
    };
}

const LISTING: Listing = Listing {
    by_name: concat!(
        "SELECT ",
        columns!(),
        " FROM project WHERE deleted_by IS NULL AND name > $1 ORDER BY name LIMIT $2"
    ),
    by_id: concat!(
        "SELECT ",
        columns!(),
        " FROM project WHERE deleted_by IS NULL AND id > $1 ORDER BY id LIMIT $2"
    ),
};

/// Projects, a page at a time.
pub async fn list_projects(store: &dyn Store, page: &PageRequest) -> Result<Vec<Project>, StoreError> {
    LISTING.page(store, None, page, read).await
}

/// The project of this name or id.
pub async fn find_project(store: &dyn Store, project: &NameOrId) -> Result<Option<Project>, StoreError> {
    let (sql, key) = match project {
        NameOrId::Id(id) => (
            concat!("SELECT ", columns!(), " FROM project WHERE id = $1 AND deleted_by IS NULL"),
            Value::from(*id),
        ),
        NameOrId::Name(name) => (
            concat!("SELECT ", columns!(), " FROM project WHERE name = $1 AND deleted_by IS NULL"),
            Value::from(name.as_str()),
        ),
    };
    find(store, Statement::new(sql, vec![key]), read).await
}

fn read(row: &Row) -> Result<Project, StoreError> {
    Ok(Project {
        id: ProjectId::from_uuid(row.uuid(0)?),
        name: row.parsed(1, "a name")?,
        description: row.text(2)?.to_owned(),
        time_created: row.time(3)?,
        time_modified: row.time(4)?,
    })
}
