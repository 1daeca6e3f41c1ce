//! One request: headers, address, redirects. When to try again is said elsewhere.

use runner_core::meshstack_client::Secret;
use runner_core::web::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, IF_NONE_MATCH};
use runner_core::web::reqwest::RequestBuilder;
use runner_core::web::{Answer, Method, Url, Web, WebError};
use serde_json::Value;

/// A renamed repository redirects once; more than this is a mistake.
const REDIRECTS: usize = 5;

/// A request to GitHub's API.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    method: Method,
    segments: Vec<String>,
    query: Vec<(&'static str, String)>,
    body: Option<Value>,
    etag: Option<String>,
    /// Only so many bytes of the end of the body are of interest.
    tail: Option<usize>,
}

impl Call {
    fn new<'a>(method: Method, segments: impl IntoIterator<Item = &'a str>) -> Self {
        let segments = segments.into_iter().map(str::to_owned).collect();
        Self { method, segments, query: Vec::new(), body: None, etag: None, tail: None }
    }

    /// A GET below the root.
    pub(crate) fn get<'a>(segments: impl IntoIterator<Item = &'a str>) -> Self {
        Self::new(Method::GET, segments)
    }

    /// A POST below the root.
    pub(crate) fn post<'a>(segments: impl IntoIterator<Item = &'a str>) -> Self {
        Self::new(Method::POST, segments)
    }

    /// Adds to the query.
    #[must_use]
    pub(crate) fn query(mut self, name: &'static str, value: &str) -> Self {
        self.query.push((name, value.to_string()));
        self
    }

    /// The JSON body.
    #[must_use]
    pub(crate) fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// Only if it is no longer what it was: else the answer is a 304, which costs nothing.
    #[must_use]
    pub(crate) fn unless(mut self, etag: Option<&str>) -> Self {
        self.etag = etag.map(str::to_owned);
        self
    }

    /// Keeps the last bytes of a body of any length.
    #[must_use]
    pub(crate) fn tail(mut self, bytes: usize) -> Self {
        self.tail = Some(bytes);
        self
    }

    /// Whether it is answered by a redirect to a download elsewhere.
    pub(crate) fn is_download(&self) -> bool {
        self.tail.is_some()
    }

    fn url(&self, root: &Url) -> Url {
        let mut url = root.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(&self.segments);
        }
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        url
    }

    /// Sends it below `root`, and follows redirects on the same host: a repository may have been renamed. The answer may
    /// still be a redirect, to elsewhere. The second value is where the root is now, if it has moved.
    pub(crate) async fn send(&self, web: &Web, root: &Url, token: &Secret) -> Result<(Answer, Option<Url>), WebError> {
        let mut url = self.url(root);
        let mut moved = false;
        for _ in 0..REDIRECTS {
            let answer = self.transfer(web, self.request(web, url.clone(), token).await?).await?;
            match answer.redirect().filter(|to| self.may_follow(&answer, to)) {
                Some(to) => (url, moved) = (to, true),
                None => return Ok((answer, moved.then(|| self.root_of(&url)).flatten())),
            }
        }
        let answer = self.transfer(web, self.request(web, url, token).await?).await?;
        Ok((answer, None))
    }

    async fn request(&self, web: &Web, url: Url, token: &Secret) -> Result<RequestBuilder, WebError> {
        let mut request = web
            .request(self.method.clone(), url)
            .await?
            .header(ACCEPT, "application/vnd.github+json")
            .header("X-GitHub-Api-Version", "2022-11-28")
            .header(AUTHORIZATION, format!("Bearer {}", token.expose()));
        if let Some(etag) = &self.etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        if let Some(body) = &self.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        Ok(request)
    }

    async fn transfer(&self, web: &Web, request: RequestBuilder) -> Result<Answer, WebError> {
        match self.tail {
            Some(bytes) => web.send_tail(request, bytes).await,
            None => web.send(request).await,
        }
    }

    /// The token goes nowhere but to the host that it is for.
    fn may_follow(&self, answer: &Answer, to: &Url) -> bool {
        let status = answer.status.as_u16();
        let told_to = matches!(status, 301 | 307 | 308) || (status == 302 && self.method == Method::GET);
        told_to && to.origin() == answer.url.origin()
    }

    /// The root of an address that ends like this call.
    fn root_of(&self, url: &Url) -> Option<Url> {
        let mut root = url.clone();
        root.set_query(None);
        root.set_fragment(None);
        {
            let mut path = root.path_segments_mut().ok()?;
            for _ in &self.segments {
                path.pop();
            }
        }
        let rebuilt = Self { query: Vec::new(), ..self.clone() }.url(&root);
        (rebuilt.path() == url.path() && root.path() != "/").then_some(root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn a_segment_stays_one_segment_whatever_is_in_it() {
        let call = Call::get(["actions", "workflows", "../../x y?z#ü%2F.yml", "runs"]).query("per_page", "100");
        let built = call.url(&url("https://host/api/v3/repos/o/r"));
        assert_eq!(
            built.as_str(),
            "https://host/api/v3/repos/o/r/actions/workflows/..%2F..%2Fx%20y%3Fz%23%C3%BC%252F.yml/runs?per_page=100"
        );
        assert_eq!(Call::get(["app"]).url(&url("https://api.github.com/")).as_str(), "https://api.github.com/app");
    }

    #[test]
    fn a_moved_root_is_what_stands_before_the_segments() {
        let call = Call::get(["actions", "runs", "7"]);
        let root = |text: &str| call.root_of(&url(text)).map(|root| root.to_string());
        let moved = root("https://host/repositories/42/actions/runs/7?x=1");
        assert_eq!(moved.as_deref(), Some("https://host/repositories/42"));
        assert_eq!(root("https://host/somewhere/else/entirely/now"), None);
        assert_eq!(root("https://host/actions/runs/7"), None);
    }
}
