//! The demo as a page: what happened, in, and text for a terminal of 80 columns, out.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;

/// What happened in one demo.
#[derive(Debug, Serialize)]
pub struct Story {
    /// The command in the agent's configuration.
    pub command: String,
    /// The principal that it is connected as.
    pub principal: String,
    /// The key of the made-up API. It opens nothing.
    pub key: String,
    /// The service's name.
    pub service: String,
    /// The tools that the agent sees.
    pub tools: Vec<String>,
    /// The calls, in order.
    pub calls: Vec<Call>,
    /// What `strongroom logs` shows.
    pub audit: Vec<String>,
    /// How many requests reached the API.
    pub requests: u64,
}

/// One call of the agent.
#[derive(Debug, Serialize)]
pub struct Call {
    /// What the call is to show.
    pub shows: Shows,
    /// The method.
    pub method: &'static str,
    /// The path.
    pub path: &'static str,
    /// What the broker answered: the tool's structured content.
    pub answer: Value,
}

/// What a call is to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Shows {
    /// The key is added on the way out.
    Allowed,
    /// The policy holds.
    Refused,
    /// The key does not come back.
    Redacted,
}

impl Story {
    /// Whether every call ended as it should, and the key reached the API and nobody else.
    pub fn holds(&self) -> bool {
        let ended = |call: &Call| match call.shows {
            Shows::Allowed => call.answer["status"] == 200,
            Shows::Refused => call.answer["error"]["code"] == "policy_denied",
            Shows::Redacted => {
                call.answer["status"] == 200 && call.answer["redactions"].as_u64() > Some(0)
            }
        };
        let leaks = |call: &Call| call.answer.to_string().contains(&self.key);
        self.calls.iter().all(ended) && !self.calls.iter().any(leaks) && self.requests == 2
    }

    /// The page; `paint` adds colour or does nothing.
    pub fn page(&self, paint: &dyn Fn(Ink, &str) -> String) -> String {
        let mut page = String::new();
        let title = "An agent calls an API, and never sees the key.";
        let _ = writeln!(page, "{}\n", paint(Ink::Title, title));
        self.setting(&mut page, paint);
        for (at, call) in self.calls.iter().enumerate() {
            self.call(&mut page, paint, at + 2, call);
        }
        let heading = paint(Ink::Heading, "5  What you see (`strongroom logs`)");
        let _ = writeln!(page, "{heading}\n");
        for line in &self.audit {
            page.push_str(&fold(line));
        }
        page.push_str(
            "\nAll of this ran just now: the real broker, a small API on this machine, and an\n\
             agent that talked to the broker as yours will. Nothing is left of it. Now you:\n\n",
        );
        for (command, what) in [
            ("strongroom init", "make a home for your keys"),
            ("strongroom add github", "store a key, with a read-only policy"),
            ("strongroom connect", "let one of your agents use it"),
        ] {
            let _ = writeln!(page, "   {}{what}", paint(Ink::Command, &format!("{command:<26}")));
        }
        page
    }

    fn setting(&self, page: &mut String, paint: &dyn Fn(Ink, &str) -> String) {
        let Self { command, principal, key, service, .. } = self;
        let heading = paint(Ink::Heading, "1  What the agent has");
        let tools = wrap(&format!("With it come the tools {}.", self.tools.join(", ")), 78);
        let key = paint(Ink::Secret, key);
        let _ = writeln!(
            page,
            "{heading}\n\n   One entry in its configuration, without any key:\n\n     \
             {{ \"mcpServers\": {{ \"strongroom\": {{\n         \
             \"command\": {command:?},\n         \
             \"args\": [\"serve\", \"--as\", \"{principal}\"] }} }} }}\n\n{tools}\n\n   \
             The key of the API `{service}` lies sealed in the vault: {key}\n   \
             Watch where it goes.\n"
        );
    }

    fn call(&self, page: &mut String, paint: &dyn Fn(Ink, &str) -> String, at: usize, call: &Call) {
        let answer = &call.answer;
        let (heading, remark) = match call.shows {
            Shows::Allowed => (
                "A call that the policy allows",
                "The broker added the key on the way out: without it the API says 401.",
            ),
            Shows::Refused => (
                "A call that it refuses",
                "Nothing was sent. The policy is `GET /**` and `HEAD /**`.",
            ),
            Shows::Redacted => (
                "An API that repeats the key in its answer",
                "The key went out and came back; the agent gets a marker in its place.",
            ),
        };
        let heading = paint(Ink::Heading, &format!("{at}  {heading}"));
        let result = if let Some(code) = answer["error"]["code"].as_str() {
            let message = answer["error"]["message"].as_str().unwrap_or_default();
            format!("{}, {message}", paint(Ink::Refused, &format!("refused: {code}")))
        } else {
            let body = &answer["body"];
            let body = body.as_str().map_or_else(|| body.to_string(), ToOwned::to_owned);
            format!("{} {body}", paint(Ink::Fine, &answer["status"].to_string()))
        };
        let asked = format!("execute {} {} {}", self.service, call.method, call.path);
        let _ =
            writeln!(page, "{heading}\n\n   agent   {asked}\n   gets    {result}\n\n   {remark}\n");
    }
}

/// What a piece of text is, for whoever colours it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// The first line.
    Title,
    /// The first line of a part.
    Heading,
    /// Good news.
    Fine,
    /// A refusal.
    Refused,
    /// The key.
    Secret,
    /// What to type.
    Command,
}

/// A line of the log, broken at one of its bars where a terminal would break it anywhere.
fn fold(line: &str) -> String {
    const WIDTH: usize = 80;
    const BAR: &str = " | ";
    let indent = line.find(BAR).unwrap_or_default();
    let mut folded = String::new();
    let mut used = 0;
    for (at, part) in line.split(BAR).enumerate() {
        let bar = if at == 0 { "" } else { BAR };
        let length = bar.len() + part.chars().count();
        if used + length > WIDTH {
            folded.push('\n');
            folded.push_str(&" ".repeat(indent));
            used = indent;
        }
        folded.push_str(bar);
        folded.push_str(part);
        used += length;
    }
    folded.push('\n');
    folded
}

/// Breaks `text` at spaces and indents it by three.
fn wrap(text: &str, width: usize) -> String {
    let mut lines = vec![String::from("  ")];
    for word in text.split(' ') {
        let last = lines.last().map_or(0, String::len);
        if last + 1 + word.len() > width {
            lines.push(String::from("  "));
        }
        if let Some(line) = lines.last_mut() {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn story() -> Story {
        let call = |shows, method, path, answer| Call { shows, method, path, answer };
        Story {
            command: "/usr/local/bin/strongroom".into(),
            principal: "claude-code".into(),
            key: "demo_key_canary".into(),
            service: "shop".into(),
            tools: ["list_services", "execute", "explain_access", "test_service", "whoami"]
                .map(String::from)
                .to_vec(),
            calls: vec![
                call(
                    Shows::Allowed,
                    "GET",
                    "/v1/charges",
                    json!({"status": 200, "body": {"charges": []}}),
                ),
                call(
                    Shows::Refused,
                    "POST",
                    "/v1/charges",
                    json!({"error": {"code": "policy_denied", "message": "no rule allows this request"}}),
                ),
                call(
                    Shows::Redacted,
                    "GET",
                    "/v1/echo",
                    json!({"status": 200, "redactions": 1, "body": {"you_sent": "[REDACTED]"}}),
                ),
            ],
            audit: vec![
                "2026-03-15T10:23:45Z | agent:claude-code | shop | GET /v1/charges | 200 | 1ms"
                    .into(),
                "2026-03-15T10:23:45Z | agent:claude-code | shop | POST /v1/charges | BLOCKED | \
                 policy violation"
                    .into(),
            ],
            requests: 2,
        }
    }

    #[test]
    fn the_page_fits_a_terminal_and_shows_the_key_only_where_it_says_so() {
        let page = story().page(&|_, text| text.to_owned());
        for line in page.lines() {
            assert!(line.chars().count() <= 80, "{line}");
            assert_eq!(line, line.trim_end());
        }
        assert_eq!(page.matches("demo_key_canary").count(), 1);
        assert!(page.contains("refused: policy_denied"), "{page}");
    }

    #[test]
    fn the_demo_fails_where_its_claims_do_not_hold() {
        assert!(story().holds());
        let mut leaking = story();
        leaking.calls[2].answer["body"] = json!("demo_key_canary");
        assert!(!leaking.holds());
        let mut lax = story();
        lax.calls[1].answer = json!({"status": 200});
        assert!(!lax.holds());
        assert!(!Story { requests: 3, ..story() }.holds());
    }
}
