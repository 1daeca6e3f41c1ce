//! What can be read of a run that is no valid JSON, or too long: enough to report its end.
//!
//! A run that was claimed is ours, and hangs for hours if nobody ends it. So where the whole cannot be read, the few
//! texts that a report needs are picked out of what comes before the mistake.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Value, json};

const UUID: &str = "/metadata/uuid";
const TOKEN: &str = "/spec/runToken";
/// The links that a report may need.
const LINKS: [&str; 3] = ["registerSource", "updateSource", "self"];

/// The run in short, or `None` where not even its uuid can be read.
pub(crate) fn salvage(bytes: &[u8]) -> Option<Value> {
    let found = RefCell::new(Vec::new());
    let pick = Pick { at: String::new(), found: &found };
    // What was found before a mistake counts all the same.
    let _ = pick.deserialize(&mut serde_json::Deserializer::from_slice(bytes));
    let found = found.into_inner();
    // Of a key that is there twice the last one counts, as everywhere.
    let text = |at: &str| found.iter().rev().find(|(path, _)| path == at).map(|(_, text)| text.as_str());
    let uuid = text(UUID).filter(|uuid| !uuid.trim().is_empty())?;
    let mut run = json!({ "metadata": { "uuid": uuid }, "spec": {}, "_links": {} });
    if let Some(token) = text(TOKEN) {
        run["spec"]["runToken"] = json!(token);
    }
    for link in LINKS {
        if let Some(href) = text(&href_of(link)) {
            run["_links"][link] = json!({ "href": href });
        }
    }
    Some(run)
}

fn href_of(link: &str) -> String {
    format!("/_links/{link}/href")
}

/// Whether a text that is wanted is at this path or below it.
fn leads_somewhere(path: &str) -> bool {
    let links = LINKS.map(href_of);
    let wanted = [UUID, TOKEN].into_iter().chain(links.iter().map(String::as_str));
    wanted
        .into_iter()
        .any(|wanted| wanted.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// Reads a value, and keeps the texts that are wanted.
struct Pick<'f> {
    at: String,
    found: &'f RefCell<Vec<(String, String)>>,
}

impl<'de> DeserializeSeed<'de> for Pick<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Pick<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            let at = format!("{}/{key}", self.at);
            if leads_somewhere(&at) {
                map.next_value_seed(Pick { at, found: self.found })?;
            } else {
                // Passed over without recursion, so that nesting of any depth does no harm.
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.found.borrow_mut().push((self.at, text.to_owned()));
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::salvage;

    /// A run whose `input` is what the text says.
    fn run(input: &str) -> String {
        format!(
            r#"{{"metadata":{{"uuid":"u"}},"spec":{{"runToken":"t","runNumber":7,"input":{input}}},"_links":{{"self":{{"href":"http://h/s"}}}}}}"#
        )
    }

    #[test]
    fn what_a_report_needs_is_found_around_values_that_cannot_be_read() {
        let whole = json!({
            "metadata": { "uuid": "u" }, "spec": { "runToken": "t" }, "_links": { "self": { "href": "http://h/s" } }
        });
        for input in ["\"\\ud800\"".to_owned(), format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))] {
            let text = run(&input);
            assert!(serde_json::from_str::<serde_json::Value>(&text).is_err(), "it is readable, so it tests nothing");
            assert_eq!(salvage(text.as_bytes()), Some(whole.clone()));
        }
        assert_eq!(salvage(format!("{} and more", run("1")).as_bytes()), Some(whole));
    }

    #[test]
    fn what_comes_before_a_mistake_counts() {
        let before = json!({ "metadata": { "uuid": "u" }, "spec": { "runToken": "t" }, "_links": {} });
        for input in ["NaN", "\"a\u{1}b\"", "\"cut", "{\"a\":"] {
            assert_eq!(salvage(run(input).as_bytes()), Some(before.clone()), "{input}");
        }
    }

    #[test]
    fn without_a_uuid_there_is_nothing_to_report() {
        for text in [
            "",
            "hello",
            "[1]",
            "{}",
            r#"{"metadata":{"uuid":5}}"#,
            r#"{"metadata":{"uuid":" "}}"#,
            r#"{"metadata":null"#,
        ] {
            assert_eq!(salvage(text.as_bytes()), None, "{text}");
        }
    }
}
