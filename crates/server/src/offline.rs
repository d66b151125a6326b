//! What is done with a store that no server has open: only the program's own commands for operators use it.

pub use downlink_store::sqlite::backup::{BackupError, backup, restore};
pub use downlink_store::sqlite::reseal::ResealError;
pub use downlink_store::sqlite::verify::{Finding, Report, Target, verify};

pub use crate::secrets::{Rotated, key_file_opens, rotate_master_key};
