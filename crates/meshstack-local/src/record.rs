//! What was asked: every request, bounded in memory.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{HeaderMap, header, request};
use serde::{Serialize, Serializer};

use crate::Operation;

/// A request that a local meshStack has received.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Recorded {
    /// Its number, from 0, in the order of arrival.
    pub number: u64,
    /// What it is about.
    pub operation: Operation,
    /// Its method.
    pub method: String,
    /// Its path, with the query.
    pub path: String,
    /// Its headers. The JSON form hides the value of `Authorization`.
    #[serde(serialize_with = "headers_without_credentials")]
    pub headers: HeaderMap,
    /// The status of the answer. With a fault that cuts the connection afterwards: of the lost one. None: not answered.
    pub status: Option<u16>,
    /// The fault that struck it.
    pub fault: Option<&'static str>,
    /// The size of its body in bytes.
    pub body_size: usize,
    /// The body of a registration, a patch or a runner object, unless newer ones have driven it out of memory.
    #[serde(skip)]
    pub body: Option<Bytes>,
    /// When it had been received as a whole.
    #[serde(skip)]
    pub received: Instant,
    /// The same, counted from the start of the server.
    #[serde(rename = "receivedMillis", serialize_with = "as_millis")]
    pub since_start: Duration,
}

impl Recorded {
    /// A header's value, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as JSON, if it is remembered and is JSON.
    pub fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(self.body.as_ref()?).ok()
    }
}

fn as_millis<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u128(time.as_millis())
}

fn headers_without_credentials<S: Serializer>(headers: &HeaderMap, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(headers.iter().map(|(name, value)| {
        let text = value.to_str().unwrap_or("(not text)");
        let shown = if *name == header::AUTHORIZATION { text.split(' ').next().unwrap_or_default() } else { text };
        (name.as_str(), shown)
    }))
}

/// The requests that are remembered.
#[derive(Debug)]
pub(crate) struct RequestLog {
    started: Instant,
    next: u64,
    requests: VecDeque<Recorded>,
    keep_requests: usize,
    /// Bodies by request number: they are forgotten long before the requests are.
    bodies: BTreeMap<u64, Bytes>,
    body_bytes: usize,
    keep_body_bytes: usize,
}

impl RequestLog {
    pub(crate) fn new(keep_requests: usize, keep_body_bytes: usize) -> Self {
        Self {
            started: Instant::now(),
            next: 0,
            requests: VecDeque::new(),
            keep_requests,
            bodies: BTreeMap::new(),
            body_bytes: 0,
            keep_body_bytes,
        }
    }

    /// Remembers a request; the number is for [`answered`](Self::answered).
    pub(crate) fn arrived(&mut self, operation: Operation, request: &request::Parts, body: &Bytes) -> u64 {
        let number = self.next;
        self.next += 1;
        let received = Instant::now();
        self.requests.push_back(Recorded {
            number,
            operation,
            method: request.method.to_string(),
            path: request.uri.path_and_query().map_or_else(String::new, ToString::to_string),
            headers: request.headers.clone(),
            status: None,
            fault: None,
            body_size: body.len(),
            body: None,
            received,
            since_start: received - self.started,
        });
        if self.requests.len() > self.keep_requests {
            self.requests.pop_front();
        }
        if matches!(operation, Operation::Register | Operation::Patch | Operation::Runner) {
            self.keep_body(number, body.clone());
        }
        number
    }

    fn keep_body(&mut self, number: u64, body: Bytes) {
        self.body_bytes += body.len();
        self.bodies.insert(number, body);
        let oldest = self.next.saturating_sub(self.keep_requests as u64);
        while let Some(entry) = self.bodies.first_entry() {
            if self.body_bytes <= self.keep_body_bytes && *entry.key() >= oldest {
                break;
            }
            self.body_bytes -= entry.remove().len();
        }
    }

    pub(crate) fn struck(&mut self, number: u64, fault: &'static str) {
        if let Some(request) = self.find(number) {
            request.fault = Some(fault);
        }
    }

    pub(crate) fn answered(&mut self, number: u64, status: u16) {
        if let Some(request) = self.find(number) {
            request.status = Some(status);
        }
    }

    fn find(&mut self, number: u64) -> Option<&mut Recorded> {
        let first = self.requests.front()?.number;
        self.requests.get_mut(usize::try_from(number.checked_sub(first)?).ok()?)
    }

    /// All that are remembered, in the order of arrival.
    pub(crate) fn all(&self) -> Vec<Recorded> {
        self.requests.iter().map(|request| self.with_body(request)).collect()
    }

    /// Those of these numbers that are remembered.
    pub(crate) fn some(&self, numbers: &[u64]) -> Vec<Recorded> {
        let Some(first) = self.requests.front().map(|request| request.number) else { return Vec::new() };
        numbers
            .iter()
            .filter_map(|number| self.requests.get(usize::try_from(number.checked_sub(first)?).ok()?))
            .map(|request| self.with_body(request))
            .collect()
    }

    fn with_body(&self, request: &Recorded) -> Recorded {
        Recorded { body: self.bodies.get(&request.number).cloned(), ..request.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch() -> request::Parts {
        axum::http::Request::patch("/run?x=1").body(()).unwrap().into_parts().0
    }

    #[test]
    fn only_the_newest_bodies_stay_and_every_size_does() {
        let mut log = RequestLog::new(100, 10);
        for size in [4, 4, 4] {
            log.arrived(Operation::Patch, &patch(), &Bytes::from(vec![b'x'; size]));
        }
        let requests = log.all();
        assert_eq!(requests.iter().map(|r| r.body_size).collect::<Vec<_>>(), [4, 4, 4]);
        assert_eq!(requests.iter().map(|r| r.body.is_some()).collect::<Vec<_>>(), [false, true, true]);
    }

    #[test]
    fn a_forgotten_request_takes_its_body_with_it() {
        let mut log = RequestLog::new(2, 1000);
        let numbers: Vec<u64> =
            (0..3).map(|_| log.arrived(Operation::Patch, &patch(), &Bytes::from_static(b"{}"))).collect();
        log.answered(numbers[0], 200);
        log.answered(numbers[2], 204);
        assert_eq!(log.bodies.len(), 2);
        let kept = log.some(&numbers);
        assert_eq!(kept.iter().map(|r| (r.number, r.status)).collect::<Vec<_>>(), [(1, None), (2, Some(204))]);
    }
}
