//! What a change of a program lets agents do that they could not do before.

use strongroom_model::command::Command;
use strongroom_model::policy::Verdict;

/// Each thing that is wider in `new`, in words; empty where nothing is.
pub fn of(old: &Command, new: &Command) -> Vec<String> {
    let mut wider = Vec::new();
    if old.program.path != new.program.path {
        wider.push(format!("runs `{}`", new.program.path.display()));
    } else if old.program != new.program {
        wider.push(format!("runs `{}` as it is now", new.program.path.display()));
    }
    for (name, value) in &new.env {
        if !old.env.iter().any(|(there, was)| there == name && was == value) {
            wider.push(format!("gives it another `{name}`"));
        }
    }
    if let Some(askpass) = &new.askpass
        && old.askpass.as_ref() != Some(askpass)
    {
        wider.push(format!("gives the password to `{}`", askpass.host));
    }
    if old.workdir != new.workdir {
        wider.push("runs it in another folder".to_owned());
    }
    if new.stdin && !old.stdin {
        wider.push("lets agents send it standard input".to_owned());
    }
    rules(old, new, &mut wider);
    match (&old.principals, &new.principals) {
        (Some(_), None) => wider.push("serves every principal".to_owned()),
        (Some(old), Some(new)) => {
            let more = new.iter().filter(|name| !old.contains(name));
            wider.extend(more.map(|name| format!("serves `{name}`")));
        }
        (None, _) => {}
    }
    let own = format!("{}/", new.name);
    for reference in new.auth.secrets.values() {
        let is_new = !old.auth.secrets.values().any(|there| there == reference);
        if is_new && reference.scheme() == "local" && !reference.path().starts_with(&own) {
            wider.push(format!("uses the stored secret `{reference}`"));
        }
    }
    wider
}

/// An allow or ask rule that is new, a deny or ask rule that is gone.
fn rules(old: &Command, new: &Command, wider: &mut Vec<String>) {
    let (before, after) = (old.policy.rules(), new.policy.rules());
    for rule in after.iter().filter(|rule| !before.contains(rule)) {
        match rule.verdict() {
            Verdict::Allow => wider.push(format!("allows `{}`", rule.text())),
            Verdict::Ask => wider.push(format!("asks for `{}` instead of denying it", rule.text())),
            Verdict::Deny => {}
        }
    }
    for rule in before.iter().filter(|rule| !after.contains(rule)) {
        match rule.verdict() {
            Verdict::Deny => wider.push(format!("no longer denies `{}`", rule.text())),
            Verdict::Ask => wider.push(format!("no longer asks for `{}`", rule.text())),
            Verdict::Allow => {}
        }
    }
}
