//! Which credentials a registered server is started with, and where each field of them goes.
//!
//! Where the registration says nothing, a program gets the credential of the service that is named like its
//! prefix, each field as a variable `<SERVICE>_<FIELD>`. An address gets what its registration names, and
//! nothing else: who may register servers sends no credential anywhere by leaving something out.

use std::collections::BTreeMap;

use strongroom_gateway::launcher::{System, is_dangerous, is_passed};
use strongroom_model::code::{Code, Refusal};
use strongroom_model::reference::SecretRef;
use strongroom_model::team::{CredentialId, McpServer, SecretField};
use strongroom_store::team::{Credential, DEFAULT_TYPE};

/// What a server's credentials are, before any is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Binding {
    /// Variables, or headers, each with one field of a credential.
    Fields(BTreeMap<String, SecretField>),
    /// All fields of one credential, each as a variable.
    Whole {
        /// The service that it was stored for.
        service: String,
        /// Its type.
        credential_type: String,
    },
}

/// A credential, and the version that a server was started with.
pub(super) type Version = (CredentialId, u64);

impl Binding {
    /// What `server` gets, of a tenant that has `stored`.
    pub(super) fn of(server: &McpServer, stored: &[Credential]) -> Self {
        if !server.secrets.is_empty() || server.bare || server.url.is_some() {
            return Self::Fields(server.secrets.clone());
        }
        let stem = server.tool_prefix.strip_suffix('.').unwrap_or(&server.tool_prefix);
        let types = || stored.iter().filter(|one| one.service == stem);
        let usual = types().find(|one| one.credential_type == DEFAULT_TYPE);
        let found = usual.or_else(|| types().next().filter(|_| types().count() == 1));
        let kind = found.map_or(DEFAULT_TYPE, |one| &one.credential_type);
        Self::Whole { service: stem.to_owned(), credential_type: kind.to_owned() }
    }

    /// The credentials that it needs, each once: service and type.
    pub(super) fn needs(&self) -> Vec<(&str, &str)> {
        let mut needs: Vec<_> = match self {
            Self::Fields(fields) => {
                fields.values().map(|one| (&*one.service, &*one.credential_type)).collect()
            }
            Self::Whole { service, credential_type } => vec![(&**service, &**credential_type)],
        };
        needs.sort_unstable();
        needs.dedup();
        needs
    }

    /// Which versions those are among `stored`. One that is not there has none.
    pub(super) fn versions(&self, stored: &[Credential]) -> Vec<Version> {
        let version = |(service, kind): (&str, &str)| {
            let is_it = |one: &&Credential| one.service == service && one.credential_type == kind;
            stored.iter().find(is_it).map(|one| (one.id, one.version))
        };
        self.needs().into_iter().filter_map(version).collect()
    }

    /// What goes where. `fields` has the names of the fields of a credential.
    ///
    /// # Errors
    ///
    /// `invalid_request`: a variable would make another program of the program.
    pub(super) fn places(
        &self,
        fields: impl Fn(&str, &str) -> Vec<String>,
    ) -> Result<BTreeMap<String, SecretField>, Refusal> {
        match self {
            Self::Fields(places) => Ok(places.clone()),
            Self::Whole { service, credential_type } => {
                let place = |field: String| {
                    let name = variable(service, &field);
                    let from = SecretField {
                        service: service.clone(),
                        credential_type: credential_type.clone(),
                        field,
                    };
                    may_be_set(&name).map(|()| (name, from)).map_err(refused)
                };
                fields(service, credential_type).into_iter().map(place).collect()
            }
        }
    }
}

/// Whether a tenant may set the variable `name` of a program. What the operator's list says of a command
/// would mean nothing if a variable could make another program of it.
pub(super) fn may_be_set(name: &str) -> Result<(), &'static str> {
    if is_dangerous(name) {
        Err("is a variable that makes another program of a program")
    } else if is_passed(name, System::Unix) || is_passed(name, System::Windows) {
        Err("is a variable that every program has from the system")
    } else {
        Ok(())
    }
}

/// What a credential's field is called as a variable.
fn variable(service: &str, field: &str) -> String {
    let name = format!("{service}_{field}").to_ascii_uppercase();
    let name = name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

/// The reference of a field, as records name it.
pub(super) fn reference(field: &SecretField) -> Option<SecretRef> {
    let SecretField { service, credential_type, field } = field;
    format!("local://{service}/{credential_type}/{field}").parse().ok()
}

fn refused(why: &'static str) -> Refusal {
    Refusal::new(Code::InvalidRequest, format!("a field of the server's credential {why}"))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use strongroom_model::team::{NewServer, RawServer, ServerId};

    use super::*;

    fn server(prefix: &str, secrets: &[(&str, &str)]) -> McpServer {
        let field = |(place, service): &(&str, &str)| {
            let (service, credential_type) = ((*service).into(), DEFAULT_TYPE.into());
            let from = SecretField { service, credential_type, field: "token".into() };
            ((*place).to_owned(), from)
        };
        let raw = RawServer {
            server_id: Some("s".into()),
            name: Some("s".into()),
            command: Some("node".into()),
            args: Some(vec!["s.js".into()]),
            tool_prefix: Some(prefix.into()),
            secrets: (!secrets.is_empty()).then(|| secrets.iter().map(field).collect()),
            ..RawServer::default()
        };
        let new = NewServer::new(raw).unwrap();
        McpServer::new(new.spec(), ServerId::from_random([1; 16]), UNIX_EPOCH)
    }

    fn stored(service: &str, kind: &str, version: u64) -> Credential {
        Credential {
            id: CredentialId::from_random([version.to_le_bytes()[0]; 16]),
            service: service.into(),
            credential_type: kind.into(),
            version,
            key_id: "k".into(),
            created_at: UNIX_EPOCH,
            updated_at: UNIX_EPOCH,
            last_used_at: None,
        }
    }

    fn names(binding: &Binding, fields: &[&str]) -> Result<Vec<String>, Refusal> {
        let fields = |_: &str, _: &str| fields.iter().map(|field| (*field).to_owned()).collect();
        Ok(binding.places(fields)?.into_keys().collect())
    }

    #[test]
    fn a_program_gets_the_credential_that_is_named_like_its_prefix() {
        let all =
            [stored("amazon", "oauth", 3), stored("amazon", "api_key", 2), stored("x", "y", 9)];
        let binding = Binding::of(&server("amazon.", &[]), &all);
        assert_eq!(binding.needs(), [("amazon", "api_key")]);
        assert_eq!(binding.versions(&all), [(all[1].id, 2)]);
        let variables = names(&binding, &["api_key", "secret.key"]).unwrap();
        assert_eq!(variables, ["AMAZON_API_KEY", "AMAZON_SECRET_KEY"]);
        // The only one that there is, whatever its type.
        assert_eq!(Binding::of(&server("x.", &[]), &all).needs(), [("x", "y")]);
        let none = Binding::of(&server("other.", &[]), &all);
        assert_eq!((none.needs(), none.versions(&all)), (vec![("other", "api_key")], vec![]));
    }

    #[test]
    fn what_a_registration_names_is_all_that_it_gets() {
        let all = [stored("amazon", "api_key", 2), stored("x", "api_key", 9)];
        let named = server("amazon.", &[("A", "x"), ("B", "x")]);
        let binding = Binding::of(&named, &all);
        assert_eq!(binding.needs(), [("x", "api_key")]);
        assert_eq!(names(&binding, &["never asked for"]).unwrap(), ["A", "B"]);
        let mut bare = server("amazon.", &[]);
        bare.bare = true;
        let mut remote = server("amazon.", &[]);
        (remote.command, remote.url) = (None, Some("https://mcp.example".into()));
        for server in [bare, remote] {
            assert!(Binding::of(&server, &all).needs().is_empty());
        }
    }

    // TN-10
    #[test]
    fn no_credential_is_a_variable_that_makes_another_program_of_the_program() {
        for (service, field) in
            [("ld", "preload"), ("node", "options"), ("bash", "env"), ("no", "proxy")]
        {
            let binding = Binding::of(&server(&format!("{service}."), &[]), &[]);
            assert_eq!(names(&binding, &[field]).unwrap_err().code, Code::InvalidRequest);
            assert_eq!(names(&binding, &["token"]).is_ok(), service != "ld", "the whole family");
        }
        for name in ["PATH", "HOME", "NODE_OPTIONS", "LD_PRELOAD", "PYTHONPATH", "https_proxy"] {
            assert!(may_be_set(name).is_err(), "{name}");
        }
        for name in ["AMAZON_API_KEY", "AWS_ACCESS_KEY_ID", "TOKEN"] {
            assert!(may_be_set(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn a_reference_of_a_field_says_its_service_and_type() {
        let field = SecretField {
            service: "a.b_c".into(),
            credential_type: "api_key".into(),
            field: "x".into(),
        };
        assert_eq!(reference(&field).unwrap().to_string(), "local://a.b_c/api_key/x");
    }
}
