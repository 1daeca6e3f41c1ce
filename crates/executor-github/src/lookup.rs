//! Which workflow run a dispatch started, where GitHub does not say.
//!
//! Source: `protocol/executors.md`, `GITHUB_WORKFLOW`, 7.

use crate::models::WorkflowRun;

/// What a workflow run must be like.
pub(crate) struct Wanted<'a> {
    /// The run of meshStack.
    pub(crate) run: &'a str,
    /// The branch or tag, in its short form.
    pub(crate) branch: &'a str,
    /// It was not created before this, in seconds of GitHub's clock.
    pub(crate) not_before: i64,
    /// It was not created after this either, in seconds of GitHub's clock, unless its title names our run.
    pub(crate) not_after: i64,
}

/// What was found.
#[derive(Debug, PartialEq)]
pub(crate) enum Choice<'r> {
    /// None that could be it.
    None,
    /// The one whose title names our run: certain.
    Named(&'r WorkflowRun),
    /// The only one that could be it.
    Only(&'r WorkflowRun),
    /// Several that could be it.
    Several(Vec<&'r WorkflowRun>),
}

/// What a title that shows a run's address has before the run's uuid.
const ADDRESS: &str = "meshbuildingblockruns/";

/// Chooses among the workflow runs that GitHub lists. `is_anothers`: it belongs to another run of ours.
pub(crate) fn choose<'r>(
    runs: &'r [WorkflowRun],
    wanted: &Wanted<'_>,
    is_anothers: impl Fn(u64) -> bool,
) -> Choice<'r> {
    let title = |run: &'r WorkflowRun| run.display_title.as_deref().unwrap_or_default();
    let possible: Vec<&WorkflowRun> = runs
        .iter()
        .filter(|run| run.event.as_deref().is_none_or(|event| event == "workflow_dispatch"))
        .filter(|run| run.head_branch.as_deref().is_none_or(|branch| branch == wanted.branch))
        .filter(|run| run.created().is_none_or(|created| created >= wanted.not_before))
        .filter(|run| !is_anothers(run.id))
        .collect();
    let (named, others): (Vec<_>, Vec<_>) = possible.into_iter().partition(|run| title(run).contains(wanted.run));
    match (named.as_slice(), others) {
        ([run], _) => Choice::Named(run),
        ([], others) => {
            // A title with the address of another run is another's, whoever started it.
            let others: Vec<_> = others
                .into_iter()
                .filter(|run| !title(run).contains(ADDRESS))
                .filter(|run| run.created().is_none_or(|created| created <= wanted.not_after))
                .collect();
            match others.as_slice() {
                [] => Choice::None,
                [run] => Choice::Only(run),
                _ => Choice::Several(others),
            }
        }
        _ => Choice::Several(named),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::clock;

    fn run(id: u64, title: &str, created: i64) -> WorkflowRun {
        let created = clock::written(created).replace(" UTC", "Z").replace(' ', "T");
        serde_json::from_value(json!({
            "id": id, "display_title": title, "created_at": created, "head_branch": "main", "event": "workflow_dispatch",
        }))
        .unwrap()
    }

    const WANTED: Wanted<'_> = Wanted { run: "our-uuid", branch: "main", not_before: 1000, not_after: 1200 };

    fn ids(choice: &Choice<'_>) -> (&'static str, Vec<u64>) {
        match choice {
            Choice::None => ("none", vec![]),
            Choice::Named(run) => ("named", vec![run.id]),
            Choice::Only(run) => ("only", vec![run.id]),
            Choice::Several(runs) => ("several", runs.iter().map(|run| run.id).collect()),
        }
    }

    fn chosen(runs: &[WorkflowRun], taken: &[u64]) -> (&'static str, Vec<u64>) {
        ids(&choose(runs, &WANTED, |id| taken.contains(&id)))
    }

    #[test]
    fn a_run_that_is_too_old_elsewhere_or_anothers_is_none() {
        let mut elsewhere = run(2, "Apply", 1000);
        elsewhere.head_branch = Some("v1".to_owned());
        let mut pushed = run(3, "Apply", 1000);
        pushed.event = Some("push".to_owned());
        let runs = [run(1, "Apply", 999), elsewhere, pushed, run(4, "Apply", 1000)];
        assert_eq!(chosen(&runs, &[4]), ("none", vec![]));
        assert_eq!(chosen(&runs, &[]), ("only", vec![4]));
    }

    #[test]
    fn two_that_could_be_it_are_never_chosen_between() {
        let runs = [run(1, "Apply", 1001), run(2, "Apply", 1000)];
        assert_eq!(chosen(&runs, &[]), ("several", vec![1, 2]));
        let runs = [run(1, "for our-uuid", 1001), run(2, "for our-uuid", 1000), run(3, "x", 1000)];
        assert_eq!(chosen(&runs, &[]), ("several", vec![1, 2]));
    }

    #[test]
    fn a_title_that_names_our_run_is_certain_and_one_that_names_another_is_not_ours() {
        let another = "Apply https://mesh/api/meshobjects/meshbuildingblockruns/another-uuid";
        let runs = [run(1, "Apply", 1001), run(2, "Apply our-uuid", 1000), run(3, another, 1002)];
        assert_eq!(chosen(&runs, &[]), ("named", vec![2]));
        assert_eq!(chosen(&runs[2..], &[]), ("none", vec![]));
        assert_eq!(chosen(&runs[..1], &[]), ("only", vec![1]));
    }

    #[test]
    fn a_run_that_is_too_new_is_ours_only_if_its_title_says_so() {
        assert_eq!(chosen(&[run(1, "Apply", 1201)], &[]), ("none", vec![]));
        assert_eq!(chosen(&[run(1, "Apply", 1201), run(2, "Apply", 1200)], &[]), ("only", vec![2]));
        assert_eq!(chosen(&[run(1, "Apply our-uuid", 1201)], &[]), ("named", vec![1]));
    }

    #[test]
    fn what_github_leaves_out_does_not_exclude() {
        let bare: WorkflowRun = serde_json::from_value(json!({ "id": 9 })).unwrap();
        assert_eq!(chosen(&[bare], &[]), ("only", vec![9]));
    }
}
