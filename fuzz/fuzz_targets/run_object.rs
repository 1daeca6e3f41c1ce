//! A run object never panics, and goes on as it came.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshstack_client::{KeyRing, RunAccess, RunObject};

fuzz_target!(|data: &[u8]| {
    let Ok(run) = RunObject::parse(data) else { return };
    let _ = (run.behavior(), run.run_token(), run.inputs(), run.implementation_type(), run.workspace(), run.project());
    let _ = (run.link("self"), run.link("planArtifact"), RunAccess::of(&run));
    let _ = format!("{run:?}");
    let written = serde_json::to_vec(run.raw()).expect("it can be written");
    let again = RunObject::parse(&written).expect("and read again");
    assert_eq!(again.raw(), run.raw());
    if let Ok(opened) = run.decrypted(&KeyRing::empty()) {
        assert_eq!(opened.run.uuid(), run.uuid());
    }
    assert!(run.without_implementation_secrets().implementation().is_none_or(|fields| fields.len() <= 1));
});
