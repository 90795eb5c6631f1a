//! The notation of a condition: `FIELD OPERATOR VALUE`.

use super::decimal::Decimal;
use super::field::{Field, Step};
use super::glob::Glob;
use super::test::{Literal, Order, Test};
use crate::policy::RuleError;

const LONGEST: usize = 1024;
const MOST_STEPS: usize = 32;

/// `amount <= 5000`, of a body.
pub(super) fn of_body(text: &str) -> Result<(Field, Test), RuleError> {
    let mut cursor = Cursor::new(text)?;
    let field = cursor.field()?;
    Ok((field, cursor.test()?))
}

/// `limit <= 100`, of a query: the field is one name, whatever it has in it.
pub(super) fn of_query(text: &str) -> Result<(Box<str>, Test), RuleError> {
    let mut cursor = Cursor::new(text)?;
    let name = cursor.query_name()?;
    Ok((name, cursor.test()?))
}

/// Whether `text` can stand without quotes as a value.
pub(super) fn is_bare(text: &str) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || "_*@/".contains(c);
    !matches!(text, "true" | "false" | "null")
        && text.starts_with(first)
        && text.chars().all(of_value)
}

/// Whether `name` can stand without quotes in the field of a body.
pub(super) fn is_bare_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(of_name)
}

/// Whether `name` can stand without quotes as the field of a query.
pub(super) fn is_bare_query_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('"') && name.chars().all(of_query_name)
}

fn of_value(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-.:/@+*%".contains(c)
}

fn of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-$@:/".contains(c)
}

fn of_query_name(c: char) -> bool {
    c.is_ascii_graphic() && !"<>=!\"".contains(c)
}

struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn new(text: &'a str) -> Result<Self, RuleError> {
        if text.len() > LONGEST {
            return refuse("a condition is longer than 1 KiB");
        }
        Ok(Self { rest: text.trim() })
    }

    fn field(&mut self) -> Result<Field, RuleError> {
        let mut steps = Vec::new();
        if !self.rest.starts_with('[') {
            steps.push(self.name()?);
        }
        loop {
            if self.eat(".") {
                steps.push(self.name()?);
            } else if self.eat("[") {
                let Some((inside, rest)) = self.rest.split_once(']') else {
                    return refuse("a `[` of a condition is not closed");
                };
                self.rest = rest;
                steps.push(match (inside, inside.parse()) {
                    ("*", _) => Step::Each,
                    (_, Ok(index)) if inside.bytes().all(|b| b.is_ascii_digit()) => {
                        Step::Index(index)
                    }
                    _ => return refuse("an element of a list is `[*]` or a number"),
                });
            } else if steps.len() > MOST_STEPS {
                return refuse("a field of a condition is too deep");
            } else {
                return Ok(Field { steps });
            }
        }
    }

    fn name(&mut self) -> Result<Step, RuleError> {
        if self.rest.starts_with('"') {
            return Ok(Step::Name(self.quoted()?));
        }
        Ok(Step::Name(self.take(of_name, "a condition begins with the name of a field")?.into()))
    }

    fn query_name(&mut self) -> Result<Box<str>, RuleError> {
        if self.rest.starts_with('"') {
            return self.quoted();
        }
        Ok(self.take(of_query_name, "a condition begins with the name of a parameter")?.into())
    }

    fn test(&mut self) -> Result<Test, RuleError> {
        self.rest = self.rest.trim_start();
        let order = [
            ("<=", Order::LessOrEqual),
            (">=", Order::GreaterOrEqual),
            ("<", Order::Less),
            (">", Order::Greater),
        ];
        let test = if self.word("exists") {
            Test::Exists
        } else if self.word("absent") {
            Test::Absent
        } else if self.eat("==") {
            Test::OneOf { not: false, list: false, literals: vec![self.literal()?] }
        } else if self.eat("!=") {
            Test::OneOf { not: true, list: false, literals: vec![self.literal()?] }
        } else if let Some((_, order)) = order.iter().find(|(sign, _)| self.eat(sign)) {
            match self.literal()? {
                Literal::Number(number) => Test::Order { order: *order, number },
                _ => return refuse("`<`, `<=`, `>` and `>=` compare numbers"),
            }
        } else {
            let not = self.word("not");
            if self.word("in") {
                Test::OneOf { not, list: true, literals: self.list()? }
            } else if self.word("like") {
                Test::Like { not, glob: self.glob()? }
            } else {
                return refuse("a condition has an operator that is not known");
            }
        };
        if self.rest.trim().is_empty() { Ok(test) } else { refuse("something follows a condition") }
    }

    fn list(&mut self) -> Result<Vec<Literal>, RuleError> {
        self.rest = self.rest.trim_start();
        if !self.eat("[") {
            return refuse("`in` is followed by a list");
        }
        let mut literals = Vec::new();
        loop {
            literals.push(self.literal()?);
            self.rest = self.rest.trim_start();
            if self.eat("]") {
                return Ok(literals);
            }
            if !self.eat(",") {
                return refuse("the values of a list are separated by commas");
            }
        }
    }

    fn literal(&mut self) -> Result<Literal, RuleError> {
        self.rest = self.rest.trim_start();
        if self.rest.starts_with('"') {
            return Ok(Literal::Text(self.quoted()?));
        }
        let word = self.take(of_value, "a condition has no value")?;
        Ok(match word {
            "true" => Literal::Flag(true),
            "false" => Literal::Flag(false),
            "null" => Literal::Null,
            _ if Decimal::read(word).is_some() => Literal::Number(word.into()),
            _ if word.contains('*') => {
                return refuse("`*` stands for anything behind `like` only");
            }
            _ if is_bare(word) => Literal::Text(word.into()),
            _ => return refuse("a value is neither a number nor a word"),
        })
    }

    fn glob(&mut self) -> Result<Glob, RuleError> {
        self.rest = self.rest.trim_start();
        if self.rest.starts_with('"') {
            return Ok(Glob::new(&self.quoted()?));
        }
        Ok(Glob::new(self.take(of_value, "`like` is followed by a pattern")?))
    }

    /// A string of JSON.
    fn quoted(&mut self) -> Result<Box<str>, RuleError> {
        let mut escaped = false;
        let end = self.rest.char_indices().skip(1).find(|(_, c)| {
            let ends = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            ends
        });
        let text = end.and_then(|(at, _)| {
            let (text, rest) = self.rest.split_at(at + 1);
            self.rest = rest;
            crate::json::check(text.as_bytes(), 1).ok()?;
            crate::json::string(text)
        });
        text.map_or_else(|| refuse("a text in quotes is not one of JSON"), |text| Ok(text.into()))
    }

    fn take(&mut self, of: fn(char) -> bool, problem: &str) -> Result<&'a str, RuleError> {
        let end = self.rest.find(|c| !of(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        if word.is_empty() {
            return refuse(problem);
        }
        self.rest = rest;
        Ok(word)
    }

    /// A word by itself.
    fn word(&mut self, word: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(word) else { return false };
        let ends = !rest.starts_with(of_value);
        if ends {
            self.rest = rest.trim_start();
        }
        ends
    }

    fn eat(&mut self, sign: &str) -> bool {
        let rest = self.rest.strip_prefix(sign);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }
}

fn refuse<T>(problem: &str) -> Result<T, RuleError> {
    Err(RuleError {
        problem: problem.to_owned(),
        hint: Some(
            "write `amount <= 5000`, `currency in [eur, usd]`, `to.email like *@acme.com`, \
             `items[*].price < 10`, `note absent`; a text that is more than a word stands in quotes",
        ),
    })
}
