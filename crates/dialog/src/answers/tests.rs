use std::io::Cursor;

use strongroom_model::form::Field;

use super::*;

fn form(names: &[&str]) -> Form {
    let field = |name: &&str| Field { name: (*name).to_owned(), ..Field::default() };
    Form { title: "t".into(), fields: names.iter().map(field).collect(), ..Form::default() }
}

fn read(text: &str, names: &[&str]) -> Result<Vec<String>, NotAnswers> {
    let answers = Answers::read(&Secret::new(text.as_bytes().to_vec()), &form(names))?;
    let text = |answer: &Secret| String::from_utf8(answer.expose().to_vec()).unwrap();
    Ok(names.iter().map(|name| answers.get(name).map_or("-".into(), text)).collect())
}

#[test]
fn answers_are_read_as_any_writer_of_json_writes_them() {
    for (text, expected) in [
        (r#"{"a":"x","b":"y"}"#, ["x", "y"]),
        (" {\n\t\"b\" : \"\" , \"a\" : \"x\" } \r\n", ["x", ""]),
        (r#"{"a":"\"\\\/\b\f\n\r\t"}"#, ["\"\\/\u{8}\u{c}\n\r\t", "-"]),
        (r#"{"a":"é","b":"\ud83d\uDD11"}"#, ["é", "\u{1f511}"]),
        (r#"{"a":"caña 漢字 🔑"}"#, ["caña 漢字 🔑", "-"]),
        (r#"{"a":"\u0000"}"#, ["\0", "-"]),
        ("{}", ["-", "-"]),
        (r#"{"a":"\\\""}"#, ["\\\"", "-"]),
    ] {
        assert_eq!(read(text, &["a", "b"]).unwrap(), expected, "{text}");
    }
}

#[test]
fn what_serde_writes_is_read_back() {
    let texts = ["", "\"\\/", "\u{1}\u{1f}\u{7f}", "é漢🔑", "\u{202e}", "{\"a\":\"b\"}", "\\u0041"];
    for text in texts {
        let printed = serde_json::json!({ "a": text }).to_string();
        assert_eq!(read(&printed, &["a"]).unwrap(), [text]);
    }
}

#[test]
fn what_is_no_object_of_strings_is_refused() {
    for text in [
        "",
        " ",
        "{",
        "}",
        "[]",
        "\"a\"",
        "null",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1}",
        "{\"a\":null}",
        "{\"a\":[\"x\"]}",
        "{\"a\":{}}",
        "{\"a\":\"x\",}",
        "{,}",
        "{\"a\":\"x\"}}",
        "{\"a\":\"x\"}{\"a\":\"x\"}",
        "{'a':'x'}",
        "{\"a\":\"x\" \"b\":\"y\"}",
        "{\"a\":\"x",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":\"\\ud83d\"}",
        "{\"a\":\"\\udd11\"}",
        "{\"a\":\"\\ud83d\\u0041\"}",
        "{\"a\":\"line\nend\"}",
        "{\"a\":\"\\",
        "{\"a\":\"\\\"",
        "\u{feff}{\"a\":\"x\"}",
    ] {
        assert_eq!(read(text, &["a"]).unwrap_err(), NotAnswers::Shape, "{text}");
    }
    let bytes = Secret::new(b"{\"a\":\"\xff\"}".to_vec());
    assert_eq!(Answers::read(&bytes, &form(&["a"])).unwrap_err(), NotAnswers::Shape);
}

#[test]
fn what_is_longer_than_an_answer_is_refused() {
    let of = |length| read(&format!("{{\"a\":\"{}\"}}", "x".repeat(length)), &["a"]);
    assert_eq!(of(ANSWER).unwrap()[0].len(), ANSWER);
    assert_eq!(of(ANSWER + 1).unwrap_err(), NotAnswers::TooLong);
}

#[test]
fn a_stream_is_read_whole_up_to_its_cap() {
    for length in [0, 1, 16 << 10, (16 << 10) + 1, 100_000] {
        let bytes = vec![7; length];
        let secret = read_secret(Cursor::new(&bytes), 100_000).unwrap().unwrap();
        assert_eq!(secret.expose(), bytes, "{length}");
    }
    assert!(read_secret(Cursor::new(vec![7; 100_001]), 100_000).unwrap().is_none());
    assert!(read_secret(io::repeat(7), 1 << 20).unwrap().is_none());
    assert!(read_secret(Cursor::new(b""), 0).unwrap().unwrap().is_empty());
}

#[test]
fn debugging_answers_shows_their_names_only() {
    let answers = Answers::read(&Secret::new(br#"{"a":"canary"}"#.to_vec()), &form(&["a"]));
    let shown = format!("{answers:?}");
    assert!(shown.contains("\"a\"") && !shown.contains("canary"), "{shown}");
}
