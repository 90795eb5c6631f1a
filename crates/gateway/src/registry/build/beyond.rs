//! `allow_ips` and `ca_file`: what a server at an address may have beyond the public network. The words are
//! those of services.

use strongroom_model::network::Cidr;
use strongroom_model::server::Beyond;

use super::super::Problem;
use super::super::node::Node;
use super::Reader;

impl Reader<'_> {
    pub(super) fn beyond(&self) -> Result<Beyond, Problem> {
        let range = |node: &Node| -> Result<Cidr, Problem> {
            let text = self.plain("allow_ips", node)?;
            text.parse()
                .map_err(|error| self.text.problem(node.at, format!("`allow_ips`: {error}")))
        };
        let allow_ips = self.list("allow_ips")?.iter().map(range).collect::<Result<_, _>>()?;
        let ca_file = match self.node.get("ca_file") {
            None => None,
            Some(node) => Some(self.absolute("ca_file", node)?),
        };
        Ok(Beyond { allow_ips, ca_file })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use strongroom_model::server::Transport;

    use super::super::super::catalogue::{Origin, Source};
    use super::super::super::{Problem, Text, file};
    use super::*;

    fn beyond(lines: &str) -> Result<Beyond, Problem> {
        let text = format!("{{\"x\": {{{lines}}}}}");
        let source = Source { origin: Origin::Named, path: "/r".into(), trusted: true };
        let text = Text::new("r", text).at_home(Some(Path::new("/home/me")));
        let (entries, _) = file::read(&text, &source)?;
        match &entries[0].server().map_err(Clone::clone)?.transport {
            Transport::Http { beyond, .. } => Ok(beyond.clone()),
            Transport::Stdio(_) => unreachable!("it has a `url`"),
        }
    }

    #[test]
    fn an_address_may_be_in_a_private_network_and_have_an_authority_of_its_own() {
        let url = r#""url": "https://h.internal/mcp""#;
        assert_eq!(beyond(url).unwrap(), Beyond::default());
        let keys = r#""allow_ips": ["10.0.0.0/8", "fd00::/8"], "ca_file": "~/ca.pem""#;
        let read = beyond(&format!("{url}, {keys}")).unwrap();
        let ranges: Vec<String> = read.allow_ips.iter().map(ToString::to_string).collect();
        assert_eq!(ranges, ["10.0.0.0/8", "fd00::/8"]);
        assert_eq!(read.ca_file.as_deref(), Some(Path::new("/home/me/ca.pem")));
        for (keys, expected) in [
            (r#""allow_ips": ["10.0.0.1/8"]"#, "`allow_ips`: an address range is written"),
            (r#""allow_ips": "10.0.0.0/8""#, "`allow_ips` is not a list"),
            (r#""allow_ips": [10]"#, "`allow_ips`: this is not a string"),
            (r#""ca_file": "ca.pem""#, "`ca_file` is not an absolute path"),
        ] {
            let problem = beyond(&format!("{url}, {keys}")).unwrap_err().problem;
            assert!(problem.starts_with(expected), "{keys}: {problem}");
        }
        for keys in [r#""allow_ips": []"#, r#""ca_file": "/ca.pem""#] {
            let problem = beyond(&format!(r#""command": "true", {keys}"#)).unwrap_err().problem;
            assert!(problem.ends_with("goes with `url`"), "{problem}");
        }
    }
}
