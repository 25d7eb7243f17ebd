//! Projects.

use super::ExternalContext;
use super::requests::{self, CreateHeaders};
use super::{select, validate};
use crate::coordinator::sagas::project_create::{self, ProjectCreate};
use crate::coordinator::sagas::project_delete::{self, ProjectDelete};
use crate::wire::external::{Project, ProjectCreate as Body};
use crate::wire::name::NameOrId;
use crate::wire::time::now;
use dropshot::HttpError;

pub(super) async fn create(
    context: &ExternalContext,
    headers: CreateHeaders,
    body: Body,
) -> Result<Project, HttpError> {
    let key = requests::key::<ProjectCreate>(headers, &(), &body)?;
    requests::create::<ProjectCreate>(context, key, async {
        validate::description(&body.description)?;
        let Body { name, description } = body;
        Ok(project_create::Params { name, description, time_created: now() })
    })
    .await
}

pub(super) async fn delete(context: &ExternalContext, project: &NameOrId) -> Result<(), HttpError> {
    let project_id = select::project(&*context.store, project).await?.id;
    requests::run::<ProjectDelete>(context, &project_delete::Params { project_id }).await
}
