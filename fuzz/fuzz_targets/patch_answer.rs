//! Only a plain `true` is an abort, whatever else meshStack or a proxy sends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshstack_client::PatchAnswer;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let Ok(body) = serde_json::from_slice::<Value>(data) else { return };
    let aborted = PatchAnswer::read(&body) == PatchAnswer::Aborted;
    assert_eq!(aborted, body.get("runAborted") == Some(&Value::Bool(true)));
});
