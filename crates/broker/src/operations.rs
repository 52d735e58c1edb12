//! Bit masks of the operations a client may do (KIP-430), by `AclOperation` code. Without an authorizer everybody may do
//! everything that makes sense for a kind of resource (`AuthHelper.authorizedOperations`, `AclEntry.supportedOperations`).

const READ: i32 = 3;
const WRITE: i32 = 4;
const CREATE: i32 = 5;
const DELETE: i32 = 6;
const ALTER: i32 = 7;
const DESCRIBE: i32 = 8;
const CLUSTER_ACTION: i32 = 9;
const DESCRIBE_CONFIGS: i32 = 10;
const ALTER_CONFIGS: i32 = 11;
const IDEMPOTENT_WRITE: i32 = 12;

pub(crate) const TOPIC: i32 = 1 << READ
    | 1 << WRITE
    | 1 << CREATE
    | 1 << DESCRIBE
    | 1 << DELETE
    | 1 << ALTER
    | 1 << DESCRIBE_CONFIGS
    | 1 << ALTER_CONFIGS;
pub(crate) const CLUSTER: i32 = 1 << CREATE
    | 1 << CLUSTER_ACTION
    | 1 << DESCRIBE_CONFIGS
    | 1 << ALTER_CONFIGS
    | 1 << IDEMPOTENT_WRITE
    | 1 << ALTER
    | 1 << DESCRIBE;
pub(crate) const GROUP: i32 =
    1 << READ | 1 << DELETE | 1 << DESCRIBE | 1 << DESCRIBE_CONFIGS | 1 << ALTER_CONFIGS;
