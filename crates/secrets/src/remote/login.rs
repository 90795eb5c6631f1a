//! What is kept of a team server, as one secret.

use strongroom_model::display::escape_line;
use strongroom_model::secret::Secret;
use strongroom_model::team::KeyKind;

use super::Address;
use super::answers::Whoami;
use crate::http::json::{Body, Part, object};

/// A key of a tenant, with the only place that it is sent to.
pub struct Login {
    /// The server.
    pub address: Address,
    /// The authorities whose certificates are believed, as PEM; those that are built in where there is
    /// none.
    pub authority: Option<String>,
    /// The tenant's name, as the server said it: one safe line.
    pub tenant: String,
    /// The tenant's id.
    pub tenant_id: String,
    /// The public part of the key.
    pub key_id: String,
    /// The key.
    pub key: Secret,
}

/// Not what was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what is kept of the server cannot be read")]
pub struct LoginError;

/// Characters of a name.
const NAME: usize = 200;

impl Login {
    /// One that nobody has tried yet; `None` where `key` is not the text of an API key.
    pub fn new(address: Address, authority: Option<String>, key: Secret) -> Option<Self> {
        let key_id = KeyKind::Api.parse(key.expose())?.id.to_string();
        let (tenant, tenant_id) = Default::default();
        Some(Self { address, authority, tenant, tenant_id, key_id, key })
    }

    /// The same, with what the server says of it.
    #[must_use]
    pub fn known_as(self, whoami: &Whoami) -> Self {
        let line = |text: &str| escape_line(text, NAME).0;
        Self { tenant: line(&whoami.tenant), tenant_id: line(&whoami.tenant_id), ..self }
    }

    /// All of it.
    pub fn to_secret(&self) -> Secret {
        let origin = self.address.origin();
        let fields = [
            ("url", Part::Text(&origin)),
            ("authority", Part::Text(self.authority.as_deref().unwrap_or_default())),
            ("tenant", Part::Text(&self.tenant)),
            ("tenant_id", Part::Text(&self.tenant_id)),
            ("key", Part::Secret(&self.key)),
        ];
        Secret::new(std::mem::take(&mut *object(&fields)))
    }

    /// Reads what [`to_secret`](Self::to_secret) made.
    pub fn read(secret: &Secret) -> Result<Self, LoginError> {
        let body = Body::of(secret);
        let fields = body.object().map_err(|_| LoginError)?;
        let secret = |name: &str| fields.secret(name).map_err(|_| LoginError);
        let text = |name: &str| {
            let secret = secret(name)?;
            String::from_utf8(secret.expose().to_vec()).map_err(|_| LoginError)
        };
        let address = Address::parse(&text("url")?).map_err(|_| LoginError)?;
        let authority = Some(text("authority")?).filter(|pem| !pem.is_empty());
        let login = Self::new(address, authority, secret("key")?).ok_or(LoginError)?;
        Ok(Self { tenant: text("tenant")?, tenant_id: text("tenant_id")?, ..login })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "mcp_0123456789abcdef_AAAAAAAAAAbbbbbbbbbbCCCCCCCCCCdddddddddd-_E";

    fn login(key: &str) -> Option<Login> {
        let address = Address::parse("https://team.example.com:8443").unwrap();
        Login::new(address, Some("PEM\n".to_owned()), Secret::new(key.as_bytes().to_vec()))
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let login = login(KEY).unwrap();
        let login = Login { tenant: "the \"shop\"".into(), tenant_id: "id".into(), ..login };
        let read = Login::read(&login.to_secret()).unwrap();
        assert_eq!(read.address.origin(), "https://team.example.com:8443");
        assert_eq!(read.authority.as_deref(), Some("PEM\n"));
        assert_eq!((&*read.tenant, &*read.tenant_id), ("the \"shop\"", "id"));
        assert_eq!(read.key_id, "0123456789abcdef");
        assert!(read.key.ct_eq(&login.key));
    }

    #[test]
    fn only_an_api_key_is_a_key_here() {
        for text in ["", "canary", &KEY.replace("mcp_", "krn_"), &format!("{KEY} ")] {
            assert!(login(text).is_none());
        }
    }

    #[test]
    fn a_secret_of_another_kind_is_no_login() {
        let plain = login(KEY).unwrap().to_secret();
        let text = String::from_utf8(plain.expose().to_vec()).unwrap();
        for text in [
            "canary".to_owned(),
            "{}".to_owned(),
            text.replace("https://", "http://"),
            text.replace("mcp_", "krn_"),
            text.replace(":8443", ":8443/elsewhere"),
        ] {
            assert_eq!(Login::read(&Secret::new(text.into_bytes())).err(), Some(LoginError));
        }
    }

    #[test]
    fn what_the_server_calls_the_tenant_does_nothing_to_a_terminal() {
        let whoami = Whoami {
            tenant: format!("a\u{1b}[2J\n{}", "x".repeat(1000)),
            tenant_id: "1".into(),
            organization_id: "2".into(),
            key_id: "3".into(),
            scopes: Vec::new(),
            operator: false,
        };
        let login = login(KEY).unwrap().known_as(&whoami);
        assert!(login.tenant.len() <= NAME && !login.tenant.contains(['\u{1b}', '\n']));
    }
}
