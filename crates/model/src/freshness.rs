//! How long a resolved secret is good.
