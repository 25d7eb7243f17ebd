//! The tables of the external API's objects.
//!
//! The database itself holds the rules, so that no path around the API breaks them: names are unique within their
//! parent, children cannot outlive parents, and ranges of one VPC's subnets do not overlap.
//!
//! # Being deleted
//!
//! `deleted_by` is the delete saga that has marked a row. A marked row is invisible to the API and takes no new children,
//! but keeps its name until the saga's last node removes it for real. Undoing a delete therefore never finds the name
//! taken by somebody else.
//!
//! # Keys
//!
//! Each table is clustered by an id that begins as its saga's does, with the time, so the rows that one saga writes are
//! neighbours, and each foreign key leads an index, so removing a parent never scans its children. `project_id` on the
//! tables below `vpc` is for questions by people; it always comes from the parent's row.

/// The statements for SQLite, for the migration that brings them.
pub const SQLITE: &str = "
CREATE TABLE project (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE CONSTRAINT project_name_length CHECK (length(name) BETWEEN 1 AND 63),
    description TEXT NOT NULL CONSTRAINT project_description_length CHECK (length(description) <= 512),
    time_created TEXT NOT NULL,
    time_modified TEXT NOT NULL,
    deleted_by TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE project_quota (
    project_id TEXT NOT NULL PRIMARY KEY REFERENCES project (id),
    max_vpcs INTEGER NOT NULL CONSTRAINT project_quota_vpcs CHECK (max_vpcs >= 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE vpc (
    id TEXT NOT NULL PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES project (id),
    name TEXT NOT NULL CONSTRAINT vpc_name_length CHECK (length(name) BETWEEN 1 AND 63),
    description TEXT NOT NULL CONSTRAINT vpc_description_length CHECK (length(description) <= 512),
    dns_name TEXT NOT NULL CONSTRAINT vpc_dns_name_length CHECK (length(dns_name) BETWEEN 1 AND 63),
    ipv6_prefix TEXT NOT NULL,
    system_router_id TEXT NOT NULL,
    firewall_rule_set TEXT NOT NULL,
    time_created TEXT NOT NULL,
    time_modified TEXT NOT NULL,
    time_ready TEXT,
    deleted_by TEXT,
    UNIQUE (project_id, name)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER vpc_within_quota BEFORE INSERT ON vpc
WHEN (SELECT count(*) FROM vpc WHERE project_id = new.project_id AND id <> new.id)
    >= (SELECT max_vpcs FROM project_quota WHERE project_id = new.project_id)
BEGIN
    SELECT RAISE(ABORT, 'the project has as many VPCs as its quota allows');
END;

CREATE TABLE vpc_router (
    id TEXT NOT NULL PRIMARY KEY,
    vpc_id TEXT NOT NULL REFERENCES vpc (id),
    project_id TEXT NOT NULL,
    kind TEXT NOT NULL CONSTRAINT vpc_router_kind CHECK (kind IN ('system', 'custom')),
    name TEXT NOT NULL CONSTRAINT vpc_router_name_length CHECK (length(name) BETWEEN 1 AND 63),
    description TEXT NOT NULL CONSTRAINT vpc_router_description_length CHECK (length(description) <= 512),
    time_created TEXT NOT NULL,
    time_modified TEXT NOT NULL,
    deleted_by TEXT,
    UNIQUE (vpc_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE internet_gateway (
    id TEXT NOT NULL PRIMARY KEY,
    vpc_id TEXT NOT NULL REFERENCES vpc (id),
    project_id TEXT NOT NULL,
    name TEXT NOT NULL CONSTRAINT internet_gateway_name_length CHECK (length(name) BETWEEN 1 AND 63),
    description TEXT NOT NULL,
    time_created TEXT NOT NULL,
    time_modified TEXT NOT NULL,
    deleted_by TEXT,
    UNIQUE (vpc_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE internet_gateway_pool (
    id TEXT NOT NULL PRIMARY KEY,
    internet_gateway_id TEXT NOT NULL REFERENCES internet_gateway (id),
    project_id TEXT NOT NULL,
    name TEXT NOT NULL CONSTRAINT internet_gateway_pool_name_length CHECK (length(name) BETWEEN 1 AND 63),
    time_created TEXT NOT NULL,
    deleted_by TEXT,
    UNIQUE (internet_gateway_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE vpc_subnet (
    id TEXT NOT NULL PRIMARY KEY,
    vpc_id TEXT NOT NULL REFERENCES vpc (id),
    project_id TEXT NOT NULL,
    name TEXT NOT NULL CONSTRAINT vpc_subnet_name_length CHECK (length(name) BETWEEN 1 AND 63),
    description TEXT NOT NULL CONSTRAINT vpc_subnet_description_length CHECK (length(description) <= 512),
    ipv4_block TEXT NOT NULL,
    ipv4_first INTEGER NOT NULL,
    ipv4_last INTEGER NOT NULL,
    ipv6_block TEXT NOT NULL,
    ipv6_index INTEGER NOT NULL CONSTRAINT vpc_subnet_ipv6_index CHECK (ipv6_index BETWEEN 0 AND 65535),
    is_default INTEGER NOT NULL CONSTRAINT vpc_subnet_is_default CHECK (is_default IN (0, 1)),
    time_created TEXT NOT NULL,
    time_modified TEXT NOT NULL,
    deleted_by TEXT,
    UNIQUE (vpc_id, name),
    CONSTRAINT vpc_subnet_ipv4_range CHECK (0 <= ipv4_first AND ipv4_first <= ipv4_last AND ipv4_last <= 4294967295)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER vpc_subnet_inserted_apart BEFORE INSERT ON vpc_subnet
BEGIN
    SELECT RAISE(ABORT, 'the IPv4 range overlaps with that of another subnet of the VPC')
    WHERE EXISTS (SELECT 1 FROM vpc_subnet AS other WHERE other.vpc_id = new.vpc_id AND other.id <> new.id
        AND other.ipv4_first <= new.ipv4_last AND other.ipv4_last >= new.ipv4_first);
    SELECT RAISE(ABORT, 'the IPv6 range is that of another subnet of the VPC')
    WHERE EXISTS (SELECT 1 FROM vpc_subnet AS other WHERE other.vpc_id = new.vpc_id AND other.id <> new.id
        AND other.ipv6_index = new.ipv6_index);
END;

CREATE TRIGGER vpc_subnet_moved_apart BEFORE UPDATE OF vpc_id, ipv4_first, ipv4_last, ipv6_index ON vpc_subnet
BEGIN
    SELECT RAISE(ABORT, 'the IPv4 range overlaps with that of another subnet of the VPC')
    WHERE EXISTS (SELECT 1 FROM vpc_subnet AS other WHERE other.vpc_id = new.vpc_id AND other.id <> new.id
        AND other.ipv4_first <= new.ipv4_last AND other.ipv4_last >= new.ipv4_first);
    SELECT RAISE(ABORT, 'the IPv6 range is that of another subnet of the VPC')
    WHERE EXISTS (SELECT 1 FROM vpc_subnet AS other WHERE other.vpc_id = new.vpc_id AND other.id <> new.id
        AND other.ipv6_index = new.ipv6_index);
END;

CREATE TABLE subnet_address_pool (
    subnet_id TEXT NOT NULL REFERENCES vpc_subnet (id),
    family INTEGER NOT NULL CONSTRAINT subnet_address_pool_family CHECK (family IN (4, 6)),
    project_id TEXT NOT NULL,
    first_address TEXT NOT NULL,
    last_address TEXT NOT NULL,
    deleted_by TEXT,
    PRIMARY KEY (subnet_id, family)
) STRICT, WITHOUT ROWID;

CREATE TABLE subnet_gateway (
    subnet_id TEXT NOT NULL PRIMARY KEY REFERENCES vpc_subnet (id),
    project_id TEXT NOT NULL,
    ipv4_address TEXT NOT NULL,
    ipv6_address TEXT NOT NULL,
    deleted_by TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE router_route (
    id TEXT NOT NULL PRIMARY KEY,
    vpc_router_id TEXT NOT NULL REFERENCES vpc_router (id),
    project_id TEXT NOT NULL,
    kind TEXT NOT NULL CONSTRAINT router_route_kind CHECK (kind IN ('default', 'vpc_subnet', 'custom')),
    name TEXT NOT NULL CONSTRAINT router_route_name_length CHECK (length(name) BETWEEN 1 AND 63),
    description TEXT NOT NULL CONSTRAINT router_route_description_length CHECK (length(description) <= 512),
    target TEXT NOT NULL,
    destination TEXT NOT NULL,
    vpc_subnet_id TEXT REFERENCES vpc_subnet (id),
    time_created TEXT NOT NULL,
    time_modified TEXT NOT NULL,
    deleted_by TEXT,
    UNIQUE (vpc_router_id, name),
    CONSTRAINT router_route_of_subnet CHECK ((kind = 'vpc_subnet') = (vpc_subnet_id IS NOT NULL))
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX router_route_by_subnet ON router_route (vpc_subnet_id) WHERE vpc_subnet_id IS NOT NULL;

CREATE TABLE vpc_dns_record (
    vpc_id TEXT NOT NULL PRIMARY KEY REFERENCES vpc (id),
    project_id TEXT NOT NULL,
    name TEXT NOT NULL CONSTRAINT vpc_dns_record_name_length CHECK (length(name) BETWEEN 1 AND 63),
    deleted_by TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE vpc_firewall_rule (
    id TEXT NOT NULL PRIMARY KEY,
    vpc_id TEXT NOT NULL REFERENCES vpc (id),
    project_id TEXT NOT NULL,
    rule_set TEXT NOT NULL,
    name TEXT NOT NULL CONSTRAINT vpc_firewall_rule_name_length CHECK (length(name) BETWEEN 1 AND 63),
    description TEXT NOT NULL CONSTRAINT vpc_firewall_rule_description_length CHECK (length(description) <= 512),
    action TEXT NOT NULL CONSTRAINT vpc_firewall_rule_action CHECK (action IN ('allow', 'deny')),
    direction TEXT NOT NULL
        CONSTRAINT vpc_firewall_rule_direction CHECK (direction IN ('inbound', 'outbound')),
    status TEXT NOT NULL CONSTRAINT vpc_firewall_rule_status CHECK (status IN ('enabled', 'disabled')),
    priority INTEGER NOT NULL CONSTRAINT vpc_firewall_rule_priority CHECK (priority BETWEEN 0 AND 65535),
    targets TEXT NOT NULL,
    filters TEXT NOT NULL,
    time_created TEXT NOT NULL,
    time_modified TEXT NOT NULL,
    deleted_by TEXT,
    UNIQUE (vpc_id, rule_set, name)
) STRICT, WITHOUT ROWID;
";

/// The same for PostgreSQL. What its triggers count and compare is kept still by locks on the parent that the statements
/// take: a trigger alone would not see what somebody else is about to commit.
pub const POSTGRES: &str = "
CREATE TABLE project (
    id UUID NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE CONSTRAINT project_name_length CHECK (length(name) BETWEEN 1 AND 63),
    description TEXT NOT NULL CONSTRAINT project_description_length CHECK (length(description) <= 512),
    time_created TIMESTAMPTZ NOT NULL,
    time_modified TIMESTAMPTZ NOT NULL,
    deleted_by UUID
);

CREATE TABLE project_quota (
    project_id UUID NOT NULL PRIMARY KEY REFERENCES project (id),
    max_vpcs BIGINT NOT NULL CONSTRAINT project_quota_vpcs CHECK (max_vpcs >= 0)
);

CREATE TABLE vpc (
    id UUID NOT NULL PRIMARY KEY,
    project_id UUID NOT NULL REFERENCES project (id),
    name TEXT NOT NULL CONSTRAINT vpc_name_length CHECK (length(name) BETWEEN 1 AND 63),
    description TEXT NOT NULL CONSTRAINT vpc_description_length CHECK (length(description) <= 512),
    dns_name TEXT NOT NULL CONSTRAINT vpc_dns_name_length CHECK (length(dns_name) BETWEEN 1 AND 63),
    ipv6_prefix TEXT NOT NULL,
    system_router_id UUID NOT NULL,
    firewall_rule_set UUID NOT NULL,
    time_created TIMESTAMPTZ NOT NULL,
    time_modified TIMESTAMPTZ NOT NULL,
    time_ready TIMESTAMPTZ,
    deleted_by UUID,
    UNIQUE (project_id, name)
);

CREATE TABLE vpc_router (
    id UUID NOT NULL PRIMARY KEY,
    vpc_id UUID NOT NULL REFERENCES vpc (id),
    project_id UUID NOT NULL,
    kind TEXT NOT NULL CONSTRAINT vpc_router_kind CHECK (kind IN ('system', 'custom')),
    name TEXT NOT NULL CONSTRAINT vpc_router_name_length CHECK (length(name) BETWEEN 1 AND 63),
    description TEXT NOT NULL CONSTRAINT vpc_router_description_length CHECK (length(description) <= 512),
    time_created TIMESTAMPTZ NOT NULL,
    time_modified TIMESTAMPTZ NOT NULL,
    deleted_by UUID,
    UNIQUE (vpc_id, name)
);

CREATE TABLE internet_gateway (
    id UUID NOT NULL PRIMARY KEY,
    vpc_id UUID NOT NULL REFERENCES vpc (id),
    project_id UUID NOT NULL,
    name TEXT NOT NULL CONSTRAINT internet_gateway_name_length CHECK (length(name) BETWEEN 1 AND 63),
    description TEXT NOT NULL,
    time_created TIMESTAMPTZ NOT NULL,
    time_modified TIMESTAMPTZ NOT NULL,
    deleted_by UUID,
    UNIQUE (vpc_id, name)
);

CREATE TABLE internet_gateway_pool (
    id UUID NOT NULL PRIMARY KEY,
    internet_gateway_id UUID NOT NULL REFERENCES internet_gateway (id),
    project_id UUID NOT NULL,
    name TEXT NOT NULL CONSTRAINT internet_gateway_pool_name_length CHECK (length(name) BETWEEN 1 AND 63),
    time_created TIMESTAMPTZ NOT NULL,
    deleted_by UUID,
    UNIQUE (internet_gateway_id, name)
);

CREATE TABLE vpc_subnet (
    id UUID NOT NULL PRIMARY KEY,
    vpc_id UUID NOT NULL REFERENCES vpc (id),
    project_id UUID NOT NULL,
    name TEXT NOT NULL CONSTRAINT vpc_subnet_name_length CHECK (length(name) BETWEEN 1 AND 63),
    description TEXT NOT NULL CONSTRAINT vpc_subnet_description_length CHECK (length(description) <= 512),
    ipv4_block TEXT NOT NULL,
    ipv4_first BIGINT NOT NULL,
    ipv4_last BIGINT NOT NULL,
    ipv6_block TEXT NOT NULL,
    ipv6_index BIGINT NOT NULL CONSTRAINT vpc_subnet_ipv6_index CHECK (ipv6_index BETWEEN 0 AND 65535),
    is_default BIGINT NOT NULL CONSTRAINT vpc_subnet_is_default CHECK (is_default IN (0, 1)),
    time_created TIMESTAMPTZ NOT NULL,
    time_modified TIMESTAMPTZ NOT NULL,
    deleted_by UUID,
    UNIQUE (vpc_id, name),
    CONSTRAINT vpc_subnet_ipv4_range CHECK (0 <= ipv4_first AND ipv4_first <= ipv4_last AND ipv4_last <= 4294967295)
);

CREATE TABLE subnet_address_pool (
    subnet_id UUID NOT NULL REFERENCES vpc_subnet (id),
    family BIGINT NOT NULL CONSTRAINT subnet_address_pool_family CHECK (family IN (4, 6)),
    project_id UUID NOT NULL,
    first_address TEXT NOT NULL,
    last_address TEXT NOT NULL,
    deleted_by UUID,
    PRIMARY KEY (subnet_id, family)
);

CREATE TABLE subnet_gateway (
    subnet_id UUID NOT NULL PRIMARY KEY REFERENCES vpc_subnet (id),
    project_id UUID NOT NULL,
    ipv4_address TEXT NOT NULL,
    ipv6_address TEXT NOT NULL,
    deleted_by UUID
);

CREATE TABLE router_route (
    id UUID NOT NULL PRIMARY KEY,
    vpc_router_id UUID NOT NULL REFERENCES vpc_router (id),
    project_id UUID NOT NULL,
    kind TEXT NOT NULL CONSTRAINT router_route_kind CHECK (kind IN ('default', 'vpc_subnet', 'custom')),
    name TEXT NOT NULL CONSTRAINT router_route_name_length CHECK (length(name) BETWEEN 1 AND 63),
    description TEXT NOT NULL CONSTRAINT router_route_description_length CHECK (length(description) <= 512),
    target JSONB NOT NULL,
    destination JSONB NOT NULL,
    vpc_subnet_id UUID REFERENCES vpc_subnet (id),
    time_created TIMESTAMPTZ NOT NULL,
    time_modified TIMESTAMPTZ NOT NULL,
    deleted_by UUID,
    UNIQUE (vpc_router_id, name),
    CONSTRAINT router_route_of_subnet CHECK ((kind = 'vpc_subnet') = (vpc_subnet_id IS NOT NULL))
);
CREATE UNIQUE INDEX router_route_by_subnet ON router_route (vpc_subnet_id) WHERE vpc_subnet_id IS NOT NULL;

CREATE TABLE vpc_dns_record (
    vpc_id UUID NOT NULL PRIMARY KEY REFERENCES vpc (id),
    project_id UUID NOT NULL,
    name TEXT NOT NULL CONSTRAINT vpc_dns_record_name_length CHECK (length(name) BETWEEN 1 AND 63),
    deleted_by UUID
);

CREATE TABLE vpc_firewall_rule (
    id UUID NOT NULL PRIMARY KEY,
    vpc_id UUID NOT NULL REFERENCES vpc (id),
    project_id UUID NOT NULL,
    rule_set UUID NOT NULL,
    name TEXT NOT NULL CONSTRAINT vpc_firewall_rule_name_length CHECK (length(name) BETWEEN 1 AND 63),
    description TEXT NOT NULL CONSTRAINT vpc_firewall_rule_description_length CHECK (length(description) <= 512),
    action TEXT NOT NULL CONSTRAINT vpc_firewall_rule_action CHECK (action IN ('allow', 'deny')),
    direction TEXT NOT NULL
        CONSTRAINT vpc_firewall_rule_direction CHECK (direction IN ('inbound', 'outbound')),
    status TEXT NOT NULL CONSTRAINT vpc_firewall_rule_status CHECK (status IN ('enabled', 'disabled')),
    priority BIGINT NOT NULL CONSTRAINT vpc_firewall_rule_priority CHECK (priority BETWEEN 0 AND 65535),
    targets JSONB NOT NULL,
    filters JSONB NOT NULL,
    time_created TIMESTAMPTZ NOT NULL,
    time_modified TIMESTAMPTZ NOT NULL,
    deleted_by UUID,
    UNIQUE (vpc_id, rule_set, name)
);

CREATE FUNCTION vpc_within_quota() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT count(*) FROM vpc WHERE project_id = new.project_id AND id <> new.id)
        >= (SELECT max_vpcs FROM project_quota WHERE project_id = new.project_id)
    THEN
        RAISE EXCEPTION 'the project has as many VPCs as its quota allows';
    END IF;
    RETURN new;
END
$$;
CREATE TRIGGER vpc_within_quota BEFORE INSERT ON vpc FOR EACH ROW EXECUTE FUNCTION vpc_within_quota();

CREATE FUNCTION vpc_subnet_apart() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF (old.vpc_id, old.ipv4_first, old.ipv4_last, old.ipv6_index)
            = (new.vpc_id, new.ipv4_first, new.ipv4_last, new.ipv6_index)
        THEN
            RETURN new;
        END IF;
    END IF;
    IF EXISTS (SELECT 1 FROM vpc_subnet AS other WHERE other.vpc_id = new.vpc_id AND other.id <> new.id
        AND other.ipv4_first <= new.ipv4_last AND other.ipv4_last >= new.ipv4_first)
    THEN
        RAISE EXCEPTION 'the IPv4 range overlaps with that of another subnet of the VPC';
    END IF;
    IF EXISTS (SELECT 1 FROM vpc_subnet AS other WHERE other.vpc_id = new.vpc_id AND other.id <> new.id
        AND other.ipv6_index = new.ipv6_index)
    THEN
        RAISE EXCEPTION 'the IPv6 range is that of another subnet of the VPC';
    END IF;
    RETURN new;
END
$$;
CREATE TRIGGER vpc_subnet_apart BEFORE INSERT OR UPDATE ON vpc_subnet
    FOR EACH ROW EXECUTE FUNCTION vpc_subnet_apart();
";

/// Every table, parents before children: what tests compare and count.
pub const TABLES: &[&str] = &[
    "project",
    "project_quota",
    "vpc",
    "vpc_router",
    "internet_gateway",
    "internet_gateway_pool",
    "vpc_subnet",
    "subnet_address_pool",
    "subnet_gateway",
    "router_route",
    "vpc_dns_record",
    "vpc_firewall_rule",
];
