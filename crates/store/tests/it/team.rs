//! The store of a team, by one suite on both databases.

mod approvals;
mod audit;
mod base;
mod caps;
#[cfg(target_os = "linux")]
mod catalogue;
mod credentials;
#[cfg(target_os = "linux")]
mod cut;
mod import;
mod keys;
mod nodes;
#[cfg(target_os = "linux")]
mod outage;
mod pins;
mod rotation;
mod servers;
mod strangers;
mod tenants;
mod timing;
mod verify;

/// Runs each of these functions on an empty SQLite database and on an empty Postgres.
macro_rules! on_both {
    ($($name:ident,)*) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                let base = crate::team::base::Base::sqlite().await;
                super::$name(&base).await;
            })*
        }

        #[cfg(target_os = "linux")]
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                let base = crate::team::base::Base::postgres().await;
                super::$name(&base).await;
            })*
        }
    };
}
use on_both;
