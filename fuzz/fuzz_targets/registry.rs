//! A registry file, whatever stands in it, is read without a panic; a server that is good has texts that
//! read the same again.

#![no_main]

use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;
use strongroom_gateway::registry::{Catalogue, Origin, Source, Text, file};
use strongroom_model::server::{Template, Transport};

fuzz_target!(|text: &str| {
    let source = Source { origin: Origin::Catalog, path: PathBuf::from("f"), trusted: true };
    let Ok((entries, problems)) = file::read(&Text::new("f", text), &source) else { return };
    let mut catalogue = Catalogue::default();
    catalogue.add(entries, problems);
    for (name, entry) in &catalogue.entries {
        let _ = entry.place();
        let Ok(server) = entry.server() else { continue };
        assert_eq!(server.name, *name);
        assert!(!server.shows_secrets() || text.contains("allow_visible_secrets"));
        let templates: Vec<&Template> = match &server.transport {
            Transport::Stdio(stdio) => {
                assert!(!stdio.program.is_empty() && !stdio.program.starts_with('-'));
                stdio.args.iter().chain(stdio.env.values()).collect()
            }
            Transport::Http { url, headers, beyond: _ } => headers.values().chain([url]).collect(),
        };
        for template in templates {
            let again: Template = template.to_string().parse().expect("it was printed");
            assert_eq!(again, *template);
            assert!(!template.to_string().contains('\0'));
        }
    }
});
