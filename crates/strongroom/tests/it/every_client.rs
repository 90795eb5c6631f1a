//! The files of all 25 clients, shaped as their documentation shows them, with comments where the
//! language has any. Each has one server with a secret and one without.

use crate::sandbox::Sandbox;

/// The secret in every file.
pub(crate) const SECRET: &str = "ghp_canaryA1b2C3d4E5f6G7h8";

#[expect(clippy::too_many_lines, reason = "one line for each client, and its text")]
/// A client, its file on Linux, and what stands there.
pub(crate) fn files() -> Vec<(&'static str, &'static str, String)> {
    let code = ".config/Code/User/globalStorage/";
    let cline = format!("{code}saoudrizwan.claude-dev/settings/cline_mcp_settings.json");
    let roo = format!("{code}rooveterinaryinc.roo-cline/settings/mcp_settings.json");
    let plain = |key: &str, more: &str| {
        format!(
            "{{\n  \"{key}\": {{\n    \"github\": {{\n      \"command\": \"npx\",\n      \"args\": [\"-y\", \"server-github\"],\n      \"env\": {{\n        \"GH_TOKEN\": \"{SECRET}\"\n      }}{more}\n    }},\n    \"time\": {{\n      \"command\": \"uvx\",\n      \"args\": [\"mcp-server-time\"]\n    }}\n  }}\n}}\n"
        )
    };
    let std = || plain("mcpServers", "");
    let commented = |key: &str, more: &str| {
        let text = plain(key, more).replace("\"env\": {", "\"env\": { // keys");
        text.replace("\"time\": {", "/* the time */ \"time\": {")
    };
    let yaml_goose = format!(
        "# Goose\nGOOSE_PROVIDER: anthropic\nextensions:\n  # code\n  github:\n    type: stdio\n    name: github\n    cmd: npx # runs it\n    args:\n    - -y\n    - server-github\n    envs:\n      GH_TOKEN: {SECRET}\n    enabled: true\n    timeout: 300 # seconds\n\n  # the clock\n  time:\n    type: stdio\n    cmd: uvx\n    args: [mcp-server-time]\n    enabled: true\n# end\n"
    );
    let yaml_continue = format!(
        "name: Local\nversion: 1.0.0\nschema: v1\nmodels: [] # none\nmcpServers:\n  # code\n  - name: github\n    command: npx\n    args:\n      - -y\n      - server-github\n    env:\n      GH_TOKEN: \"{SECRET}\" # mine\n  - name: time\n    command: uvx\n    args: [mcp-server-time]\nrules: []\n"
    );
    let toml_codex = format!(
        "# Codex\nmodel = \"o4\" # the model\n\n[mcp_servers.github] # code\ncommand = \"npx\"\nargs = [\"-y\", \"server-github\"]\n\n[mcp_servers.github.env]\nGH_TOKEN = \"{SECRET}\"\n\n# the clock\n[mcp_servers.time]\ncommand = \"uvx\"\nargs = [\"mcp-server-time\"]\n"
    );
    let toml_vibe = format!(
        "# Vibe\nactive_model = \"devstral\"\n\n[[mcp_servers]]\nname = \"github\" # code\ntransport = \"stdio\"\ncommand = \"npx\"\nargs = [\"-y\", \"server-github\"]\nenv = {{ GH_TOKEN = \"{SECRET}\" }}\n\n# the clock\n[[mcp_servers]]\nname = \"time\"\ntransport = \"stdio\"\ncommand = \"uvx\"\nargs = [\"mcp-server-time\"]\n"
    );
    let opencode = format!(
        "{{\n  \"$schema\": \"https://opencode.ai/config.json\",\n  // servers\n  \"mcp\": {{\n    \"servers\": {{\n      \"github\": {{\n        \"type\": \"local\",\n        \"command\": [\"npx\", \"-y\", \"server-github\"],\n        \"environment\": {{\n          \"GH_TOKEN\": \"{SECRET}\",\n        }},\n      }},\n      \"time\": {{\n        \"type\": \"local\",\n        \"command\": [\"uvx\", \"mcp-server-time\"],\n      }},\n    }},\n  }},\n}}\n"
    );
    let typed = |kind: &str| {
        std().replace(
            "      \"command\"",
            &format!("      \"type\": \"{kind}\",\n      \"command\""),
        )
    };
    let own = |path: &str| -> &'static str { Box::leak(path.to_owned().into_boxed_str()) };
    vec![
        ("amp", ".config/amp/settings.json", commented("amp.mcpServers", "")),
        ("antigravity", ".gemini/antigravity/mcp_config.json", std()),
        (
            "claude-code",
            ".claude.json",
            typed("stdio").replacen("{\n", "{\n  \"numStartups\": 12,\n", 1),
        ),
        ("claude-desktop", ".config/Claude/claude_desktop_config.json", std()),
        (
            "cline",
            own(&cline),
            plain(
                "mcpServers",
                ",\n      \"disabled\": false,\n      \"autoApprove\": [\"get_me\"]",
            ),
        ),
        ("codex", ".codex/config.toml", toml_codex),
        ("continue", ".continue/config.yaml", yaml_continue),
        (
            "copilot",
            ".copilot/mcp-config.json",
            typed("local")
                .replace("server-github\"],", "server-github\"],\n      \"tools\": [\"*\"],"),
        ),
        ("crush", ".config/crush/crush.json", plain("mcp", ",\n      \"type\": \"stdio\"")),
        ("cursor", ".cursor/mcp.json", std()),
        ("droid", ".factory/mcp.json", typed("stdio")),
        (
            "gemini",
            ".gemini/settings.json",
            plain("mcpServers", ",\n      \"timeout\": 5000,\n      \"trust\": false"),
        ),
        ("goose", ".config/goose/config.yaml", yaml_goose),
        ("kimi", ".kimi/mcp.json", std()),
        ("kiro", ".kiro/settings/mcp.json", std()),
        ("lmstudio", ".cache/lm-studio/mcp.json", std()),
        ("opencode", ".config/opencode/opencode.jsonc", opencode),
        ("qoder", ".qoder/mcp.json", std()),
        ("roo", own(&roo), plain("mcpServers", ",\n      \"alwaysAllow\": []")),
        (
            "sema4",
            ".sema4ai/sema4ai-studio/mcp_servers.json",
            plain("mcpServers", ",\n      \"transport\": \"stdio\""),
        ),
        ("trae", ".config/Trae/User/mcp.json", std()),
        ("vibe", ".vibe/config.toml", toml_vibe),
        (
            "vscode",
            ".config/Code/User/mcp.json",
            commented("servers", ",\n      \"type\": \"stdio\""),
        ),
        (
            "windsurf",
            ".codeium/windsurf/mcp_config.json",
            plain("mcpServers", ",\n      \"disabled\": false"),
        ),
        (
            "zed",
            ".config/zed/settings.json",
            commented("context_servers", ",\n      \"source\": \"custom\"").replacen(
                "{\n",
                "// Zed\n{\n  \"theme\": \"One\",\n",
                1,
            ),
        ),
    ]
}

/// A user who has all of them.
pub(crate) fn everybody() -> Sandbox {
    let sandbox = Sandbox::headless();
    for (_, file, text) in files() {
        sandbox.write(file, &text);
        sandbox.chmod(file, 0o644);
    }
    sandbox
}
