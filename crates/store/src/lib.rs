//! What outlives a process: the vault of secrets and principals, and the audit.
//!
//! [`vault`] is one SQLite file that several processes share; [`local`] serves its secrets as
//! `local://NAME`; [`lock`] is the kill switch; [`approvals`] keeps questions for a person and grants;
//! [`pins`] what is approved of servers' tools;
//! [`audit`] appends records to a chain of daily files and reads them back.

pub mod approvals;
pub mod audit;
pub mod local;
pub mod lock;
pub mod pins;
pub mod team;
pub mod vault;

pub use approvals::{ApprovalStore, Settled};
pub use local::LocalProvider;
pub use lock::LockFile;
pub use pins::PinStore;
pub use team::{DatabaseUrl, Team, TeamError, TenantStore};
pub use vault::{EntryError, PrincipalInfo, Principals, SecretUse, Stored, Vault, VaultError};
