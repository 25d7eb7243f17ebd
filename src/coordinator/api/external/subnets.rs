//! Subnets of VPCs.

use super::super::errors::{internal, invalid_request};
use super::ExternalContext;
use super::errors::store_failed;
use super::requests::{self, CreateHeaders};
use super::select::{InVpc, VpcSelector};
use super::{select, validate};
use crate::coordinator::sagas::vpc_subnet_create::{self, VpcSubnetCreate};
use crate::coordinator::sagas::vpc_subnet_delete::{self, VpcSubnetDelete};
use crate::store::domain::blocks::{Ipv4Block, Ipv6Block, VpcPrefix};
use crate::store::domain::subnets::{self, SubnetRole};
use crate::wire::external::{Subnet, SubnetCreate as Body, Vpc};
use crate::wire::name::NameOrId;
use crate::wire::time::now;
use dropshot::HttpError;
use rand::Rng;

pub(super) async fn create(
    context: &ExternalContext,
    headers: CreateHeaders,
    selector: VpcSelector,
    body: Body,
) -> Result<Subnet, HttpError> {
    let key = requests::key::<VpcSubnetCreate>(headers, &selector, &body)?;
    requests::create::<VpcSubnetCreate>(context, key, async {
        validate::description(&body.description)?;
        let ipv4_block: Ipv4Block =
            body.ipv4_block.parse().map_err(|error| invalid_request(format!("ipv4_block: {error}")))?;
        let vpc = select::vpc(&*context.store, selector.project.as_ref(), &selector.vpc).await?;
        let ipv6_block = match &body.ipv6_block {
            Some(text) => given_ipv6_block(&vpc, text)?,
            None => free_ipv6_block(context, &vpc).await?,
        };
        Ok(vpc_subnet_create::Params {
            vpc_id: vpc.id,
            system_router_id: vpc.system_router_id,
            name: body.name,
            description: body.description,
            ipv4_block,
            ipv6_block,
            time_created: now(),
        })
    })
    .await
}

fn prefix(vpc: &Vpc) -> Result<VpcPrefix, HttpError> {
    vpc.ipv6_prefix.parse().map_err(|error| internal(format!("prefix of VPC {}: {error}", vpc.id)))
}

fn given_ipv6_block(vpc: &Vpc, text: &str) -> Result<Ipv6Block, HttpError> {
    let block: Ipv6Block = text.parse().map_err(|error| invalid_request(format!("ipv6_block: {error}")))?;
    if block.prefix() != prefix(vpc)? {
        return Err(invalid_request(format!(
            "ipv6_block: {text:?} is not within the VPC's prefix {}",
            vpc.ipv6_prefix
        )));
    }
    Ok(block)
}

/// A /64 that no subnet has at this moment. Chosen at random, so that two requests at the same moment do not both take the
/// first that is free; should they meet all the same, the database refuses the later one.
async fn free_ipv6_block(context: &ExternalContext, vpc: &Vpc) -> Result<Ipv6Block, HttpError> {
    let taken = subnets::list_ipv6_indexes(&*context.store, vpc.id).await.map_err(store_failed)?;
    let index = nth_free(&taken, rand::rng().random())
        .ok_or_else(|| invalid_request("the VPC has no IPv6 range left".to_owned()))?;
    Ok(prefix(vpc)?.subnet(index))
}

/// A number that is not among `taken` (ascending), picked by `random`.
fn nth_free(taken: &[u16], random: u32) -> Option<u16> {
    let free = (usize::from(u16::MAX) + 1).checked_sub(taken.len()).filter(|free| *free > 0)?;
    let mut index = random as usize % free;
    for taken in taken {
        if usize::from(*taken) <= index {
            index += 1;
        }
    }
    u16::try_from(index).ok()
}

pub(super) async fn delete(
    context: &ExternalContext,
    within: &InVpc,
    subnet: &NameOrId,
) -> Result<(), HttpError> {
    let subnet_id = select::subnet(&*context.store, within, subnet).await?.id;
    let role = subnets::find_role(&*context.store, subnet_id).await.map_err(store_failed)?;
    if role == Some(SubnetRole::Default) {
        return Err(invalid_request("the default subnet of a VPC goes with its VPC only".to_owned()));
    }
    requests::run::<VpcSubnetDelete>(context, &vpc_subnet_delete::Params { subnet_id }).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_range_is_one_that_is_not_taken() {
        assert_eq!(nth_free(&[], 7), Some(7));
        assert_eq!(nth_free(&[0], 0), Some(1));
        assert_eq!(nth_free(&[0, 1, 3], 0), Some(2));
        assert_eq!(nth_free(&[0, 1, 3], 1), Some(4));
        assert_eq!(nth_free(&[2], 65534), Some(65535));
        assert_eq!(nth_free(&[2], 65535), Some(0));
        let all: Vec<u16> = (0..=u16::MAX).collect();
        assert_eq!(nth_free(&all, 5), None);
        assert_eq!(nth_free(&all[1..], 5), Some(0));
    }
}
