//! The services: what is configured loosely, and whether every credential is there.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use strongroom_model::network::{self, Cidr};
use strongroom_model::ports::Purpose;
use strongroom_model::ports::ResolveError;
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_model::service::{Scheme, Service};
use strongroom_store::Vault;

use super::Finding;
use crate::app::{resolve, resolver};
use crate::config::Config;
use crate::environment::Host;

/// Redaction of anything shorter would hit ordinary text.
const SHORT: usize = 8;

pub(super) fn examine(config: &Config, host: &Host, vault: Option<Arc<Vault>>) -> Vec<Finding> {
    let has_vault = vault.is_some();
    let resolver = resolver(host, vault);
    let mut findings = Vec::new();
    for service in config.services.values() {
        let before = findings.len();
        findings.extend(looseness(service));
        findings.extend(refused(service));
        // A vault that does not open is one problem, and said: not one for each key in it.
        let there = |reference: &&SecretRef| has_vault || reference.scheme() != "local";
        let references: Vec<SecretRef> =
            service.auth.secrets.values().filter(there).cloned().collect();
        for (reference, answer) in references.iter().zip(resolve(&resolver, &references)) {
            findings.extend(credential(service, reference, answer));
            if let Err(error) = resolver.permits(reference, Purpose::Service(&service.name)) {
                let fix = Some(format!("strongroom edit {} --key-stdin", service.name));
                findings.push(Finding::problem(&about(service), error.to_string(), fix));
            }
        }
        let all_seen = references.len() == service.auth.secrets.len();
        if findings.len() == before && all_seen {
            let found = format!("{} with {}", service.origin, service.auth.scheme);
            findings.push(Finding::fine(&about(service), found));
        }
    }
    findings
}

fn about(service: &Service) -> String {
    format!("service {}", service.name)
}

/// What a person may have meant, and should see.
fn looseness(service: &Service) -> Vec<Finding> {
    let mut findings = Vec::new();
    let edit = |what: &str| format!("strongroom edit {} {what}", service.name);
    if service.policy.allows_everything() {
        findings.push(Finding::warning(
            &about(service),
            "its policy allows every request",
            edit("--remove-rule '* /**' --allow 'GET /**'"),
        ));
    }
    if service.origin.scheme == Scheme::Http {
        findings.push(Finding::warning(
            &about(service),
            "the key travels in plain text (`insecure_transport`)",
            edit("--base-url https://HOST --insecure-transport=false"),
        ));
    }
    findings
}

/// A host that no call can reach, as far as that shows without looking its name up.
fn refused(service: &Service) -> Option<Finding> {
    let literal: Option<IpAddr> = service.origin.host.parse().ok();
    let judged = |allow: &[Cidr]| {
        network::check_host(&service.origin.host, allow)?;
        literal.map_or(Ok(()), |address| network::vet(&[address], allow).map(drop))
    };
    let refusal = judged(&service.allow_ips).err()?;
    let address = literal.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let range = format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 });
    // Some hosts are refused whatever `allow_ips` says.
    let helps = range.parse().is_ok_and(|range| judged(&[range]).is_ok());
    let fix = helps.then(|| format!("strongroom edit {} --allow-ip {range}", service.name));
    Some(Finding::problem(&about(service), format!("no call gets there: {}", refusal.message), fix))
}

/// Whether the secret is there, and can be told from ordinary text.
fn credential(
    service: &Service,
    reference: &SecretRef,
    answer: Result<Secret, ResolveError>,
) -> Option<Finding> {
    let edit = format!("strongroom edit {} --key-stdin", service.name);
    match answer {
        Ok(secret) if secret.len() < SHORT => Some(Finding::warning(
            &about(service),
            format!("`{reference}` has {} bytes: too short to redact reliably", secret.len()),
            edit,
        )),
        Ok(_) => None,
        Err(error) => {
            let fix = match reference.scheme() {
                "local" => edit,
                "env" => format!("set {} where the broker is started", reference.path()),
                "file" => format!("put the secret into {}", reference.path()),
                _ => error.hint().unwrap_or_else(|| format!("strongroom edit {}", service.name)),
            };
            Some(Finding::problem(&about(service), error.to_string(), Some(fix)))
        }
    }
}
