//! Files of variables: `NAME=value`, one a line.
//!
//! Read as a list of literal values. Nothing is expanded, included or executed, and a line that is
//! none of the known forms is passed over (SC-06).

/// A variable in such a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Variable<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value, without quotes.
    pub value: String,
    /// Whether the value refers to other variables, which we do not expand.
    pub expands: bool,
    /// Counted from 1.
    pub line: usize,
    /// The bytes of its lines, line end included.
    pub span: std::ops::Range<usize>,
}

/// The variables in `text`, in order.
pub fn read(text: &str) -> Vec<Variable<'_>> {
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < text.len() {
        let rest = &text[at..];
        let end = rest.find('\n').map_or(rest.len(), |end| end + 1);
        let mut length = end;
        if let Some((name, value)) = assignment(&rest[..end]) {
            let start = value.as_ptr().addr() - rest.as_ptr().addr();
            if let Some((value, expands, taken)) = parse(&rest[start..]) {
                let behind = start + taken;
                length = rest[behind..].find('\n').map_or(rest.len(), |end| behind + end + 1);
                found.push(Variable { name, value, expands, line, span: at..at + length });
            }
        }
        line += rest[..length].matches('\n').count();
        at += length;
    }
    found
}

/// A name and what stands behind the sign.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=')?;
    let name = name.trim_start();
    let name = name.strip_prefix("export ").map_or(name, str::trim_start).trim_end();
    let is_first = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    (is_first && is_name).then(|| (name, value.trim_start_matches([' ', '\t'])))
}

/// A value, whether it refers to others, and how many bytes it takes.
fn parse(text: &str) -> Option<(String, bool, usize)> {
    match text.as_bytes().first() {
        Some(b'\'') => {
            let end = text[1..].find('\'')?;
            Some((text[1..=end].to_owned(), false, end + 2))
        }
        Some(b'"') => {
            let (mut value, mut expands) = (String::new(), false);
            let mut letters = text.char_indices().skip(1);
            while let Some((at, letter)) = letters.next() {
                match letter {
                    '"' => return Some((value, expands, at + 1)),
                    '\\' => match letters.next()?.1 {
                        'n' => value.push('\n'),
                        'r' => value.push('\r'),
                        't' => value.push('\t'),
                        other => value.push(other),
                    },
                    other => {
                        expands |= other == '$' || other == '`';
                        value.push(other);
                    }
                }
            }
            None
        }
        _ => {
            let line = text.split(['\n', '\r']).next().unwrap_or_default();
            // A comment starts behind a blank.
            let end = line.find(" #").or_else(|| line.find("\t#")).unwrap_or(line.len());
            let value = line[..end].trim_end();
            let value = if value.starts_with('#') { "" } else { value };
            Some((value.to_owned(), value.contains(['$', '`']), line.len()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_literal_and_nothing_is_expanded() {
        let text = "# mine\nA=1\nexport B = two # not it\nC='a # b $X'\r\nD=\"x\\ny\"\nE=$A\nF=\"$(id)\"\nG=\n\
                    not a variable\n1X=2\nH=\"one\ntwo\"\nI='open\nJ=last";
        let found: Vec<_> =
            read(text).into_iter().map(|v| (v.name, v.value, v.expands, v.line)).collect();
        let expected = [
            ("A", "1", false, 2),
            ("B", "two", false, 3),
            ("C", "a # b $X", false, 4),
            ("D", "x\ny", false, 5),
            ("E", "$A", true, 6),
            ("F", "$(id)", true, 7),
            ("G", "", false, 8),
            ("H", "one\ntwo", false, 11),
            ("J", "last", false, 14),
        ];
        let expected = expected.map(|(n, v, e, l)| (n, v.to_owned(), e, l));
        assert_eq!(found, expected);
    }

    #[test]
    fn each_variable_knows_its_lines() {
        let text = "A=1\n# c\nB=\"x\ny\" # t\nC=3";
        let spans: Vec<&str> = read(text).into_iter().map(|v| &text[v.span]).collect();
        assert_eq!(spans, ["A=1\n", "B=\"x\ny\" # t\n", "C=3"]);
    }
}
