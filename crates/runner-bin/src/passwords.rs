//! Passwords that stand in addresses: programs of a run see those of proxies, and print them.

use meshstack_client::Secret;

const PROXIES: [&str; 6] = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];

/// The passwords in these addresses and in those of the proxies in this process' environment.
pub(crate) fn in_addresses<'a>(addresses: impl IntoIterator<Item = &'a str>) -> Vec<Secret> {
    let proxies = PROXIES.iter().filter_map(|name| std::env::var(name).ok());
    let addresses = addresses.into_iter().map(str::to_owned).chain(proxies);
    addresses.filter_map(|address| password(&address).map(Secret::new)).collect()
}

/// `https://user:password@host/…`; proxies also go without `https://`.
fn password(address: &str) -> Option<&str> {
    let behind = address.split_once("://").map_or(address, |(_, behind)| behind);
    let authority = behind.split(['/', '?', '#']).next()?;
    let (_, password) = authority.rsplit_once('@')?.0.split_once(':')?;
    Some(password).filter(|password| !password.is_empty())
}

/// The address without its password.
pub(crate) fn hidden(address: &str) -> String {
    match password(address) {
        Some(password) if address.contains("://") => address.replace(password, "***"),
        _ => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{hidden, password};

    #[test]
    fn an_address_is_shown_without_its_password_and_other_texts_as_they_are() {
        assert_eq!(hidden("https://user:pass%40word@mirror/a"), "https://user:***@mirror/a");
        for text in ["https://mirror/a", "a:b@c", ""] {
            assert_eq!(hidden(text), text);
        }
    }

    #[test]
    fn the_password_of_an_address_is_found_where_there_is_one() {
        for address in
            ["http://user:pass%40word@proxy:3128", "user:pass%40word@proxy", "https://:pass%40word@mirror/a:b@c"]
        {
            assert_eq!(password(address), Some("pass%40word"), "{address}");
        }
        for address in ["http://proxy:3128", "http://user@proxy:3128/x:y@z", "http://user:@proxy", "", "proxy:3128"] {
            assert_eq!(password(address), None, "{address}");
        }
    }
}
