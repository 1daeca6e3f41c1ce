//! Reads a multipart form, to the letter of what GitLab's server reads.

/// The fields in their order.
pub(super) fn read(content_type: &str, body: &[u8]) -> Result<Vec<(String, String)>, String> {
    let boundary = content_type
        .strip_prefix("multipart/form-data; boundary=")
        .ok_or_else(|| format!("the body is {content_type}, no form"))?
        .trim_matches('"');
    let text = std::str::from_utf8(body).map_err(|_| "the form is no UTF-8".to_owned())?;
    let (first, between, last) =
        (format!("--{boundary}\r\n"), format!("\r\n--{boundary}\r\n"), format!("\r\n--{boundary}--\r\n"));
    let parts = text.strip_prefix(&first).and_then(|rest| rest.strip_suffix(&last)).ok_or("the form has no bounds")?;
    parts.split(&between).map(part).collect()
}

fn part(text: &str) -> Result<(String, String), String> {
    let (head, value) = text.split_once("\r\n\r\n").ok_or("a part has no head")?;
    let name = head
        .strip_prefix("Content-Disposition: form-data; name=\"")
        .and_then(|rest| rest.strip_suffix('"'))
        .filter(|name| !name.contains(['"', '\r', '\n', '\\']))
        .ok_or_else(|| format!("a part's head is {head:?}"))?;
    Ok((name.to_owned(), value.to_owned()))
}
