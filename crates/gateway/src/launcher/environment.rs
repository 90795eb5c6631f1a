//! Which variables of ours a server gets.

use std::ffi::{OsStr, OsString};

use super::{PlanError, System};

/// What every program may know: who the user is, where things are, which language and terminal.
const UNIX: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TZDIR",
    "TERM",
    "COLORTERM",
    "NO_COLOR",
    "TMPDIR",
    "TMP",
    "TEMP",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "__CF_USER_TEXT_ENCODING",
];

/// The same of Windows, with what its own programs do not start without.
const WINDOWS: &[&str] = &[
    "PATH",
    "PATHEXT",
    "HOME",
    "LANG",
    "TZ",
    "TERM",
    "NO_COLOR",
    "TMP",
    "TEMP",
    "USERNAME",
    "USERDOMAIN",
    "USERPROFILE",
    "HOMEDRIVE",
    "HOMEPATH",
    "APPDATA",
    "LOCALAPPDATA",
    "PROGRAMDATA",
    "ALLUSERSPROFILE",
    "PUBLIC",
    "PROGRAMFILES",
    "PROGRAMFILES(X86)",
    "PROGRAMW6432",
    "COMMONPROGRAMFILES",
    "COMMONPROGRAMFILES(X86)",
    "COMMONPROGRAMW6432",
    "SYSTEMDRIVE",
    "SYSTEMROOT",
    "WINDIR",
    "COMSPEC",
    "OS",
    "COMPUTERNAME",
    "NUMBER_OF_PROCESSORS",
    "PROCESSOR_ARCHITECTURE",
    "PROCESSOR_IDENTIFIER",
];

/// On both systems, in either case: curl and its kin read the small ones.
const PROXIES: &[&str] = &["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"];

/// Families of which every member is passed.
const FAMILIES: &[&str] = &["LC_", "XDG_"];

/// What a store of secrets is opened with, by family and by name. A server never inherits these.
const UNLOCK_FAMILIES: &[&str] = &[
    "OP_",
    "STRONGROOM_",
    "VAULT_",
    "BAO_",
    "AWS_",
    "AZURE_",
    "BW_",
    "BWS_",
    "DOPPLER_",
    "INFISICAL_",
    "SOPS_",
    "KEEPASS",
    "PASSWORD_STORE_",
    "MSI_",
    "IDENTITY_",
];
const UNLOCK: &[&str] = &[
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_OAUTH_ACCESS_TOKEN",
    "CLOUDSDK_AUTH_ACCESS_TOKEN",
    "CREDENTIAL_ENCRYPTION_KEY",
    "GNUPGHOME",
    "GPG_AGENT_INFO",
    "AGE_IDENTITY",
    "AGE_PASSPHRASE",
    "DBUS_SESSION_BUS_ADDRESS",
    "GNOME_KEYRING_CONTROL",
];

/// What makes another program of a program. A server gets one of these only where it lists it.
const DANGEROUS_FAMILIES: &[&str] = &["LD_", "DYLD_", "GIT_", "NPM_CONFIG_", "PIP_", "UV_"];
const DANGEROUS: &[&str] = &[
    "NODE_OPTIONS",
    "NODE_PATH",
    "NODE_EXTRA_CA_CERTS",
    "NODE_TLS_REJECT_UNAUTHORIZED",
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONSTARTUP",
    "PYTHONINSPECT",
    "PYTHONWARNINGS",
    "RUBYOPT",
    "RUBYLIB",
    "PERL5OPT",
    "PERL5LIB",
    "JAVA_TOOL_OPTIONS",
    "_JAVA_OPTIONS",
    "BASH_ENV",
    "ENV",
    "IFS",
    "PROMPT_COMMAND",
    "EDITOR",
    "VISUAL",
    "PAGER",
    "BROWSER",
    "SSH_ASKPASS",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "SSLKEYLOGFILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "OPENSSL_CONF",
];

/// Whether a server gets the variable without asking for it.
pub fn is_passed(name: &str, system: System) -> bool {
    let known = match system {
        System::Unix => UNIX,
        System::Windows => WINDOWS,
    };
    let same = |known: &&str| match system {
        System::Unix => *known == name,
        System::Windows => known.eq_ignore_ascii_case(name),
    };
    known.iter().any(same)
        || PROXIES.iter().any(|proxy| proxy.eq_ignore_ascii_case(name))
        || FAMILIES.iter().any(|family| name.starts_with(family))
}

/// Whether a store of secrets is opened with it.
pub fn is_unlock_material(name: &str) -> bool {
    is_of(name, UNLOCK_FAMILIES, UNLOCK)
}

/// Whether it makes another program of a program.
pub fn is_dangerous(name: &str) -> bool {
    is_of(name, DANGEROUS_FAMILIES, DANGEROUS)
}

/// Without regard to case: on Windows there is none.
fn is_of(name: &str, families: &[&str], names: &[&str]) -> bool {
    families.iter().any(|family| {
        name.get(..family.len()).is_some_and(|start| start.eq_ignore_ascii_case(family))
    }) || names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// The value of a variable in `variables`.
pub(super) fn value<'a>(
    variables: &'a [(OsString, OsString)],
    name: &str,
    system: System,
) -> Option<&'a OsStr> {
    let found = variables.iter().find(|(there, _)| is_same(there, OsStr::new(name), system));
    found.map(|(_, value)| value.as_os_str())
}

/// A name that a program can be given.
pub(super) fn check_name(name: &str) -> Result<(), PlanError> {
    if name.is_empty() || name.chars().any(|c| c == '=' || c.is_control()) {
        return Err(PlanError::Name);
    }
    Ok(())
}

/// The environment of a server: what it is passed, what it lists, and its own, which wins.
pub(super) fn build(
    caller: Vec<(OsString, OsString)>,
    listed: &[String],
    own: Vec<(OsString, OsString)>,
    system: System,
) -> Result<Vec<(OsString, OsString)>, PlanError> {
    if let Some(name) = listed.iter().find(|name| is_unlock_material(name)) {
        return Err(PlanError::UnlockMaterial { name: name.clone() });
    }
    let is_listed = |name: &OsStr| {
        listed.iter().any(|listed| is_same(OsStr::new(listed.as_str()), name, system))
    };
    let mut env: Vec<(OsString, OsString)> = caller
        .into_iter()
        .filter(|(name, _)| {
            let passed = name.to_str().is_some_and(|text| {
                is_passed(text, system) && !is_unlock_material(text) && !is_dangerous(text)
            });
            (passed || is_listed(name)) && !own.iter().any(|(own, _)| is_same(own, name, system))
        })
        .collect();
    env.extend(own);
    Ok(env)
}

fn is_same(a: &OsStr, b: &OsStr, system: System) -> bool {
    match system {
        System::Unix => a == b,
        System::Windows => a.eq_ignore_ascii_case(b),
    }
}
