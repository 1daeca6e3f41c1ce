//! Where a pipeline is: the addresses of one organisation, project and pipeline.
//!
//! Source: `protocol/executors.md`, `AZURE_DEVOPS`.

use runner_core::web::Url;

/// The version of the API that is spoken.
const API_VERSION: &str = "7.1";

/// Cloud hosts that carry the organisation in their name: `https://<organisation>.visualstudio.com`.
const OLD_CLOUD: &str = ".visualstudio.com";

/// The cloud's host today.
const CLOUD: &str = "dev.azure.com";

/// Why there is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AddressError {
    /// Nothing that starts with http.
    #[error("its base URL is not an http or https address")]
    Base,
    /// User and password, a query or a fragment in the base URL.
    #[error("its base URL holds more than host and path")]
    BaseWithExtras,
    /// A name is missing.
    #[error("it names no {what}")]
    Missing {
        /// Which one.
        what: &'static str,
    },
    /// A name that cannot be part of an address.
    #[error("its {what} is not a name")]
    Name {
        /// Which one.
        what: &'static str,
    },
    /// The pipeline has no number.
    #[error("its pipeline id is not a number")]
    Pipeline,
}

/// The addresses of one pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// `…/<organisation>/<project>`, without a trailing slash.
    project: Url,
    pipeline: u64,
}

impl Address {
    /// Puts the address together: `{base}/{organisation}/{project}`, except where the base URL has the organisation
    /// already.
    pub(crate) fn new(base: &str, organization: &str, project: &str, pipeline: &str) -> Result<Self, AddressError> {
        let base = base_url(base)?;
        let organization = organization.trim();
        let mut address = base.clone();
        if !has_organization(&base, organization) {
            push(&mut address, organization, "organization")?;
        }
        push(&mut address, project.trim(), "project")?;
        let digits = pipeline.trim();
        let pipeline = digits.parse().map_err(|_| AddressError::Pipeline)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(AddressError::Pipeline);
        }
        Ok(Self { project: address, pipeline })
    }

    fn at(&self, segments: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.project.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.extend(segments);
        }
        url.query_pairs_mut().extend_pairs(query);
        url
    }

    fn api(&self, segments: &[&str]) -> Url {
        self.at(segments, &[("api-version", API_VERSION)])
    }

    /// All runs of the pipeline; a new one is posted here.
    pub(crate) fn runs(&self) -> Url {
        self.api(&["_apis", "pipelines", &self.pipeline.to_string(), "runs"])
    }

    /// One run, as Pipelines shows it.
    pub(crate) fn run(&self, id: u64) -> Url {
        self.api(&["_apis", "pipelines", &self.pipeline.to_string(), "runs", &id.to_string()])
    }

    /// The same run as Build shows it.
    pub(crate) fn build(&self, id: u64) -> Url {
        self.api(&["_apis", "build", "builds", &id.to_string()])
    }

    /// Stages, jobs and tasks of a run.
    pub(crate) fn timeline(&self, id: u64) -> Url {
        self.api(&["_apis", "build", "builds", &id.to_string(), "timeline"])
    }

    /// A log of a run.
    pub(crate) fn log(&self, id: u64, log: u64) -> Url {
        self.api(&["_apis", "build", "builds", &id.to_string(), "logs", &log.to_string()])
    }

    /// The page of a run, for people.
    pub(crate) fn run_page(&self, id: u64) -> Url {
        self.at(&["_build", "results"], &[("buildId", &id.to_string())])
    }

    /// The page with the runs of the pipeline, for people.
    pub(crate) fn pipeline_page(&self) -> Url {
        self.at(&["_build"], &[("definitionId", &self.pipeline.to_string())])
    }

    /// Host and, if it is named, port: where the token goes.
    pub(crate) fn host(&self) -> String {
        let host = self.project.host_str().unwrap_or_default();
        self.project.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }
}

fn base_url(base: &str) -> Result<Url, AddressError> {
    let base = base.trim();
    if base.is_empty() {
        return Err(AddressError::Missing { what: "base URL" });
    }
    let mut url = Url::parse(base).map_err(|_| AddressError::Base)?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(AddressError::Base);
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(AddressError::BaseWithExtras);
    }
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty();
    }
    Ok(url)
}

/// Whether the base URL names the organisation itself, so that it is not said twice.
fn has_organization(base: &Url, organization: &str) -> bool {
    let host = base.host_str().unwrap_or_default();
    let last = base.path_segments().and_then(|mut path| path.next_back()).unwrap_or_default();
    if let Some(named) = host.strip_suffix(OLD_CLOUD) {
        return organization.is_empty() || organization.eq_ignore_ascii_case(named);
    }
    // A server's base may end in a collection; one that is called like the folder before it is named all the same.
    if host == CLOUD {
        return !last.is_empty() && (organization.is_empty() || decoded(organization) == decoded(last));
    }
    organization.is_empty() && !last.is_empty()
}

/// Adds a name as one segment. One that is percent-encoded already is not encoded again.
fn push(url: &mut Url, name: &str, what: &'static str) -> Result<(), AddressError> {
    if name.is_empty() {
        return Err(AddressError::Missing { what });
    }
    let name = decoded(name);
    if matches!(name.as_str(), "." | "..") || name.chars().any(char::is_control) {
        return Err(AddressError::Name { what });
    }
    url.path_segments_mut().map_err(|()| AddressError::Base)?.push(&name);
    Ok(())
}

/// A name without its percent-encoding; as it is where that is none.
fn decoded(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let Some(code) = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit())) else {
            return name.to_owned();
        };
        bytes.push(u8::from_str_radix(code, 16).unwrap_or_default());
        rest = &rest[2..];
    }
    String::from_utf8(bytes).unwrap_or_else(|_| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(base: &str, organization: &str, project: &str) -> Result<String, AddressError> {
        Address::new(base, organization, project, "12").map(|address| address.runs().to_string())
    }

    #[test]
    fn both_cloud_hosts_and_a_server_with_collections_are_addressed() {
        let tail = "_apis/pipelines/12/runs?api-version=7.1";
        let cases = [
            ("https://dev.azure.com", "likvid", "https://dev.azure.com/likvid/infra/"),
            (" https://dev.azure.com/ ", "likvid", "https://dev.azure.com/likvid/infra/"),
            ("https://dev.azure.com/likvid", "likvid", "https://dev.azure.com/likvid/infra/"),
            ("https://dev.azure.com/likvid/", "", "https://dev.azure.com/likvid/infra/"),
            ("https://likvid.visualstudio.com", "Likvid", "https://likvid.visualstudio.com/infra/"),
            ("https://likvid.visualstudio.com", "", "https://likvid.visualstudio.com/infra/"),
            (
                "https://likvid.visualstudio.com",
                "DefaultCollection",
                "https://likvid.visualstudio.com/DefaultCollection/infra/",
            ),
            ("https://tfs.example/tfs", "DefaultCollection", "https://tfs.example/tfs/DefaultCollection/infra/"),
            // A collection may be called like the folder that the server lives in.
            ("https://tfs.example/tfs", "tfs", "https://tfs.example/tfs/tfs/infra/"),
            ("https://tfs.example/tfs/Main/", "", "https://tfs.example/tfs/Main/infra/"),
            ("http://tfs.example:8080/tfs", "Main", "http://tfs.example:8080/tfs/Main/infra/"),
        ];
        for (base, organization, expected) in cases {
            assert_eq!(runs(base, organization, "infra"), Ok(format!("{expected}{tail}")), "{base} {organization}");
        }
    }

    #[test]
    fn names_are_one_segment_whatever_is_in_them() {
        let of = |project| {
            runs("https://dev.azure.com", "o", project).map(|url| url.replace("https://dev.azure.com/o/", ""))
        };
        let tail = "/_apis/pipelines/12/runs?api-version=7.1";
        let cases = [
            ("Größe und Maß", "Gr%C3%B6%C3%9Fe%20und%20Ma%C3%9F"),
            ("My%20Project", "My%20Project"),
            ("100%", "100%25"),
            ("a/b", "a%2Fb"),
            ("a\\b", "a%5Cb"),
            ("../x", "..%2Fx"),
            ("a?b#c", "a%3Fb%23c"),
            ("...", "..."),
        ];
        for (project, expected) in cases {
            assert_eq!(of(project), Ok(format!("{expected}{tail}")), "{project}");
        }
        for hostile in ["..", ".", "%2e%2E", "a\nb", "a\tb", "a%0ab"] {
            assert_eq!(of(hostile), Err(AddressError::Name { what: "project" }), "{hostile:?}");
        }
        assert_eq!(of("  "), Err(AddressError::Missing { what: "project" }));
    }

    #[test]
    fn what_is_no_base_url_or_no_pipeline_is_refused() {
        assert_eq!(runs("", "o", "p"), Err(AddressError::Missing { what: "base URL" }));
        assert_eq!(runs("dev.azure.com", "o", "p"), Err(AddressError::Base));
        assert_eq!(runs("ftp://dev.azure.com", "o", "p"), Err(AddressError::Base));
        assert_eq!(runs("https://me:pat@dev.azure.com", "o", "p"), Err(AddressError::BaseWithExtras));
        assert_eq!(runs("https://dev.azure.com?x=1", "o", "p"), Err(AddressError::BaseWithExtras));
        assert_eq!(runs("https://dev.azure.com", "", "p"), Err(AddressError::Missing { what: "organization" }));
        for id in ["", "x", "-1", "+1", "12/../13", "1 2", "99999999999999999999999"] {
            assert_eq!(Address::new("https://dev.azure.com", "o", "p", id), Err(AddressError::Pipeline), "{id:?}");
        }
    }

    #[test]
    fn pages_for_people_and_requests_are_told_apart() {
        let address = Address::new("https://dev.azure.com", "o", "p", "12").unwrap();
        assert_eq!(address.run_page(7).as_str(), "https://dev.azure.com/o/p/_build/results?buildId=7");
        assert_eq!(address.pipeline_page().as_str(), "https://dev.azure.com/o/p/_build?definitionId=12");
        assert_eq!(address.log(7, 3).path(), "/o/p/_apis/build/builds/7/logs/3");
        assert_eq!(
            address.timeline(7).as_str(),
            "https://dev.azure.com/o/p/_apis/build/builds/7/timeline?api-version=7.1"
        );
        assert_eq!(
            (address.build(7).path(), address.run(7).path()),
            ("/o/p/_apis/build/builds/7", "/o/p/_apis/pipelines/12/runs/7")
        );
        assert_eq!(address.host(), "dev.azure.com");
    }
}
