//! Edits of texts in the three languages.

use serde_json::json;

use super::*;

fn entry() -> Entry {
    let fields = json!({"type": "stdio", "command": "/b/strongroom", "args": ["serve"]});
    Entry {
        fields: fields.as_object().unwrap().clone(),
        without: vec!["url".into(), "headers".into()],
        environment: "env".into(),
        ..Entry::default()
    }
}

fn wanted() -> Value {
    Value::Object(entry().fields)
}

fn place() -> Place {
    place_of(Format::Json, Step::Key("strongroom".into()))
}

fn place_of(format: Format, step: Step) -> Place {
    let path = vec![Step::Key("mcpServers".into()), step];
    Place { format, path, start: String::new() }
}

fn set_in(text: &str) -> Result<String, EditError> {
    set(text, &place(), &entry())
}

fn remove_in(text: &str) -> Result<String, EditError> {
    remove(text, &place())
}

fn read(text: &str) -> Result<Value, EditError> {
    super::read(Format::Json, text)
}

#[test]
fn whatever_else_stands_in_the_file_survives_byte_for_byte() {
    let files = [
        "{\n  // my servers\n  \"mcpServers\": {\n    \"a\": { \"command\": \"x\" } /* keep */\n  },\n  \"theme\": \"dark\" // mine\n}\n",
        "{\n\t\"mcpServers\": {\n\t\t\"a\": {\"command\": \"x\"},\n\t},\n}\n",
        "{\r\n  \"mcpServers\": {\r\n    \"a\": {}\r\n  }\r\n}\r\n",
        "\u{feff}{\n  \"mcpServers\": {}\n}\n",
        "{\"mcpServers\":{\"a\":{\"env\":{\"K\":\"\\u00e9\\/\"}}},\"n\":1.50}",
        "{\n    \"numStartups\": 12,\n    \"projects\": {\"/p\": {\"mcpServers\": {}}}\n}",
        "// only a comment\n",
        "{}",
    ];
    for before in files {
        let after = set_in(before).unwrap();
        let value = read(&after).unwrap();
        assert_eq!(value["mcpServers"]["strongroom"], wanted(), "{after}");
        assert_eq!(set_in(&after).unwrap(), after, "a second time changes nothing");
        // Everything is there still, but for commas and braces that had to move.
        for part in before.split([',', '{', '}', '\n']) {
            assert!(after.contains(part.trim()), "lost {part:?} in {after:?}");
        }
        assert_eq!(before.contains("\r\n"), after.contains("\r\n"));
        if before.contains("\r\n") {
            assert_eq!(after.matches('\n').count(), after.matches("\r\n").count(), "{after:?}");
        }
        assert_eq!(before.starts_with('\u{feff}'), after.starts_with('\u{feff}'));
        let gone = remove_in(&after).unwrap();
        assert!(read(&gone).unwrap()["mcpServers"].get("strongroom").is_none());
    }
}

#[test]
fn the_indentation_of_the_file_is_taken_up() {
    let text = "{\n\t\"mcpServers\": {\n\t\t\"a\": {}\n\t}\n}\n";
    let after = set_in(text).unwrap();
    assert!(after.contains("\n\t\t\"strongroom\": {\n\t\t\t\"type\""), "{after}");
    assert!(!after.contains("  "), "{after}");
}

#[test]
fn setting_and_removing_gives_the_file_back() {
    let text = "{\n  \"mcpServers\": {\n    // first\n    \"a\": {\n      \"command\": \"x\"\n    }\n  }\n}\n";
    let after = set_in(text).unwrap();
    assert_eq!(remove_in(&after).unwrap(), text);
}

#[test]
fn an_empty_file_becomes_one_with_one_entry() {
    for text in ["", "\n", "null", "{\"mcpServers\": null}", "  \t\r\n"] {
        let after = set_in(text).unwrap();
        let expected = json!({"mcpServers": {"strongroom": wanted()}});
        assert_eq!(read(&after).unwrap(), expected, "{text:?} became {after:?}");
    }
}

#[test]
fn an_entry_that_is_already_there_is_corrected_and_keeps_what_the_user_added() {
    let text = r#"{"mcpServers": {"strongroom": {
        "url": "http://127.0.0.1/mcp", "headers": {"Authorization": "Bearer canary"}, // old
        "env": {"RUST_LOG": "debug", "STRONGROOM_HOME": "/old"},
        "disabled": false
    }}}"#;
    let after = set_in(text).unwrap();
    let value = read(&after).unwrap();
    let mut expected = wanted();
    expected["disabled"] = json!(false);
    expected["env"] = json!({"RUST_LOG": "debug"});
    assert_eq!(value["mcpServers"]["strongroom"], expected, "{after}");

    let mut with_home = entry();
    with_home.fields.insert("env".into(), json!({"STRONGROOM_HOME": "/new"}));
    let after = set(text, &place(), &with_home).unwrap();
    let environment = &read(&after).unwrap()["mcpServers"]["strongroom"]["env"];
    assert_eq!(*environment, json!({"RUST_LOG": "debug", "STRONGROOM_HOME": "/new"}));
}

#[test]
fn a_file_that_the_client_would_not_read_is_refused_with_its_place() {
    let table = [
        ("{\n  \"mcpServers\": {\n", "line 2, column 17: unterminated object"),
        ("{\"a\": 1 \"b\": 2}", "line 1, column 8: expected comma"),
        ("{'a': 1}", "line 1, column 2: single-quoted strings are not allowed"),
        ("[]", "the file is an array and not an object"),
        ("\"canary\"", "the file is a string and not an object"),
        ("{\"mcpServers\": []}", "`mcpServers` is an array and not an object"),
        ("{\"mcpServers\": \"canary\"}", "`mcpServers` is a string and not an object"),
        ("{\"mcpServers\": 7}", "`mcpServers` is a single value and not an object"),
        ("{\"mcpServers\": {}, \"mcpServers\": {}}", "`mcpServers` stands there twice"),
    ];
    for (text, expected) in table {
        assert_eq!(set_in(text).unwrap_err().to_string(), expected, "{text}");
        assert_eq!(remove_in(text).unwrap_err().to_string(), expected);
    }
}

#[test]
fn an_error_never_repeats_what_the_file_holds() {
    for text in ["{\"k\": canary}", "{canary: 1}", "{\"k\": \"\\canary\"}", "canary", "{\"canary"] {
        let error = set_in(text).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    }
}

/// Files as people have them, in each language, with the place of an entry that is not there.
fn files() -> Vec<(Place, &'static str)> {
    let key = || Step::Key("strongroom".into());
    let named = || Step::Named("strongroom".into());
    let yaml = |text| (place_of(Format::Yaml, key()), text);
    let list = |text| (place_of(Format::Yaml, named()), text);
    let toml = |text| (place_of(Format::Toml, key()), text);
    let tables = |text| (place_of(Format::Toml, named()), text);
    vec![
        yaml(
            "# mine\nmcpServers:\n  # first\n  a: # its name\n    cmd: npx # why\n    args: [x, 'y']\n\n  # last words\nother: |\n  text\n\n  more\n# end\n",
        ),
        yaml("mcpServers:\n    a:\n        cmd: \"x\"\n    b: &b {cmd: y}\n    c: *b\nnext: 1"),
        yaml("a: 1\r\nmcpServers:\r\n  b:\r\n    cmd: x\r\n"),
        yaml("mcpServers: {}\nz: [1, 2.50, ~]\n"),
        yaml("mcpServers: {}   # none yet\n"),
        yaml("mcpServers: {a: {cmd: x, args: [1]}} # flow\n"),
        yaml("---\nmcpServers:\n  a:\n    text: >-\n      folded\n      text\n    é: ü\n"),
        yaml("mcpServers:\n  a:\n    cmd: x"),
        list("mcpServers:\n- name: a # first\n  command: x\n  args:\n  - y\n# end\nmodels: []\n"),
        list("name: n\nmcpServers:\n  - command: x\n    name: a\n\n  - name: b\n"),
        list("mcpServers: []\n"),
        toml(
            "# mine\nmodel = \"x\" # why\n\n[mcp_servers.z]\ncommand = 'y'\n\n# env\n[mcp_servers.z.env]\nA = \"1\"\n\n[mcpServers.a] # first\ncommand = \"\"\"\nx\"\"\"\n# end\n",
        ),
        toml("[mcpServers.a]\r\ncommand = \"x\"\r\n"),
        toml("[mcpServers]\na = { command = \"x\" } # inline\n\n[other]\nb = 0x10\n"),
        toml("mcpServers = { a = { command = \"x\" } }\n"),
        toml("x = 1\n"),
        toml("x = 1"),
        toml(""),
        tables("[[mcpServers]]\nname = \"a\" # first\n\n# second\n[[mcpServers]]\nname = \"b\"\n"),
        tables("mcpServers = [{ name = \"a\" }]\n"),
        tables("# nothing yet\n"),
        (
            place(),
            "{\n  // my servers\n  \"mcpServers\": {\n    \"a\": {\n      \"command\": \"x\"\n    } // why\n  }\n}\n",
        ),
        (
            place(),
            "{\n\t\"mcpServers\": {\n\t\t\"a\": {\"n\": 1.50, \"k\": \"\\u00e9\\/\"}\n\t}\n}",
        ),
        (place(), "{\r\n  \"mcpServers\": {\r\n    \"a\": {}\r\n  }\r\n}\r\n"),
    ]
}

fn entry_at(place: &Place) -> Entry {
    let mut entry = entry();
    if let Some(Step::Named(name)) = place.path.last() {
        entry.fields.insert("name".into(), json!(name));
    }
    entry
}

#[test]
fn an_entry_that_comes_and_goes_leaves_the_file_as_it_was_in_every_language() {
    for mark in ["", "\u{feff}"] {
        for (place, before) in files() {
            let before = format!("{mark}{before}");
            let after = set(&before, &place, &entry_at(&place)).unwrap();
            let document = super::read(place.format, &after).unwrap();
            let found = value::at(&document, &place.path);
            let wanted = Value::Object(entry_at(&place).fields);
            assert_eq!(found, Some(&wanted), "{after}");
            assert_eq!(set(&after, &place, &entry_at(&place)).unwrap(), after);
            assert_eq!(remove(&after, &place).unwrap(), before, "by way of\n{after}");
            assert_eq!(remove(&before, &place).unwrap(), before);
        }
    }
}

#[test]
fn a_new_yaml_entry_reads_as_a_person_would_write_it() {
    let (place, before) = &files()[0];
    let mut entry = entry_at(place);
    entry.fields.insert("env".into(), json!({"A": "yes", "B": "12", "C": "a: b # c"}));
    let after = set(before, place, &entry).unwrap();
    let new = "  strongroom:\n    type: stdio\n    command: /b/strongroom\n    args: [\"serve\"]\n    \
               env:\n      A: \"yes\"\n      B: \"12\"\n      C: \"a: b # c\"\n";
    let expected = before.replace("'y']\n", &format!("'y']\n{new}"));
    assert_eq!(after, expected);

    let (place, before) = &files()[8];
    let after = set(before, place, &entry_at(place)).unwrap();
    let new = "- name: strongroom\n  type: stdio\n  command: /b/strongroom\n  args: [\"serve\"]\n";
    assert_eq!(after, before.replace("  - y\n", &format!("  - y\n{new}")));
}

#[test]
fn an_entry_is_corrected_field_by_field_with_its_comments_kept() {
    let table = [
        (
            place_of(Format::Yaml, Step::Key("strongroom".into())),
            "mcpServers:\n  strongroom:\n    # mine\n    command: npx # was\n    args:\n    - -y\n    - p\n    env: # keys\n      A: b\n      STRONGROOM_HOME: /old\n    url: http://x\n    keep: 1\n  z: 1\n",
            "mcpServers:\n  strongroom:\n    # mine\n    command: /b/strongroom # was\n    args: [\"serve\"]\n    env: # keys\n      A: b\n    keep: 1\n    type: stdio\n  z: 1\n",
        ),
        (
            place_of(Format::Toml, Step::Key("strongroom".into())),
            "[mcpServers.strongroom]\n# mine\ncommand = \"npx\" # was\nargs = [\n  \"-y\",\n]\nurl = \"http://x\"\nkeep = 1\n\n[mcpServers.strongroom.env]\nA = \"b\" # a\nSTRONGROOM_HOME = \"/old\"\n",
            "[mcpServers.strongroom]\n# mine\ncommand = \"/b/strongroom\" # was\nargs = [\"serve\"]\nkeep = 1\ntype = \"stdio\"\n\n[mcpServers.strongroom.env]\nA = \"b\" # a\n",
        ),
    ];
    for (place, before, expected) in table {
        assert_eq!(set(before, &place, &entry()).unwrap(), expected);
    }
}

#[test]
fn what_cannot_be_edited_safely_is_refused() {
    let yaml = place_of(Format::Yaml, Step::Key("strongroom".into()));
    let toml = place_of(Format::Toml, Step::Key("strongroom".into()));
    let bomb = "a: &a [1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n";
    let deep = format!("mcpServers: {}", "[".repeat(200));
    for (place, text) in [
        // The entry would be added to what the alias stands for.
        (&yaml, "x: &x\n  a: {}\nmcpServers: *x\n"),
        (&yaml, "mcpServers: [a]\n"),
        (&yaml, "mcpServers: canary\n"),
        (&yaml, "mcpServers:\n  a: 1\n  a: 2\n"),
        (&yaml, "mcpServers: !!python/object:canary {}\n"),
        (&yaml, "mcpServers:\n\ta: 1\n"),
        (&yaml, "a: 1\n---\nb: 2\n"),
        (&yaml, "a: &a [*a]\n"),
        (&yaml, bomb),
        (&yaml, &deep),
        (&toml, "[mcpServers]\na = 1\na = 2\n"),
        (&toml, "[mcpServers\n"),
        (&toml, "mcpServers = 7\n"),
        // Line ends of both kinds: they could not all be kept.
        (&toml, "a = 1\r\nb = 2\n"),
    ] {
        let error = set(text, place, &entry()).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    }
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    /// A scalar, as YAML and JSON write it.
    fn scalar() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z]{1,6}",
            "\"[a-z :#-]{0,8}\"",
            "'[a-z :#\"-]{0,8}'",
            "[0-9]{1,3}",
            Just("true".to_owned()),
            Just("[x, y]".to_owned()),
            Just("{k: v}".to_owned()),
        ]
    }

    fn comment() -> impl Strategy<Value = String> {
        prop_oneof![3 => Just(String::new()), 1 => "  # [a-z: -]{0,8}"]
    }

    /// The lines of an entry below its name.
    fn fields(indent: usize) -> impl Strategy<Value = String> {
        let blanks = " ".repeat(indent);
        let field = (0usize..4, scalar(), comment());
        prop::collection::vec(field, 1..4).prop_map(move |fields| {
            let mut text = String::new();
            for (at, (kind, scalar, comment)) in fields.into_iter().enumerate() {
                let field = match kind {
                    0 => format!("{blanks}f{at}: {scalar}{comment}\n"),
                    1 => format!("{blanks}f{at}:{comment}\n{blanks}- {scalar}\n{blanks}- z\n"),
                    2 => format!("{blanks}f{at}:{comment}\n{blanks}  g: {scalar}\n\n"),
                    _ => format!("{blanks}f{at}: |\n{blanks}  text\n{blanks}  more\n"),
                };
                text.push_str(&field);
            }
            text
        })
    }

    fn document() -> impl Strategy<Value = String> {
        let servers = prop::collection::vec((comment(), fields(4)), 1..4);
        let around = prop_oneof![Just(""), Just("# c\n"), Just("a: 1\n"), Just("\n")];
        (around.clone(), comment(), servers, around, any::<bool>()).prop_map(
            |(before, comment, servers, after, crlf)| {
                let mut text = format!("{before}mcpServers:{comment}\n");
                for (at, (comment, fields)) in servers.into_iter().enumerate() {
                    text = format!("{text}  s{at}:{comment}\n{fields}");
                }
                text.push_str(&after.replace('a', "z"));
                if crlf { text.replace('\n', "\r\n") } else { text }
            },
        )
    }

    proptest! {
        #[test]
        fn yaml_comes_back_byte_for_byte(text in document()) {
            let place = place_of(Format::Yaml, Step::Key("strongroom".into()));
            prop_assert!(super::super::read(Format::Yaml, &text).is_ok(), "{}", text);
            let after = set(&text, &place, &entry()).unwrap();
            prop_assert_eq!(remove(&after, &place).unwrap(), text);
        }

        #[test]
        fn a_foreign_yaml_entry_is_taken_over_without_touching_the_others(text in document()) {
            let place = place_of(Format::Yaml, Step::Key("s0".into()));
            let before = super::super::read(Format::Yaml, &text).unwrap();
            let after = set(&text, &place, &entry()).unwrap();
            let found = super::super::read(Format::Yaml, &after).unwrap();
            for (key, value) in entry().fields {
                prop_assert_eq!(&found["mcpServers"]["s0"][key.as_str()], &value);
            }
            for name in ["s1", "s2"] {
                prop_assert_eq!(&found["mcpServers"][name], &before["mcpServers"][name]);
            }
        }

        #[test]
        fn no_text_makes_a_reader_panic(text in "[a-z:\\[\\]{}\\-# \n\t&*!|>'\"=.,0-9]{0,60}") {
            for format in [Format::Json, Format::Toml, Format::Yaml] {
                let place = place_of(format, Step::Key("strongroom".into()));
                let _ = set(&text, &place, &entry());
                let _ = remove(&text, &place);
            }
        }
    }
}
