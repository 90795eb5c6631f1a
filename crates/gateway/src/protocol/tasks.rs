//! Tasks of servers of the modern era (SEP-2663): a call may answer a task, which is asked for later.
//!
//! A task's id is its server's own. A client is given one that says which server it is of, and that means
//! nothing to anybody else, under a key of this process.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use strongroom_model::principal::Name;
use subtle::ConstantTimeEq as _;

use super::key::KEY;

/// The name of the extension.
pub(crate) const TASKS: &str = "io.modelcontextprotocol/tasks";

/// The longest id of a server.
const LONGEST: usize = 1 << 10;

/// The methods.
pub(super) const METHODS: [&str; 3] = ["tasks/get", "tasks/update", "tasks/cancel"];

/// What `principal` is given for the task `id` of `server`.
pub(crate) fn seal(principal: &Name, server: &Name, id: &str) -> Option<String> {
    if id.len() > LONGEST {
        return None;
    }
    let payload = format!("{server}\n{id}");
    let tag = tag(principal, payload.as_bytes())?;
    Some(URL_SAFE_NO_PAD.encode([&tag[..16], payload.as_bytes()].concat()))
}

/// The server of a task, and its id there; `None`: it is none of this principal.
pub(super) fn open(principal: &Name, text: &str) -> Option<(Name, String)> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (found, payload) = bytes.split_at_checked(16)?;
    if !bool::from(found.ct_eq(&tag(principal, payload)?[..16])) {
        return None;
    }
    let (server, id) = str::from_utf8(payload).ok()?.split_once('\n')?;
    Some((server.parse().ok()?, id.to_owned()))
}

fn tag(principal: &Name, payload: &[u8]) -> Option<[u8; 32]> {
    Some(KEY.as_ref()?.tag(&[b"task", principal.as_str().as_bytes(), payload]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_of_its_principal_and_leads_to_its_server_alone() {
        let [me, other, shop] = ["me", "other", "shop"].map(|name| name.parse().unwrap());
        let id = seal(&me, &shop, "t\n1").unwrap();
        assert_eq!(open(&me, &id), Some((shop, "t\n1".into())));
        assert_eq!(open(&other, &id), None);
        for forged in ["", "AAAA", "t1", &id[1..], &format!("{id}AA")] {
            assert_eq!(open(&me, forged), None, "{forged}");
        }
    }
}
