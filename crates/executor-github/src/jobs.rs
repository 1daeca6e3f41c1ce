//! The jobs of a workflow run, as steps.
//!
//! Source: `protocol/executors.md`, `GITHUB_WORKFLOW`, 7.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use runner_core::Step;

use crate::call::Call;
use crate::clock;
use crate::job_log;
use crate::models::{Conclusion, Job, JobPage, State};
use crate::problem::chain;
use crate::session::Session;
use crate::steps;

/// Jobs per page: GitHub's most.
const PER_PAGE: usize = 100;

/// A matrix has 256 jobs at most; a workflow with more than this many pages is not shown to its end.
const PAGES: usize = 20;

/// Of so many failed jobs the end of the log is shown: each costs a request.
const LOGS: u32 = 5;

/// A job list that changes all the time is left alone for no more than so many looks at the run.
const LONGEST_SKIP: u32 = 20;

/// What is known of the jobs of a workflow run, and what is said of them.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    pages: Vec<Page>,
    said: HashMap<u64, Said>,
    /// How many answers were counted against the rate limit.
    counted: u32,
    /// So many times the jobs are not looked at.
    skip: u32,
    logs: u32,
}

#[derive(Debug)]
struct Page {
    etag: Option<String>,
    total: Option<u64>,
    /// How many jobs GitHub listed, with those that could not be read.
    listed: usize,
    jobs: Vec<Job>,
}

/// How much was said of a job.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Said {
    #[default]
    Nothing,
    Page,
    Waits,
    Began,
    Ended,
}

impl Jobs {
    /// Whether it is time to look. A look that finds nothing new is free; of those that count there must not be many, so
    /// they become rare in a workflow whose jobs change all the time.
    pub(crate) fn is_due(&mut self, run_changed: bool) -> bool {
        if run_changed || self.skip == 0 {
            return true;
        }
        self.skip -= 1;
        false
    }

    /// Looks at all pages. Whether anything changed. What cannot be read now is read at the next look.
    pub(crate) async fn look(&mut self, session: &mut Session<'_>, run: u64) -> bool {
        let counted = self.counted;
        let (mut number, mut collected) = (0, 0);
        loop {
            let etag = self.pages.get(number).and_then(|page| page.etag.as_deref());
            let call = Call::get(["actions", "runs", &run.to_string(), "jobs"])
                .query("per_page", &PER_PAGE.to_string())
                .query("page", &(number + 1).to_string())
                .unless(etag);
            match session.ask(&call).await {
                Ok(answer) if answer.status.as_u16() == 304 => {}
                Ok(answer) => match answer.json::<JobPage>() {
                    Ok(page) => {
                        self.counted += 1;
                        let etag = answer.header("etag").map(str::to_owned);
                        let (total, listed) = (page.total_count, page.jobs.listed);
                        self.put(number, Page { etag, total, listed, jobs: page.jobs.read });
                    }
                    Err(error) => {
                        session.tell(&format!("GitHub's list of jobs cannot be read: {}", chain(&error)));
                        break;
                    }
                },
                Err(trouble) => {
                    session.tell(&format!("GitHub does not list the workflow's jobs: {}", trouble.cause()));
                    session.forget_refusal();
                    break;
                }
            }
            let Some(page) = self.pages.get(number) else { break };
            collected += page.listed;
            let is_last = page.listed == 0
                || page.total.map_or(page.listed < PER_PAGE, |total| collected as u64 >= total)
                || number + 1 >= PAGES;
            if is_last {
                self.pages.truncate(number + 1);
                break;
            }
            number += 1;
        }
        let changed = self.counted > counted;
        if changed {
            self.skip = skip_after(self.counted);
        }
        changed
    }

    fn put(&mut self, number: usize, page: Page) {
        match self.pages.get_mut(number) {
            Some(old) => *old = page,
            None => self.pages.push(page),
        }
    }

    /// Each job once, in the order of GitHub's list.
    pub(crate) fn all(&self) -> Vec<&Job> {
        let mut seen = HashSet::new();
        self.pages.iter().flat_map(|page| &page.jobs).filter(|job| seen.insert(job.id)).collect()
    }

    /// Whether every job has ended.
    pub(crate) fn all_ended(&self) -> bool {
        self.all().iter().all(|job| job.state() != State::Open)
    }

    /// The failed jobs, for a sentence. Empty: there are none.
    pub(crate) fn failed(&self) -> String {
        let is_bad = |job: &&Job| matches!(job.state(), State::Ended(conclusion) if !conclusion.is_good());
        let bad: Vec<&Job> = self.all().into_iter().filter(is_bad).collect();
        let mut names: Vec<String> =
            bad.iter().take(5).map(|job| format!("`{}`{}", job.name(), in_steps(job))).collect();
        if bad.len() > names.len() {
            names.push(format!("{} more", bad.len() - names.len()));
        }
        names.join(", ")
    }

    /// Says what is new of each job.
    pub(crate) async fn show(&mut self, session: &mut Session<'_>) {
        let jobs: Vec<Job> = self.all().into_iter().cloned().collect();
        for job in &jobs {
            let step = session.ctx.add_step(&steps::job(job.id, job.name()));
            let said = self.said.entry(job.id).or_default();
            say_how_it_goes(&step, job, said);
            let State::Ended(conclusion) = job.state() else {
                step.start();
                continue;
            };
            if std::mem::replace(said, Said::Ended) == Said::Ended {
                continue;
            }
            step.log_line(how_it_ended(job, conclusion));
            match conclusion {
                Conclusion::Success => step.succeed(),
                Conclusion::Passed(word) => {
                    step.user_message(format!("The job did nothing: GitHub calls it {word}."));
                    step.succeed();
                }
                Conclusion::Bad(word) => {
                    self.logs += 1;
                    if self.logs <= LOGS && has_run(job) {
                        job_log::show(session, job.id, &step).await;
                    }
                    step.fail(how_it_failed(job, word));
                }
            }
        }
    }

    /// The workflow run has ended: no job is left open.
    pub(crate) fn close(&mut self, session: &Session<'_>, good: bool) {
        let listed: HashSet<u64> = self.all().iter().map(|job| job.id).collect();
        for (id, said) in self.said.iter_mut().filter(|(_, said)| **said != Said::Ended) {
            *said = Said::Ended;
            let step = session.ctx.step(&steps::job_id(*id));
            if !listed.contains(id) {
                step.log_line("The job was run again, under another number.");
                step.succeed();
            } else if good {
                step.log_line("The workflow ended well before GitHub said how this job ended.");
                step.succeed();
            } else {
                step.fail("The workflow ended before GitHub said how this job ended. Look at the job's page.");
            }
        }
    }
}

/// After so many counted answers, the jobs are not looked at for so many looks.
fn skip_after(counted: u32) -> u32 {
    (counted.saturating_sub(1) * 4).clamp(2, LONGEST_SKIP)
}

/// Whether there may be a log.
fn has_run(job: &Job) -> bool {
    job.runner_name.as_deref().is_some_and(|name| !name.is_empty())
        || job.steps.as_ref().is_some_and(|steps| steps.listed > 0)
}

fn say_how_it_goes(step: &Step, job: &Job, said: &mut Said) {
    if *said < Said::Page {
        *said = Said::Page;
        if let Some(url) = &job.html_url {
            step.log_line(url);
        }
    }
    let status = job.status.as_deref().unwrap_or_default();
    if matches!(status, "in_progress" | "completed") {
        if has_run(job) && *said < Said::Began {
            *said = Said::Began;
            let when = job.started_at.as_deref().and_then(clock::parse).map_or_else(String::new, clock::written);
            let runner = job.runner_name.as_deref().filter(|name| !name.is_empty());
            step.log_line(format!("Began {when} on {}.", runner.unwrap_or("a runner without a name")));
        }
    } else if *said < Said::Waits {
        *said = Said::Waits;
        let labels = job.labels.as_ref().map_or_else(String::new, |labels| labels.read.join(", "));
        step.log_line(match status {
            "waiting" => "Waits, for an approval perhaps: the job's page says for what.".to_owned(),
            _ if labels.is_empty() => "Waits for a runner.".to_owned(),
            _ => format!("Waits for a runner with the labels {labels}."),
        });
    }
}

fn how_it_ended(job: &Job, conclusion: Conclusion<'_>) -> String {
    let time = |text: &Option<String>| text.as_deref().and_then(clock::parse);
    match (time(&job.started_at), time(&job.completed_at)) {
        (Some(began), Some(ended)) => {
            let took = Duration::from_secs(u64::try_from(ended - began).unwrap_or(0));
            format!("Ended {} after {}: {conclusion}.", clock::written(ended), clock::human(took))
        }
        (_, Some(ended)) => format!("Ended {}: {conclusion}.", clock::written(ended)),
        _ => format!("Ended: {conclusion}."),
    }
}

fn how_it_failed(job: &Job, word: &str) -> String {
    let what = match word {
        "failure" => "failed".to_owned(),
        "cancelled" => "was cancelled".to_owned(),
        "timed_out" => "took too long and was stopped".to_owned(),
        "action_required" => "waits for somebody's decision".to_owned(),
        other => format!("ended with `{other}`"),
    };
    format!(
        "The job `{}` {what}{}. Look at its log, and ask the platform team if it does not help.",
        job.name(),
        in_steps(job)
    )
}

/// ` in its step …`, if one failed.
fn in_steps(job: &Job) -> String {
    match job.failed_steps().as_slice() {
        [] => String::new(),
        [step] => format!(" in its step `{step}`"),
        steps => format!(" in its steps `{}`", steps.join("`, `")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn page(jobs: &serde_json::Value) -> Jobs {
        let page: JobPage = serde_json::from_value(json!({ "jobs": jobs })).unwrap();
        Jobs {
            pages: vec![Page { etag: None, total: None, listed: page.jobs.listed, jobs: page.jobs.read }],
            ..Jobs::default()
        }
    }

    #[test]
    fn a_list_that_changes_all_the_time_is_looked_at_ever_less() {
        let mut jobs = Jobs::default();
        let mut looks = Vec::new();
        for poll in 0..80 {
            if jobs.is_due(poll == 1) {
                looks.push(poll);
                jobs.counted += 1;
                jobs.skip = skip_after(jobs.counted);
            }
        }
        assert_eq!(looks, [0, 1, 6, 15, 28, 45, 66]);
    }

    #[test]
    fn failed_jobs_are_named_with_their_steps() {
        let failed = |name: &str, steps: serde_json::Value| json!({ "id": name.len(), "name": name, "status": "completed", "conclusion": "failure", "steps": steps });
        let step = |name: &str, conclusion: &str| json!({ "name": name, "conclusion": conclusion });
        let jobs = page(&json!([
            failed("build", json!([step("Set up", "success"), step("Run Tests", "failure")])),
            failed("tests", json!(null)),
            { "id": 77, "name": "fine", "status": "completed", "conclusion": "success" },
            failed("a", json!([step("one", "failure"), step("two", "timed_out")])),
        ]));
        assert_eq!(jobs.failed(), "`build` in its step `Run Tests`, `a` in its steps `one`, `two`");
        let many = (0..7).map(|id| json!({ "id": id, "name": "m", "status": "completed", "conclusion": "cancelled" }));
        assert_eq!(page(&json!(many.collect::<Vec<_>>())).failed(), "`m`, `m`, `m`, `m`, `m`, 2 more");
    }

    #[test]
    fn the_end_of_a_job_is_told_with_its_duration() {
        let jobs = page(&json!([{ "id": 1, "name": "a", "status": "completed", "conclusion": "success",
            "started_at": "2020-01-20T17:42:40Z", "completed_at": "2020-01-20T17:44:39Z" }]));
        let text = how_it_ended(jobs.all()[0], Conclusion::Success);
        assert_eq!(text, "Ended 2020-01-20 17:44:39 UTC after 1 min 59 s: success.");
    }
}
