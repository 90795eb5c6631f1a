//! Many references in one answer: a template with marks between them, which nobody can guess.

use std::fmt::Write as _;

use strongroom_model::ports::ResolveError;
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_seal::{hex, random};

use super::super::usable;

/// A template for `op inject`.
pub(super) struct Template {
    mark: String,
    pub(super) text: String,
}

/// The answer has not the form of the template: what is between the marks is not to be trusted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Garbled;

impl Template {
    /// The template of `refs`. The mark has 128 random bits, so that no secret contains it, whoever
    /// wrote the secret.
    pub(super) fn new<'a>(
        refs: impl IntoIterator<Item = &'a SecretRef>,
    ) -> Result<Self, ResolveError> {
        let mut bits = [0; 16];
        random(&mut bits)
            .map_err(|_| ResolveError::unreachable("op", "the system gives no random numbers"))?;
        Ok(Self::marked(&format!("[strongroom {}]", hex(&bits)), refs))
    }

    fn marked<'a>(mark: &str, refs: impl IntoIterator<Item = &'a SecretRef>) -> Self {
        let mut text = mark.to_owned();
        for reference in refs {
            // A reference has no braces in it.
            write!(text, "{{{{ {reference} }}}}{mark}").expect("writing to a String cannot fail");
        }
        Self { mark: mark.to_owned(), text }
    }

    /// The secrets of `answer`, one for each of `refs`, in order.
    pub(super) fn read(
        &self,
        answer: &[u8],
        refs: &[&SecretRef],
    ) -> Result<Vec<Result<Secret, ResolveError>>, Garbled> {
        let answer = answer.strip_suffix(b"\n").unwrap_or(answer);
        let answer = answer.strip_suffix(b"\r").unwrap_or(answer);
        let rest = answer.strip_prefix(self.mark.as_bytes()).ok_or(Garbled)?;
        let rest = rest.strip_suffix(self.mark.as_bytes()).ok_or(Garbled)?;
        let parts = split(rest, self.mark.as_bytes());
        if parts.len() != refs.len() {
            return Err(Garbled);
        }
        let untouched = |(part, reference): (&&[u8], &&SecretRef)| {
            let text = part.trim_ascii();
            text.starts_with(b"{{") && text.ends_with(b"}}")
                || text == reference.as_str().as_bytes()
        };
        if parts.iter().zip(refs).any(untouched) {
            return Err(Garbled);
        }
        let secret =
            |(part, reference): (&[u8], &&SecretRef)| usable(Secret::new(part.to_vec()), reference);
        Ok(parts.into_iter().zip(refs).map(secret).collect())
    }
}

fn split<'a>(mut text: &'a [u8], mark: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    while let Some(at) = text.windows(mark.len()).position(|window| window == mark) {
        parts.push(&text[..at]);
        text = &text[at + mark.len()..];
    }
    parts.push(text);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refs(texts: &[&str]) -> Vec<SecretRef> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn read(answer: &str, refs: &[SecretRef]) -> Result<Vec<Option<String>>, Garbled> {
        let refs: Vec<_> = refs.iter().collect();
        let answers = Template::marked("|", refs.iter().copied()).read(answer.as_bytes(), &refs)?;
        let text = |secret: Secret| String::from_utf8(secret.expose().to_vec()).unwrap();
        Ok(answers.into_iter().map(|answer| answer.ok().map(text)).collect())
    }

    #[test]
    fn values_of_many_lines_come_out_as_they_are() {
        let refs = refs(&["op://v/a/x", "op://v/b c/y"]);
        let template = Template::marked("|", &refs);
        assert_eq!(template.text, "|{{ op://v/a/x }}|{{ op://v/b c/y }}|");
        let some = |a: &str, b: &str| Ok(vec![Some(a.to_owned()), Some(b.to_owned())]);
        assert_eq!(read("|one|two|", &refs), some("one", "two"));
        assert_eq!(read("|one|two|\n", &refs), some("one", "two"));
        assert_eq!(read("|one\n\n|two\nlines|\r\n", &refs), some("one\n\n", "two\nlines"));
        assert_eq!(read("|one||\n", &refs), Ok(vec![Some("one".to_owned()), None]));
    }

    #[test]
    fn an_answer_of_another_form_is_no_answer() {
        let refs = refs(&["op://v/a/x", "op://v/b/y"]);
        for answer in [
            "",
            "\n",
            "|one|",
            "|one|two|three|",
            "one|two|",
            "|one|two",
            "note: x\n|one|two|",
            "|one|{{ op://v/b/y }}|",
            "|op://v/a/x|two|",
        ] {
            assert_eq!(read(answer, &refs), Err(Garbled), "{answer:?}");
        }
    }

    #[test]
    fn marks_are_never_the_same() {
        let refs = refs(&["op://v/a/x"]);
        let (one, two) = (Template::new(&refs).unwrap(), Template::new(&refs).unwrap());
        assert!(one.mark != two.mark && one.mark.len() > 32);
    }
}
