//! What Kubernetes takes as a name, a quantity, a path.

/// A label of RFC 1123: namespaces, volumes.
pub(super) fn is_label(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    text.len() <= 63
        && edge(text.chars().next())
        && edge(text.chars().next_back())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// A subdomain of RFC 1123: names of Secrets and of most other objects.
pub(super) fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

/// A label's key: `name`, or `domain/name`.
pub(super) fn is_label_key(text: &str) -> bool {
    match text.split_once('/') {
        Some((domain, name)) => is_subdomain(domain) && is_qualified(name),
        None => is_qualified(text),
    }
}

/// A label's value; it may be empty.
pub(super) fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_qualified(text)
}

fn is_qualified(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= 63
        && edge(text.chars().next())
        && edge(text.chars().next_back())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// An amount: digits, perhaps with a point, and a suffix or an exponent. None is negative here.
pub(super) fn is_quantity(text: &str) -> bool {
    let text = text.strip_prefix('+').unwrap_or(text);
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let digits = number.bytes().filter(u8::is_ascii_digit).count();
    let exponent = || {
        let power = suffix.strip_prefix(['e', 'E'])?;
        let power = power.strip_prefix(['+', '-']).unwrap_or(power);
        Some(!power.is_empty() && power.bytes().all(|b| b.is_ascii_digit()))
    };
    let known = ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    digits > 0 && digits + 1 >= number.len() && (known.contains(&suffix) || exponent() == Some(true))
}

/// A path in a container: absolute, and without `:`, which Kubernetes refuses.
pub(super) fn is_mount_path(text: &str) -> bool {
    text.starts_with('/') && !text.contains(':')
}

#[cfg(test)]
mod tests {
    use super::{is_label, is_label_key, is_label_value, is_mount_path, is_quantity, is_subdomain};

    #[test]
    fn names_are_those_of_kubernetes() {
        for name in ["a", "runner-jobs", "0a", &"a".repeat(63)] {
            assert!(is_label(name), "{name}");
        }
        for name in ["", "A", "-a", "a-", "a_b", "a.b", &"a".repeat(64)] {
            assert!(!is_label(name), "{name}");
        }
        assert!(is_subdomain("a.b-c.d") && !is_subdomain("a..b") && !is_subdomain("A"));
        assert!(
            is_label_key("kubernetes.io/os")
                && is_label_key("Pool_1.x")
                && !is_label_key("/x")
                && !is_label_key("a/b/c")
        );
        assert!(is_label_value("") && is_label_value("Linux") && !is_label_value("a b"));
        assert!(is_mount_path("/certs") && !is_mount_path("certs") && !is_mount_path("/a:b"));
    }

    #[test]
    fn quantities_are_those_of_kubernetes() {
        for text in ["1", "0.5", ".5", "1.", "100m", "256Mi", "1Gi", "2e3", "1E-2", "+1k", "5E"] {
            assert!(is_quantity(text), "{text}");
        }
        for text in ["", ".", "Mi", "1 Gi", "1GB", "1gi", "-1", "1.2.3", "1e", "ten", "1ee3"] {
            assert!(!is_quantity(text), "{text}");
        }
    }
}
