//! Secrets at rest and random material. The only user of cryptography apart from TLS.
//!
//! Application secrets and tokens are kept as hashes. Device secrets are needed in clear (HMAC of the device's
//! password), so they are sealed with AES-256-GCM under the master key, which lies outside the database.

mod files;
mod hash;
mod rotate;
mod seal;
mod unlock;

pub(crate) use files::admin_token;
pub(crate) use hash::{IdRandom, SecretHash, TokenHash, random, random_hex, random_token, random_uuid, same};
pub use rotate::{Rotated, rotate_master_key};
pub(crate) use seal::Sealer;
pub use unlock::key_file_opens;
pub(crate) use unlock::{KeyError, unlock};
