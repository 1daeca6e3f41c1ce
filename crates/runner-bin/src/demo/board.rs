//! What the demo shows of its runs: pure text made from what meshStack was told.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use meshstack_local::{RunStatus, RunView, StepStatus, StepView};
use unicode_width::UnicodeWidthStr as _;

use super::text::{Paint, elapsed, fit, pad};

const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// The runs on show.
pub(super) struct Board {
    cards: Vec<Card>,
    paint: Paint,
}

/// One run.
struct Card {
    view: RunView,
    kind: &'static str,
    whole: Clock,
    /// When the run was claimed, or when a step was last seen to end: then the next one began.
    turn: Option<Instant>,
    steps: HashMap<String, Clock>,
    /// Step states that plain lines were printed for.
    told: HashMap<String, StepStatus>,
    told_end: bool,
}

/// When something began, and how long it took.
#[derive(Clone, Copy)]
struct Clock {
    began: Instant,
    took: Option<Duration>,
}

impl Clock {
    /// The time to show; none where begin and end were seen at once, as of a step that was never begun.
    fn shown(self, now: Instant) -> Option<String> {
        (self.took != Some(Duration::ZERO)).then(|| elapsed(self.elapsed(now)))
    }

    fn elapsed(self, now: Instant) -> Duration {
        self.took.unwrap_or_else(|| now.saturating_duration_since(self.began))
    }
}

impl Board {
    pub(super) fn new(paint: Paint) -> Self {
        Self { cards: Vec::new(), paint }
    }

    /// Puts a run on the board. `kind` is what carries it out, for people.
    pub(super) fn add(&mut self, view: RunView, kind: &'static str, now: Instant) {
        let whole = Clock { began: now, took: None };
        self.cards.push(Card {
            view,
            kind,
            whole,
            turn: None,
            steps: HashMap::new(),
            told: HashMap::new(),
            told_end: false,
        });
    }

    pub(super) fn uuids(&self) -> Vec<String> {
        self.cards.iter().map(|card| card.view.uuid.clone()).collect()
    }

    pub(super) fn views(&self) -> impl Iterator<Item = &RunView> {
        self.cards.iter().map(|card| &card.view)
    }

    pub(super) fn all_ended(&self) -> bool {
        self.cards.iter().all(|card| card.view.status.is_final())
    }

    /// Takes in what meshStack knows of a run now.
    pub(super) fn update(&mut self, view: RunView, now: Instant) {
        let Some(card) = self.cards.iter_mut().find(|card| card.view.uuid == view.uuid) else { return };
        if view.status != RunStatus::Pending && card.turn.is_none() {
            card.turn = Some(now);
        }
        for step in view.steps.iter().filter(|step| step.status != StepStatus::Pending) {
            // A quick step may never be seen under way.
            let began = card.turn.unwrap_or(now);
            let clock = card.steps.entry(step.id.clone()).or_insert(Clock { began, took: None });
            if step.status != StepStatus::InProgress && clock.took.is_none() {
                clock.took = Some(now.saturating_duration_since(clock.began));
                card.turn = Some(now);
            }
        }
        if view.status.is_final() && card.whole.took.is_none() {
            card.whole.took = Some(now.saturating_duration_since(card.whole.began));
        }
        card.view = view;
    }

    /// The whole board, one string per line, none wider than `width` columns. `beat` moves the spinner.
    pub(super) fn lines(&self, width: usize, now: Instant, beat: usize) -> Vec<String> {
        let mut lines = Vec::new();
        let steps = self.cards.iter().flat_map(|card| &card.view.steps);
        let names = steps.map(|step| step.display_name.width()).max().unwrap_or_default().min(50);
        let draw = Draw { width, names, now, spinner: SPINNER[beat % SPINNER.len()], paint: self.paint };
        for card in &self.cards {
            lines.push(draw.title(card));
            lines.extend(card.view.steps.iter().map(|step| draw.step(card, step)));
        }
        lines
    }

    /// What has happened since the last call, as lines that stand for themselves.
    pub(super) fn news(&mut self, now: Instant) -> Vec<String> {
        let mut lines = Vec::new();
        for card in &mut self.cards {
            for step in card.view.steps.iter().filter(|step| step.status != StepStatus::Pending) {
                if card.told.insert(step.id.clone(), step.status) == Some(step.status) {
                    continue;
                }
                let time = card.steps.get(&step.id).filter(|clock| clock.took.is_some());
                let time = time.and_then(|clock| clock.shown(now)).map(|time| format!(" ({time})")).unwrap_or_default();
                let (name, step_name, status) = (&card.view.display_name, &step.display_name, step.status);
                lines.push(fit(&format!("{name}: {step_name}: {status}{time}"), usize::MAX));
            }
            if card.view.status.is_final() && !card.told_end {
                card.told_end = true;
                let (name, status, time) =
                    (&card.view.display_name, card.view.status, elapsed(card.whole.elapsed(now)));
                lines.push(fit(&format!("{name}: {status} ({time})"), usize::MAX));
            }
        }
        lines
    }
}

/// One drawing of the board.
#[derive(Clone, Copy)]
struct Draw {
    width: usize,
    /// Columns for the names of steps.
    names: usize,
    now: Instant,
    spinner: &'static str,
    paint: Paint,
}

impl Draw {
    fn title(self, card: &Card) -> String {
        let (view, paint) = (&card.view, self.paint);
        let (icon, word) = match view.status {
            RunStatus::Pending => (paint.dim("·"), paint.dim("QUEUED")),
            RunStatus::Succeeded => (paint.green("✔"), paint.green("SUCCEEDED")),
            RunStatus::Failed | RunStatus::Aborted => (paint.red("✘"), paint.red(view.status.word())),
            RunStatus::InProgress => (paint.cyan(self.spinner), paint.cyan("IN PROGRESS")),
        };
        // The rest of the line takes 40 columns at most. Where they are not there, the name stands alone.
        if self.width < 50 {
            return format!("{icon} {}", fit(&view.display_name, self.width - 2));
        }
        let name = paint.bold(&fit(&view.display_name, self.width - 40));
        format!("{icon} {name}  {}  {word}  {}", paint.dim(card.kind), elapsed(card.whole.elapsed(self.now)))
    }

    fn step(self, card: &Card, step: &StepView) -> String {
        let paint = self.paint;
        let icon = match step.status {
            StepStatus::Pending => paint.dim("·"),
            StepStatus::InProgress => paint.cyan(self.spinner),
            StepStatus::Succeeded => paint.green("✔"),
            StepStatus::Failed => paint.red("✘"),
        };
        let shown = |name: &str| if step.status == StepStatus::Pending { paint.dim(name) } else { name.to_owned() };
        let before_log = 4 + self.names + 2 + 11 + 2;
        if before_log > self.width {
            return format!("  {icon} {}", shown(&fit(&step.display_name, self.width - 4)));
        }
        let name = shown(&pad(&fit(&step.display_name, self.names), self.names));
        let time = card.steps.get(&step.id).and_then(|clock| clock.shown(self.now)).unwrap_or_default();
        let said = step.user_message.as_deref().or(step.system_message.as_deref()).and_then(last_line);
        let said = paint.dim(&fit(said.unwrap_or_default(), self.width - before_log));
        format!("  {icon} {name}  {time:>11}  {said}").trim_end().to_owned()
    }
}

fn last_line(text: &str) -> Option<&str> {
    text.lines().map(str::trim).rfind(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::{Duration, Instant};

    use meshstack_local::{RunStatus, RunView, StepStatus, StepView};
    use unicode_width::UnicodeWidthStr as _;

    use super::{Board, Paint};

    fn step(id: &str, name: &str, status: StepStatus, log: &str) -> StepView {
        StepView {
            source: "runner".to_owned(),
            id: id.to_owned(),
            display_name: name.to_owned(),
            status,
            user_message: None,
            system_message: Some(log.to_owned()),
            outputs: BTreeMap::new(),
        }
    }

    fn view(status: RunStatus, steps: Vec<StepView>) -> RunView {
        RunView {
            uuid: "run".to_owned(),
            runner: "runner".to_owned(),
            behavior: "APPLY".to_owned(),
            display_name: "Demo application".to_owned(),
            status,
            summary: None,
            steps,
            outputs: BTreeMap::new(),
            sources: Vec::new(),
            artifact: None,
            changes_detected: None,
            claims: 1,
            registers: 1,
            patches: 1,
            patches_after_end: 0,
            ended_count: 0,
            requests: Vec::new(),
        }
    }

    fn half_way(paint: Paint, began: Instant) -> Board {
        let mut board = Board::new(paint);
        board.add(view(RunStatus::Pending, Vec::new()), "Terraform", began);
        let steps = |init| {
            vec![
                step("sources", "Download Sources", StepStatus::Succeeded, "done\n"),
                step("init", "Initialize", init, "Initializing the backend...\nInitializing provider plugins...\n\n"),
                step("apply", "Run Terraform Apply", StepStatus::Pending, ""),
            ]
        };
        board.update(view(RunStatus::InProgress, steps(StepStatus::InProgress)), began + Duration::from_millis(400));
        board
    }

    #[test]
    fn the_board_shows_state_time_and_last_log_line() {
        let began = Instant::now();
        let board = half_way(Paint(false), began);
        insta::assert_snapshot!(board.lines(80, began + Duration::from_millis(2900), 0).join("\n"));
        insta::assert_snapshot!(board.lines(30, began + Duration::from_millis(2900), 0).join("\n"));
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let began = Instant::now();
        let board = half_way(Paint(false), began);
        for width in 20..120 {
            for line in board.lines(width, began + Duration::from_secs(4000), 3) {
                assert!(line.width() <= width, "{width}: {line}");
            }
        }
    }

    #[test]
    fn news_are_told_once() {
        let began = Instant::now();
        let mut board = half_way(Paint(false), began);
        let later = began + Duration::from_secs(3);
        insta::assert_snapshot!(board.news(later).join("\n"));
        assert_eq!(board.news(later), [""; 0]);
        let steps = vec![step("init", "Initialize", StepStatus::Failed, "no\n")];
        board.update(view(RunStatus::Failed, steps), later);
        insta::assert_snapshot!(board.news(later).join("\n"));
        assert!(board.all_ended());
    }
}
