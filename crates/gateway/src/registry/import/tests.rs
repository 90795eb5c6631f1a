use super::*;

/// As the registry publishes them, with the name of the publisher changed.
const NPM: &str = r#"{
  "$schema": "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json",
  "name": "io.github.example/weather-mcp",
  "description": "Weather data for any place",
  "version": "1.0.2",
  "repository": {"url": "https://github.com/example/weather-mcp", "source": "github"},
  "packages": [{
    "registryType": "npm",
    "registryBaseUrl": "https://registry.example.npmjs.org",
    "identifier": "@example/weather-mcp",
    "version": "1.0.2",
    "runtimeHint": "npx",
    "transport": {"type": "stdio"},
    "runtimeArguments": [{"type": "positional", "value": "-y"}, {"type": "named", "name": "--loglevel", "value": "error"}],
    "packageArguments": [
      {"type": "positional", "valueHint": "directory", "isRequired": true, "isRepeated": true, "description": "What to serve"},
      {"type": "named", "name": "--units", "default": "metric", "choices": ["metric", "imperial"]},
      {"type": "named", "name": "--cache={dir}", "isRequired": false},
      {"type": "named", "name": "--stdio"}
    ],
    "environmentVariables": [
      {"name": "WEATHER_API_KEY", "description": "Key of the\nweather service", "isRequired": true, "isSecret": true, "format": "string"},
      {"name": "WEATHER_LOG", "default": "info"},
      {"name": "WEATHER_REGION", "isRequired": true, "choices": ["eu", "us"]},
      {"name": "WEATHER_PROXY"},
      {"name": "WEATHER_DSN", "value": "https://{user}:{password}@h/{project}", "variables": {
        "user": {"value": "me"}, "password": {"isSecret": true}, "project": {"default": "7"}}}
    ]
  }],
  "remotes": [{"type": "streamable-http", "url": "https://weather.example/mcp"}]
}"#;

fn import(source: &str, options: &Options<'_>) -> Vec<Result<Draft, Refused>> {
    read(&Text::new("f", source), options).unwrap().servers
}

fn one(source: &str, options: &Options<'_>) -> Draft {
    let mut servers = import(source, options);
    assert_eq!(servers.len(), 1);
    servers.remove(0).unwrap()
}

fn with(values: &[(&str, &str)]) -> Vec<(String, String)> {
    values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn refusal(source: &str, options: &Options<'_>) -> (String, String) {
    match read(&Text::new("f", source), options) {
        Err(problem) => (problem.problem, problem.hint.unwrap_or_default()),
        Ok(import) => {
            let refused = import.servers.into_iter().find_map(Result::err).unwrap();
            (refused.problem.problem, refused.problem.hint.unwrap_or_default())
        }
    }
}

/// `command`, `env` and `secrets`, or `url` and `headers`, one a line.
fn lines(draft: &Draft) -> Vec<String> {
    let mut lines = Vec::new();
    for member in draft.table().members() {
        match &member.value.value {
            Value::List(items) => {
                let words: Vec<_> = items.iter().filter_map(Node::as_text).collect();
                lines.push(words.join(" "));
            }
            Value::Table(pairs) => lines.extend(pairs.iter().map(|pair| {
                format!("{}.{}={}", member.key, pair.key, pair.value.as_text().unwrap())
            })),
            Value::Text(text) => lines.push(format!("{}={text}", member.key)),
            Value::Flag(flag) => lines.push(format!("{}={flag}", member.key)),
            _ => panic!("no such value is written"),
        }
    }
    lines
}

fn slots(draft: &Draft) -> Vec<(String, &str)> {
    draft.slots.iter().map(|slot| (slot.reference.to_string(), slot.needed_by.as_str())).collect()
}

#[test]
fn an_npm_package_becomes_a_pinned_command_with_its_arguments_in_order() {
    let values = with(&[("directory", "/a"), ("directory", "/b c"), ("WEATHER_REGION", "eu")]);
    let options = Options { values: &values, ..Options::default() };
    let draft = one(NPM, &options);
    assert_eq!(draft.name.as_str(), "weather-mcp");
    assert_eq!(
        lines(&draft),
        [
            "description=Weather data for any place",
            "npx -y --loglevel error @example/weather-mcp@1.0.2 /a /b c --units metric --stdio",
            "env.WEATHER_DSN=https://me:{{local://weather-mcp/password}}@h/7",
            "env.WEATHER_LOG=info",
            "env.WEATHER_REGION=eu",
            "secrets.WEATHER_API_KEY=local://weather-mcp/weather-api-key",
        ]
    );
    assert_eq!(
        slots(&draft),
        [
            ("local://weather-mcp/weather-api-key".to_owned(), "env.WEATHER_API_KEY"),
            ("local://weather-mcp/password".to_owned(), "env.WEATHER_DSN"),
        ]
    );
    assert!(draft.slots[0].required && !draft.slots[1].required);
    assert_eq!(draft.slots[0].about.as_deref(), Some("Key of the weather service"));
    assert_eq!(draft.missing, []);
    assert_eq!(draft.used.len(), 2);
    assert!(draft.notices.iter().any(|notice| notice.contains("called `weather-mcp`")));
    assert!(draft.notices.iter().any(|notice| notice.contains("`remote` as well")));
}

#[test]
fn what_is_required_and_not_given_is_listed() {
    let draft = one(NPM, &Options::default());
    let missing: Vec<_> = draft.missing.iter().map(|m| (m.place, m.name.as_str())).collect();
    assert_eq!(missing, [("env", "WEATHER_REGION"), ("args", "directory")]);
    assert_eq!(draft.missing[0].choices, ["eu", "us"]);
    assert!(lines(&draft)[1].contains("@1.0.2 {directory} --units"));
    let values = with(&[("WEATHER_REGION", "canary")]);
    let (problem, hint) = refusal(NPM, &Options { values: &values, ..Options::default() });
    assert_eq!(problem, "`WEATHER_REGION` is not one of its choices");
    assert!(hint.contains("`eu`, `us`"));
    let values = with(&[("WEATHER_API_KEY", "canary")]);
    let (problem, _) = refusal(NPM, &Options { values: &values, ..Options::default() });
    assert_eq!(problem, "a value is given for a secret");
}

#[test]
fn the_snake_case_of_the_first_schema_is_read_as_well() {
    let source = r#"{"name": "io.github.x/y", "packages": [{
        "registry_type": "pypi", "identifier": "mcp-y", "version": "0.4.1rc1",
        "runtime_arguments": [{"type": "named", "name": "--python", "value": "3.12"}],
        "environment_variables": [{"name": "Y_TOKEN", "is_secret": true, "is_required": true}]}]}"#;
    let draft = one(source, &Options::default());
    assert_eq!(
        lines(&draft),
        ["uvx --python 3.12 --from mcp-y==0.4.1rc1 mcp-y", "secrets.Y_TOKEN=local://y/y-token",]
    );
}

#[test]
fn each_kind_of_package_has_its_command() {
    let package = |fields: &str| {
        format!(
            r#"{{"name": "a/s", "packages": [{{{fields}, "packageArguments": [{{"value": "x"}}],
            "environmentVariables": [{{"name": "K", "isSecret": true}}, {{"name": "L", "isRequired": true}}]}}]}}"#
        )
    };
    for (fields, command) in [
        (r#""registryType": "npm", "identifier": "s", "version": "1.0.0""#, "npx -y s@1.0.0 x"),
        (r#""registryType": "pypi", "identifier": "s", "version": "1.0""#, "uvx --from s==1.0 s x"),
        (
            r#""registryType": "nuget", "identifier": "A.S", "version": "1.0.0-beta""#,
            "dnx A.S@1.0.0-beta --yes -- x",
        ),
        (
            r#""registryType": "oci", "identifier": "ghcr.io/a/s:1.2""#,
            "docker run -i --rm -e K -e L ghcr.io/a/s:1.2 x",
        ),
        (
            r#""registryType": "oci", "registryBaseUrl": "https://ghcr.io", "identifier": "a/s", "version": "1.2""#,
            "docker run -i --rm -e K -e L ghcr.io/a/s:1.2 x",
        ),
        (
            r#""registryType": "oci", "identifier": "a/s@sha256:00", "version": "1.2""#,
            "docker run -i --rm -e K -e L a/s@sha256:00 x",
        ),
    ] {
        let draft = one(&package(fields), &Options::default());
        assert_eq!(lines(&draft)[0], command);
    }
    for (fields, problem) in [
        (r#""registryType": "mcpb", "identifier": "https://h/x.mcpb""#, "bundle (`mcpb`)"),
        (r#""registryType": "cargo", "identifier": "x", "version": "1.0.0""#, "offered as a crate"),
        (r#""registryType": "canary", "identifier": "x""#, "not known here"),
        (r#""registryType": "npm", "identifier": "x""#, "has no version"),
        (r#""registryType": "npm", "version": "1.0.0""#, "has no `identifier`"),
        (r#""registryType": "npm", "identifier": "x", "version": "latest""#, "a tag or a range"),
        (r#""registryType": "npm", "identifier": "x", "version": "^1.0.0""#, "a tag or a range"),
        (r#""registryType": "npm", "identifier": "x", "version": "1.x""#, "a tag or a range"),
        (
            r#""registryType": "npm", "identifier": "x", "version": "1.0.0 -c id""#,
            "a tag or a range",
        ),
        (
            r#""registryType": "npm", "identifier": "-c", "version": "1.0.0""#,
            "read as something else",
        ),
        (
            r#""registryType": "npm", "identifier": "git+https://h/x", "version": "1.0.0""#,
            "read as",
        ),
        (r#""registryType": "npm", "identifier": "../x", "version": "1.0.0""#, "read as"),
        (r#""registryType": "npm", "identifier": "@a/b/c", "version": "1.0.0""#, "read as"),
        (r#""registryType": "pypi", "identifier": "x @ https://h", "version": "1.0""#, "read as"),
        (r#""registryType": "oci", "identifier": "--privileged""#, "a name that is none"),
        (r#""registryType": "oci", "identifier": "a b""#, "a name that is none"),
        (
            r#""registryType": "npm", "registryBaseUrl": "https://npm.canary.example", "identifier": "x", "version": "1.0.0""#,
            "a registry of its own",
        ),
        (
            r#""registryType": "npm", "identifier": "x", "version": "1.0.0", "transport": {"type": "sse"}"#,
            "listens on an address",
        ),
    ] {
        let (said, _) = refusal(&package(fields), &Options::default());
        assert!(said.contains(problem), "{fields}: {said}");
        assert!(!said.contains("canary"), "{said}");
    }
}

#[test]
fn a_hint_about_the_runner_is_never_run() {
    let source = r#"{"name": "a/s", "packages": [{"registryType": "npm", "identifier": "s",
        "version": "1.0.0", "runtimeHint": "/bin/sh"}]}"#;
    let draft = one(source, &Options::default());
    assert_eq!(lines(&draft), ["npx -y s@1.0.0"]);
    assert!(draft.notices.iter().any(|notice| notice.contains("`/bin/sh`")));
}

#[test]
fn a_container_gets_its_variables_by_name_and_never_in_its_command() {
    let source = r#"{"name": "a/s", "packages": [{"registryType": "oci", "identifier": "a/s:1",
        "runtimeArguments": [
            {"type": "named", "name": "--mount", "value": "type=bind,src={src},dst=/w", "variables": {"src": {"format": "filepath", "isRequired": true}}},
            {"type": "named", "name": "-e", "value": "API_KEY={key}", "variables": {"key": {"isSecret": true}}}
        ]}]}"#;
    let values = with(&[("src", "/home/me")]);
    let draft = one(source, &Options { values: &values, ..Options::default() });
    assert_eq!(
        lines(&draft),
        [
            "docker run -i --rm -e API_KEY --mount type=bind,src=/home/me,dst=/w a/s:1",
            "secrets.API_KEY=local://s/key",
        ]
    );
    assert_eq!(slots(&draft), [("local://s/key".to_owned(), "env.API_KEY")]);
}

#[test]
fn a_secret_in_an_argument_or_an_address_needs_leave() {
    let argument = r#"{"name": "a/s", "packages": [{"registryType": "npm", "identifier": "s", "version": "1.0.0",
        "packageArguments": [{"type": "named", "name": "--token", "isSecret": true, "isRequired": true}]}]}"#;
    let address = r#"{"name": "a/s", "remotes": [{"type": "streamable-http",
        "url": "https://h.example/{key}/mcp", "variables": {"key": {"isSecret": true}}}]}"#;
    for (source, line) in [
        (argument, "npx -y s@1.0.0 --token local://s/token"),
        (address, "url=https://h.example/{{local://s/key}}/mcp"),
    ] {
        let (_, hint) = refusal(source, &Options::default());
        assert!(hint.contains("--allow-visible-secrets"), "{hint}");
        let draft = one(source, &Options { allow_visible_secrets: true, ..Options::default() });
        assert!(draft.visible);
        assert_eq!(lines(&draft), [line, "allow_visible_secrets=true"]);
    }
}

#[test]
fn a_remote_has_its_headers_and_a_secret_one_without_a_value_is_a_slot_as_a_whole() {
    let source = r#"{"name": "com.example/tickets", "remotes": [{"type": "streamable-http",
        "url": "https://{tenant}.example.com/mcp", "variables": {"tenant": {"isRequired": true, "choices": ["eu", "us"]}},
        "headers": [
            {"name": "Authorization", "isSecret": true, "isRequired": true},
            {"name": "X-Key", "value": "Key {apiKey}", "variables": {"apiKey": {"isSecret": true}}},
            {"name": "X-Old", "value": "Bearer {old_token}", "isSecret": true},
            {"name": "X-Fixed", "value": "canary-value", "isSecret": true},
            {"name": "X-Version", "value": "2"},
            {"name": "X-Nothing"}
        ]}]}"#;
    let values = with(&[("tenant", "eu")]);
    let draft = one(source, &Options { values: &values, ..Options::default() });
    assert_eq!(
        lines(&draft),
        [
            "url=https://eu.example.com/mcp",
            "headers.authorization=local://tickets/authorization",
            "headers.x-fixed=local://tickets/x-fixed",
            "headers.x-key=Key {{local://tickets/api-key}}",
            "headers.x-old=Bearer {{local://tickets/old-token}}",
            "headers.x-version=2",
        ]
    );
    assert!(!format!("{draft:?}").contains("canary"));
    assert!(draft.notices.iter().any(|notice| notice.contains("not taken over")));
    let (problem, hint) = refusal(source, &Options::default());
    assert_eq!(problem, "the host of the address is open: `tenant` is not given");
    assert_eq!(hint, "give it with `--set tenant=VALUE`");
}

// SC-05
#[test]
fn no_text_of_a_catalogue_becomes_a_reference() {
    let env = |input: &str| {
        format!(
            r#"{{"name": "a/s", "packages": [{{"registryType": "npm", "identifier": "s",
            "version": "1.0.0", "environmentVariables": [{{"name": "A", {input}}}]}}]}}"#
        )
    };
    for input in [
        r#""value": "op://Private/GitHub/token""#,
        r#""default": "local://github/token""#,
        r#""value": "Bearer {{op://Private/GitHub/token}}""#,
        r#""value": "{a}://Private/GitHub/token", "variables": {"a": {"value": "op"}}"#,
        r#""value": "{a}op://P/I/f}}", "variables": {"a": {"value": "{{"}}"#,
        r#""value": "{a}{a}op://P/I/f}}", "variables": {"a": {"value": "{"}}"#,
        r#""value": "{{a}}", "variables": {"a": {"isSecret": true}}"#,
    ] {
        let (problem, _) = refusal(&env(input), &Options::default());
        assert_eq!(
            problem, "the file names a secret by itself, or something that reads as one",
            "{input}"
        );
    }
    let draft = one(&env(r#""value": "${HOME} $(id) {x}""#), &Options::default());
    assert_eq!(lines(&draft)[1], "env.A=${HOME} $(id) {x}", "nothing is expanded");
}

#[test]
fn variables_cannot_make_a_text_grow_without_end() {
    let source = format!(
        r#"{{"name": "a/s", "packages": [{{"registryType": "npm", "identifier": "s", "version": "1.0.0",
        "environmentVariables": [{{"name": "A", "value": "{}", "variables": {{"a": {{"value": "{}"}}}}}}]}}]}}"#,
        "{a}".repeat(10_000),
        "{a}".repeat(1000)
    );
    let (problem, _) = refusal(&source, &Options::default());
    assert_eq!(problem, "a text becomes longer than 64 KiB");
}

#[test]
fn a_list_of_the_registry_gives_the_latest_of_each_server() {
    let item = |version: &str, latest: bool, status: &str| {
        format!(
            r#"{{"server": {{"name": "a/s", "packages": [{{"registryType": "npm", "identifier": "s", "version": "{version}"}}]}},
            "_meta": {{"io.modelcontextprotocol.registry/official": {{"status": "{status}", "isLatest": {latest}}}}}}}"#
        )
    };
    let (old, new) = (item("1.0.0", false, "active"), item("2.0.0", true, "deprecated"));
    let list =
        format!(r#"{{"servers": [{old}, {new}, {old}], "metadata": {{"nextCursor": "x"}}}}"#);
    for source in [list, format!("[{new}]"), new.clone()] {
        let draft = one(&source, &Options::default());
        assert_eq!(lines(&draft), ["npx -y s@2.0.0"]);
        assert!(draft.notices.iter().any(|notice| notice.contains("deprecated")));
    }
}

#[test]
fn one_of_several_ways_and_servers_is_chosen_by_name() {
    let options = Options { way: Some("remote"), ..Options::default() };
    assert_eq!(lines(&one(NPM, &options))[1], "url=https://weather.example/mcp");
    let options = Options { way: Some("oci"), ..Options::default() };
    let (problem, hint) = refusal(NPM, &options);
    assert_eq!(problem, "the server is not offered in this way");
    assert_eq!(hint, "it is offered as `npm`, `remote`");

    let two = r#"{"mcpServers": {"a": {"command": "x"}, "b": {"command": "y"}}}"#;
    let name = "mine".parse().unwrap();
    let (_, hint) = refusal(two, &Options { name: Some(&name), ..Options::default() });
    assert!(hint.contains("--only"));
    let only = ["b".to_owned()];
    let draft = one(two, &Options { name: Some(&name), only: &only, ..Options::default() });
    assert_eq!((draft.name.as_str(), lines(&draft)), ("mine", vec!["y".to_owned()]));
    let only = ["bb".to_owned()];
    let (problem, _) = refusal(two, &Options { only: &only, ..Options::default() });
    assert_eq!(problem, "there is no server of this name in the file");
    let same = r#"{"mcpServers": {"a b": {"command": "x"}, "A-B": {"command": "y"}, "日": {"command": "z"}}}"#;
    let servers = import(same, &Options::default());
    assert!(servers[0].is_ok());
    assert!(servers[1].as_ref().unwrap_err().problem.problem.contains("two servers"));
    assert!(servers[2].as_ref().unwrap_err().problem.hint.as_ref().unwrap().contains("--name"));
}

const DOCKER: &str = r#"
version: 3
name: docker-mcp
displayName: Docker MCP Catalog
registry:
  postgres:
    description: "Query a database"
    title: PostgreSQL
    type: server
    dateAdded: "2025-05-19T00:00:00Z"
    image: mcp/postgres@sha256:59fac8
    tools:
      - name: query
    secrets:
      - name: postgres.password
        env: PGPASSWORD
        example: <POSTGRES_PASSWORD>
    env:
      - name: PGHOST
        value: '{{postgres.host}}'
      - name: PGMODE
        value: '{{postgres.mode}}'
    command:
      - --transport=stdio
      - '{{postgres.schema|or:public}}'
    volumes:
      - '{{postgres.certs|volume|into}}'
    allowHosts:
      - db.example:5432
    config:
      - name: postgres
        type: object
        properties:
          host: {type: string, description: The host}
          mode: {type: string, default: require, enum: [require, disable]}
        required: [host]
  tickets:
    type: remote
    remote:
      transport_type: streamable-http
      url: https://mcp.tickets.example/mcp
      headers:
        Authorization: "Bearer ${TICKETS_TOKEN}"
    secrets:
      - name: tickets.personal_access_token
        env: TICKETS_TOKEN
  code-mode:
    type: poci
    image: x
"#;

#[test]
fn dockers_catalogue_is_read_with_its_settings_and_secrets() {
    let values = with(&[("host", "db"), ("certs", "/etc/pg")]);
    let servers = import(DOCKER, &Options { values: &values, ..Options::default() });
    let postgres = servers[0].as_ref().unwrap();
    assert_eq!(
        lines(postgres),
        [
            "description=Query a database",
            "docker run -i --rm -e PGPASSWORD -e PGHOST -e PGMODE -v /etc/pg:/etc/pg mcp/postgres@sha256:59fac8 --transport=stdio public",
            "env.PGHOST=db",
            "env.PGMODE=require",
            "secrets.PGPASSWORD=local://postgres/password",
        ]
    );
    assert!(postgres.notices[0].contains("db.example:5432"));
    let tickets = servers[1].as_ref().unwrap();
    assert_eq!(
        lines(tickets),
        [
            "url=https://mcp.tickets.example/mcp",
            "headers.authorization=Bearer {{local://tickets/personal-access-token}}",
        ]
    );
    assert!(servers[2].as_ref().unwrap_err().problem.problem.contains("Docker's own gateway"));

    let only = ["postgres".to_owned()];
    let draft = one(DOCKER, &Options { only: &only, ..Options::default() });
    let missing: Vec<_> = draft.missing.iter().map(|m| (m.place, m.name.as_str())).collect();
    assert_eq!(missing, [("env", "host"), ("args", "certs")]);
    assert_eq!(draft.missing[0].about.as_deref(), Some("The host"));
}

#[test]
fn one_entry_of_dockers_catalogue_stands_on_its_own() {
    let source = "name: fetch\ntype: server\ntitle: Fetch\ndescription: Fetches\nimage: mcp/fetch:1.0\nuser: '1000'\ndisableNetwork: true\n";
    let draft = one(source, &Options::default());
    assert_eq!(lines(&draft)[1], "docker run -i --rm -u 1000 --network none mcp/fetch:1.0");
    let bad = "name: fetch\ntype: server\nimage: x\nenv: [{name: A, value: 'op://P/I/f'}]\n";
    assert!(refusal(bad, &Options::default()).0.contains("names a secret by itself"));
}

#[test]
fn toolhives_own_format_and_what_it_adds_to_a_server_are_read() {
    let native = r#"{"version": "1.0.0", "last_updated": "2025-10-01", "servers": {
        "github": {"image": "ghcr.io/github/github-mcp-server:v0.5.0", "transport": "stdio", "description": "GitHub",
            "args": ["stdio"], "permissions": {"network": {"outbound": {"allow_host": ["api.github.com"]}}, "read": ["/w"]},
            "env_vars": [{"name": "GITHUB_TOKEN", "required": true, "secret": true}, {"name": "HOST", "default": "x"}, {"name": "NO"}]},
        "web": {"image": "a/b:1", "transport": "sse"}},
        "remote_servers": {"r": {"url": "https://r.example/mcp", "transport": "streamable-http",
            "headers": [{"name": "X-Key", "required": true, "secret": true}], "oauth_config": {"issuer": "https://i"}}}}"#;
    let servers = import(native, &Options::default());
    let github = servers[0].as_ref().unwrap();
    assert_eq!(
        lines(github),
        [
            "description=GitHub",
            "docker run -i --rm -e GITHUB_TOKEN -e HOST ghcr.io/github/github-mcp-server:v0.5.0 stdio",
            "env.HOST=x",
            "secrets.GITHUB_TOKEN=local://github/github-token",
        ]
    );
    assert_eq!(
        github.notices,
        ["it asks to read /w, to reach api.github.com; nothing here grants or limits that"]
    );
    assert!(servers[1].as_ref().unwrap_err().problem.problem.contains("listens"));
    let remote = servers[2].as_ref().unwrap();
    assert_eq!(lines(remote)[1], "headers.x-key=local://r/x-key");
    assert!(remote.notices[0].contains("OAuth"));

    let overlay = r#"{"name": "io.github.stacklok/fetch", "packages": [{"registryType": "oci", "identifier": "a/fetch:1"}],
        "_meta": {"io.modelcontextprotocol.registry/publisher-provided": {"io.github.stacklok": {"a/fetch:1": {
            "args": ["--once"], "permissions": {"network": {"outbound": {"insecure_allow_all": true}}}}}}}}"#;
    let draft = one(overlay, &Options::default());
    assert_eq!(lines(&draft), ["docker run -i --rm a/fetch:1 --once"]);
    assert!(draft.notices.iter().any(|notice| notice.contains("every host")));
}

#[test]
fn a_clients_block_keeps_the_references_that_the_user_wrote() {
    let source = r#"{
        // as several clients write it
        "mcpServers": {
            "GitHub (work)": {"type": "stdio", "command": "npx", "args": ["-y", "pkg@1.0.0", "${ROOT}"],
                "env": {"TOKEN": "op://Work/GitHub/token", "OTHER": "${GITHUB_TOKEN}", "THIRD": "${env:THIRD}", "F": "${F:-x}", "PLAIN": "y"},
                "autoApprove": ["a"]},
            "remote": {"serverUrl": "https://h.example/mcp", "headers": {"Authorization": "Bearer {{op://Work/H/token}}"}},
            "line": {"command": "node 'my server.js' --x"},
        },
    }"#;
    let servers = import(source, &Options::default());
    let github = servers[0].as_ref().unwrap();
    assert_eq!(
        lines(github),
        [
            "npx -y pkg@1.0.0 {ROOT}",
            "env.F=x",
            "env.PLAIN=y",
            "secrets.OTHER=env://GITHUB_TOKEN",
            "secrets.THIRD=env://THIRD",
            "secrets.TOKEN=op://Work/GitHub/token",
        ]
    );
    assert_eq!(github.missing[0].name, "ROOT");
    assert!(github.notices.iter().any(|notice| notice.contains("`autoApprove`")));
    assert_eq!(
        lines(servers[1].as_ref().unwrap()),
        ["url=https://h.example/mcp", "headers.authorization=Bearer {{op://Work/H/token}}",]
    );
    assert_eq!(lines(servers[2].as_ref().unwrap()), ["node my server.js --x"]);
}

#[test]
fn the_blocks_of_other_clients_are_read_as_well() {
    let code = r#"{"inputs": [{"type": "promptString", "id": "api-key", "password": true, "description": "The key"},
            {"type": "promptString", "id": "host"}],
        "servers": {"x": {"type": "http", "url": "https://h.example/mcp", "headers": {"X-Key": "${input:api-key}"}},
            "y": {"command": "y", "env": {"HOST": "${input:host}"}}}}"#;
    let servers = import(code, &Options::default());
    let x = servers[0].as_ref().unwrap();
    assert_eq!(lines(x)[1], "headers.x-key=local://x/api-key");
    assert_eq!(x.slots[0].about.as_deref(), Some("The key"));
    assert_eq!(servers[1].as_ref().unwrap().missing[0].name, "host");
    let zed = r#"{"context_servers": {"z": {"command": {"path": "zed-x", "args": ["a"], "env": {"B": "c"}}}}}"#;
    assert_eq!(lines(&one(zed, &Options::default())), ["zed-x a", "env.B=c"]);
    let list = "mcpServers:\n  - name: My Files\n    command: npx\n    args: [files@1.0.0]\n";
    let draft = one(list, &Options::default());
    assert_eq!(
        (draft.name.as_str(), lines(&draft)),
        ("my-files", vec!["npx files@1.0.0".to_owned()])
    );
}

// LM-13
#[test]
fn hostile_names_and_variables_never_get_through() {
    for name in ["x; id", "../x", ".\\\"$(id)", "-rf", "\\u0000", &"a".repeat(10_000)] {
        let source = format!(r#"{{"mcpServers": {{"{name}": {{"command": "x"}}}}}}"#);
        match &import(&source, &Options::default())[0] {
            Ok(draft) => assert!(draft.name.as_str().len() <= 64),
            Err(refused) => assert!(refused.problem.problem.contains("no name")),
        }
    }
    for (server, problem) in [
        (r#"{"command": "x", "env": {"A=B": "y"}}"#, "a name that is none of a variable"),
        (r#"{"command": "x", "env": {"LD_PRELOAD": "local://y"}}"#, "decides what code"),
        (r#"{"command": "x", "args": ["a\u0000b"]}"#, "a control character"),
        (r#"{"command": "x; id"}"#, "a shell would act on"),
        (r#"{"command": "-rf"}"#, "does not begin with a program"),
        (r#"{"command": ["", "y"]}"#, "`command` is empty"),
        (r#"{"command": 7}"#, "`command` is empty"),
        (r#"{"type": "stdio"}"#, "neither `command` nor `url`"),
        (r#"{"url": "http://h.example/mcp"}"#, "plain http"),
        (r#"{"url": "https://h/mcp", "headers": {"a b": "c"}}"#, "a name that is none"),
        (r#"{"url": "file:///etc/passwd"}"#, "does not begin with"),
        (r#""x""#, "not a table"),
    ] {
        let (said, _) =
            refusal(&format!(r#"{{"mcpServers": {{"s": {server}}}}}"#), &Options::default());
        assert!(said.contains(problem), "{server}: {said}");
    }
}

// SC-06
#[test]
fn a_file_that_is_none_of_the_known_ones_is_said_and_not_repeated() {
    for source in [
        "{}",
        "[]",
        "canary",
        "{\"canary\": 1}",
        "{\"servers\": 1}",
        "{\"mcpServers\": 7}",
        "canary: [",
        "",
        "{\"mcpServers\": {}}",
        "[{\"canary\": 1}]",
        "{\"servers\": {\"a\": {\"canary\": 1}}}",
    ] {
        let said = refusal(source, &Options::default());
        assert!(!said.0.is_empty() && !said.0.contains("canary"), "{source}: {said:?}");
    }
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z{}$:/. -]{0,12}",
            Just("op://Vault/Item/field".to_owned()),
            Just("{{local://other/token}}".to_owned()),
            Just("{a}".to_owned()),
            Just("{{".to_owned()),
            Just("}}".to_owned()),
        ]
    }

    proptest! {
        #[test]
        fn a_draft_of_a_catalogue_has_its_own_slots_and_no_other_reference(
            value in text(), variable in text(), word in text(), secret: bool, url in text(),
        ) {
            let json = serde_json::json!({"name": "a/s",
                "packages": [{"registryType": "npm", "identifier": "s", "version": "1.0.0",
                    "packageArguments": [{"value": word}],
                    "environmentVariables": [{"name": "A", "value": value, "isSecret": secret,
                        "variables": {"a": {"value": variable}}}]}],
                "remotes": [{"url": format!("https://h/{url}")}]});
            for way in ["npm", "remote"] {
                let options = Options { allow_visible_secrets: true, way: Some(way), ..Options::default() };
                let read = read(&Text::new("f", json.to_string()), &options).unwrap();
                for draft in read.servers.into_iter().flatten() {
                    for reference in draft.server.references() {
                        prop_assert!(reference.as_str().starts_with("local://s/"), "{reference}");
                        prop_assert!(draft.slots.iter().any(|slot| slot.reference == *reference));
                    }
                }
            }
        }

        #[test]
        fn what_is_kept_of_a_draft_reads_the_same_again(value in text(), word in text(), secret: bool) {
            let json = serde_json::json!({"name": "a/s", "packages": [{"registryType": "oci", "identifier": "s:1",
                "packageArguments": [{"value": word}],
                "environmentVariables": [{"name": "A", "value": value, "isSecret": secret}]}]});
            let options = Options { allow_visible_secrets: true, ..Options::default() };
            for draft in read(&Text::new("f", json.to_string()), &options).unwrap().servers.into_iter().flatten() {
                let again = super::super::super::build::build(&Text::new("g", ""), &draft.name, &draft.table());
                prop_assert_eq!(again.unwrap().server, draft.server);
            }
        }
    }
}
